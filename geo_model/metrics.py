"""Accuracy of located photos: shares within a distance, their intervals, the median and the GeoScore.

The conventions are those of the published Im2GPS and Im2GPS3k figures: great-circle distance by the haversine
formula with R = 6371 km, and a photo counts as within T km when its distance is <= T.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

THRESHOLDS_KM = (1.0, 25.0, 200.0, 750.0, 2500.0)
"""Street, city, region, country and continent, as the field names them."""

GEOSCORE_SCALE_KM = 1492.7
"""Kilometres at which the score has fallen to 1/e; PIGEON (CVPR 2024) took it from GeoGuessr's world map."""

Z_95 = 1.959963984540054
"""The normal quantile of a two-sided 95% interval."""


@dataclass(frozen=True)
class AccuracyAt:
    """How many photos lie within `km` of the truth; `low` and `high` are the 95% interval of `share`."""

    km: float
    hits: int
    total: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class DistanceSummary:
    """What distances say: accuracy at each threshold, median and mean in km, mean GeoScore (0 to 5000)."""

    name: str
    count: int
    accuracies: tuple[AccuracyAt, ...]
    median_km: float
    mean_km: float
    mean_geoscore: float


def wilson_interval(hits: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson score interval of a share.

    Unlike the normal approximation it stays within 0 and 1 and is sound for few photos and for shares near 0
    or 1. Wilson (1927), "Probable inference, the law of succession, and statistical inference", JASA 22.

    Args:
        hits: Number of successes, 0 to `total`.
        total: Number of trials.
        z: Normal quantile; the default gives a 95% interval.

    Returns:
        The low and the high end, both in [0, 1]; (0, 1) when `total` is 0, for then nothing is known.

    Raises:
        ValueError: If `hits` is negative or beyond `total`.
    """
    if not 0 <= hits <= total:
        raise ValueError(f"{hits} hits of {total} is not a share")
    if total == 0:
        return 0.0, 1.0
    share = hits / total
    denominator = 1 + z * z / total
    centre = (share + z * z / (2 * total)) / denominator
    half = z / denominator * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # At 0 and at all hits the ends are exactly 0 and 1; rounding would miss them by a hair.
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == total else min(1.0, centre + half)
    return low, high


def geoscore(distances_km: ArrayLike) -> NDArray[np.float64]:
    """Points that GeoGuessr's world map gives for a guess: 5000 exp(-d / 1492.7).

    Haas et al., "PIGEON: Predicting Image Geolocations", CVPR 2024.

    Args:
        distances_km: Kilometres, any shape.

    Returns:
        Scores from 0 to 5000, float64, in the same shape.
    """
    return 5000.0 * np.exp(-np.asarray(distances_km, dtype=np.float64) / GEOSCORE_SCALE_KM)


def accuracy_at(distances_km: ArrayLike, km: float) -> AccuracyAt:
    """Share of the distances that are <= `km`, with its 95% Wilson interval.

    Args:
        distances_km: Kilometres, shape (N,).
        km: The threshold in kilometres.
    """
    distances = np.asarray(distances_km, dtype=np.float64)
    hits, total = int(np.count_nonzero(distances <= km)), int(distances.size)
    low, high = wilson_interval(hits, total)
    return AccuracyAt(float(km), hits, total, hits / total if total else math.nan, low, high)


def summarise(
    name: str, distances_km: ArrayLike, thresholds_km: tuple[float, ...] = THRESHOLDS_KM
) -> DistanceSummary:
    """Summarise distances between answers and truth.

    Args:
        name: What was measured, for example "coarse" or "hierarchy".
        distances_km: Kilometres, shape (N,), N >= 1.
        thresholds_km: The distances at which accuracy is stated.

    Raises:
        ValueError: If there is no distance, or one is negative or not a number.
    """
    distances = np.asarray(distances_km, dtype=np.float64)
    if distances.ndim != 1 or distances.size == 0:
        raise ValueError(f"{name}: one distance or more is needed, in shape (N,), not {distances.shape}")
    if not np.all(distances >= 0):
        raise ValueError(f"{name}: a distance is negative or not a number")
    return DistanceSummary(
        name=name,
        count=int(distances.size),
        accuracies=tuple(accuracy_at(distances, km) for km in thresholds_km),
        median_km=float(np.median(distances)),
        mean_km=float(np.mean(distances)),
        mean_geoscore=float(np.mean(geoscore(distances))),
    )
