"""Partitionings of the Earth into S2 cells, and the hierarchy that three of them form."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo_model import cell_geometry, s2
from geo_model.errors import PartitioningError
from geo_model.sphere import EARTH_RADIUS_KM

if TYPE_CHECKING:
    from geo_model.places import Place


class Level(str, Enum):
    """The three resolutions at which a photo is classified."""

    COARSE = "coarse"
    MIDDLE = "middle"
    FINE = "fine"


LEVELS = tuple(Level)
"""The three levels, from large cells to small ones."""


@dataclass(frozen=True, eq=False)
class Partitioning:
    """Cells that do not overlap, each of them one class of a classifier.

    Attributes:
        name: What messages call it, such as the name of its file.
        ids: S2 cell ids, uint64 of shape (C,); the class index is the position.
        photo_counts: Photos in each cell, int64 of shape (C,), at least 1.
        latitudes: Mean latitude of each cell's photos in degrees, float64 of shape (C,).
        longitudes: Mean longitude of each cell's photos in degrees, float64 of shape (C,).

    Raises:
        PartitioningError: Arrays of different lengths, no cell, a number that is no cell id, or nested cells.
    """

    name: str
    ids: NDArray[np.uint64]
    photo_counts: NDArray[np.int64]
    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]

    def __post_init__(self) -> None:
        for field, dtype in (
            ("ids", np.uint64),
            ("photo_counts", np.int64),
            ("latitudes", np.float64),
            ("longitudes", np.float64),
        ):
            values = np.array(getattr(self, field), dtype=dtype)  # a copy, so that nobody else can change it
            values.flags.writeable = False
            object.__setattr__(self, field, values)
            if values.shape != (len(self.ids),):
                raise PartitioningError(
                    f"{self.name}: {field} has shape {values.shape}, but there are {len(self.ids)} cells"
                )
        if not len(self.ids):
            raise PartitioningError(f"{self.name} holds no cell")
        if (self.photo_counts < 1).any():
            raise PartitioningError(f"{self.name}: class {np.argmin(self.photo_counts)} has no photos")
        invalid = np.flatnonzero(~s2.is_valid(self.ids))
        if invalid.size:
            number = int(self.ids[invalid[0]])
            raise PartitioningError(
                f"{self.name}: class {invalid[0]} has {number:016x}, which is no S2 cell id"
            )
        if pair := overlapping_pair(self.ids):
            outer, inner = pair
            raise PartitioningError(
                f"{self.name}: class {inner} ({self.tokens[inner]}) lies in class {outer} "
                f"({self.tokens[outer]})"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def tokens(self) -> list[str]:
        """The S2 token of each class."""
        return s2.tokens(self.ids)

    @cached_property
    def s2_levels(self) -> NDArray[np.int64]:
        """The S2 level of each class, 0 (a sixth of the Earth) to 30; int64 of shape (C,)."""
        return s2.levels(self.ids)

    @cached_property
    def areas_km2(self) -> NDArray[np.float64]:
        """The area of each cell in km² on a sphere of 6371 km radius, float64 of shape (C,)."""
        return cell_geometry.areas_steradians(self.ids) * EARTH_RADIUS_KM**2

    @cached_property
    def places(self) -> list[Place]:
        """The populated place nearest to the mean coordinate of each class's photos."""
        from geo_model.places import nearest_places

        return nearest_places(self.latitudes, self.longitudes)

    def classes_of_ids(self, ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The class whose cell is, or contains, each given cell.

        Args:
            ids: Cell ids of any level, uint64 of shape (N,).

        Returns:
            Class indices, int64 of shape (N,), -1 where no cell of the partitioning holds the given one.
        """
        order, first, last = self._sorted_ranges
        lowest, highest = s2.range_bounds(ids)
        # Cells do not overlap, so the only candidate is the last one that begins at or before the given cell.
        candidate = np.searchsorted(first, lowest, side="right") - 1
        held = (candidate >= 0) & (highest <= last[candidate])
        return np.where(held, order[candidate], -1)

    def classes_of(self, latitudes: ArrayLike, longitudes: ArrayLike) -> NDArray[np.int64]:
        """The class of each coordinate: the one cell on its way from the face down to the leaf.

        Args:
            latitudes: Degrees, shape (N,).
            longitudes: Degrees, shape (N,).

        Returns:
            Class indices, int64 of shape (N,), -1 where no cell of the partitioning holds the coordinate.

        Raises:
            GeoModelError: A latitude beyond 90 degrees or a value that is not finite.
        """
        return self.classes_of_ids(s2.leaf_ids(latitudes, longitudes))

    def class_of(self, latitude: float, longitude: float) -> int | None:
        """The class of one coordinate in degrees, or None where no cell holds it."""
        found = int(self.classes_of([latitude], [longitude])[0])
        return found if found >= 0 else None

    def class_of_token(self, token: str) -> int | None:
        """The class that has exactly this S2 token, or None."""
        return self._class_by_token.get(token)

    def ring(self, class_index: int, step_degrees: float = 2.0) -> NDArray[np.float64]:
        """The boundary of a cell, ready to be drawn by latitude and longitude.

        The edges are great circles, with points added so that no two neighbours are further apart than the
        step. A corner that is a pole comes twice, once with the longitude of each neighbour. Only cells of
        level 0 cross the date line: all others have their longitudes on one side of it.

        Args:
            class_index: Which cell.
            step_degrees: Largest angle between neighbouring points, more than 0.

        Returns:
            Latitude and longitude in degrees, float64 of shape (V, 2), counter-clockwise as seen from above,
            not closed (the first point is not repeated at the end).
        """
        return self.rings([class_index], step_degrees)[0]

    def rings(
        self, class_indices: ArrayLike | None = None, step_degrees: float = 2.0
    ) -> list[NDArray[np.float64]]:
        """The boundaries of many cells (all of them if None) in one go; each as `ring` gives it."""
        ids = self.ids if class_indices is None else self.ids[np.asarray(class_indices, dtype=np.int64)]
        return cell_geometry.rings(ids, step_degrees)

    @classmethod
    def read_csv(cls, path: str | os.PathLike[str], name: str | None = None) -> Partitioning:
        """Read a partition CSV.

        File format: optionally two preamble lines (`num_images: N`, `min_concept_probability: ...`), then the
        header `class_label,hex_id,imgs_per_cell,latitude_mean,longitude_mean` and one line per class, whose
        class_label is its position. hex_id is an S2 token, always text. UTF-8, LF or CRLF.

        Args:
            path: The file.
            name: What messages call it; the file's name without its ending if None.

        Returns:
            The partitioning.

        Raises:
            PartitioningError: The file cannot be read, or its first defect with line and value.
        """
        from geo_model import partition_csv

        return partition_csv.read(Path(path), name)

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the partition CSV that `read_csv` reads back bit for bit (no preamble, UTF-8, LF).

        Raises:
            GeoModelError: The file cannot be written; a file of that name is then as it was.
        """
        from geo_model import partition_csv

        partition_csv.write(self, Path(path))

    @cached_property
    def _sorted_ranges(self) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]:
        order = np.argsort(self.ids, kind="stable").astype(np.int64)
        return order, *s2.range_bounds(self.ids[order])

    @cached_property
    def _class_by_token(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.tokens)}


