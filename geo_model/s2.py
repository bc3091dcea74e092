"""S2 cell ids for arrays of coordinates, in numpy.

An S2 cell id is 64 bits: three for the face of the cube, two for each level of the Hilbert curve, a one, and
zeros (https://s2geometry.io/devguide/s2cell_hierarchy). The projection is S2's quadratic one. Every floating
point operation comes in the order in which the `s2sphere` package does it, so that ids agree to the last bit.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo_model.errors import GeoModelError, PartitioningError

MAX_LEVEL = 30
"""The level of the smallest cells, the leaves: about one square centimetre."""

_SIZE = 1 << MAX_LEVEL
_CHUNK = 1 << 16  # points at a time: the intermediate arrays stay in the processor's cache
_TOKEN = re.compile(r"[0-9a-f]{1,16}")

# The Hilbert curve, per orientation (bit 0: i and j swapped, bit 1: both inverted): which quadrant, written
# 2 * i + j, comes at each position, and how the orientation changes inside it.
_QUADRANT_AT = ((0, 1, 3, 2), (0, 2, 3, 1), (3, 2, 0, 1), (3, 1, 0, 2))
_TURN_AT = (1, 0, 0, 3)
_STEP_BITS = 4  # levels looked up at once
_STEPS = 8  # 8 * 4 = 32 bits, of which the two topmost of i and j are always zero


def leaf_ids(latitudes: ArrayLike, longitudes: ArrayLike) -> NDArray[np.uint64]:
    """The leaf cell (level 30) of each coordinate.

    Args:
        latitudes: Degrees within [-90, 90], shape (N,).
        longitudes: Degrees, finite; values beyond 180 go round, shape (N,).

    Returns:
        Cell ids, uint64 of shape (N,).

    Raises:
        GeoModelError: A latitude beyond 90 degrees or a value that is not finite, with its position.
    """
    latitude, longitude = np.broadcast_arrays(
        np.atleast_1d(np.asarray(latitudes, dtype=np.float64)),
        np.atleast_1d(np.asarray(longitudes, dtype=np.float64)),
    )
    _check_coordinates(latitude, longitude)
    ids = np.empty(latitude.shape, dtype=np.uint64)
    for start in range(0, len(ids), _CHUNK):
        part = slice(start, start + _CHUNK)
        ids[part] = _leaf_ids(latitude[part], longitude[part])
    return ids


def cell_ids(latitudes: ArrayLike, longitudes: ArrayLike, level: int) -> NDArray[np.uint64]:
    """The cell of a level that holds each coordinate.

    Args:
        latitudes: Degrees within [-90, 90], shape (N,).
        longitudes: Degrees, shape (N,).
        level: 0 (six faces) to 30 (leaves).

    Returns:
        Cell ids, uint64 of shape (N,), equal to s2sphere's `CellId.from_lat_lng(...).parent(level)`.

    Raises:
        GeoModelError: A latitude beyond 90 degrees or a value that is not finite, with its position.
    """
    return parents(leaf_ids(latitudes, longitudes), level)


def parents(ids: NDArray[np.uint64], level: int) -> NDArray[np.uint64]:
    """The ancestor-or-self of each cell at a level that is not below its own; uint64, same shape."""
    if not 0 <= level <= MAX_LEVEL:
        raise ValueError(f"an S2 level is a number from 0 to {MAX_LEVEL}, not {level}")
    lowest_bit = 1 << 2 * (MAX_LEVEL - level)
    above = np.uint64(~(2 * lowest_bit - 1) & 0xFFFFFFFFFFFFFFFF)
    return (np.asarray(ids, dtype=np.uint64) & above) | np.uint64(lowest_bit)


def lowest_bits(ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The lowest set bit of each id, which marks its level; uint64, same shape."""
    ids = np.asarray(ids, dtype=np.uint64)
    return ids & (~ids + np.uint64(1))


