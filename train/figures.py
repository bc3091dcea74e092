"""What is measured on validation photos: photo by photo, then for all, for each kind, and for kinds alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geo_model.cells import LEVELS, Hierarchy
from geo_model.decoding import Decoded
from geo_model.measurements import ANSWERS, HIERARCHY, Measurements, measure
from geo_model.metrics import THRESHOLDS_KM, summarise

TINY = float(torch.finfo(torch.float32).tiny)

BALANCED = "balanced"
"""The group that counts every kind of photo alike."""

TOP = (1, 5, 10)
"""How many of the most probable cells the true one is looked for among."""

SCORES = ("geoscore", *(f"accuracy_{km:g}" for km in THRESHOLDS_KM))
"""Figures of the answer that are best when they are large; `accuracy_750` is the share within 750 km."""

FIGURES = (
    "nll",
    "loss",
    *(f"nll_{level.value}" for level in LEVELS),
    "geoscore",
    "median_km",
    *SCORES[1:],
    *(f"accuracy_{km:g}_{level.value}" for level in LEVELS for km in THRESHOLDS_KM),
    *(f"top{k}_{answer}" for answer in ANSWERS for k in TOP),
)
"""Figures of a group.

`nll` is of the hierarchy's product, and so is `top5_hierarchy`, the share of photos whose true cell is among
the five most probable, of those that a cell holds. `accuracy_750` is of the answer, `accuracy_750_fine` of
the fine level's most probable cell alone.
"""


@dataclass(frozen=True, eq=False)
class PhotoFigures:
    """Of N photos.

    Attributes:
        measurements: Distances and ranks, as `geo_model.evaluation` measures them.
        nll: float64 (N, 4), -log probability of the cell that holds the truth: coarse, middle, fine and
            product; NaN where no cell holds it.
        loss: float64 (N,), cross-entropy to the training targets, summed over levels.
    """

    measurements: Measurements
    nll: NDArray[np.float64]
    loss: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[PhotoFigures]) -> PhotoFigures:
        """The photos of all parts, in order."""
        return cls(
            Measurements.join([part.measurements for part in parts]),
            np.concatenate([part.nll for part in parts]),
            np.concatenate([part.loss for part in parts]),
        )

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> PhotoFigures:
        return PhotoFigures(self.measurements[chosen], self.nll[chosen], self.loss[chosen])


def photo_figures(
    decoded: Decoded,
    hierarchy: Hierarchy,
    truth: NDArray[np.float64],
    classes: Tensor,
    targets: Sequence[Tensor] | None = None,
) -> PhotoFigures:
    """Measure decoded photos.

    Args:
        decoded: From `geo_model.decoding.Decoder`.
        hierarchy: The partitionings.
        truth: Latitude and longitude in degrees, (N, 2).
        classes: Coarse, middle and fine class of the truth, int64 (N, 3), -1 for none.
        targets: Training targets, one (N, cells) per level, for the loss.
    """
    answered = decoded.classes.cpu().numpy()
    points = np.stack([hierarchy.fine.latitudes[answered], hierarchy.fine.longitudes[answered]], axis=1)
    columns = [classes[:, 0], classes[:, 1], classes[:, 2], classes[:, 2]]
    nll = [
        nll_of_truth(probabilities, column)
        for probabilities, column in zip((*decoded.levels, decoded.product), columns, strict=True)
    ]
    loss = torch.full((len(answered),), float("nan"))
    if targets is not None:
        loss = -sum(
            (target * level.clamp_min(TINY).log()).sum(dim=-1)
            for target, level in zip(targets, decoded.levels, strict=True)
        )  # type: ignore[assignment]
    measurements = measure(
        [level.cpu().numpy() for level in decoded.levels],
        decoded.product.cpu().numpy(),
        points,
        truth,
        hierarchy,
    )
    return PhotoFigures(
        measurements, torch.stack(nll, dim=1).double().cpu().numpy(), loss.double().cpu().numpy()
    )


def nll_of_truth(probabilities: Tensor, classes: Tensor) -> Tensor:
    """-log probability of each photo's class, float32 (N,); NaN where the class is -1."""
    held = probabilities.gather(1, classes.clamp(min=0)[:, None])[:, 0].clamp_min(TINY)
    return torch.where(classes >= 0, -held.log(), torch.nan)


def figures(photos: PhotoFigures) -> dict[str, float]:
    """The figures of a group of photos, by the names of `FIGURES`; NaN where no photo can tell."""
    found = photos.measurements
    summaries = {name: summarise(name, found.distances_km[name]) for name in ANSWERS}
    summary = summaries[HIERARCHY]
    means = [_mean_of_known(column) for column in photos.nll.T]
    values = [means[3], float(np.mean(photos.loss)), *means[:3], summary.mean_geoscore, summary.median_km]
    values += [at.share for name in (HIERARCHY, *ANSWERS[:-1]) for at in summaries[name].accuracies]
    values += [found.top(answer, k) for answer in ANSWERS for k in TOP]
    return dict(zip(FIGURES, values, strict=True))


def figures_of_groups(
    photos: PhotoFigures, kinds: Sequence[str], kind_of: NDArray[np.integer[Any]]
) -> dict[str, float]:
    """Figures of all photos (`nll`), each kind (`street/nll`) and of kinds counted alike (`balanced/nll`)."""
    values = figures(photos)
    by_kind = {
        kind: figures(photos[kind_of == position])
        for position, kind in enumerate(kinds)
        if (kind_of == position).any()
    }
    for name in FIGURES:
        values[f"{BALANCED}/{name}"] = _mean_of_known(np.array([part[name] for part in by_kind.values()]))
    for kind, part in by_kind.items():
        values |= {f"{kind}/{name}": value for name, value in part.items()}
    return values


def _mean_of_known(values: NDArray[np.float64]) -> float:
    """Mean of what is not NaN; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def higher_is_better(name: str) -> bool:
    """Whether a figure (`FIGURES`, or with a group before it) is best when it is largest."""
    figure = name.rpartition("/")[2]
    return figure.startswith(("accuracy_", "top")) or figure == "geoscore"
