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
from torch.utils.data import Dataset, Sampler

from geo_model.crops import CropRule, center_crop, five_crop
from train.config import Augmentation
from train.photo_index import PhotoIndex

if TYPE_CHECKING:
    from PIL.Image import Image

Draw = tuple[int, int]
"""Row of a photo and the seed of everything random about this look at it."""


class EpochSampler(Sampler[Draw]):
    """The draws of one epoch: each photo floor or ceil of its weight times, shuffled.

    Systematic sampling, so that the number of draws is the same in every epoch. Order, choice and the seeds
    of augmentation follow from `seed` and the epoch alone, so a resumed run sees what an unbroken one would.

    Args:
        weights: float64 (N,), draws an epoch of each photo on average.
        seed: Of the run.
    """

    def __init__(self, weights: NDArray[np.float64], seed: int) -> None:
        self._ends = np.cumsum(weights)
        self._seed = seed
        self._epoch = 0
        self._draws = max(1, round(float(self._ends[-1])))

    def set_epoch(self, epoch: int) -> None:
        """Lightning says which epoch comes next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._draws

    def __iter__(self) -> Iterator[Draw]:
        random = np.random.default_rng([self._seed, self._epoch])
        ticks = (np.arange(self._draws) + random.random()) * (self._ends[-1] / self._draws)
        rows = np.minimum(np.searchsorted(self._ends, ticks, side="right"), len(self._ends) - 1)
        random.shuffle(rows)
        seeds = random.integers(2**62, size=self._draws)
        return zip(rows.tolist(), seeds.tolist(), strict=True)


class Labelled(Dataset[dict[str, Any]]):
    """Adds to each item where its photo was taken, "point" float32 (3,), and its "classes", int64 (3,).

    Args:
        items: Items hold the photo's "row".
        points: Unit vectors, float32 (N, 3).
        classes: int64 (N, 3), -1 for none.
    """

    def __init__(
        self, items: Dataset[dict[str, Any]], points: NDArray[np.float32], classes: NDArray[np.int64]
    ) -> None:
        self._items, self._points, self._classes = items, points, classes

    def __len__(self) -> int:
        return len(self._points)

    def __getitem__(self, index: Any) -> dict[str, Any]:  # noqa: ANN401 - a row or a Draw, as `items` takes it
        item = self._items[index]
        return {**item, "point": self._points[item["row"]], "classes": self._classes[item["row"]]}


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
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            return self._augment(image)


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
