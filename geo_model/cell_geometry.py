"""The shape of S2 cells on the sphere: corners, centre, area and boundary."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from geo_model import s2
from geo_model.sphere import EARTH_RADIUS_KM

_SIDE_OF_FACE = float(1 << s2.MAX_LEVEL)


def corners(ids: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The four corners of each cell, counter-clockwise as seen from above.

    Args:
        ids: Cell ids, shape (N,).

    Returns:
        Unit vectors, float64 of shape (N, 4, 3).
    """
    face, i, j, side = s2.face_ij(ids)
    u_low, u_high = (s2.st_to_uv(edge / _SIDE_OF_FACE) for edge in (i, i + side))
    v_low, v_high = (s2.st_to_uv(edge / _SIDE_OF_FACE) for edge in (j, j + side))
    round_the_cell = ((u_low, v_low), (u_high, v_low), (u_high, v_high), (u_low, v_high))
    vectors = np.stack([s2.face_uv_to_xyz(face, u, v) for u, v in round_the_cell], axis=1)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def centres(
    ids: NDArray[np.uint64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The centre of each cell and how far its corners reach.

    Returns:
        Latitudes and longitudes in degrees, and the distance to the farthest corner in km, each float64 (N,).
    """
    face, i, j, side = s2.face_ij(ids)
    u = s2.st_to_uv((i + side / 2) / _SIDE_OF_FACE)
    v = s2.st_to_uv((j + side / 2) / _SIDE_OF_FACE)
    vectors = s2.face_uv_to_xyz(face, u, v)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    chords = np.linalg.norm(corners(ids) - vectors[:, None], axis=-1).max(axis=1)
    latitudes, longitudes = degrees_of(vectors)
    longitudes[np.abs(latitudes) == 90] = 0.0  # a pole has no longitude of its own
    return latitudes, longitudes, 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chords / 2, 1.0))


def areas_steradians(ids: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The exact area of each cell on the unit sphere.

    A cell is a rectangle in the tangent plane of its face. It is cut into two triangles, whose solid angles
    come from van Oosterom and Strackee, "The Solid Angle of a Plane Triangle", 1983; the triple product in
    their formula is the rectangle's width times its height. Nothing cancels: leaves are as exact as faces.

    Args:
        ids: Cell ids, shape (N,).

    Returns:
        Steradians, float64 of shape (N,); the six faces sum to 4 pi.
    """
    _, i, j, side = s2.face_ij(ids)
    u_low, u_high, width = _uv_interval(i, side)
    v_low, v_high, height = _uv_interval(j, side)
    a, b, c, d = (
        np.stack([np.ones_like(u), u, v], axis=-1)
        for u, v in ((u_low, v_low), (u_high, v_low), (u_high, v_high), (u_low, v_high))
    )
    triple = width * height
    return _solid_angle(triple, a, b, c) + _solid_angle(triple, a, c, d)


def rings(ids: NDArray[np.uint64], step_degrees: float = 2.0) -> list[NDArray[np.float64]]:
    """The boundary of each cell, its edges densified along great circles; see `Partitioning.ring`.

    Args:
        ids: Cell ids, shape (N,).
        step_degrees: Largest angle between neighbouring points, more than 0.

    Returns:
        For each cell latitude and longitude in degrees, float64 (V, 2), counter-clockwise, not closed.
    """
    if not step_degrees > 0:
        raise ValueError(f"step_degrees must be above 0, not {step_degrees}")
    if not len(ids):
        return []
    vertices = corners(ids)
    points, counts = _along_great_circles(
        vertices.reshape(-1, 3), np.roll(vertices, -1, axis=1).reshape(-1, 3), math.radians(step_degrees)
    )
    cell = np.repeat(np.arange(len(vertices)).repeat(4), counts)
    latitudes, longitudes = degrees_of(points)

    # A point on the date line is 180 and -180 at once: take the side that the cell is on.
    _, centre_longitudes, _ = centres(ids)
    on_date_line = (np.abs(longitudes) == 180) & (s2.levels(ids)[cell] > 0)
    longitudes[on_date_line] = np.copysign(180.0, centre_longitudes[cell[on_date_line]])

    lengths = np.bincount(cell, minlength=len(vertices))
    found = np.split(np.stack([latitudes, longitudes], axis=1), np.cumsum(lengths)[:-1])
    for index in np.unique(cell[np.abs(latitudes) == 90]):
        found[index] = _with_poles_doubled(found[index])
    return found


def _uv_interval(
    low: NDArray[np.int64], side: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper u (or v) of cells and the difference, without the loss of digits of a subtraction."""
    s, s_high = low / _SIDE_OF_FACE, (low + side) / _SIDE_OF_FACE
    u, u_high = s2.st_to_uv(s), s2.st_to_uv(s_high)
    # 4/3 s² - 1/3 in the upper half of a face and its mirror image below; only a whole face has both halves.
    factored = (4 / 3) * (s_high - s) * np.where(s >= 0.5, s + s_high, 2 - s - s_high)
    return u, u_high, np.where(side == 1 << s2.MAX_LEVEL, 2.0, factored)


def _solid_angle(
    triple: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]
) -> NDArray[np.float64]:
    length_a, length_b, length_c = (np.linalg.norm(vector, axis=-1) for vector in (a, b, c))
    denominator = (
        length_a * length_b * length_c
        + (a * b).sum(axis=-1) * length_c
        + (b * c).sum(axis=-1) * length_a
        + (c * a).sum(axis=-1) * length_b
    )
    return 2 * np.arctan2(triple, denominator)


def _along_great_circles(
    starts: NDArray[np.float64], ends: NDArray[np.float64], step: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Points from each start (included) to its end (not included), at most `step` radians apart.

    Returns:
        The points of all edges in a row, (P, 3), of any length; how many each edge has, int64 (E,).
    """
    angles = np.arctan2(np.linalg.norm(np.cross(starts, ends), axis=1), (starts * ends).sum(axis=1))
    counts = np.maximum(1, np.ceil(angles / step - 1e-9)).astype(np.int64)  # 10 degrees by 2 are five steps
    edge = np.repeat(np.arange(len(starts)), counts)
    place = np.arange(len(edge)) - (np.cumsum(counts) - counts)[edge]
    share = (place / counts[edge])[:, None]
    angle = angles[edge][:, None]
    # Spherical linear interpolation, but for its constant divisor: only the direction is wanted.
    points = np.sin((1 - share) * angle) * starts[edge] + np.sin(share * angle) * ends[edge]
    points[place == 0] = starts
    return points, counts


def degrees_of(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes and longitudes in degrees of vectors (N, 3) of any length."""
    x, y, z = vectors.T
    return np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))


def _with_poles_doubled(points: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = []
    for index, (latitude, longitude) in enumerate(points):
        if abs(latitude) == 90:
            rows += [(latitude, points[index - 1, 1]), (latitude, points[(index + 1) % len(points), 1])]
        else:
            rows.append((latitude, longitude))
    return np.array(rows, dtype=np.float64)
