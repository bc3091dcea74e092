"""Time and memory that an index of MP-16's size takes: `python tests/benchmarks/photo_index_at_size.py`.

Makes one tar of small photos under many names (hard links, so that the disk holds it once), indexes them all
twice, the second time from what the first has kept, gives every photo its classes in three partitionings, and
lets loader processes read photos all over them.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import resource
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

PHOTO_PX = 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tars", type=int, default=473, help="10,000 photos each")
    parser.add_argument("--photos-per-tar", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2, help="loader processes")
    parser.add_argument("--draws", type=int, default=20_000, help="photos that they read")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), arguments)


def measure(folder: Path, arguments: argparse.Namespace) -> None:
    """All of it, in a folder that holds nothing yet."""
    from geo_model.cells import Hierarchy
    from train.config import Source
    from train.partition import partition
    from train.photo_index import Reading, index_photos

    first = write_tar(folder / "00000.tar", arguments.photos_per_tar)
    for number in range(1, arguments.tars):
        os.link(first, folder / f"{number:05}.tar")
    source = Source(str(folder / "*.tar"))
    processes = len(os.sched_getaffinity(0))
    before = memory_mb()
    for turn in ("first", "second"):
        start, worked = time.perf_counter(), processor_seconds()
        photos = index_photos([source], "data.train", None, Reading(folder / "kept", processes))
        seconds = time.perf_counter() - start
        print(
            f"{turn} start: {len(photos):,} photos in {len(photos.tars):,} tars indexed in {seconds:.1f} s "
            f"({processor_seconds() - worked:.1f} s of {processes} processors' time), "
            f"{memory_mb() - before:,.0f} MB more memory in use",
            flush=True,
        )
    kept = sum(path.stat().st_size for path in (folder / "kept").iterdir())
    print(f"index: {photos.nbytes / 1e6:,.0f} MB in memory, {kept / 1e6:,.0f} MB kept on disk")
    few = slice(0, arguments.photos_per_tar)
    latitudes, longitudes = photos.latitudes[few], photos.longitudes[few]
    hierarchy = Hierarchy.build(*(partition(latitudes, longitudes, 0, most) for most in (100, 40, 20)))
    start = time.perf_counter()
    classes = photos.classes(hierarchy)
    sizes = " / ".join(f"{size:,}" for size in hierarchy.sizes)
    print(f"classes in {sizes} cells: {time.perf_counter() - start:.1f} s, {classes.nbytes / 1e6:,.0f} MB")
    start = time.perf_counter()
    photos.digest()
    print(f"digest of the keys, for resuming: {time.perf_counter() - start:.1f} s")
    load(photos, classes, arguments)
    print(
        f"peak of this process: {peak_mb():,.0f} MB, of which {before:,.0f} MB before the first index, by "
        "imports"
    )


def load(photos: Any, classes: Any, arguments: argparse.Namespace) -> None:
    """Read photos in loader processes, as training does."""
    from torch.utils.data import DataLoader, Dataset

    from geo_model.crops import CropRule
    from train.config import Augmentation
    from train.data import EpochBatches, EpochSampler, Labelled, Views

    class Weighed(Dataset):
        """Adds how much memory a loader process has for itself."""

        def __init__(self, items: Labelled) -> None:
            self.items = items

        def __len__(self) -> int:
            return len(self.items)

        def __getitem__(self, draw: Any) -> dict[str, Any]:
            return {**self.items[draw], "own_mb": own_mb(), "process": os.getpid()}

    rule = CropRule(PHOTO_PX, PHOTO_PX, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    start = time.perf_counter()
    items = Weighed(Labelled(Views(photos, rule, Augmentation()), photos, classes))
    batches = EpochBatches(EpochSampler(photos.weights, 1), 128)
    loader = DataLoader(
        items, batch_sampler=batches, num_workers=arguments.workers, multiprocessing_context="fork"
    )
    own: dict[int, list[float]] = {}
    for number, batch in enumerate(loader):
        if number == 0:
            print(f"first batch after {time.perf_counter() - start:.1f} s")
        for process, megabytes in zip(batch["process"].tolist(), batch["own_mb"].tolist(), strict=True):
            own.setdefault(process, []).append(megabytes)
        if number * 128 >= arguments.draws:
            break
    for process, values in own.items():
        print(
            f"loader process {process}: {values[0]:,.0f} MB of its own at its first photo, "
            f"{values[-1]:,.0f} MB after {len(values):,}"
        )


def write_tar(path: Path, count: int) -> Path:
    """Photos with MP-16-like JSON files, coordinates around a few hundred places."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.effect_noise((PHOTO_PX, PHOTO_PX), 50).convert("RGB").save(buffer, "JPEG")
    random = np.random.default_rng(0)
    places = np.stack([random.uniform(-50, 70, 300), random.uniform(-175, 175, 300)], axis=1)
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            latitude, longitude = places[random.integers(300)] + random.normal(0, 0.3, 2)
            said = {
                "id": f"{random.integers(256):02x}/{random.integers(256):02x}/{random.integers(10**10)}.jpg",
                "latitude": float(latitude),
                "longitude": float(longitude),
            }
            for suffix, content in ((".jpg", buffer.getvalue()), (".json", json.dumps(said).encode())):
                member = tarfile.TarInfo(f"{number:09}{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def processor_seconds() -> float:
    """What this process and those that it started and that have ended have worked."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def own_mb() -> float:
    """Memory that only this process has."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE)) / 1e3


def memory_mb() -> float:
    """Memory of this process, shared or not."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def peak_mb() -> float:
    """The most it had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
