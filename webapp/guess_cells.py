"""The grid that takes clicks: a click on empty ground has no coordinate, one on a cell has the cell's centre.

First cells of S2 level 4; within the one that was clicked those three levels deeper, and so on to level 10.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from geo_model import cell_geometry, s2
from geo_model.sphere import great_circle_km
from geo_model.truth import Coordinate
from webapp.geometry import unwrapped

FIRST_LEVEL, LAST_LEVEL, STEP = 4, 10, 3
_RING_STEP_DEGREES = 3.0


@cache
def first_cells() -> NDArray[np.uint64]:
    """Every cell of the first level, uint64 (1536,)."""
    numbers = np.arange(6 * 4**FIRST_LEVEL, dtype=np.uint64)
    return (2 * numbers + np.uint64(1)) << np.uint64(60 - 2 * FIRST_LEVEL)


def cells_within(cell: int) -> NDArray[np.uint64]:
    """The 64 cells three levels below one; none if that is beyond the last level."""
    if level_of(cell) >= LAST_LEVEL:
        return np.empty(0, np.uint64)
    lowest = int(s2.lowest_bits(np.array([cell], np.uint64))[0])
    step = lowest >> (2 * STEP)
    return np.array([cell - lowest + (2 * number + 1) * step for number in range(4**STEP)], np.uint64)


def level_of(cell: int) -> int:
    """The S2 level of a cell."""
    return int(s2.levels(np.array([cell], np.uint64))[0])


def grid(cell: int | None) -> NDArray[np.uint64]:
    """The cells to click after a click on one: those within it and, around, those of the first level."""
    if cell is None:
        return first_cells()
    inside = cells_within(cell)
    around = first_cells()
    outer = s2.parents(np.array([cell], np.uint64), FIRST_LEVEL)[0]
    return np.concatenate([inside, around[around != outer]])


def centre(cell: int) -> Coordinate:
    """Latitude and longitude of a cell's centre in degrees."""
    latitudes, longitudes, _ = cell_geometry.centres(np.array([cell], np.uint64))
    return float(latitudes[0]), float(longitudes[0])


def reach_km(cell: int) -> float:
    """How far the cell reaches from its centre: what a click on it may be off by."""
    (ring,) = cell_geometry.rings(np.array([cell], np.uint64), _RING_STEP_DEGREES)
    return float(great_circle_km(*centre(cell), ring[:, 0], ring[:, 1]).max())


def outlines(cells: NDArray[np.uint64]) -> list[NDArray[np.float64]]:
    """Latitude and unwrapped longitude of each cell's boundary, (V, 2)."""
    return [unwrapped(ring) for ring in cell_geometry.rings(cells, _RING_STEP_DEGREES)]
