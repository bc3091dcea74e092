"""Errors seen in more detail than a few figures: their cumulative curve, and figures for groups of photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo_model.metrics import THRESHOLDS_KM, DistanceSummary, summarise
from geo_model.places import nearest_places
from geo_model.sphere import EARTH_RADIUS_KM

SMALLEST_KM = 0.1
"""Where a logarithmic axis of errors begins; coordinates of photos are hardly better than that."""

LARGEST_KM = float(np.pi * EARTH_RADIUS_KM)
"""Distance between antipodes, beyond which no error can be."""


def cumulative_curve(
    distances_km: ArrayLike, points: int = 240
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the errors that are <= a distance, at distances spaced evenly on a logarithmic axis.

    This is the empirical distribution function; at each of `metrics.THRESHOLDS_KM`, which are among the
    distances, it equals `metrics.accuracy_at`.

    Args:
        distances_km: Kilometres, shape (N,), N >= 1.
        points: How many distances, beside the thresholds.

    Returns:
        Distances in km from `SMALLEST_KM` to `LARGEST_KM`, ascending, and the shares in [0, 1]; the same
        shape (K,) for both.

    Raises:
        ValueError: There is no error to draw.
    """
    errors = np.sort(np.asarray(distances_km, dtype=np.float64))
    if errors.ndim != 1 or not errors.size:
        raise ValueError(f"one distance or more is needed, in shape (N,), not {errors.shape}")
    km = np.union1d(np.geomspace(SMALLEST_KM, LARGEST_KM, points), THRESHOLDS_KM)
    return km, np.searchsorted(errors, km, side="right") / errors.size


def continents_of(points: ArrayLike) -> list[str]:
    """Continent of the populated place nearest to each point, in English; see `places.nearest_places`.

    Args:
        points: Latitude and longitude in degrees, shape (N, 2).
    """
    degrees = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    return [place.continent for place in nearest_places(degrees[:, 0], degrees[:, 1])]


def summaries_by_group(groups: Sequence[str], distances_km: ArrayLike) -> tuple[DistanceSummary, ...]:
    """Accuracy, median, mean and GeoScore for each group of photos, the largest group first.

    Args:
        groups: What group each photo belongs to, N texts.
        distances_km: Kilometres, shape (N,).

    Raises:
        ValueError: The two differ in length.
    """
    distances = np.asarray(distances_km, dtype=np.float64)
    labels = np.array(list(groups), dtype=object)
    if labels.shape != distances.shape:
        raise ValueError(f"{labels.shape} groups and {distances.shape} distances; give as many of each")
    summaries = [summarise(name, distances[labels == name]) for name in sorted(set(groups))]
    return tuple(sorted(summaries, key=lambda summary: -summary.count))
