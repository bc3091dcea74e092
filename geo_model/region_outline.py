"""The outer edge of a set of cells: what a credible region looks like once the lines inside it are gone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo_model import s2
from geo_model.cell_geometry import degrees_of
from geo_model.cells import Partitioning

_MOST_HALVINGS = 6
"""An edge is tested in at most 64 pieces, so cells more than six levels apart are told apart less finely."""

_NUDGE = 0.01
"""How far outside an edge is looked, as a share of the piece's length."""

_STEP_DEGREES = 2.0


def region_outline(partitioning: Partitioning, classes: ArrayLike) -> list[NDArray[np.float64]]:
    """The lines between cells of a set and everything else.

    Each cell's edges are cut into pieces as long as the edges of the set's smallest cell; a piece stays if
    the cell just across it is not in the set.

    Args:
        partitioning: The cells.
        classes: Class indices of the set, (K,).

    Returns:
        Open lines, each latitude and longitude in degrees, float64 (P, 2), P >= 2; longitudes run on past
        ±180 rather than jump.
    """
    chosen = np.unique(np.asarray(classes, dtype=np.int64))
    if not chosen.size:
        return []
    inside = np.zeros(len(partitioning) + 1, dtype=bool)  # the last stands for -1, no cell at all
    inside[chosen] = True
    s2_levels = partitioning.s2_levels[chosen]
    lines = []
    for level in np.unique(s2_levels).tolist():
        tested = 1 << min(int(s2_levels.max()) - level, _MOST_HALVINGS)
        # A piece is drawn straight, so one that is longer than a step would leave its great circle.
        drawn = 1 << max(0, int(np.ceil(np.log2(90 / 2**level / _STEP_DEGREES))))
        pieces = max(tested, drawn)
        loops = _loops(partitioning.ids[chosen[s2_levels == level]], pieces)
        middles = (loops + np.roll(loops, -1, axis=1)) / 2
        lengths = np.linalg.norm(np.roll(loops, -1, axis=1) - loops, axis=-1, keepdims=True)
        outwards = middles - loops.mean(axis=1, keepdims=True)
        outwards /= np.linalg.norm(outwards, axis=-1, keepdims=True)
        latitudes, longitudes = degrees_of((middles + _NUDGE * lengths * outwards).reshape(-1, 3))
        edge = ~inside[partitioning.classes_of(latitudes, longitudes)].reshape(loops.shape[:2])
        for loop, kept in zip(loops, edge, strict=True):
            lines += _runs(loop, kept)
    return lines


def _loops(ids: NDArray[np.uint64], pieces: int) -> NDArray[np.float64]:
    """Points along the edges of cells of one level, counter-clockwise: unit vectors (N, 4 * pieces, 3)."""
    face, i, j, side = s2.face_ij(ids)
    share = np.arange(pieces) / pieces
    low, high = np.zeros(pieces), np.ones(pieces)
    right = np.concatenate([share, high, 1 - share, low])
    up = np.concatenate([low, share, high, 1 - share])
    size = float(1 << s2.MAX_LEVEL)
    u = s2.st_to_uv((i[:, None] + side[:, None] * right) / size)
    v = s2.st_to_uv((j[:, None] + side[:, None] * up) / size)
    vectors = s2.face_uv_to_xyz(np.repeat(face, u.shape[1]), u.ravel(), v.ravel())
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors.reshape(len(ids), -1, 3)


def _runs(loop: NDArray[np.float64], kept: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """The unbroken lines of a cell's kept pieces; piece k goes from point k to the next."""
    if not kept.any():
        return []
    if kept.all():
        return [_line(np.vstack([loop, loop[:1]]))]
    first = int(np.argmin(kept))  # begin at a piece that is not kept, so that no run is cut at the seam
    loop, kept = np.roll(loop, -first, axis=0), np.roll(kept, -first)
    changes = np.diff(kept.astype(int), append=0)
    starts, ends = np.flatnonzero(changes == 1) + 1, np.flatnonzero(changes == -1) + 1
    closed = np.vstack([loop, loop[:1]])
    return [_line(closed[start : end + 1]) for start, end in zip(starts, ends, strict=True)]


def _line(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    latitudes, longitudes = degrees_of(vectors)
    return np.stack([latitudes, np.unwrap(longitudes, period=360.0)], axis=1)
