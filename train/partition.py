"""Splitting the Earth into S2 cells that hold about the same number of photos.

The adaptive scheme of Weyand et al., "PlaNet", ECCV 2016, with the thresholds of Müller-Budack et al.,
"Geolocation Estimation of Photos using a Hierarchical Model and Scene Classification", ECCV 2018.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from geo_model import cell_geometry, s2
from geo_model.cells import Partitioning
from geo_model.errors import PartitioningError


def partition(
    latitudes: NDArray[np.float64],
    longitudes: NDArray[np.float64],
    img_min: int,
    img_max: int,
    lvl_min: int = 2,
    lvl_max: int = s2.MAX_LEVEL,
    name: str = "partitioning",
) -> Partitioning:
    """Make a partitioning from the coordinates of photos.

    All photos begin in their cells of level `lvl_min`. A cell with more than `img_max` photos is replaced by
    those of its four children that hold photos, until none is too full or `lvl_max` is reached. Cells with
    `img_min` photos or fewer are dropped. The result does not depend on the order of the photos.

    Args:
        latitudes: Degrees, float64 of shape (N,).
        longitudes: Degrees, float64 of shape (N,).
        img_min: A cell is kept if it holds more photos than this.
        img_max: A cell above `lvl_max` is split if it holds more photos than this.
        lvl_min: S2 level of the largest cells.
        lvl_max: S2 level of the smallest cells.
        name: The name of the partitioning.

    Returns:
        The partitioning, its classes in the order of their cell ids; a class's coordinate is the arithmetic
        mean of the latitudes and of the longitudes of its photos (on the date line, 180 and -180 count as the
        one on the cell's side).

    Raises:
        GeoModelError: A latitude beyond 90 degrees or a value that is not finite.
        PartitioningError: No cell holds more than `img_min` photos.
        ValueError: Thresholds or levels that contradict one another.
    """
    check_thresholds(img_min, img_max, lvl_min, lvl_max)
    leaves = s2.leaf_ids(latitudes, longitudes)
    order = np.argsort(leaves)
    leaves = leaves[order]
    ids, starts, counts = _split(leaves, img_min, img_max, lvl_min, lvl_max)
    if not len(ids):
        raise PartitioningError(
            f"no cell holds more than {img_min} of the {len(leaves)} photos; choose a smaller img_min"
        )
    mean_latitudes, mean_longitudes = _mean_coordinates(
        np.asarray(latitudes, dtype=np.float64)[order],
        np.asarray(longitudes, dtype=np.float64)[order],
        ids,
        starts,
        counts,
    )
    return Partitioning(
        name=name, ids=ids, photo_counts=counts, latitudes=mean_latitudes, longitudes=mean_longitudes
    )


def check_thresholds(img_min: int, img_max: int, lvl_min: int, lvl_max: int) -> None:
    """Raise ValueError with one sentence if the thresholds or the levels contradict one another."""
    if img_min < 0:
        raise ValueError(f"img_min must be 0 or more, not {img_min}")
    if img_max <= img_min:
        raise ValueError(f"img_max ({img_max}) must be larger than img_min ({img_min})")
    if not 0 <= lvl_min <= lvl_max <= s2.MAX_LEVEL:
        raise ValueError(
            f"lvl_min ({lvl_min}) and lvl_max ({lvl_max}) must be S2 levels from 0 to {s2.MAX_LEVEL}, "
            "lvl_min not above lvl_max"
        )


def _split(
    leaves: NDArray[np.uint64], img_min: int, img_max: int, lvl_min: int, lvl_max: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """The cells of sorted leaf ids: their ids, first positions and numbers of photos, ordered by id."""
    kept: list[tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]] = []
    positions = np.arange(len(leaves))  # of the photos in cells that are still to be looked at
    for level in range(lvl_min, lvl_max + 1):
        cells = s2.parents(leaves[positions], level)
        # Photos of one cell lie side by side because a cell's leaves are one range of ids.
        firsts = np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]]) if len(cells) else np.zeros(0, np.int64)
        counts = np.diff(np.r_[firsts, len(cells)])
        too_full = (counts > img_max) & (level < lvl_max)
        done = ~too_full & (counts > img_min)
        kept.append((cells[firsts[done]], positions[firsts[done]], counts[done]))
        positions = positions[np.repeat(too_full, counts)]
        if not len(positions):
            break
    ids, starts, counts = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    order = np.argsort(ids)
    return ids[order], starts[order], counts[order]


def _mean_coordinates(
    latitudes: NDArray[np.float64],
    longitudes: NDArray[np.float64],
    ids: NDArray[np.uint64],
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean latitude and longitude of each cell's run of photos.

    The sums are exact, so that the order of the photos does not matter. Longitudes are turned to within 180
    degrees of the cell's centre, where all but those on the date line already are.
    """
    _, centres, _ = cell_geometry.centres(ids)
    means = np.empty((2, len(ids)))
    for cell, (start, count, centre) in enumerate(
        zip(starts.tolist(), counts.tolist(), centres.tolist(), strict=True)
    ):
        photos = slice(start, start + count)
        near = longitudes[photos] + 360 * np.round((centre - longitudes[photos]) / 360)
        longitude = math.fsum(near.tolist()) / count
        means[0, cell] = math.fsum(latitudes[photos].tolist()) / count
        means[1, cell] = longitude if abs(longitude) <= 180 else longitude - math.copysign(360, longitude)
    return means[0], means[1]
