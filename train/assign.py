"""The class of every photo in each of the three partitionings."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geo_model import s2
from geo_model.cells import LEVELS, Hierarchy
from geo_model.files import replaced_when_written
from train.tables import CoordinateTable

COLUMNS = ("IMG_ID", "LAT", "LON", *(level.value for level in LEVELS))
"""The columns of the table that `write_assigned` writes."""

_ROWS_AT_ONCE = 50_000


def assign(
    latitudes: NDArray[np.float64], longitudes: NDArray[np.float64], hierarchy: Hierarchy
) -> NDArray[np.int64]:
    """The class of each coordinate at each level.

    Args:
        latitudes: Degrees, float64 of shape (N,).
        longitudes: Degrees, float64 of shape (N,).
        hierarchy: The three partitionings.

    Returns:
        Class indices, int64 of shape (N, 3), columns coarse, middle, fine; -1 where no cell holds the photo.

    Raises:
        GeoModelError: A latitude beyond 90 degrees or a value that is not finite.
    """
    leaves = s2.leaf_ids(latitudes, longitudes)
    return np.stack([hierarchy[level].classes_of_ids(leaves) for level in LEVELS], axis=1)


def write_assigned(
    path: str | os.PathLike[str],
    table: CoordinateTable,
    classes: NDArray[np.int64],
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write photos with their classes as CSV: `IMG_ID,LAT,LON,coarse,middle,fine`, UTF-8, LF.

    A class is empty where no cell holds the photo. Where the table has no ids, the row's number, counted
    from 0, takes their place.

    Args:
        path: The file to write; it is replaced only once all rows are written.
        table: N photos.
        classes: Class indices, int64 of shape (N, 3), as `assign` gives them.
        progress: Called now and then with the share of rows written, 0 to 1.

    Raises:
        GeoModelError: The file cannot be written.
    """
    with replaced_when_written(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for start in range(0, len(table), _ROWS_AT_ONCE):
            part = slice(start, min(start + _ROWS_AT_ONCE, len(table)))
            writer.writerows(
                zip(
                    range(part.start, part.stop) if table.ids is None else table.ids[part],
                    table.latitudes[part].tolist(),
                    table.longitudes[part].tolist(),
                    *(
                        ["" if index < 0 else index for index in column.tolist()]
                        for column in classes[part].T
                    ),
                    strict=True,
                )
            )
            if progress:
                progress(part.stop / len(table))
