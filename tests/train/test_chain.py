"""The whole chain of train/README.md, command by command, with photos served on 127.0.0.1.

The commands are read from train/README.md, so what a researcher types is what is tested. Only what must
differ on a small machine is changed, see `adapted`. Run with -s to see every command and what it prints.
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
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


def readme_commands() -> list[str]:
    """The commands between the chain's markers, in their order, one line each."""
    text = (ROOT / "train" / "README.md").read_text(encoding="utf-8")
    part = re.search(r"<!-- chain -->(.*)<!-- end of chain -->", text, flags=re.S)
    assert part is not None, "train/README.md marks no chain"
    blocks = re.findall(r"```sh\n(.*?)```", part[1], flags=re.S)
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
        for change in (
            "backbone.name=test_resnet",
            "backbone.weights=none",
            "input.resize_short_px=112",
            "input.crop_px=96",
            "training.epochs=2",
            "training.batch_size=32",
            "training.precision=32",
            "hardware.num_workers=2",
            "hardware.accelerator=cpu",
        ):
            words += ["--set", change]
    return words


def test_every_command_of_the_readme_from_photos_to_figures(served):
    work, address = served
    commands = readme_commands()
    kinds = [" ".join(command.split()[2:4]) for command in commands]
    for needed in (
        *(f"train {name}" for name in ("check-table", "hashes", "download", "partition", "assign")),
        *("train fit", "train export", "train test", "geo_model evaluate", "geo_model locate"),
    ):
        assert needed in kinds, f"train/README.md's chain lacks {needed}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "110", "OMP_NUM_THREADS": "2"}
    said = {}
    for command in commands:
        print(f"\n$ {command}", flush=True)
        done = subprocess.run(
            adapted(command, address), cwd=work, env=environment, capture_output=True, text=True, timeout=600
        )
        print(done.stdout + done.stderr, flush=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        said[command] = done.stdout

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
