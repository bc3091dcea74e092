"""Located photos measured against the truth: distances, ranks, and whether the credible regions hold it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo_model.cells import LEVELS, Hierarchy
from geo_model.metrics import wilson_interval
from geo_model.sphere import great_circle_km

REGION_SHARES = (0.5, 0.9)
"""The credible regions whose coverage is measured."""

HIERARCHY = "hierarchy"
"""The name of the final answer, beside the names of the three levels."""

ANSWERS = (*(level.value for level in LEVELS), HIERARCHY)


@dataclass(frozen=True)
class Coverage:
    """How often a credible region holds the truth.

    Attributes:
        region: The share of the probability in the region, 0.5 or 0.9; a calibrated model covers as much.
        hits: Photos whose true cell is in their region.
        total: Photos measured.
        share: hits / total.
        low: Low end of the 95% Wilson interval of `share`.
        high: High end.
        median_area_km2: Median area of the regions in km².
    """

    region: float
    hits: int
    total: int
    share: float
    low: float
    high: float
    median_area_km2: float


@dataclass(frozen=True, eq=False)
class Measurements:
    """N photos measured against the truth.

    Attributes:
        truth: Latitude and longitude in degrees, float64 (N, 2).
        points: The answers, likewise.
        distances_km: float64 (N,) for each of `ANSWERS`: every level's most probable cell, and the answer.
        covered: For each of `REGION_SHARES` whether the region holds the true cell, bool (N,).
        areas_km2: For each of `REGION_SHARES` the area of the region, float64 (N,).
        outside: Whether the truth lies in no fine cell at all, bool (N,); such a photo is never covered.
        ranks: For each of `ANSWERS` the place of the true cell, from 1, among the cells from the most
            probable down, int64 (N,); 0 where no cell holds the truth. Of equals the lower class comes first.
            That of the answer is by the fine cells' probabilities from all levels.
        confidences: For each of `ANSWERS` the probability of the most probable cell, float64 (N,). That cell
            is right where `ranks` is 1.
    """

    truth: NDArray[np.float64]
    points: NDArray[np.float64]
    distances_km: dict[str, NDArray[np.float64]]
    covered: dict[float, NDArray[np.bool_]]
    areas_km2: dict[float, NDArray[np.float64]]
    outside: NDArray[np.bool_]
    ranks: dict[str, NDArray[np.int64]]
    confidences: dict[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.truth)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Measurements:
        """Those of a boolean mask (N,), or of positions."""
        return Measurements(
            self.truth[rows],
            self.points[rows],
            {key: values[rows] for key, values in self.distances_km.items()},
            {key: values[rows] for key, values in self.covered.items()},
            {key: values[rows] for key, values in self.areas_km2.items()},
            self.outside[rows],
            {key: values[rows] for key, values in self.ranks.items()},
            {key: values[rows] for key, values in self.confidences.items()},
        )

    @classmethod
    def join(cls, parts: Sequence[Measurements]) -> Measurements:
        """One after the other; at least one."""
        first = parts[0]
        return cls(
            np.concatenate([part.truth for part in parts]),
            np.concatenate([part.points for part in parts]),
            {key: np.concatenate([part.distances_km[key] for part in parts]) for key in first.distances_km},
            {key: np.concatenate([part.covered[key] for part in parts]) for key in first.covered},
            {key: np.concatenate([part.areas_km2[key] for part in parts]) for key in first.areas_km2},
            np.concatenate([part.outside for part in parts]),
            {key: np.concatenate([part.ranks[key] for part in parts]) for key in first.ranks},
            {key: np.concatenate([part.confidences[key] for part in parts]) for key in first.confidences},
        )

    def top(self, answer: str, k: int) -> float:
        """Share of the photos whose true cell is among the k most probable, of those that a cell holds.

        Args:
            answer: One of `ANSWERS`.
            k: How many cells.

        Returns:
            In [0, 1]; NaN where no cell holds any of the photos.
        """
        ranks = self.ranks[answer]
        held = ranks > 0
        return float((ranks[held] <= k).mean()) if held.any() else float("nan")

    def coverage(self, region: float) -> Coverage:
        """How often the region of one of `REGION_SHARES` holds the truth; N >= 1."""
        covered = self.covered[region]
        hits, total = int(covered.sum()), len(covered)
        area = float(np.median(self.areas_km2[region]))
        return Coverage(region, hits, total, hits / total, *wilson_interval(hits, total), area)


def measure(
    levels: Sequence[ArrayLike],
    product: ArrayLike,
    points: ArrayLike,
    truth: ArrayLike,
    hierarchy: Hierarchy,
) -> Measurements:
    """Measure N located photos against the truth.

    Args:
        levels: Probabilities of the coarse, middle and fine cells, (N, cells) each; arrays or CPU tensors.
        product: Probabilities of the fine cells from all levels, (N, F).
        points: The answers: latitude and longitude in degrees, (N, 2).
        truth: Likewise, (N, 2).
        hierarchy: The partitionings that the probabilities are over.
    """
    import torch

    from geo_model.ranking import ranked_cells

    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    truth = np.asarray(truth, dtype=np.float64).reshape(-1, 2)
    distances_km, ranks, confidences = {}, {}, {}
    for level, probabilities in zip(LEVELS, levels, strict=True):
        probabilities = np.asarray(probabilities)
        best = probabilities.argmax(axis=1)
        cells = hierarchy[level]
        confidences[level.value] = probabilities.max(axis=1).astype(np.float64)
        ranks[level.value] = _ranks(probabilities, cells.classes_of(truth[:, 0], truth[:, 1]))
        distances_km[level.value] = great_circle_km(
            cells.latitudes[best], cells.longitudes[best], truth[:, 0], truth[:, 1]
        )
    distances_km[HIERARCHY] = great_circle_km(points[:, 0], points[:, 1], truth[:, 0], truth[:, 1])
    truth_classes = hierarchy.fine.classes_of(truth[:, 0], truth[:, 1])
    outside = truth_classes < 0
    ranks[HIERARCHY] = _ranks(np.asarray(product), truth_classes)
    confidences[HIERARCHY] = np.asarray(product).max(axis=1).astype(np.float64)
    covered, areas_km2 = {}, {}
    ranked = ranked_cells(torch.as_tensor(product), REGION_SHARES)
    region_areas_km2 = ranked.sums(hierarchy.fine.areas_km2)
    for column, share in enumerate(REGION_SHARES):
        # The region is the beginning of the ranking, so it holds the true cell if that ranks early enough.
        covered[share] = ~outside & (ranks[HIERARCHY] <= ranked.counts[:, column].numpy())
        areas_km2[share] = region_areas_km2[:, column]
    return Measurements(truth, points, distances_km, covered, areas_km2, outside, ranks, confidences)


def _ranks(probabilities: NDArray[np.floating[Any]], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each photo's class, from 1, among the cells in descending order; 0 where the class is -1."""
    of_truth = np.take_along_axis(probabilities, np.maximum(classes, 0)[:, None], axis=1)
    before = (probabilities == of_truth) & (np.arange(probabilities.shape[1]) < classes[:, None])
    places = 1 + ((probabilities > of_truth) | before).sum(axis=1)
    return np.where(classes >= 0, places, 0)
