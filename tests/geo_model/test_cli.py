"""The command line as it is used: output, complaints, exit codes, pipes and interruptions."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import geo_model
from geo_model.cli import app
from geo_model.evaluation import evaluate
from geo_model.photo_collection import PhotoCollection
from geo_model.sphere import great_circle_km

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tiny_model_folder, monkeypatch):
    """Run a command with the tiny model among those that have a name."""
    monkeypatch.setenv("GEO_MODEL_PATH", str(tiny_model_folder.parent))
    monkeypatch.setenv("COLUMNS", "100")

    def invoke(*arguments, **options):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], **options)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        return result

    return invoke


@pytest.fixture
def command(tiny_model_folder):
    """The command line as a program of its own, with its environment."""
    environment = {**os.environ, "GEO_MODEL_PATH": str(tiny_model_folder.parent), "OMP_NUM_THREADS": "1"}
    return [sys.executable, "-m", "geo_model"], {"cwd": ROOT, "env": environment}


def bomb(path: Path) -> Path:
    """A PNG whose header promises 20,000 x 20,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (20_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    pixels = zlib.compress(bytes(20_000 * 60_001 // 100), 9)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )
    return path


def test_help_loads_neither_torch_nor_a_model():
    for arguments in (["--help"], ["locate", "--help"], ["evaluate", "--help"], ["models", "--help"]):
        code = (
            "import sys\nfrom geo_model.cli import app\n"
            f"try:\n    app({arguments!r})\nexcept SystemExit as end:\n    assert not end.code\n"
            "print(sorted({'torch', 'timm', 'numpy', 'scipy', 'pandas', 'PIL'} & set(sys.modules)))"
        )
        output = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT)
        assert "Usage" in output
        assert output.rstrip().endswith("[]")


def test_a_photo_gets_its_table(run, tiny_model_folder, sample_photos):
    result = run("locate", sample_photos[0], "--model", "tiny", "--top-k", 3)
    assert result.exit_code == 0
    assert result.stderr == ""
    prediction = geo_model.load(tiny_model_folder, device="cpu").predict(sample_photos[0])[0]
    for wanted in (
        str(sample_photos[0]),
        prediction.place.text,
        f"{prediction.latitude:.4f}, {prediction.longitude:.4f}",
        f"{prediction.probability:.1%}",
        f"{prediction.region(0.9).area_km2 / 1e6:,.0f} million km²",
        f"{prediction.top(3)[2].latitude:.2f}, {prediction.top(3)[2].longitude:.2f}",
    ):
        assert wanted in result.stdout
    assert f"{prediction.top(4)[3].latitude:.2f}, {prediction.top(4)[3].longitude:.2f}" not in result.stdout


def test_bad_photos_get_a_sentence_each_and_the_good_one_is_located(run, sample_photos, tmp_path):
    (tmp_path / "text.jpg").write_text("this is text")
    (tmp_path / "empty.jpg").write_bytes(b"")
    bomb(tmp_path / "bomb.png")
    names = ["text.jpg", "empty.jpg", "bomb.png", "missing.jpg"]
    good = sample_photos[0]
    photos = [tmp_path / names[0], tmp_path / names[1], good, tmp_path / names[2], tmp_path / names[3]]
    result = run("locate", *photos, "--model", "tiny")
    assert result.exit_code == 1
    sentences = result.stderr.splitlines()
    assert len(sentences) == 4
    for name, sentence in zip(names, sentences, strict=True):
        assert sentence.startswith(f"{tmp_path / name}: ")
        assert sentence.endswith(".")
    assert str(good) in result.stdout
    assert "text.jpg" not in result.stdout

    as_json = run("locate", *photos, "--model", "tiny", "--format", "json")
    items = json.loads(as_json.stdout)
    assert [Path(item["photo"]).name for item in items] == [*names[:2], good.name, *names[2:]]
    assert ["error" in item for item in items] == [True, True, False, True, True]


def test_folders_are_searched_and_one_without_photos_is_named(run, sample_photos, tmp_path):
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    (tmp_path / "none").mkdir()
    shutil.copy(sample_photos[0], tmp_path / "photos" / "b.jpg")
    shutil.copy(sample_photos[1], tmp_path / "photos" / "sub" / "a.JPG")
    (tmp_path / "photos" / "notes.txt").write_text("not a photo")
    result = run("locate", tmp_path / "photos", tmp_path / "none", "--model", "tiny", "--format", "csv")
    assert result.exit_code == 1
    assert result.stderr == f"{tmp_path / 'none'}: it holds no photo; give a folder with photos.\n"
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["photo"] for row in rows if not row["error"]] == [
        str(tmp_path / "photos" / "b.jpg"),
        str(tmp_path / "photos" / "sub" / "a.JPG"),
    ]
    nothing = run("locate", tmp_path / "none", "--model", "no-such-model", "--format", "json")
    assert nothing.exit_code == 1
    assert len(json.loads(nothing.stdout)) == 1


def test_a_photo_from_standard_input(run, sample_photos):
    data = sample_photos[1].read_bytes()
    piped = json.loads(run("locate", "-", "--model", "tiny", "--format", "json", input=data).stdout)
    named = json.loads(run("locate", sample_photos[1], "--model", "tiny", "--format", "json").stdout)
    assert piped[0].pop("photo") == "standard input"
    assert named[0].pop("photo") == str(sample_photos[1])
    assert piped == named
    empty = run("locate", "-", "--model", "tiny", input=b"")
    assert empty.exit_code == 1
    assert empty.stderr.startswith("standard input: ")


@pytest.mark.parametrize("ending", ["json", "csv", "geojson", "kml", "txt"])
def test_out_is_written_whole_in_the_format_of_its_name(run, sample_photos, tmp_path, ending):
    out = tmp_path / f"places.{ending}"
    result = run("locate", *sample_photos, "--model", "tiny", "--out", out)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    content = out.read_text(encoding="utf-8")
    begins = {
        "json": "[",
        "csv": "photo,",
        "geojson": '{"type"',
        "kml": "<?xml",
        "txt": str(sample_photos[0]),
    }
    assert content.startswith(begins[ending])
    assert content.count(sample_photos[2].name) == 1
    assert list(tmp_path.iterdir()) == [out]
    if ending != "txt":
        assert run("locate", *sample_photos, "--model", "tiny", "--format", ending).stdout == content


def test_regions_are_drawn_when_asked_for(run, sample_photos):
    drawn = run("locate", sample_photos[0], "--model", "tiny", "--format", "geojson", "--regions")
    assert [f["geometry"]["type"] for f in json.loads(drawn.stdout)["features"]] == ["Point", "MultiPolygon"]


def test_options_reach_the_model(run, sample_photos):
    def answer(*options):
        result = run("locate", sample_photos[0], "--model", "tiny", "--format", "json", *options)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    single = ("--precision", "float32")  # auto may be another one
    plain = answer(*single)
    assert answer("--crops", "mean", "--batch-size", 1, "--device", "cpu", *single) == plain
    assert answer("--crops", "max", *single)[0]["levels"] != plain[0]["levels"]
    assert answer("--precision", "bfloat16")[0]["levels"] != plain[0]["levels"]
    assert answer("--top-k", 0)[0]["top"] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "no-such-model"], "no-such-model: "),
        (["--model", "tiny", "--device", "teapot"], "device 'teapot'"),
        (["--model", "tiny", "--precision", "float16", "--device", "cpu"], "precision 'float16'"),
        (["--model", "tiny", "--out", "{folder}/none/places.json"], "places.json cannot be written"),
        (["--model", "tiny", "--out", "{folder}"], "is a folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_1(run, sample_photos, tmp_path, arguments, sentence):
    arguments = [argument.format(folder=tmp_path) for argument in arguments]
    result = run("locate", sample_photos[0], *arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.jpg", "--top-k", "-1"],
        ["a.jpg", "--batch-size", "0"],
        ["a.jpg", "--format", "gpx"],
        ["a.jpg", "--crops", "median"],
        ["a.jpg", "--regions"],
        ["-", "-"],
        ["a.jpg", "--no-such-option"],
    ],
)
def test_wrong_options_are_exit_code_2(run, arguments):
    result = run("locate", *arguments)
    assert result.exit_code == 2
    assert "Usage" in result.stderr


