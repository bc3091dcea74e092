"""20,000 real photos through `locate`, killed on the way and gone on with: is each in the output once?

Needs the optional check data in ../shared. Its photos, made small and repeated, go into a tar; a model with a
tiny backbone and random weights locates them. The run is killed (kill -9) as soon as it has done a third, and
gone on with; then it is stopped (Ctrl-C) at two thirds, and gone on with to the end.

    python tests/benchmarks/bulk_twenty_thousand.py [--photos 20000] [--format csv]

Prints counts and photos a second. The exit code is 1 if any photo is missing or there twice.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data" / "im2gps3k" / "photos-cc.tar"
SHORT_SIDE_PX = 112


def small_jpegs(source: Path = SHARED, short_side_px: int = SHORT_SIDE_PX) -> list[bytes]:
    """The photos of a tar as small JPEGs."""
    photos = []
    with tarfile.open(source) as archive:
        for member in archive:
            if member.name.endswith(".jpg"):
                image = Image.open(archive.extractfile(member)).convert("RGB")
                image.thumbnail((10_000, short_side_px))
                image.save(content := io.BytesIO(), "JPEG", quality=85)
                photos.append(content.getvalue())
    return photos


def write_repeated(path: Path, photos: list[bytes], count: int) -> set[str]:
    """A tar of so many photos, one of a hundred damaged; returns their names as `locate` says them."""
    with tarfile.open(path, "w") as archive:
        for number in range(count):
            info = tarfile.TarInfo(f"photos/{number:06}.jpg")
            data = photos[number % len(photos)] if number % 100 != 99 else b"no photo"
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return {f"{path}/photos/{number:06}.jpg" for number in range(count)}


def tiny_model(
    folder: Path, backbone: str = "test_efficientnet", resize_px: int = 112, crop_px: int = 96
) -> Path:
    """A model folder with a tiny backbone and random weights, 320 fine cells."""
    import numpy as np
    import torch

    from geo_model import cell_geometry, s2
    from geo_model.cells import Hierarchy, Partitioning
    from geo_model.crops import CropRule
    from geo_model.decoding import Decoding, Temperature
    from geo_model.model_folder import ModelSpec, write_model_folder
    from geo_model.network import GeoNetwork

    def partitioning(level: int) -> Partitioning:
        points = np.stack(np.meshgrid(np.arange(-89.0, 90), np.arange(-179.5, 180)), axis=-1).reshape(-1, 2)
        ids = np.unique(s2.cell_ids(points[:, 0], points[:, 1], level))
        latitudes, longitudes, _ = cell_geometry.centres(ids)
        return Partitioning(f"tiny-{level}", ids, np.full(len(ids), 9), latitudes, longitudes)

    hierarchy = Hierarchy.build(*(partitioning(level) for level in (1, 2, 3)))
    rule = CropRule(resize_px, crop_px, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    spec = ModelSpec(
        name="tiny",
        backbone=backbone,
        class_counts=hierarchy.sizes,
        crop_rule=rule,
        temperature=Temperature(1.0, 1.0, 1.0, 1.0),
        decoding=Decoding("mass", 1500.0),
        description="Random weights.",
    )
    torch.manual_seed(0)
    network = GeoNetwork(spec.backbone, spec.class_counts)
    return write_model_folder(folder, spec, hierarchy, network.state_dict(), "# Tiny\n")


def done_in(out: Path) -> int:
    """Photos that an unfinished run has done."""
    log = Path(f"{out}.unfinished", "done")
    return log.read_bytes().count(b"\n") if log.exists() else 0


def run_until(command: list[str], out: Path, most: int, how: signal.Signals) -> int:
    """Start a command and end it once so many photos are done; returns how many are."""
    with subprocess.Popen(command, cwd=ROOT) as process:
        while done_in(out) < most and process.poll() is None:
            time.sleep(0.05)
        if process.poll() is not None:
            sys.exit(f"The run ended by itself, with exit code {process.returncode}; give more --photos.")
        process.send_signal(how)
    print(f"  {how.name}: exit code {process.returncode}, {done_in(out):,} photos done")
    return done_in(out)


def names_in(out: Path, failures: Path) -> Counter[str]:
    """How often each photo is in the output or in the failures."""
    if out.suffix == ".parquet":
        import pyarrow.parquet as pq

        names = pq.read_table(out, columns=["photo"])["photo"].to_pylist()
    elif out.suffix == ".csv":
        with open(out, newline="", encoding="utf-8") as file:
            names = [row["photo"] for row in csv.DictReader(file)]
    else:
        with open(out, encoding="utf-8") as file:
            names = [json.loads(line)["properties"]["photo"] for line in file]
    print(f"  rows: {len(names):,}")
    if failures.exists():
        with open(failures, newline="", encoding="utf-8") as file:
            failed = [row["photo"] for row in csv.DictReader(file)]
        print(f"  failures: {len(failed):,}")
        names += failed
    return Counter(names)


def interrupted_run(command: list[str], out: Path, count: int) -> None:
    """Kill a run at a third, stop it at two thirds, then let it end."""
    run_until(command, out, count // 3, signal.SIGKILL)
    before = run_until([*command, "--resume"], out, 2 * count // 3, signal.SIGINT)
    began = time.monotonic()
    code = subprocess.run([*command, "--resume"], cwd=ROOT, check=False).returncode
    elapsed = time.monotonic() - began
    print(f"  to the end: exit code {code} (1: some could not be read), {elapsed:.1f} s", end=", ")
    print(f"{(count - before) / elapsed:,.0f} photos a second, loading included")


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--format", choices=["csv", "parquet", "geojsonl"], default="csv")
    options = parser.parse_args()
    if not SHARED.exists():
        print(f"This needs the optional check data: there is no {SHARED}.")
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = write_repeated(folder / "photos.tar", small_jpegs(), options.photos)
        model, out = tiny_model(folder / "tiny"), folder / f"places.{options.format}"
        print(f"{len(expected):,} photos in a tar, {os.cpu_count()} cores, {options.format}")
        command = [sys.executable, "-m", "geo_model", "locate", str(folder / "photos.tar")]
        command += ["--model", str(model), "--out", str(out)]
        interrupted_run(command, out, options.photos)
        names = names_in(out, folder / "places.failures.csv")
    twice = sum(times > 1 for times in names.values())
    missing, strange = len(expected - names.keys()), len(names.keys() - expected)
    print(f"  every photo once: {missing} missing, {twice} there twice, {strange} not asked for")
    return 1 if missing or twice or strange else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    sys.exit(main())
