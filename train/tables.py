"""Reading tables of photo coordinates.

File format: a header and one line a photo; UTF-8 with or without a byte order mark, LF or CRLF. Columns are
found by name, in any order and in capitals or not: `IMG_ID` or `id` (may be missing), `LAT` or `latitude`,
`LON` or `longitude`. Others are ignored. Degrees. So MP-16 and YFCC25600 tables are read as they are.
"""

from __future__ import annotations

import csv
import io
import math
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from geo_model.errors import TableError, reason_of
from train.csv_records import BrokenRecord, read_records
from train.photo_ids import PhotoIds

ID_NAMES = ("IMG_ID", "id")
LATITUDE_NAMES = ("LAT", "latitude")
LONGITUDE_NAMES = ("LON", "longitude")
REPEATED_ID = "id that stands in an earlier line"
"""The kind of a defect that no row has by itself."""

_ROWS_PER_REPORT = 50_000
_LONGEST_SHOWN = 60


@dataclass(frozen=True, eq=False)
class CoordinateTable:
    """Photos and where they were taken.

    Attributes:
        ids: N texts, exactly as in the file, or None where the file has no id column or it was not wanted.
        latitudes: Degrees within [-90, 90], float64 of shape (N,).
        longitudes: Degrees within [-180, 180], float64 of shape (N,).
    """

    ids: Sequence[str] | None
    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.latitudes)


@dataclass(frozen=True)
class Defect:
    """Why a row cannot be used.

    Attributes:
        line: Where the row begins, counted from 1, the header's line included.
        column: Name of the column; empty where it is the row as a whole.
        kind: The same words for every defect of its sort.
        reason: What is wrong, and what to do.
    """

    line: int
    column: str
    kind: str
    reason: str

    def sentence(self, path: str | os.PathLike[str]) -> str:
        """What is wrong and where."""
        column = f", column {self.column}" if self.column else ""
        return f"{path}, line {self.line}{column}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Scan:
    """What reading a table found.

    Attributes:
        table: The N usable rows.
        ids: Their ids, None where the file has no id column.
        lines: The line at which each begins.
        id_column: Name of the id column, empty if there is none.
        stopped_at: The defect at which reading ended.
    """

    table: CoordinateTable
    ids: PhotoIds | None
    lines: Sequence[int]
    id_column: str
    stopped_at: Defect | None

    def repeated_ids(self) -> Iterator[Defect]:
        """The rows whose id an earlier row has already, in order."""
        if self.ids is None:
            return
        for row, first in self.ids.repeated():
            shown = _shown(self.ids[row])
            yield Defect(
                self.lines[row],
                self.id_column,
                REPEATED_ID,
                f"{shown} stands in line {self.lines[first]} already; keep one of the two",
            )


def read_coordinates(
    path: str | os.PathLike[str], *, with_ids: bool = True, progress: Callable[[float], None] | None = None
) -> CoordinateTable:
    """Read a table; a single row that cannot be used is an error.

    Args:
        path: A CSV file; see the head of this module.
        with_ids: Whether the ids are wanted; without them, millions of rows take less memory.
        progress: Called now and then with the share of the file that has been read, 0 to 1.

    Returns:
        The table, in the order of the file.

    Raises:
        TableError: The file cannot be read, a column is missing, or the first unusable row with its line,
            column and value: a coordinate that is none or out of range (a latitude beyond 90 degrees is said
            to look like swapped headers), an id that is empty or stands in an earlier line.
    """
    scan = scan_table(path, progress=progress)
    # A repeated id stands above the row at which reading ended, if it ended early.
    if (defect := next(scan.repeated_ids(), scan.stopped_at)) is not None:
        raise TableError(defect.sentence(path))
    if not len(scan.table):
        raise TableError(f"{path} has a header but no rows")
    return CoordinateTable(
        scan.ids if with_ids else None,
        scan.table.latitudes,
        scan.table.longitudes,
    )