def test_a_closed_pipe_ends_quietly(command, sample_photos):
    arguments, settings = command
    for output_format in ("json", "table"):
        with subprocess.Popen(
            [*arguments, "locate", "--model", "tiny", "--format", output_format, *40 * [sample_photos[0]]],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **settings,
        ) as process:
            process.stdout.readline()
            process.stdout.close()
            complaints = process.stderr.read()
            assert process.wait() == 1
        assert complaints == b""


def test_ctrl_c_stops_and_leaves_no_half_written_file(command, sample_photos, tmp_path):
    arguments, settings = command
    out = tmp_path / "places.json"
    with subprocess.Popen(
        [*arguments, "locate", "--model", "tiny", "--out", out, *5000 * [sample_photos[0]]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **settings,
    ) as process:
        # The temporary file has a first result in it: the work is under way.
        while not any(part.stat().st_size > 2000 for part in tmp_path.iterdir()):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, complaints = process.communicate()
    assert process.returncode == 130
    assert output == b""
    assert complaints == b"Stopped.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_sees_progress_and_results(command, sample_photos, tmp_path):
    arguments, settings = command
    (tmp_path / "empty.jpg").write_bytes(b"")
    controller, terminal = pty.openpty()
    settings["env"].update(TERM="xterm-256color", COLUMNS="100")
    photos = [*sample_photos, tmp_path / "empty.jpg"]
    with subprocess.Popen(
        [*arguments, "locate", "--model", "tiny", *photos], stdout=terminal, stderr=terminal, **settings
    ) as process:
        os.close(terminal)
        seen = b""
        while chunk := _read(controller):
            seen += chunk
    os.close(controller)
    screen = seen.decode()
    assert process.returncode == 1
    assert "Loading the model" in screen
    assert "Locating" in screen
    for photo in photos:
        assert photo.name in screen
    assert "\x1b[31m" in screen  # the complaint is red
    assert "\x1b[2K" in screen.rsplit("Locating", 1)[1]  # the bar is wiped off


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the program has closed its end
        return b""


@pytest.fixture
def photos_and_truth(sample_photos, tmp_path):
    folder, table = tmp_path / "photos", tmp_path / "truth.csv"
    folder.mkdir()
    for photo in sample_photos:
        shutil.copy(photo, folder)
    coordinates = [(39.9996, 116.2747), (43.19, -4.83), (28.562, -80.5772)]
    lines = [
        f"{photo.name},{lat},{lon}" for photo, (lat, lon) in zip(sample_photos, coordinates, strict=True)
    ]
    table.write_text("IMG_ID,LAT,LON\n" + "\n".join([*lines, "nobody.jpg,1,2"]) + "\n")
    return folder, table


def test_evaluate_prints_the_report(run, tiny_model_folder, photos_and_truth, tmp_path):
    folder, table = photos_and_truth
    out = tmp_path / "rows.csv"
    result = run("evaluate", "--photos", folder, "--truth", table, "--model", "tiny", "--out", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "3 photos evaluated" in result.stdout
    for word in ("1 km", "2500 km", "GeoScore", "coarse", "middle", "fine", "hierarchy", "50%", "90%"):
        assert word in result.stdout
    assert "nobody.jpg" in result.stdout
    rows = list(csv.DictReader(out.open(newline="", encoding="utf-8")))
    assert len(rows) == 4
    model = geo_model.load(tiny_model_folder, device="cpu")
    truths = {row["photo"]: (float(row["truth_latitude"]), float(row["truth_longitude"])) for row in rows[:3]}
    report = evaluate(model, PhotoCollection(folder), truths)
    assert f"{report.answer.median_km:,.0f} km" in result.stdout
    for row in rows[:3]:
        expected = great_circle_km(
            *(float(row[key]) for key in ("latitude", "longitude")), *truths[row["photo"]]
        )
        assert float(row["distance_km"]) == pytest.approx(float(expected), abs=0.01)


def test_evaluate_takes_several_tars_whose_json_is_the_truth(run, write_tar, sample_photos, tmp_path):
    photo = sample_photos[0].read_bytes()
    for kind in ("street", "travel"):
        write_tar(
            tmp_path / f"{kind}.tar",
            {
                f"{kind}.jpg": photo,
                f"{kind}.json": {"latitude": 1, "longitude": 2, "kind": kind},
            },
        )
    tars = [tmp_path / "street.tar", tmp_path / "travel.tar"]
    twice = run("evaluate", "--photos", tars[0], "--photos", tars[1], "--model", "tiny", "--json")
    record = json.loads(twice.stdout)
    assert (twice.exit_code, record["model"], record["photos"]) == (0, "tiny", 2)
    assert set(record["by_kind"]) == {"street", "travel"}
    expanded = run("evaluate", "--photos", *tars, "--model", "tiny", "--json")
    assert json.loads(expanded.stdout) == record
    table = run("evaluate", "--photos", *tars, "--model", "tiny")
    assert "street" in table.stdout
    assert "by kind" in table.stdout


def test_evaluate_goes_on_without_unreadable_photos_and_says_so(run, photos_and_truth):
    folder, table = photos_and_truth
    (folder / "nobody.jpg").write_text("text")
    result = run("evaluate", "--photos", folder, "--truth", table, "--model", "tiny")
    assert result.exit_code == 1
    assert result.stderr.startswith("nobody.jpg: ")
    assert len(result.stderr.splitlines()) == 1
    assert "3 photos evaluated" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--photos", "{folder}/none"], "no such folder or tar"),
        (["--photos", "{folder}/photos"], "no truth is known"),
        (["--photos", "{folder}/photos", "--truth", "{folder}/none.csv"], "cannot be read"),
        (["--photos", "{folder}/photos", "--truth", "{folder}/swapped.csv"], "line 2, column LAT"),
        (["--photos", "{folder}/photos", "--truth", "{folder}/other.csv"], "the ids must be"),
    ],
)
def test_an_evaluation_that_cannot_be_is_one_sentence(run, photos_and_truth, tmp_path, arguments, sentence):
    (tmp_path / "swapped.csv").write_text("IMG_ID,LAT,LON\na.jpg,151.2,-33.8\n")
    (tmp_path / "other.csv").write_text("IMG_ID,LAT,LON\nother.jpg,1,2\n")
    result = run("evaluate", "--model", "tiny", *(argument.format(folder=tmp_path) for argument in arguments))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_models_lists_the_good_and_the_damaged(run, tiny_model_folder, tmp_path, monkeypatch):
    shutil.copytree(tiny_model_folder, tmp_path / "tiny")
    shutil.copytree(tiny_model_folder, tmp_path / "torn")
    (tmp_path / "torn" / "fine.csv").unlink()
    monkeypatch.setenv("GEO_MODEL_PATH", str(tmp_path))
    result = run("models")
    assert result.exit_code == 0
    for word in ("tiny", "test_efficientnet", "20 / 80 / 320", "0.4 MB", "torn", "fine.csv is missing"):
        assert word in result.stdout
    entries = {entry["name"]: entry for entry in json.loads(run("models", "--json").stdout)}
    assert entries["tiny"]["error"] is None
    assert entries["tiny"]["cells"] == [20, 80, 320]
    assert entries["tiny"]["path"] == str(tmp_path / "tiny")
    assert "fine.csv is missing" in entries["torn"]["error"]


