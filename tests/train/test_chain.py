"""The whole chain of train/README.md, command by command, with photos served on 127.0.0.1.

The commands are read from train/README.md, so what a researcher types is what is tested. Only what must
differ on a small machine is changed, see `adapted`. Run with -s to see every command and what it prints, and
by which test the commands are run that the chain leaves out.
"""

import bz2
import csv
import functools
import hashlib
import http.server
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import threading
from fnmatch import fnmatch
from pathlib import Path

import msgpack
import numpy as np
import pytest
from PIL import Image

from train.launch import _free_port

ROOT = Path(__file__).resolve().parents[2]
TRAIN, VAL, TEST = 160, 40, 12
PLACES = {
    "cape-canaveral": (28.56, -80.58),
    "picos-de-europa": (43.19, -4.83),
    "summer-palace": (40.0, 116.27),
}

CELLS = {
    "50 --img-max 5000": "0 --img-max 40",
    "50 --img-max 2000": "0 --img-max 20",
    "50 --img-max 1000": "0 --img-max 8",
}
"""The paper's thresholds, and those for hundreds of photos."""


FIT_HERE = (
    *("backbone.weights=none", "input.resize_short_px=112", "input.crop_px=96", "training.batch_size=32"),
    *("training.precision=32", "hardware.num_workers=2", "hardware.accelerator=cpu"),
)
"""What a fit without GPU and network needs."""

RUN_ELSEWHERE = {
    "python3 -m venv": None,  # these make the environment that the tests run in
    "pip install": None,
    "PYSPARK_SUBMIT_ARGS=": "test_download.py::test_on_spark",
    "python -m train partition --coordinates coordinates.csv": ("test_train_cli.py::test_assign"),
    "python -m train fit my_config.yaml": (
        "test_export.py::test_the_commands_go_from_a_configuration_to_a_model_folder"
    ),
    "python -m train export runs/my_run": "test_export.py::test_the_card_says_what_matters",
    "tensorboard --logdir": "test_fit.py::test_fit_leaves_a_complete_run_folder",
    "python -m geo_model locate photo.jpg": "../geo_model/test_cli.py::test_a_photo_gets_its_table",
    "python -m geo_model evaluate --photos holidays.tar": (
        "../geo_model/test_cli.py::test_evaluate_takes_several_tars_whose_json_is_the_truth"
    ),
}
"""How the README's other commands begin, and the test that runs what they run."""


def readme_parts() -> tuple[list[str], list[str]]:
    """The commands between the chain's markers and all others, in their order, one line each."""
    text = (ROOT / "train" / "README.md").read_text(encoding="utf-8")
    before, chain, after = re.split(r"<!-- chain -->|<!-- end of chain -->", text)
    return commands_of(chain), commands_of(before + after)