def scan_table(
    path: str | os.PathLike[str],
    on_defect: Callable[[Defect], None] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Scan:
    """Read the usable rows of a table.

    Args:
        path: A CSV file; see the head of this module.
        on_defect: Called with each defect of a row by itself, in order. Without it, reading ends at the
            first.
        progress: As for `read_coordinates`.

    Raises:
        TableError: The file cannot be read, or a column is missing.
    """
    block, ends, lines = bytearray(), array("q"), array("q")
    latitudes, longitudes = array("d"), array("d")
    stopped_at: Defect | None = None
    try:
        with open(path, "rb") as raw:
            size = os.fstat(raw.fileno()).st_size  # 0 for a pipe, which cannot say how far it is
            text = _text(path, raw)
            columns, header_lines = _read_header(path, text)
            id_at, latitude_at, longitude_at = columns.id, columns.latitude, columns.longitude
            rewind = on_defect is not None
            for line, row in read_records(text, header_lines, len(columns.header), rewind=rewind):
                try:
                    if isinstance(row, BrokenRecord):
                        raise ValueError
                    latitude_text, longitude_text = row[latitude_at], row[longitude_at]
                    latitude, longitude = float(latitude_text), float(longitude_text)
                    # Beyond the range, or NaN. Python reads 1_0 as 10; such a table is damaged.
                    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180) or (
                        "_" in latitude_text or "_" in longitude_text
                    ):
                        raise ValueError
                    if id_at is not None:
                        photo_id = row[id_at].encode()  # bytes that are not UTF-8 cannot be encoded
                        if not photo_id:
                            raise ValueError
                        block += photo_id
                        ends.append(len(block))
                except ValueError:
                    defect = _defect(line, row, columns)
                    if on_defect is None:
                        stopped_at = defect
                        break
                    on_defect(defect)
                    continue
                latitudes.append(latitude)
                longitudes.append(longitude)
                lines.append(line)
                if progress and size and not len(latitudes) % _ROWS_PER_REPORT:
                    progress(raw.tell() / size)
    except OSError as error:
        raise TableError(f"{path} cannot be read: {reason_of(error)}") from error
    ids = None if id_at is None else PhotoIds(bytes(block), np.array(ends, dtype=np.int64))
    del block, ends
    return Scan(
        CoordinateTable(ids, _float64(latitudes), _float64(longitudes)),
        ids,
        lines,
        "" if id_at is None else columns.header[id_at],
        stopped_at,
    )


def _float64(values: array[float]) -> NDArray[np.float64]:
    return np.frombuffer(values, dtype=np.float64) if values else np.zeros(0)


def _text(path: str | os.PathLike[str], raw: io.BufferedReader) -> TextIO:
    """The file's text; bytes that are not UTF-8 become lone surrogates, so that their line can be named."""
    if raw.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise TableError(f"{path} is UTF-16, not UTF-8 text; save it as a UTF-8 CSV")
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")


@dataclass(frozen=True)
class _Columns:
    """The position of each column that is read (None for a missing id column), and the header itself."""

    id: int | None
    latitude: int
    longitude: int
    header: list[str]


def _read_header(path: str | os.PathLike[str], text: TextIO) -> tuple[_Columns, int]:
    """The columns, and how many lines the header and the empty lines above it take."""
    reader = csv.reader(text, strict=True)
    try:
        header = next((row for row in reader if row), [])
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num}: not readable as CSV ({error})") from error
    try:
        "".join(header).encode()
    except UnicodeEncodeError as error:
        raise TableError(f"{path}, line {reader.line_num}: not UTF-8 text; save it as a UTF-8 CSV") from error
    return _find_columns(path, header), reader.line_num


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


def _defect(line: int, row: list[str] | BrokenRecord, columns: _Columns) -> Defect:
    """What is wrong with a record that cannot be used."""
    if isinstance(row, BrokenRecord):
        return Defect(line, "", row.kind, row.reason)
    for position, limit, axis in ((columns.latitude, 90, "latitude"), (columns.longitude, 180, "longitude")):
        text, name = row[position], columns.header[position]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not text.strip():
            return Defect(line, name, f"empty {axis}", "the cell is empty; degrees are wanted, such as 46.78")
        if "_" in text or not math.isfinite(value):
            reason = f"{_shown(text)} is not a number; degrees are wanted, such as 46.78"
            return Defect(line, name, f"{axis} that is no number", reason)
        if abs(value) > limit:
            swapped = ""
            if limit == 90 and abs(value) <= 180:
                swapped = f"; the headers {name} and {columns.header[columns.longitude]} may be swapped"
            reason = f"{text.strip()[:_LONGEST_SHOWN]} is beyond {limit} degrees{swapped}"
            return Defect(line, name, f"{axis} beyond {limit} degrees", reason)
    assert columns.id is not None, "only an id is left that can be wrong"
    if row[columns.id]:
        return Defect(line, columns.header[columns.id], "id that is not UTF-8", "not UTF-8 text; save it so")
    return Defect(line, columns.header[columns.id], "empty id", "the cell is empty; every photo needs an id")


def _shown(text: str) -> str:
    """A text from the file in quotes, on one line and not too long."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…")
