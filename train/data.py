"""Which photos are drawn in which epoch, and what a draw looks like.

An epoch is shuffled over all photos. Its draws, and everything random about a draw, follow from the run's
seed and the epoch alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler, default_collate

from geo_model.crops import CropRule, center_crop, five_crop
from geo_model.errors import ConfigError, PhotoError
from train.config import Augmentation
from train.photo_index import PhotoIndex

if TYPE_CHECKING:
    from PIL.Image import Image

Draw = tuple[int, int]
"""Row of a photo and the seed of everything random about this look at it."""


_AT_ONCE = 1 << 12


class EpochSampler(Sampler[Draw]):
    """The draws of one epoch: each photo floor or ceil of its weight times, shuffled.

    Systematic sampling, so that the number of draws is the same in every epoch. Order, choice and the seeds
    of augmentation follow from `seed` and the epoch alone, so a resumed run sees what an unbroken one would.

    Args:
        weights: float64 (N,), draws an epoch of each photo on average.
        seed: Of the run.
        tar_of: int32 (N,), which tar holds each photo; needed for `tars_at_once` only.
        tars_at_once: Shuffle the tars, take so many at a time and shuffle their photos, so that a slow disk
            reads few files at a time; 0 shuffles all photos.
    """

    def __init__(
        self,
        weights: NDArray[np.float64],
        seed: int,
        tar_of: NDArray[np.int32] | None = None,
        tars_at_once: int = 0,
    ) -> None:
        self._ends = np.cumsum(weights)
        self._seed = seed
        self._tar_of, self._tars_at_once = tar_of, tars_at_once
        self._draws = max(1, round(float(self._ends[-1])))
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning says which epoch comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._draws

    def __iter__(self) -> Iterator[Draw]:
        rows, seeds = self.draws()
        for start in range(0, self._draws, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            yield from zip(rows[part].tolist(), seeds[part].tolist(), strict=True)

    def draws(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and seeds of the epoch's draws in their order, int64 (draws,) each."""
        random = np.random.default_rng([self._seed, self.epoch])
        ticks = (np.arange(self._draws) + random.random()) * (self._ends[-1] / self._draws)
        rows = np.minimum(np.searchsorted(self._ends, ticks, side="right"), len(self._ends) - 1)
        del ticks
        random.shuffle(rows)
        seeds = random.integers(2**62, size=self._draws)
        if self._tars_at_once and self._tar_of is not None:
            turn_of = random.permutation(int(self._tar_of.max()) + 1) // self._tars_at_once
            rows = rows[np.argsort(turn_of[self._tar_of[rows]], kind="stable")]
        return rows, seeds


