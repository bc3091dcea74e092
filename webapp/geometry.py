"""Shapes on the sphere that the globe draws, latitude before longitude, in degrees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geo_model import cell_geometry
from geo_model.cells import Partitioning
from geo_model.sphere import unit_vectors

GAP = 0.04
"""Share by which a cell is drawn smaller than it is; the gaps are the grid, and cost nothing to draw."""


def degrees_of(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Latitude and longitude in degrees, shape (N, 2), of vectors of any length, shape (N, 3)."""
    x, y, z = vectors.T
    return np.degrees(np.stack([np.arctan2(z, np.hypot(x, y)), np.arctan2(y, x)], axis=1))


def unwrapped(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Let longitudes run on past ±180 degrees so that neighbours are never more than half a turn apart.

    Args:
        points: Latitude and longitude in degrees, shape (N, 2).
    """
    return np.stack([points[:, 0], np.unwrap(points[:, 1], period=360.0)], axis=1)


def cell_outlines(partitioning: Partitioning, step_degrees: float = 2.0) -> list[NDArray[np.float64]]:
    """The boundary of every cell as it is drawn: a little smaller than the cell, and in one piece.

    Args:
        partitioning: The cells.
        step_degrees: Longest edge; a longer one would leave the great circle that it stands for.

    Returns:
        For each cell latitude and longitude in degrees, shape (V, 2), counter-clockwise, not closed.
        Longitudes run on past ±180 where the cell crosses the date line. The outline of a cell that holds a
        pole (only S2 level 0 has such cells) goes once round the Earth and back along the pole.
    """
    rings = cell_geometry.rings(partitioning.ids, step_degrees)
    lengths = np.array([len(ring) for ring in rings])
    first = np.cumsum(lengths) - lengths
    points = np.concatenate(rings)
    vectors = unit_vectors(points[:, 0], points[:, 1])
    centres = np.add.reduceat(vectors, first, axis=0)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    drawn = degrees_of((1 - GAP) * vectors + GAP * np.repeat(centres, lengths, axis=0))
    outlines = [unwrapped(outline) for outline in np.split(drawn, first[1:])]
    return [
        _closed_at_pole(outline, centre[2] > 0) for outline, centre in zip(outlines, centres, strict=True)
    ]


def _closed_at_pole(outline: NDArray[np.float64], north: bool) -> NDArray[np.float64]:
    turn = outline[-1, 1] - outline[0, 1]
    if abs(turn) <= 180:
        return outline
    pole = 90.0 if north else -90.0
    end = outline[0, 1] + np.copysign(360.0, turn)
    return np.vstack([outline, [[outline[0, 0], end], [pole, end], [pole, outline[0, 1]]]])


def great_circle(
    start: tuple[float, float], end: tuple[float, float], step_degrees: float = 1.0
) -> NDArray[np.float64]:
    """The shortest way over the sphere, by spherical linear interpolation.

    Args:
        start: Latitude and longitude in degrees.
        end: Likewise.
        step_degrees: Largest angle between neighbouring points.

    Returns:
        Latitude and unwrapped longitude in degrees, shape (N, 2), N >= 2, both ends included. Between
        antipodes, where every way is shortest, it is one of them.

    See https://en.wikipedia.org/wiki/Slerp.
    """
    vectors = unit_vectors([start[0], end[0]], [start[1], end[1]])
    towards = vectors[1] - (vectors[0] @ vectors[1]) * vectors[0]
    if np.linalg.norm(towards) < 1e-9:  # the same point, or antipodes: any direction at a right angle will do
        towards = np.cross(vectors[0], np.eye(3)[np.abs(vectors[0]).argmin()])
    towards /= np.linalg.norm(towards)
    # Between antipodes the sine is nought but for rounding, which may make it negative.
    angle = np.arctan2(abs(vectors[1] @ towards), vectors[0] @ vectors[1])
    count = max(2, int(np.ceil(np.degrees(angle) / step_degrees)) + 1)
    along = np.linspace(0.0, angle, count)[:, None]
    return unwrapped(degrees_of(np.cos(along) * vectors[0] + np.sin(along) * towards))