def test_models_states_measured_figures(run, tiny_model_folder, photos_and_truth, tmp_path, monkeypatch):
    folder, table = photos_and_truth
    measured = run("evaluate", "--photos", folder, "--truth", table, "--model", "tiny", "--json").stdout
    record = json.loads(measured)
    shutil.copytree(tiny_model_folder, tmp_path / "models" / "measured")
    spec_file = tmp_path / "models" / "measured" / "model.json"
    spec = json.loads(spec_file.read_text(encoding="utf-8"))
    spec["accuracy"] = {"three photos": record, "by hand": "good"}
    spec_file.write_text(json.dumps(spec), encoding="utf-8")
    monkeypatch.setenv("GEO_MODEL_PATH", str(tmp_path / "models"))
    shown = " ".join(run("models").stdout.split())
    shares = " / ".join(f"{100 * a['share']:.1f}" for a in record["answers"]["hierarchy"]["accuracy"])
    assert f"three photos: {shares} % within 1 / 25 / 200 / 750 / 2500 km" in shown
    assert f"median {record['answers']['hierarchy']['median_km']:,.0f} km" in shown
    assert "by hand: see model.json" in shown
    entries = {entry["name"]: entry for entry in json.loads(run("models", "--json").stdout)}
    assert entries["measured"]["accuracy"] == spec["accuracy"]


def test_the_program_runs_from_anywhere(command, sample_photos, tmp_path):
    arguments, settings = command
    settings = {**settings, "cwd": tmp_path, "env": {**settings["env"], "PYTHONPATH": str(ROOT)}}
    output = subprocess.check_output(
        [*arguments, "locate", sample_photos[0], "--model", "tiny", "--format", "csv"], **settings
    )
    assert sample_photos[0].name in output.decode()
