"""Where photos were taken: the truth CSV.

File format: a header with the columns IMG_ID,LAT,LON or img_id,gt_lat,gt_long (any order, others ignored),
then a line a photo; degrees; UTF-8 with or without a byte order mark, LF or CRLF.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator
from typing import Any

from geo_model.errors import TableError, reason_of
from geo_model.images import photo_name

Coordinate = tuple[float, float]
"""Latitude and longitude in degrees."""

TRUTH_COLUMNS = (("IMG_ID", "LAT", "LON"), ("img_id", "gt_lat", "gt_long"))
"""The two layouts of a truth CSV, each id, latitude, longitude; upper or lower case."""


def read_truth_csv(source: str | os.PathLike[str] | bytes, name: str | None = None) -> dict[str, Coordinate]:
    """Read where photos were taken.

    Args:
        source: Path of a truth CSV, see the head of this module, or its content.
        name: What to call it in an error; by default its path.

    Returns:
        Latitude and longitude in degrees for each photo id.

    Raises:
        TableError: The file cannot be read, a column is missing, an id is empty or repeated, or a coordinate
            is no coordinate; the sentence names file, line and column.
    """
    name = _table_name(source, name)
    rows = csv_rows(source, name)
    columns = _truth_columns(name, next(rows, (1, []))[1])
    (id_column, id_at), (latitude_column, latitude_at), (longitude_column, longitude_at) = columns
    truths: dict[str, Coordinate] = {}
    lines: dict[str, int] = {}
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{name}, line {line}"
        if len(cells) <= max(id_at, latitude_at, longitude_at):
            raise TableError(
                f"{where}: it has {len(cells)} cells and the header names more; complete the line."
            )
        photo_id = cells[id_at].strip()
        if not photo_id:
            raise TableError(f"{where}, column {id_column}: it is empty; name the photo.")
        if photo_id in truths:
            raise TableError(
                f"{where}, column {id_column}: {photo_name(photo_id)!r} is already in line "
                f"{lines[photo_id]}; keep one of the two."
            )
        truths[photo_id] = (
            degrees_of(f"{where}, column {latitude_column}", cells[latitude_at], "latitude"),
            degrees_of(f"{where}, column {longitude_column}", cells[longitude_at], "longitude"),
        )
        lines[photo_id] = line
    if not truths:
        raise TableError(f"{name}: it has a header and no line below; give at least one photo's coordinate.")
    return truths


def csv_rows(
    source: str | os.PathLike[str] | bytes, name: str | None = None
) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV, UTF-8 with or without a byte order mark, each with the line that it ends in.

    Args:
        source: Path of the CSV, or its content.
        name: What to call it in an error; by default its path.

    Raises:
        TableError: The file cannot be read, is not UTF-8 text, or is not CSV.
    """
    name = _table_name(source, name)
    try:
        with (
            io.TextIOWrapper(io.BytesIO(source), newline="", encoding="utf-8-sig")
            if isinstance(source, bytes)
            else open(source, newline="", encoding="utf-8-sig")
        ) as stream:
            reader = csv.reader(stream)
            for cells in reader:
                yield reader.line_num, cells
    except OSError as error:
        reason = reason_of(error)
        raise TableError(f"{name} cannot be read: {reason}; give the path of a CSV file.") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{name}: it is not UTF-8 text; save the table as CSV in UTF-8.") from error
    except csv.Error as error:
        raise TableError(
            f"{name}, line {reader.line_num}: it is not CSV ({error}); save the table as CSV."
        ) from error


def _table_name(source: str | os.PathLike[str] | bytes, name: str | None) -> str:
    return name or ("the table" if isinstance(source, bytes) else os.fspath(source))


def _truth_columns(name: str, header: list[str]) -> list[tuple[str, int]]:
    """Name and position of the id, latitude and longitude column."""
    found = {cell.strip().casefold(): position for position, cell in reversed(list(enumerate(header)))}
    for layout in TRUTH_COLUMNS:
        if all(column.casefold() in found for column in layout):
            return [(column, found[column.casefold()]) for column in layout]
    listed = photo_name(",".join(header)[:200], "nothing")
    expected = " or ".join(",".join(layout) for layout in TRUTH_COLUMNS)
    raise TableError(f"{name}, line 1: the header needs the columns {expected} and has {listed!r}.")


def degrees_of(where: str, value: Any, axis: str) -> float:  # noqa: ANN401 - whatever a file may say
    """A latitude or longitude in degrees.

    Args:
        where: File, line and column, for the error.
        value: Text of a CSV cell, or whatever stood in a JSON file.
        axis: "latitude" or "longitude".

    Raises:
        TableError: It is no number, not finite or out of range.
    """
    limit = 90.0 if axis == "latitude" else 180.0
    try:
        if isinstance(value, bool) or "_" in str(value):  # Python would take True and 1_0 for numbers
            raise ValueError
        degrees = float(value)
    except (TypeError, ValueError, OverflowError):
        shown = photo_name(str(value), "")[:40]
        raise TableError(f"{where}: {shown!r} is not a number; give the {axis} in degrees.") from None
    if not math.isfinite(degrees):
        raise TableError(f"{where}: {degrees} is not finite; give the {axis} in degrees.")
    if abs(degrees) > limit:
        advice = "are latitude and longitude swapped?" if axis == "latitude" else "give it in -180 to 180."
        raise TableError(f"{where}: {axis} {degrees:g} is beyond {limit:g} degrees; {advice}")
    return degrees