def commands_of(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+", " ", line).strip() for line in lines if line.strip()]


def photos(count: int, sample_photos: list[Path]) -> list[tuple[bytes, float, float]]:
    """Real photos with their coordinates: street views where the check data lies beside, else the samples."""
    tars = sorted((ROOT.parent / "shared" / "data" / "street").glob("train-*.tar"))
    found: list[tuple[bytes, float, float]] = []
    for tar in tars:
        with tarfile.open(tar) as archive:
            jpegs: dict[str, bytes] = {}
            for member in archive:
                file = archive.extractfile(member)
                key, _, suffix = member.name.rpartition(".")
                if file is None or len(found) == count:
                    continue
                if suffix == "jpg":
                    jpegs[key] = file.read()
                elif suffix == "json" and key in jpegs:
                    truth = json.loads(file.read())
                    found.append((jpegs.pop(key), truth["latitude"], truth["longitude"]))
        if len(found) == count:
            return found
    print("no check data beside: crops of the sample photos")
    random = np.random.default_rng(0)
    images = [(Image.open(path).convert("RGB"), PLACES[path.stem]) for path in sample_photos]
    for number in range(count):
        image, place = images[number % len(images)]
        side = int(0.7 * min(image.size))
        left, top = (int(random.integers(0, size - side)) for size in image.size)
        crop = image.crop((left, top, left + side, top + side)).resize((200, 200))
        buffer = io.BytesIO()
        crop.save(buffer, "JPEG")
        latitude, longitude = place + random.normal(0, 1, 2)
        found.append((buffer.getvalue(), float(latitude), float(longitude)))
    return found


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, sample_photos: list[Path]):
    """A working folder with the tables a researcher has, and a server laid out like the public bucket."""
    bucket, work = tmp_path / "bucket", tmp_path / "work"
    work.mkdir()
    hashes = []
    everything = photos(TRAIN + VAL + TEST, sample_photos)
    for name, part, first in (
        ("mp16.csv", everything[:TRAIN], 0),
        ("yfcc25600.csv", everything[TRAIN : TRAIN + VAL], TRAIN),
    ):
        with open(work / name, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["IMG_ID", "LAT", "LON", "AUTHOR"])
            for row, (jpeg, latitude, longitude) in enumerate(part, start=first):
                number = 3_000_000_000 + 7 * row
                digest = hashlib.md5(jpeg + bytes([row % 256])).hexdigest()
                table.writerow([f"{row % 256:02x}/{row % 7:02x}/{number}.jpg", latitude, longitude, "x"])
                hashes.append(f"{number}\t{digest}\n")
                if row in (3, TRAIN + 1):  # two photos are gone from the bucket
                    continue
                place = bucket / "data" / "images" / digest[:3] / digest[3:6] / f"{digest}.jpg"
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(jpeg)
    (bucket / "yfcc100m_hash.bz2").write_bytes(bz2.compress("".join(sorted(hashes)).encode()))
    (work / "im2gps3k").mkdir()
    with open(work / "im2gps3k_places.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["IMG_ID", "LAT", "LON"])
        for row, (jpeg, latitude, longitude) in enumerate(everything[TRAIN + VAL :]):
            (work / "im2gps3k" / f"photo-{row}.jpg").write_bytes(jpeg)
            table.writerow([f"photo-{row}.jpg", latitude, longitude])
    handler = functools.partial(Quiet, directory=str(bucket))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield work, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def adapted(command: str, address: str) -> list[str]:
    """A README command for this machine: its server, cells for hundreds of photos, a small network."""
    bucket = "https://multimedia-commons.s3-us-west-2.amazonaws.com"
    command = command.replace(bucket, address)
    for published, small in CELLS.items():
        command = command.replace(published, small)
    words = shlex.split(command)
    if words[:2] == ["mkdir", "-p"]:
        return words
    assert words[:2] == ["python", "-m"], f"the chain holds something else than our commands: {command}"
    words[0] = sys.executable
    if words[3] == "hashes":
        words += ["--yes"] * ("--yes" not in words)
    if words[3] == "download":
        words += ["--base-url", f"{address}/data/images", "--processes", "2", "--back-off-s", "0.1"]
        words += ["--yes"] * ("--yes" not in words)
    if words[3] == "fit":
        words[4] = str(ROOT / words[4])
        for change in ("backbone.name=test_resnet", "training.epochs=2", *FIT_HERE):
            words += ["--set", change]
    return words


def test_every_command_of_the_readme_from_photos_to_figures(served):
    work, address = served
    commands, others = readme_parts()
    kinds = [" ".join(command.split()[2:4]) for command in commands]
    for needed in (
        *(f"train {name}" for name in ("check-table", "hashes", "download", "partition", "assign")),
        *("train fit", "train export", "train test", "geo_model evaluate", "geo_model locate"),
    ):
        assert needed in kinds, f"train/README.md's chain lacks {needed}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "110", "OMP_NUM_THREADS": "2"}
    said = {}

    def run(command: str, words: list[str], machines: int = 1) -> str:
        print(f"\n$ {command}", flush=True)
        runs = [
            subprocess.Popen(
                words, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            for _ in range(machines)
        ]
        output = "".join(run.communicate(timeout=600)[0] for run in runs)
        print(output, flush=True)
        assert [run.returncode for run in runs] == [0] * machines, f"{command}\n{output}"
        return output

    for command in commands:
        said[command] = run(command, adapted(command, address))

    # What the commands left fits together.
    missing = (work / "photos" / "mp16" / "missing.csv").read_text(encoding="utf-8")
    assert missing.count("\n") == 2, missing  # its header and the one photo that is gone
    assert "404" in missing
    with open(work / "mp16_classes.csv", encoding="utf-8", newline="") as file:
        assigned = list(csv.DictReader(file))
    assert len(assigned) == TRAIN
    assert all(row["coarse"] and row["middle"] and row["fine"] for row in assigned)
    record = json.loads((work / "models" / "base-m" / "model.json").read_text(encoding="utf-8"))
    assert record["training"]["photos"]["train"]["photos"] == TRAIN - 1
    assert record["training"]["photos"]["val"]["photos"] == VAL - 1
    cells = [
        (work / "cells" / f"{name}.csv").read_text(encoding="utf-8").count("\n")
        for name in ("coarse", "middle", "fine")
    ]
    assert cells[0] < cells[1] < cells[2]
    evaluated = next(text for command, text in said.items() if "geo_model evaluate" in command)
    assert f"{VAL - 1} photos evaluated" in evaluated
    tested = next(text for command, text in said.items() if "train test" in command)
    assert "base(M, f*)" in tested

    # The earlier tool's shards of the same photos, and a run of two machines on them, its labels checked.
    write_shards(work)
    (importing,) = [command for command in others if "import-shards" in command]
    words = shlex.split(importing.replace("/data/mp16_shards", "mp16_shards"))
    words[0], words[-1] = sys.executable, "photos/imported"
    assert f"{TRAIN - 1} photos of 2 shards in 2 tars." in run(importing, words)
    assert (work / "photos" / "imported" / "import-report.csv").read_text().count("\n") == 1

    (assigning,) = [command for command in commands if "train assign" in command]
    assigning = assigning.replace("mp16", "yfcc25600")
    run(assigning, adapted(assigning, address))
    readme = (ROOT / "train" / "README.md").read_text(encoding="utf-8")
    labels = re.search(r"--set '(data\.labels=.*)'", readme)
    assert labels is not None
    (torchrun,) = [command for command in others if command.startswith("torchrun")]
    words = shlex.split(
        torchrun.replace("--nproc-per-node 8", "--nproc-per-node 1").replace(
            "HOST:29500", f"127.0.0.1:{_free_port()}"
        )
    )
    words[:1] = [sys.executable, "-m", "torch.distributed.run"]
    words[-1] = str(ROOT / words[-1])
    of_two = ("run_folder=runs/two", "data.train.0.tars=photos/imported/*.tar", labels[1])
    for change in ("backbone.name=test_convnext", "training.epochs=1", *FIT_HERE, *of_two):
        words += ["--set", change]
    environment["GLOO_SOCKET_IFNAME"] = "lo" if sys.platform == "linux" else "lo0"
    output = run(torchrun, words, machines=2)
    assert output.count("epoch   1/1") == output.count("trained and calibrated") == 1
    assert json.loads((work / "runs" / "two" / "run.json").read_text())["photos"]["train"]["photos"] == (
        TRAIN - 1
    )


def write_shards(work: Path) -> None:
    """Two shards and the label JSON of the earlier tool, with what the chain has downloaded and assigned."""
    records: list[list[bytes]] = [[], []]
    for tar in sorted((work / "photos" / "mp16").glob("*.tar")):
        with tarfile.open(tar) as archive:
            content = {member.name: archive.extractfile(member).read() for member in archive}
        for name, jpeg in content.items():
            if name.endswith(".jpg"):
                photo_id = json.loads(content[name[:-4] + ".json"])["id"]
                records[len(records[0]) > len(records[1])].append(
                    msgpack.packb({"image": jpeg, "id": photo_id})
                )
    (work / "mp16_shards").mkdir()
    for number, shard in enumerate(records):
        (work / "mp16_shards" / f"shard_{number}.msg").write_bytes(b"".join(shard))
    with open(work / "mp16_classes.csv", encoding="utf-8", newline="") as file:
        labels = {
            row["IMG_ID"]: [int(row[level]) for level in ("coarse", "middle", "fine")]
            for row in csv.DictReader(file)
        }
    (work / "labels.json").write_text(json.dumps(labels), encoding="utf-8")


def test_every_other_command_of_the_readme_is_run_by_a_test():
    _, others = readme_parts()
    assert len(others) > 10
    used = set()
    for command in others:
        if command.startswith("torchrun") or "import-shards" in command:
            continue  # run above
        begins = [start for start in RUN_ELSEWHERE if command.startswith(start)]
        assert len(begins) == 1, f"no test is named for: {command}"
        used.add(begins[0])
        test = RUN_ELSEWHERE[begins[0]]
        print(f"$ {command}\n    {test or 'makes the environment of all tests'}")
        if test is not None:
            path, _, name = test.partition("::")
            assert f"\ndef {name}(" in (Path(__file__).parent / path).read_text(encoding="utf-8"), test
    assert used == set(RUN_ELSEWHERE), "the README has no such commands any more"


def test_the_readme_names_every_file_of_the_folder():
    table = (ROOT / "train" / "README.md").read_text(encoding="utf-8").partition("| file | what |")[2]
    patterns = re.findall(r"`([\w*]+\.py)`", table)
    files = {path.name for path in (ROOT / "train").glob("*.py")} - {"__init__.py"}
    assert {name for name in files if not any(fnmatch(name, pattern) for pattern in patterns)} == set()
    assert [pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in files)] == []
