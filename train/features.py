"""Cached views: the frozen part of the network is run once and what leaves it is kept on disk.

File format of a cache, in a folder named by a digest of all that it depends on (frozen weights, cut, crop
rule, augmentation, number of views, precision, content of the tars):

    activations.npy   float16 (N, V, ...), N photos in the order of their index, V views
    progress.json     {"photos": how many rows are done, "total": N}
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from geo_model.crops import CropRule, normalise
from geo_model.errors import ConfigError
from train.config import digest
from train.data import Draw
from train.photo_index import PhotoIndex

_FLUSH_EVERY = 512
"""Photos after which progress is written down."""

_LARGEST = float(np.finfo(np.float16).max)


class CachedViews(Dataset[dict[str, Any]]):
    """One cached view of a photo a draw: item (row, seed) is {"inputs": float16 (...), "row": int}."""

    def __init__(self, activations: NDArray[np.float16]) -> None:
        self._activations = activations

    def __len__(self) -> int:
        return len(self._activations)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        row, seed = draw
        view = seed % self._activations.shape[1]
        return {"inputs": torch.from_numpy(np.array(self._activations[row, view])), "row": row}


class CachedCrops(Dataset[dict[str, Any]]):
    """All cached crops of a photo: item `row` is {"inputs": float16 (V, ...), "row": int}."""

    def __init__(self, activations: NDArray[np.float16]) -> None:
        self._activations = activations

    def __len__(self) -> int:
        return len(self._activations)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"inputs": torch.from_numpy(np.array(self._activations[row])), "row": row}


def cached_activations(
    folder: Path,
    photos: PhotoIndex,
    dataset: Dataset[dict[str, Any]],
    front: Callable[[Tensor], Tensor],
    rule: CropRule,
    depends_on: object,
    *,
    views: int,
    device: torch.device,
    precision: str,
    batch_size: int,
    num_workers: int,
    on_photos: Callable[[int, int], None],
) -> NDArray[np.float16]:
    """What leaves the frozen part for each view of each photo: read from disk, or computed and kept.

    A computation that was interrupted goes on where it stopped.

    Args:
        folder: Holds caches, one subfolder each.
        photos: Whose photos; the content of their tars is part of the name.
        dataset: Item `row` has "inputs", uint8 (V, 3, S, S).
        front: From normalised crops (B, 3, S, S) to activations (B, ...).
        rule: Normalises.
        depends_on: Plain values; a cache made with others is not used.
        views: V.
        device: Where `front` is.
        precision: As `training.precision`.
        batch_size: Crops at a time, about.
        num_workers: Processes that read photos.
        on_photos: Called with the number of photos done and their total.

    Returns:
        Read-only memory map, float16 (N, V, ...).

    Raises:
        ConfigError: The disk is too small.
    """
    name = digest({"depends_on": depends_on, "tars": [_file_digest(tar) for tar in photos.tars]})
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    file, progress = place / "activations.npy", place / "progress.json"
    done = json.loads(progress.read_text())["photos"] if progress.is_file() and file.is_file() else 0
    total = len(photos)
    on_photos(done, total)
    if done < total:
        shape = (total, views, *_shape_after(front, rule, device, precision))
        if done == 0:
            _check_space(place, shape)
            store = np.lib.format.open_memmap(file, "w+", np.float16, shape)
        else:
            store = np.lib.format.open_memmap(file, "r+")
        rows = Subset(dataset, range(done, total))
        loader = DataLoader(rows, batch_size=max(1, batch_size // views), num_workers=num_workers)
        for activations in _batches(loader, front, rule, device, precision):
            store[done : done + len(activations)] = activations
            done += len(activations)
            if done == total or done % _FLUSH_EVERY < len(activations):
                store.flush()
                _write_progress(progress, done, total)
            on_photos(done, total)
        del store
    return np.load(file, mmap_mode="r")


def weights_digest(module: nn.Module) -> str:
    """A short name for the content of a module's parameters and buffers."""
    state = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()[:16]


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which the network computes under a `training.precision`."""
    dtype = torch.float16 if precision == "16-mixed" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "32")


def _batches(
    loader: DataLoader[dict[str, Any]],
    front: Callable[[Tensor], Tensor],
    rule: CropRule,
    device: torch.device,
    precision: str,
) -> Iterator[NDArray[np.float16]]:
    for batch in loader:
        inputs = batch["inputs"].to(device, non_blocking=True)
        with torch.inference_mode(), autocast(device, precision):
            crops = normalise(inputs.flatten(0, 1), rule).contiguous(memory_format=torch.channels_last)
            activations = front(crops).float().clamp(-_LARGEST, _LARGEST)
        yield activations.unflatten(0, inputs.shape[:2]).contiguous().half().cpu().numpy()


def _shape_after(
    front: Callable[[Tensor], Tensor], rule: CropRule, device: torch.device, precision: str
) -> tuple[int, ...]:
    crops = torch.zeros(1, 3, rule.crop_px, rule.crop_px, device=device)
    with torch.inference_mode(), autocast(device, precision):
        return tuple(front(crops).shape[1:])


def _check_space(place: Path, shape: tuple[int, ...]) -> None:
    needed, free = 2 * int(np.prod(shape, dtype=np.int64)), shutil.disk_usage(place).free
    if needed > 0.95 * free:
        raise ConfigError(
            f"backbone.cached_views: the cache needs {needed / 1e9:.1f} GB and the disk of {place} has "
            f"{free / 1e9:.1f} GB free; lower cached_views, freeze more of the backbone, or set "
            "backbone.cache_folder to another disk."
        )


def _write_progress(path: Path, done: int, total: int) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"photos": done, "total": total}))
    fresh.replace(path)


def _file_digest(path: str) -> str:
    state = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            state.update(block)
    return state.hexdigest()