def levels(ids: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The level of each cell, 0 to 30; int64, same shape."""
    # A power of two is exact in float64, and its exponent is one more than its bit's position.
    _, exponents = np.frexp(lowest_bits(ids).astype(np.float64))
    return MAX_LEVEL - (exponents.astype(np.int64) - 1) // 2


def range_bounds(ids: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The smallest and the largest leaf id inside each cell, both uint64."""
    ids = np.asarray(ids, dtype=np.uint64)
    reach = lowest_bits(ids) - np.uint64(1)
    return ids - reach, ids + reach


def is_valid(ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether each number is the id of a cell: one of six faces, and the marking bit at an even position."""
    ids = np.asarray(ids, dtype=np.uint64)
    marks_a_level = (lowest_bits(ids) & np.uint64(0x1555555555555555)) != 0
    return (ids >> np.uint64(61) < 6) & marks_a_level


def tokens(ids: NDArray[np.uint64]) -> list[str]:
    """The ids as S2 tokens: hexadecimal text without the trailing zeros."""
    return [f"{number:016x}".rstrip("0") for number in np.asarray(ids, dtype=np.uint64).tolist()]


def id_from_token(token: str) -> int | None:
    """The id of one token, or None where the text is no token as `tokens` writes it."""
    if not _TOKEN.fullmatch(token) or token.endswith("0"):
        return None
    number = int(token.ljust(16, "0"), 16)
    mark = number & -number
    return number if number >> 61 < 6 and mark & 0x1555555555555555 else None


def ids_from_tokens(token_list: Sequence[str]) -> NDArray[np.uint64]:
    """The ids of S2 tokens.

    Args:
        token_list: Tokens as text, N of them.

    Returns:
        Cell ids, uint64 of shape (N,).

    Raises:
        PartitioningError: A text that is no token, with its position, counted from 0.
    """
    ids = np.empty(len(token_list), dtype=np.uint64)
    for position, token in enumerate(token_list):
        number = id_from_token(token)
        if number is None:
            raise PartitioningError(f"position {position}: {token!r} is not an S2 cell token")
        ids[position] = number
    return ids


def face_ij(
    ids: NDArray[np.uint64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Where each cell lies on its face of the cube.

    Args:
        ids: Cell ids, shape (N,).

    Returns:
        The face (0 to 5), i and j of the cell's lower corner and its side length, in units of leaf cells
        (a face has 2^30 of them a side); each int64 of shape (N,).
    """
    ids = np.asarray(ids, dtype=np.uint64)
    face = (ids >> np.uint64(61)).astype(np.int64)
    _, quadrants_of = _lookup_tables()
    path = (ids >> np.uint64(1)).astype(np.int64)
    orientation = face & 1
    i = np.zeros(len(ids), dtype=np.int64)
    j = np.zeros(len(ids), dtype=np.int64)
    for step in reversed(range(_STEPS)):
        # The topmost of the eight steps holds two levels only: what lies above them is the face.
        mask = 0xF if step == _STEPS - 1 else 0xFF
        piece = quadrants_of[((path >> 2 * _STEP_BITS * step & mask) << 2) | orientation]
        i |= (piece >> 6) << _STEP_BITS * step
        j |= (piece >> 2 & 0xF) << _STEP_BITS * step
        orientation = piece & 3
    side = np.int64(1) << (MAX_LEVEL - levels(ids))
    return face, i & -side, j & -side, side


def st_to_uv(s: NDArray[np.float64]) -> NDArray[np.float64]:
    """S2's quadratic projection from [0, 1] to [-1, 1], where straight lines on a face are great circles."""
    return np.where(s >= 0.5, (1 / 3) * (4 * s * s - 1), (1 / 3) * (1 - 4 * (1 - s) * (1 - s)))


def face_uv_to_xyz(
    face: NDArray[np.int64], u: NDArray[np.float64], v: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Points of the cube's faces as vectors (N, 3) that are not of unit length, from arrays of shape (N,)."""
    one = np.ones_like(u)
    by_face = np.stack(
        [
            np.stack([one, u, v], axis=-1),
            np.stack([-u, one, v], axis=-1),
            np.stack([-u, -v, one], axis=-1),
            np.stack([-one, -v, -u], axis=-1),
            np.stack([v, -one, -u], axis=-1),
            np.stack([v, u, -one], axis=-1),
        ]
    )
    return by_face[face, np.arange(len(u))]


def _check_coordinates(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> None:
    bad = ~((np.abs(latitude) <= 90) & np.isfinite(longitude))
    if not bad.any():
        return
    position = int(np.argmax(bad))
    values = f"latitude {float(latitude[position])}, longitude {float(longitude[position])}"
    if np.isfinite(latitude[position]) and np.isfinite(longitude[position]):
        raise GeoModelError(
            f"position {position}: {values} has a latitude beyond 90 degrees; are the two swapped?"
        )
    raise GeoModelError(f"position {position}: {values} is not a coordinate")


def _leaf_ids(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.uint64]:
    phi = np.radians(latitude)
    theta = np.radians(longitude)
    cos_phi = np.cos(phi)
    x, y, z = np.cos(theta) * cos_phi, np.sin(theta) * cos_phi, np.sin(phi)

    # Ties go as in s2sphere: to z before y before x.
    x_size, y_size, z_size = np.abs(x), np.abs(y), np.abs(z)
    along_x = (x_size > y_size) & (x_size > z_size)
    along_y = ~(x_size > y_size) & (y_size > z_size)
    axis = np.where(along_x, 0, np.where(along_y, 1, 2))
    divisor = np.choose(axis, (x, y, z))
    face = axis + 3 * (divisor < 0)
    u = np.choose(face, (y, -x, -x, z, z, -y)) / divisor
    v = np.choose(face, (z, z, -y, y, -x, -x)) / divisor
    return _ids_of_leaves(face, _uv_to_ij(u), _uv_to_ij(v))


def _uv_to_ij(u: NDArray[np.float64]) -> NDArray[np.int64]:
    root = 0.5 * np.sqrt(1 + 3 * np.abs(u))
    s = np.where(u >= 0, root, 1 - root)
    return np.clip(np.floor(_SIZE * s).astype(np.int64), 0, _SIZE - 1)


def _ids_of_leaves(face: NDArray[np.int64], i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.uint64]:
    positions_of, _ = _lookup_tables()
    ids = face.astype(np.uint64) << np.uint64(60)
    orientation = face & 1
    for step in reversed(range(_STEPS)):
        shift = _STEP_BITS * step
        piece = positions_of[((i >> shift & 0xF) << 6) | ((j >> shift & 0xF) << 2) | orientation]
        ids |= (piece >> 2).astype(np.uint64) << np.uint64(2 * shift)
        orientation = piece & 3
    return (ids << np.uint64(1)) | np.uint64(1)


@functools.cache
def _lookup_tables() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Four levels of the Hilbert curve in one step, there and back.

    The first table is indexed by i, j (4 bits each) and the orientation (2 bits) and holds the position
    (8 bits) and the new orientation (2 bits); the second is its inverse, from position to i and j.
    """
    positions_of = np.zeros(1 << 10, dtype=np.int64)
    quadrants_of = np.zeros(1 << 10, dtype=np.int64)
    for start in range(4):
        for position in range(1 << 2 * _STEP_BITS):
            i = j = 0
            orientation = start
            for level in reversed(range(_STEP_BITS)):
                place = position >> 2 * level & 3
                quadrant = _QUADRANT_AT[orientation][place]
                i, j = i << 1 | quadrant >> 1, j << 1 | quadrant & 1
                orientation ^= _TURN_AT[place]
            positions_of[i << 6 | j << 2 | start] = position << 2 | orientation
            quadrants_of[position << 2 | start] = i << 6 | j << 2 | orientation
    return positions_of, quadrants_of
