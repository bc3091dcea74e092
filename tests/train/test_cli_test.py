"""`python -m train test` as a user runs it, on a model with random weights and real photos."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import geo_model
from geo_model.evaluation import evaluate
from geo_model.photo_collection import PhotoCollection
from geo_model.progress import Work
from geo_model.published import published_figures
from geo_model.report_files import report_record
from train.cli import main

TRUTHS = {
    "cape-canaveral.jpg": (28.562, -80.5772),
    "picos-de-europa.jpg": (43.19, -4.83),
    "summer-palace.jpg": (39.9996, 116.2747),
}


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command in this process, as the program does; gives its exit code and what it wrote."""
    monkeypatch.setenv("COLUMNS", "80")

    def invoke(*arguments):
        monkeypatch.setattr(sys, "argv", ["train", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        assert "Traceback" not in written.err
        return ended.value.code or 0, written.out, written.err

    return invoke


@pytest.fixture
def photos(tmp_path, sample_photos):
    """A folder of photos that looks like Im2GPS, and its truth CSV."""
    folder = tmp_path / "im2gps, mine"
    folder.mkdir()
    for photo in sample_photos:
        shutil.copy(photo, folder)
    truth = tmp_path / "truth.csv"
    lines = [f"{name},{latitude},{longitude}\n" for name, (latitude, longitude) in TRUTHS.items()]
    truth.write_text("img_id,gt_lat,gt_long\n" + "".join(lines))
    return folder, truth


@pytest.fixture
def tar(tmp_path, sample_photos, write_tar):
    """A tar like Im2GPS3k whose JSON says where the photos were taken."""
    members = {}
    for number in range(5):
        image = Image.open(sample_photos[number % 3]).convert("RGB").resize((120 + number, 100))
        buffer = BytesIO()
        image.save(buffer, "JPEG")
        members[f"{number}.jpg"] = buffer.getvalue()
        members[f"{number}.json"] = {"latitude": 10.0 * number, "longitude": 30.0 * number}
    return write_tar(tmp_path / "im2gps3k.tar", members)


def report_title(record):
    return f"{record['benchmark']['name']}: {record['model']}, {record['photos']} photos evaluated"


def test_both_benchmarks_beside_the_published_figures(run, tiny_model_folder, photos, tar, tmp_path):
    folder, truth = photos
    out = tmp_path / "results" / "tiny"
    code, shown, complaints = run(
        *("test", tiny_model_folder, "--im2gps", f"{folder},{truth}", "--im2gps3k", tar, "--out", out)
    )
    assert (code, complaints) == (0, "")
    assert max(map(len, shown.splitlines())) <= 80
    rows = [" ".join(line.split()) for line in shown.splitlines()]
    text = " ".join(rows)
    for expected in (
        "Im2GPS: tiny, 3 photos evaluated",
        "base(M, f*), ResNet-101 2018 15.2 40.9 51.5 65.4 78.5",
        "Im2GPS3k: tiny, 5 photos evaluated",
        "GeoRanker 2025 18.8 45.1 61.5 76.3 89.3",
    ):
        assert expected in rows
    assert (
        "Published figures are of all 237 photos of Im2GPS, these are of 3; compare them with care." in text
    )
    assert "all 2,997 photos of Im2GPS3k, these are of 5" in text

    # The same figures as `geo_model evaluate` has, to the last digit, and the photos' rows like its own.
    model = geo_model.load(tiny_model_folder, device="cpu")
    reports = {
        "im2gps": evaluate(model, PhotoCollection(folder), TRUTHS),
        "im2gps3k": evaluate(model, PhotoCollection(tar)),
    }
    figures = list(csv.DictReader((out / "figures.csv").open(newline="", encoding="utf-8")))
    for key, report in reports.items():
        record = json.loads((out / f"{key}.json").read_text())
        assert record["model"] == "tiny"
        assert record["benchmark"]["key"] == key
        assert [row["method"] for row in record["published"]] == [
            row.method for row in published_figures(key)
        ]
        assert {name: record[name] for name in report_record(report)} == json.loads(
            json.dumps(report_record(report))
        )
        photo_rows = list(csv.DictReader((out / f"{key}.csv").open(newline="", encoding="utf-8")))
        assert [row["photo"] for row in photo_rows] == list(report.photo_ids)
        distances = [float(row["distance_km"]) for row in photo_rows]
        np.testing.assert_allclose(distances, report.measurements.distances_km["hierarchy"], atol=0.001)
        ours = [row for row in figures if (row["benchmark"], row["method"]) == (key, "tiny, hierarchy")]
        assert [float(row["km"]) for row in ours] == [1, 25, 200, 750, 2500]
        for row, accuracy in zip(ours, report.answer.accuracies, strict=True):
            found = [float(row[column]) for column in ("percent", "low", "high", "photos")]
            expected = [100 * accuracy.share, 100 * accuracy.low, 100 * accuracy.high, report.count]
            assert found == pytest.approx(expected, abs=0.0005)
        interval = " ".join(f"{100 * a.low:.1f}–{100 * a.high:.1f}" for a in report.answer.accuracies)
        shares = " ".join(f"{100 * accuracy.share:.1f}" for accuracy in report.answer.accuracies)
        below = rows[rows.index(report_title(record)) :]
        assert below[below.index(f"hierarchy {shares}") + 1] == interval
    planet = [row for row in figures if row["method"] == "PlaNet" and row["benchmark"] == "im2gps"]
    assert [float(row["percent"]) for row in planet] == [8.4, 24.5, 37.6, 53.6, 71.3]
    assert {row["photos"] for row in planet} == {"237"}


def test_a_photo_that_cannot_be_read_is_named_and_the_others_are_tested(run, tiny_model_folder, photos):
    folder, truth = photos
    (folder / "broken.jpg").write_text("no photo")
    truth.write_text(truth.read_text() + "broken.jpg,1,2\nnobody.jpg,1,2\n")
    code, shown, complaints = run("test", tiny_model_folder, "--im2gps", f"{folder},{truth}")
    assert code == 1
    assert complaints.startswith("broken.jpg: ")
    assert complaints.count("\n") == 1
    assert "3 photos evaluated" in shown
    assert "nobody.jpg" in shown


def test_ctrl_c_keeps_the_benchmark_that_is_done(run, tiny_model_folder, photos, tar, tmp_path, monkeypatch):
    folder, truth = photos
    out = tmp_path / "results"
    done = []

    def advance(work):
        done.append(work)
        if len(done) == 5:  # the second photo of the second benchmark
            raise KeyboardInterrupt

    monkeypatch.setattr(Work, "advance", advance)
    code, shown, complaints = run(
        *("test", tiny_model_folder, "--im2gps", f"{folder},{truth}", "--im2gps3k", tar, "--out", out)
    )
    assert code == 130
    assert complaints == f"Stopped. {out} holds what was measured before.\n"
    assert "Im2GPS: tiny" in shown
    assert "Im2GPS3k: tiny" not in shown
    assert sorted(path.name for path in out.iterdir()) == ["figures.csv", "im2gps.csv", "im2gps.json"]
    assert "im2gps3k" not in (out / "figures.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "give --im2gps, --im2gps3k or both"),
        (("--im2gps", ""), 1, "write it as PHOTOS or PHOTOS,TRUTH.csv"),
        (("--im2gps", "{folder},"), 1, "write it as PHOTOS or PHOTOS,TRUTH.csv"),
        (("--im2gps", "{folder}/none"), 1, "there is no such folder or tar"),
        (("--im2gps", "{folder},{folder}/none.csv"), 1, "none.csv cannot be read"),
        (("--im2gps", "{folder}"), 1, "no truth is known for any of the 3 photos"),
        (("--im2gps", "{folder},{swapped}"), 1, "column gt_lat: latitude 151.2 is beyond 90 degrees"),
        (("--im2gps", "{folder},{truth}", "--out", "{truth}"), 1, "cannot be made: file exists"),
        (("--im2gps", "{folder},{truth}", "--device", "cuda:77"), 1, "is not on this machine"),
    ],
)
def test_wrong_use_is_one_sentence(run, tiny_model_folder, photos, tmp_path, arguments, code, words):
    folder, truth = photos
    swapped = tmp_path / "swapped.csv"
    swapped.write_text("img_id,gt_lat,gt_long\nsummer-palace.jpg,151.2,-33.8\n")
    names = {"folder": folder, "truth": truth, "swapped": swapped}
    ended, shown, complaints = run(
        "test", tiny_model_folder, *(argument.format(**names) for argument in arguments)
    )
    assert (ended, shown) == (code, "")
    assert words in complaints
    if code == 1:
        assert complaints.startswith("Error: ")
        assert complaints.count("\n") == 1


def test_a_folder_that_is_no_model(run, photos, tmp_path):
    folder, truth = photos
    code, shown, complaints = run("test", tmp_path, "--im2gps", f"{folder},{truth}")
    assert (code, shown) == (1, "")
    assert complaints.count("\n") == 1
    assert str(tmp_path) in complaints
