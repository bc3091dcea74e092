"""Distances and directions on the sphere that the field measures on."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

EARTH_RADIUS_KM = 6371.0
"""Radius of the sphere in km; the published Im2GPS and Im2GPS3k tables were computed with this value."""


def great_circle_km(
    latitudes_1: ArrayLike, longitudes_1: ArrayLike, latitudes_2: ArrayLike, longitudes_2: ArrayLike
) -> NDArray[np.float64]:
    """Great-circle distance by the haversine formula.

    Args:
        latitudes_1: Degrees, any shape that broadcasts with the others.
        longitudes_1: Degrees.
        latitudes_2: Degrees.
        longitudes_2: Degrees.

    Returns:
        Kilometres, float64, in the broadcast shape.

    See https://en.wikipedia.org/wiki/Haversine_formula.
    """
    phi_1, lambda_1, phi_2, lambda_2 = (
        np.radians(np.asarray(values, dtype=np.float64))
        for values in (latitudes_1, longitudes_1, latitudes_2, longitudes_2)
    )
    half_chord_squared = (
        np.sin((phi_2 - phi_1) / 2) ** 2
        + np.cos(phi_1) * np.cos(phi_2) * np.sin((lambda_2 - lambda_1) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(half_chord_squared, 0.0, 1.0)))


def unit_vectors(latitudes: ArrayLike, longitudes: ArrayLike) -> NDArray[np.float64]:
    """Points on the unit sphere.

    Args:
        latitudes: Degrees, shape (N,).
        longitudes: Degrees, shape (N,).

    Returns:
        x, y, z as float64 of shape (N, 3): x towards 0° N 0° E, z towards the north pole.
    """
    phi = np.radians(np.asarray(latitudes, dtype=np.float64))
    lam = np.radians(np.asarray(longitudes, dtype=np.float64))
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def chord_of_km(distance_km: float) -> float:
    """Straight-line length, on the unit sphere, that belongs to a great-circle distance in km."""
    return float(2 * np.sin(min(distance_km / EARTH_RADIUS_KM, np.pi) / 2))