def overlapping_pair(ids: NDArray[np.uint64]) -> tuple[int, int] | None:
    """The positions of two cells of which the first contains or equals the second, or None."""
    first, last = s2.range_bounds(ids)
    order = np.lexsort((~last, first))  # a cell before those inside it
    # Two cells are either apart or one inside the other, so if any overlap, two neighbours in this order do.
    inside_previous = np.flatnonzero(first[order][1:] <= last[order][:-1])
    if not inside_previous.size:
        return None
    # Of all pairs, the one whose second cell comes first in the file.
    place = min(inside_previous, key=lambda k: max(order[k], order[k + 1]))
    return int(order[place]), int(order[place + 1])


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Three partitionings in which each fine cell lies in one middle and one coarse cell (or is that cell).

    Build it with `Hierarchy.build`.

    Attributes:
        coarse: The partitioning with the largest cells, C of them.
        middle: The one between, with M cells.
        fine: The one with the smallest cells, F of them.
        ancestors: For each fine class the index of the coarse, the middle and the fine class (itself) that it
            lies in; int64 of shape (F, 3).
    """

    coarse: Partitioning
    middle: Partitioning
    fine: Partitioning
    ancestors: NDArray[np.int64]

    @classmethod
    def build(cls, coarse: Partitioning, middle: Partitioning, fine: Partitioning) -> Hierarchy:
        """Find every fine cell's ancestors from the bits of the ids alone.

        Raises:
            PartitioningError: A fine cell has no ancestor-or-self at a level; the message has its token.
        """
        columns: Sequence[NDArray[np.int64]] = [p.classes_of_ids(fine.ids) for p in (coarse, middle, fine)]
        for level, partitioning, column in zip(LEVELS, (coarse, middle, fine), columns, strict=True):
            orphans = np.flatnonzero(column < 0)
            if orphans.size:
                more = f" (and {orphans.size - 1} more)" if orphans.size > 1 else ""
                raise PartitioningError(
                    f"the hierarchy is incomplete: the fine cell {fine.tokens[orphans[0]]}{more} of "
                    f"{fine.name} lies in no {level.value} cell of {partitioning.name}; make all three "
                    "partitionings from the same photos with the same img_min"
                )
        ancestors = np.stack(columns, axis=1)
        ancestors.flags.writeable = False
        return cls(coarse, middle, fine, ancestors)

    def __getitem__(self, level: Level | str) -> Partitioning:
        return {Level.COARSE: self.coarse, Level.MIDDLE: self.middle, Level.FINE: self.fine}[Level(level)]

    def has_cells_of(self, other: Hierarchy) -> bool:
        """Whether the partitionings are of the same cells, in memory once or twice."""
        return self is other or all(np.array_equal(self[level].ids, other[level].ids) for level in LEVELS)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many cells the coarse, the middle and the fine partitioning have."""
        return len(self.coarse), len(self.middle), len(self.fine)
