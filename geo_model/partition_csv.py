"""The partition CSV: one line per cell, every defect named by its line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from geo_model import cell_geometry, s2
from geo_model.cells import Partitioning, overlapping_pair
from geo_model.errors import PartitioningError, reason_of
from geo_model.files import replaced_when_written
from geo_model.sphere import great_circle_km

COLUMNS = ("class_label", "hex_id", "imgs_per_cell", "latitude_mean", "longitude_mean")
"""The columns of a partition CSV, in the order in which they are written."""

_PREAMBLE = re.compile(r"\s*(num_images|min_concept_probability)\s*:")
_WHOLE_NUMBER = re.compile(r"\d{1,18}")
_SPREADSHEET_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?")


def read(path: Path, name: str | None = None) -> Partitioning:
    """Read a partition CSV; see `Partitioning.read_csv`."""
    rows = _rows(path)
    header_line, header = next(rows, (1, None))
    while header is not None and header_line <= 2 and header and _PREAMBLE.match(header[0]):
        header_line, header = next(rows, (header_line + 1, None))
    if header is None:
        raise PartitioningError(
            f"{path} is empty or has no header; a partition CSV begins {','.join(COLUMNS)}"
        )
    positions = _column_positions(path, header_line, header)

    lines: list[int] = []
    ids: list[int] = []
    counts: list[int] = []
    latitudes: list[float] = []
    longitudes: list[float] = []
    for line, row in rows:
        if len(row) != len(header):
            raise PartitioningError(f"{path}, line {line}: {len(row)} fields instead of {len(header)}")
        label, token, count, latitude, longitude = (row[position].strip() for position in positions)
        where = f"{path}, line {line}"
        if label != str(len(ids)):
            raise PartitioningError(
                f"{where}: class_label is {label!r} where {len(ids)} must follow: classes out of order"
            )
        lines.append(line)
        ids.append(_cell_id(where, token))
        counts.append(_photo_count(where, count))
        latitudes.append(_degrees(where, "latitude_mean", latitude, 90))
        longitudes.append(_degrees(where, "longitude_mean", longitude, 180))
    if not ids:
        raise PartitioningError(f"{path} has a header but no cells")

    id_array = np.array(ids, dtype=np.uint64)
    _check_apart(path, id_array, lines)
    _check_means(path, id_array, np.array(latitudes), np.array(longitudes), lines)
    return Partitioning(
        name=path.stem if name is None else name,
        ids=id_array,
        photo_counts=np.array(counts, dtype=np.int64),
        latitudes=np.array(latitudes),
        longitudes=np.array(longitudes),
    )


def write(partitioning: Partitioning, path: Path) -> None:
    """Write a partition CSV; see `Partitioning.write_csv`."""
    rows = zip(
        range(len(partitioning)),
        partitioning.tokens,
        partitioning.photo_counts.tolist(),
        partitioning.latitudes.tolist(),  # as the shortest text that reads back as the same float64
        partitioning.longitudes.tolist(),
        strict=True,
    )
    with replaced_when_written(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each line that is not blank, with its number in the file, counted from 1."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PartitioningError(f"{path} cannot be read: {reason_of(error)}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise PartitioningError(f"{path}, line {line}: not UTF-8 text; is this a partition CSV?") from error
    reader = csv.reader(io.StringIO(text, newline=None), strict=True)
    try:
        for row in reader:
            if any(field.strip() for field in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise PartitioningError(f"{path}, line {reader.line_num}: not readable as CSV ({error})") from error


def _column_positions(path: Path, line: int, header: list[str]) -> list[int]:
    names = [name.strip() for name in header]
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        raise PartitioningError(
            f"{path}, line {line}: no column {' or '.join(missing)} among {','.join(names)[:200]!r}; "
            f"a partition CSV has {','.join(COLUMNS)}"
        )
    twice = [column for column in COLUMNS if names.count(column) > 1]
    if twice:
        raise PartitioningError(f"{path}, line {line}: the column {twice[0]} comes more than once")
    return [names.index(column) for column in COLUMNS]


def _cell_id(where: str, token: str) -> int:
    number = s2.id_from_token(token)
    if number is not None:
        return number
    if token and _SPREADSHEET_NUMBER.fullmatch(token):
        raise PartitioningError(
            f"{where}: hex_id {token!r} was turned into a number by a spreadsheet; take the original file "
            "(hex_id must stay text)"
        )
    raise PartitioningError(f"{where}: hex_id {token!r} is not an S2 cell token")


def _photo_count(where: str, text: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text) or int(text) == 0:
        raise PartitioningError(f"{where}: imgs_per_cell {text!r} is not a whole number above 0")
    return int(text)


def _degrees(where: str, column: str, text: str, limit: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if "_" in text or not math.isfinite(value):
        raise PartitioningError(f"{where}: {column} {text!r} is not a number")
    if abs(value) > limit:
        swapped = "; are latitude and longitude swapped?" if limit == 90 and abs(value) <= 180 else ""
        raise PartitioningError(f"{where}: {column} {text} is beyond {limit} degrees{swapped}")
    return value


def _check_apart(path: Path, ids: np.ndarray, lines: list[int]) -> None:
    pair = overlapping_pair(ids)
    if pair is None:
        return
    outer, inner = pair
    outer_token, inner_token = s2.tokens(ids[[outer, inner]])
    if outer_token == inner_token:
        first, second = sorted(pair)
        raise PartitioningError(
            f"{path}, line {lines[second]}: the cell {inner_token} is already on line {lines[first]}"
        )
    raise PartitioningError(
        f"{path}, line {lines[inner]}: the cell {inner_token} lies in the cell {outer_token} "
        f"of line {lines[outer]}; cells must not overlap"
    )


def _check_means(
    path: Path, ids: np.ndarray, latitudes: np.ndarray, longitudes: np.ndarray, lines: list[int]
) -> None:
    """Refuse a mean coordinate far from its cell, as a token that lost its leading zeros has.

    The arithmetic mean of latitudes and longitudes may fall a little outside its cell, so twice the cell's
    radius is allowed.
    """
    centre_latitudes, centre_longitudes, radii_km = cell_geometry.centres(ids)
    far = great_circle_km(latitudes, longitudes, centre_latitudes, centre_longitudes) > 2 * radii_km + 0.001
    if far.any():
        index = int(np.argmax(far))
        raise PartitioningError(
            f"{path}, line {lines[index]}: the mean coordinate {latitudes[index]}, {longitudes[index]} is "
            f"nowhere near the cell {s2.tokens(ids[[index]])[0]}; one of the two is damaged"
        )
