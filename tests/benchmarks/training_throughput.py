"""Photos a second of `fit`, against the same network on data that is in the device's memory already.

    python tests/benchmarks/training_throughput.py                        # base_m.yaml on made-up photos
    python tests/benchmarks/training_throughput.py --tars 'photos/mp16/0000?.tar'
    python tests/benchmarks/training_throughput.py --set hardware.num_workers=24
    python tests/benchmarks/training_throughput.py --device cpu --steps 10 --set training.batch_size=32 \\
        --set backbone.name=test_efficientnet --set training.precision=32 --set hardware.num_workers=1

In one run, one after another, on one device: the network with photos in memory (a plain loop of forward,
backward and optimiser), `fit` as a user runs it (tars, decoding, augmentation, transfer, Lightning), the
loader alone, and the network in memory once more, for a machine that others use is not the same all the time.
The network has random weights; photos without `--tars` are crops of the repository's samples, short side 320.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

WARM_UP = 5
"""Steps that are not timed, the first of each kind being slow."""

MADE_UP = 512
"""Photos that are made where none are given; `fit` reads each several times."""

CELL_LEVELS = {"coarse": 4, "middle": 5, "fine": 6}
"""S2 levels of the cells: 1,536, 6,144 and 24,576, of the order of the paper's."""


class Enough(Exception):
    """Ends `fit` once it was timed."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=ROOT / "train" / "configs" / "base_m.yaml")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--tars", help="glob pattern of WebDataset tars; by default photos are made")
    parser.add_argument("--steps", type=int, default=50, help="steps that are timed")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        measure(Path(folder), arguments)


def measure(folder: Path, arguments: argparse.Namespace) -> None:
    """All of it."""
    import torch
    from rich.console import Console

    from train.devices import choose_device
    from train.fit import make_module
    from train.loaders import make_loaders
    from train.setup import prepare

    config = read(folder, arguments)
    device = choose_device(config)
    setup = prepare(config)
    quiet = Console(quiet=True)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    size = config.training.batch_size
    cells = " / ".join(f"{count:,}" for count in setup.hierarchy.sizes)
    print(
        f"{config.backbone.name}, {cells} cells, batches of {size}, precision {config.training.precision}, "
        f"{config.hardware.num_workers} loader processes, {name}",
        flush=True,
    )
    loader, _ = make_loaders(setup, folder, quiet)
    kept = [batch for _, batch in zip(range(2), loader, strict=False)]
    memory = [photos_a_second_in_memory(make_module(setup, len(loader)), kept, device, arguments.steps)]
    fit = photos_a_second_of_fit(setup, folder, arguments.steps)
    alone = photos_a_second_of_loader(make_loaders(setup, folder, quiet)[0], arguments.steps)
    memory.append(photos_a_second_in_memory(make_module(setup, len(loader)), kept, device, arguments.steps))
    first, again = memory
    print(f"network, photos in memory   {first:10,.1f} photos/s, {again:,.1f} at the end")
    print(f"loader alone                {alone:10,.1f} photos/s")
    print(
        f"fit                         {fit:10,.1f} photos/s, {fit / (sum(memory) / 2):.0%} of the network's"
    )


def read(folder: Path, arguments: argparse.Namespace) -> Any:
    """The configuration, with photos, cells and enough draws for the steps."""
    from geo_model import cell_geometry, s2
    from geo_model.cells import Partitioning
    from train.config import read_config
    from train.photo_index import Reading, index_photos

    tars = arguments.tars or str(write_photos(folder / "photos.tar"))
    points = np.stack(np.meshgrid(np.arange(-89.75, 90, 0.5), np.arange(-179.75, 180, 0.5)), axis=-1)
    for level, number in CELL_LEVELS.items():
        ids = np.unique(s2.cell_ids(*points.reshape(-1, 2).T, number))
        latitudes, longitudes, _ = cell_geometry.centres(ids)
        cells = Partitioning(level, ids, np.ones(len(ids), int), latitudes, longitudes)
        cells.write_csv(folder / f"{level}.csv")
    cells_csv = ", ".join(f"{level}: {folder / level}.csv" for level in CELL_LEVELS)
    overrides = [
        f"run_folder={folder / 'run'}",
        f"data.train=[{{tars: '{tars}'}}]",
        f"data.val=[{{tars: '{write_photos(folder / 'val.tar', 8)}'}}]",
        "data.gaps=allow",
        f"partitionings={{{cells_csv}}}",
        "backbone.weights=none",
        "head.standardise=false",
        f"hardware.accelerator={arguments.device}",
        *arguments.overrides,
        "hardware.devices=1",
    ]
    config = read_config(arguments.config, overrides)
    photos = len(index_photos(config.data.train, "data.train", None, Reading(allow_gaps=True)))
    draws = config.training.batch_size * (arguments.steps + WARM_UP + 1)
    return read_config(arguments.config, [*overrides, f"data.train.0.weight={draws / photos}"])


def photos_a_second_in_memory(module: Any, batches: list[dict[str, Any]], device: Any, steps: int) -> float:
    """The network's own speed: forward, backward and a step, on batches that lie on the device."""
    import torch

    from train.features import autocast

    config = module._config
    module.to(device).train()
    batches = [
        {key: value.to(device) for key, value in batch.items() if isinstance(value, torch.Tensor)}
        for batch in batches
    ]
    optimiser = module.configure_optimizers()["optimizer"]
    scaler = torch.amp.GradScaler(device.type, enabled=config.training.precision == "16-mixed")
    started = 0.0
    for number in range(WARM_UP + steps):
        if number == WARM_UP:
            started = now(device)
        optimiser.zero_grad()
        with autocast(device, config.training.precision):
            loss = module.loss(batches[number % len(batches)])
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
    return steps * len(batches[0]["inputs"]) / (now(device) - started)