class EpochBatches(Sampler[list[Draw]]):
    """The batches that one process of a run takes from an epoch.

    The epoch's draws are cut into batches, one for each step of the optimiser, and each batch into equal
    parts: at its k-th of `accumulate` passes, process r of `processes` takes part k * processes + r. So all
    processes together see each draw once, and the batches are the same whatever their number. Draws that fill
    no whole batch at the end of an epoch are left out; another epoch's order leaves out others.

    Args:
        sampler: Of the epoch's draws; Lightning finds it here and tells it the epoch.
        batch_size: Draws a step. Where an epoch has fewer, it has one batch of all of them.
        processes: Of the run.
        process: Which of them this is, from 0.
        accumulate: Passes a step.

    Raises:
        ConfigError: A batch cannot be cut into so many equal parts.
    """

    def __init__(
        self,
        sampler: EpochSampler,
        batch_size: int,
        processes: int = 1,
        process: int = 0,
        accumulate: int = 1,
    ) -> None:
        parts = processes * accumulate
        if batch_size % parts:
            raise ConfigError(
                f"training.batch_size: {batch_size} photos cannot be cut into equal parts on "
                f"{processes} devices with training.accumulate {accumulate}; take a multiple of {parts}."
            )
        self.sampler = sampler
        self._batch = min(batch_size, len(sampler) // parts * parts)
        if not self._batch:
            raise ConfigError(
                f"data.train: an epoch draws {len(sampler)} photos, fewer than one for each part."
            )
        self._part = self._batch // parts
        self._processes, self._process, self._accumulate = processes, process, accumulate
        self._resumed = (0, 0)

    @property
    def steps(self) -> int:
        """Steps of the optimiser in an epoch."""
        return len(self.sampler) // self._batch

    @property
    def photos(self) -> int:
        """Draws that all processes together take from an epoch."""
        return self.steps * self._batch

    def __len__(self) -> int:
        return self.steps * self._accumulate

    def resume(self, epoch: int, passes: int) -> None:
        """Leave out the first passes of an epoch, which an earlier start of the run has made."""
        self.sampler.set_epoch(epoch)
        self._resumed = epoch, passes

    def __iter__(self) -> Iterator[list[Draw]]:
        rows, seeds = self.sampler.draws()
        epoch, passes = self._resumed
        for made in range(passes if epoch == self.sampler.epoch else 0, len(self)):
            start = (made * self._processes + self._process) * self._part
            part = slice(start, start + self._part)
            yield list(zip(rows[part].tolist(), seeds[part].tolist(), strict=True))


class Labelled(Dataset[dict[str, Any]]):
    """Adds to each item where its photo was taken, "point" float32 (3,), and its "classes", int64 (3,).

    Args:
        items: Items hold the photo's "row".
        photos: The index that the rows are of.
        classes: int64 (N, 3), -1 for none.
    """

    def __init__(
        self, items: Dataset[dict[str, Any]], photos: PhotoIndex, classes: NDArray[np.int64]
    ) -> None:
        self._items, self._points, self._classes = items, photos.points(), classes

    def __len__(self) -> int:
        return len(self._points)

    def __getitem__(self, index: Any) -> dict[str, Any]:  # noqa: ANN401 - a row or a Draw, as `items` takes it
        item = self._items[index]
        return {**item, "point": self._points[item["row"]], "classes": self._classes[item["row"]]}


class WithoutUnreadable(Dataset[dict[str, Any]]):
    """Items, or for a photo that cannot be read {"unreadable": why}; to be joined by `join_readable`."""

    def __init__(self, items: Dataset[dict[str, Any]]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)  # type: ignore[arg-type]

    def __getitem__(self, index: Any) -> dict[str, Any]:  # noqa: ANN401 - as `items` takes it
        try:
            return self._items[index]
        except PhotoError as error:
            return {"unreadable": str(error)}


def join_readable(items: list[dict[str, Any]]) -> dict[str, Any]:
    """One batch of the items that can be read; "unreadable" lists why each of the others cannot.

    Raises:
        PhotoError: None can be read.
    """
    reasons = [item["unreadable"] for item in items if "unreadable" in item]
    readable = [item for item in items if "unreadable" not in item]
    if not readable:
        raise PhotoError(f"not one photo of a batch can be read; the first: {reasons[0]}")
    return {**default_collate(readable), "unreadable": reasons}


class Views(Dataset[dict[str, Any]]):
    """Augmented views of photos, one a draw: item (row, seed) is {"inputs": uint8 (3, S, S), "row": int}."""

    def __init__(self, photos: PhotoIndex, rule: CropRule, augmentation: Augmentation) -> None:
        self._photos, self._rule = photos, rule
        self._augment = augmenter(augmentation, rule)
        # A crop of the smallest share may still need its full resolution.
        self._short_side_px = math.ceil(rule.crop_px / math.sqrt(augmentation.scale[0]))

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        row, seed = draw
        return {"inputs": self.view(self._photos.image(row, self._short_side_px), seed), "row": row}

    def view(self, image: Image, seed: int) -> torch.Tensor:
        """One view, uint8 (3, S, S), that depends on photo and seed alone."""
        before = torch.get_rng_state()
        try:
            # Not torch.manual_seed: where no GPU is in use yet it writes down the stack of every call, which
            # takes a quarter of a view's time.
            torch.default_generator.manual_seed(seed)
            return self._augment(image)
        finally:
            torch.set_rng_state(before)


class ViewSets(Dataset[dict[str, Any]]):
    """K views of each photo at once: item `row` is {"inputs": uint8 (K, 3, S, S), "row": int}.

    View 0 is the centre crop, the others are augmented with seeds of their own.
    """

    def __init__(
        self, photos: PhotoIndex, rule: CropRule, augmentation: Augmentation, count: int, seed: int
    ) -> None:
        self._photos, self._rule, self._count, self._seed = photos, rule, count, seed
        self._views = Views(photos, rule, augmentation)

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, row: int) -> dict[str, Any]:
        image = self._photos.image(row)
        seeds = np.random.default_rng([self._seed, row]).integers(2**62, size=self._count)
        views = [center_crop(image, self._rule), *(self._views.view(image, int(seed)) for seed in seeds[1:])]
        return {"inputs": torch.stack(views[: self._count]), "row": row}


class Crops(Dataset[dict[str, Any]]):
    """The crops of prediction, five or one: item `row` is {"inputs": uint8 (V, 3, S, S), "row": int}."""

    def __init__(self, photos: PhotoIndex, rule: CropRule, five: bool) -> None:
        self._photos, self._rule, self.count = photos, rule, 5 if five else 1

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, row: int) -> dict[str, Any]:
        image = self._photos.image(row, self._rule.resize_short_px)
        crops = five_crop(image, self._rule) if self.count == 5 else center_crop(image, self._rule)[None]
        return {"inputs": crops, "row": row}


def augmenter(augmentation: Augmentation, rule: CropRule) -> Callable[[Image], torch.Tensor]:
    """From an RGB photo to one augmented view, uint8 (3, S, S), with torch's global random numbers."""
    from torchvision.transforms import v2

    a = augmentation
    steps: list[Callable[..., Any]] = [
        v2.RandomResizedCrop(
            rule.crop_px,
            scale=a.scale,
            ratio=a.ratio,
            interpolation=v2.InterpolationMode(rule.interpolation),
            antialias=True,
        ),
        v2.RandomHorizontalFlip(a.flip),
    ]
    if a.brightness or a.contrast or a.saturation or a.hue:
        steps.append(v2.ColorJitter(a.brightness, a.contrast, a.saturation, a.hue))
    if a.grey:
        steps.append(v2.RandomGrayscale(a.grey))
    if a.blur:
        steps.append(v2.RandomApply([v2.GaussianBlur(5, (0.1, 1.5))], a.blur))
    steps.append(v2.PILToTensor())
    if a.erase:
        grey = [round(255 * value) for value in rule.mean]
        steps.append(v2.RandomErasing(a.erase, scale=(0.02, 0.2), value=grey))
    return v2.Compose(steps)
