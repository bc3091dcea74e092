"""Reading tables of photo coordinates."""

from __future__ import annotations

import csv
import io
import math
import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geo_model.errors import TableError

ID_NAMES = ("IMG_ID", "id")
LATITUDE_NAMES = ("LAT", "latitude")
LONGITUDE_NAMES = ("LON", "longitude")
_ROWS_PER_REPORT = 50_000


@dataclass(frozen=True, eq=False)
class CoordinateTable:
    """Photos and where they were taken.

    Attributes:
        ids: N texts, exactly as in the file, or None where the file has no id column or it was not wanted.
        latitudes: Degrees within [-90, 90], float64 of shape (N,).
        longitudes: Degrees within [-180, 180], float64 of shape (N,).
    """

    ids: list[str] | None
    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.latitudes)


@dataclass(frozen=True)
class _Columns:
    """The position of each column that is read (None for a missing id column), and the header itself."""

    id: int | None
    latitude: int
    longitude: int
    header: list[str]


def read_coordinates(
    path: str | os.PathLike[str], *, with_ids: bool = True, progress: Callable[[float], None] | None = None
) -> CoordinateTable:
    """Read a CSV of coordinates.

    File format: a header and one line per photo; UTF-8, LF or CRLF. Columns are found by name, in any order
    and in capitals or not: `IMG_ID` or `id` (may be missing), `LAT` or `latitude`, `LON` or `longitude`.
    Others are ignored. Degrees.

    Args:
        path: The file.
        with_ids: Whether the ids are wanted; without them, millions of rows take less memory.
        progress: Called now and then with the share of the file that has been read, 0 to 1.

    Returns:
        The table, in the order of the file.

    Raises:
        TableError: The file cannot be read, a column is missing, or the first unusable row with its line,
            column and value. A latitude beyond 90 degrees is said to look like swapped headers.
    """
    ids: list[str] = []
    latitudes, longitudes = array("d"), array("d")
    try:
        with open(path, "rb") as raw:
            size = os.fstat(raw.fileno()).st_size  # 0 for a pipe, which cannot say how far it is
            reader = csv.reader(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""), strict=True)
            columns = _find_columns(path, next((row for row in reader if row), []))
            id_column = columns.id if with_ids else None
            latitude_column, longitude_column = columns.latitude, columns.longitude
            width = len(columns.header)
            for row in reader:
                if not row:
                    continue
                try:
                    latitude_text, longitude_text = row[latitude_column], row[longitude_column]
                    latitude, longitude = float(latitude_text), float(longitude_text)
                except (ValueError, IndexError):
                    raise _defect(path, reader.line_num, row, columns) from None
                in_range = -90 <= latitude <= 90 and -180 <= longitude <= 180  # false for NaN as well
                # Python reads 1_0 as 10; a table that holds such a thing is damaged.
                if len(row) != width or not in_range or "_" in latitude_text or "_" in longitude_text:
                    raise _defect(path, reader.line_num, row, columns)
                latitudes.append(latitude)
                longitudes.append(longitude)
                if id_column is not None:
                    ids.append(row[id_column])
                if progress and size and not len(latitudes) % _ROWS_PER_REPORT:
                    progress(raw.tell() / size)
    except OSError as error:
        raise TableError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path}, after line {reader.line_num}: not UTF-8 text; save it as a UTF-8 CSV"
        ) from error
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num}: not readable as CSV ({error})") from error
    if not latitudes:
        raise TableError(f"{path} has a header but no rows")
    return CoordinateTable(
        ids if id_column is not None else None,
        np.frombuffer(latitudes, dtype=np.float64),
        np.frombuffer(longitudes, dtype=np.float64),
    )


def _find_columns(path: str | os.PathLike[str], header: list[str]) -> _Columns:
    if not header:
        raise TableError(f"{path} is empty; a header such as IMG_ID,LAT,LON or LAT,LON must come first")
    names = [name.strip().lower() for name in header]

    def position_of(candidates: tuple[str, ...]) -> int | None:
        found = [index for index, name in enumerate(names) if name in [c.lower() for c in candidates]]
        if len(found) > 1:
            both = " and ".join(header[index].strip() for index in found)
            raise TableError(f"{path}: two columns for the same thing, {both}; remove one of them")
        return found[0] if found else None

    def required(candidates: tuple[str, ...]) -> int:
        position = position_of(candidates)
        if position is None:
            raise TableError(
                f"{path}: no column {' or '.join(candidates)} among {','.join(header)[:200]!r}; "
                "the first line must be a header such as IMG_ID,LAT,LON or LAT,LON"
            )
        return position

    return _Columns(
        id=position_of(ID_NAMES),
        latitude=required(LATITUDE_NAMES),
        longitude=required(LONGITUDE_NAMES),
        header=[name.strip() for name in header],
    )


def _defect(path: str | os.PathLike[str], line: int, row: list[str], columns: _Columns) -> TableError:
    """What is wrong with a row that cannot be used, in one sentence."""
    if len(row) != len(columns.header):
        return TableError(
            f"{path}, line {line}: {len(row)} fields where the header has {len(columns.header)}; "
            "a text with a comma in it must stand in quotes"
        )
    for position, limit in ((columns.latitude, 90), (columns.longitude, 180)):
        text, name = row[position], columns.header[position]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if "_" in text or not math.isfinite(value):
            what = f"{text!r} is not a number" if text.strip() else "the cell is empty"
            return TableError(
                f"{path}, line {line}, column {name}: {what}; degrees are wanted, such as 46.78"
            )
        if abs(value) > limit:
            swapped = ""
            if limit == 90 and abs(value) <= 180:
                swapped = f"; the headers {name} and {columns.header[columns.longitude]} may be swapped"
            return TableError(
                f"{path}, line {line}, column {name}: {text.strip()} is beyond {limit} degrees{swapped}"
            )
    raise AssertionError(f"{path}, line {line} has no defect")