def photos_a_second_of_fit(setup: Any, folder: Path, steps: int) -> float:
    """The speed of `fit` after its first steps, without validation."""
    import lightning as L
    from rich.console import Console

    from train.fit import make_module, make_trainer, quiet_lightning
    from train.loaders import make_loaders

    class Clock(L.Callback):
        started = photos = 0.0
        seconds = float("nan")

        def on_train_batch_end(
            self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            if batch_idx + 1 == WARM_UP:
                self.started = now(pl_module.device)
            elif batch_idx + 1 > WARM_UP:
                self.photos += len(batch["inputs"])
            if batch_idx + 1 == WARM_UP + steps:
                self.seconds = now(pl_module.device) - self.started
                raise Enough

    console = Console(quiet=True)
    train_loader, val_loader = make_loaders(setup, folder, console)
    module = make_module(setup, len(train_loader))
    clock = Clock()
    with quiet_lightning(), ends_with(Enough):
        trainer = make_trainer(setup.config, folder / "run", console)
        trainer.callbacks.append(clock)
        trainer.fit(module, train_loader, val_loader)
    return clock.photos / clock.seconds


def photos_a_second_of_loader(loader: Any, steps: int) -> float:
    """How fast photos arrive when nobody trains on them."""
    started, photos = 0.0, 0
    for number, batch in enumerate(loader):
        if number == WARM_UP:
            started = time.perf_counter()
        elif number > WARM_UP:
            photos += len(batch["inputs"])
        if number == WARM_UP + steps:
            break
    return photos / (time.perf_counter() - started)


def now(device: Any) -> float:
    """The time once the device has done what it was given."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextmanager
def ends_with(error: type[Exception]) -> Iterator[None]:
    """A block that ends by an error."""
    try:
        yield
    except error:
        return
    raise AssertionError("the epoch was too short")


def write_photos(path: Path, count: int = MADE_UP) -> Path:
    """A tar of crops of the repository's samples: short side 320, JPEG quality 90, random coordinates."""
    from PIL import Image

    random = np.random.default_rng(0)
    samples = [
        Image.open(file).convert("RGB") for file in sorted((ROOT / "assets" / "samples").glob("*.jpg"))
    ]
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            sample = samples[number % len(samples)]
            width, height = (int(0.8 * side) for side in sample.size)
            left, top = (
                int(random.integers(0, a - b)) for a, b in zip(sample.size, (width, height), strict=True)
            )
            scale = 320 / min(width, height)
            photo = sample.crop((left, top, left + width, top + height))
            buffer = io.BytesIO()
            photo.resize((round(width * scale), round(height * scale))).save(buffer, "JPEG", quality=90)
            said = {"latitude": random.uniform(-60, 70), "longitude": random.uniform(-180, 180)}
            for suffix, content in ((".jpg", buffer.getvalue()), (".json", json.dumps(said).encode())):
                member = tarfile.TarInfo(f"{number:09}{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


if __name__ == "__main__":
    main()
