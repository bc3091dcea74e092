"""Predictions beside the truth, read from a CSV: what a method's authors publish, or what `evaluate` writes.

File format: a header and a line a photo; UTF-8 with or without a byte order mark, LF or CRLF; degrees.
Columns are found by name, in any order and in capitals or not; others are ignored:

- `img_id,gt_lat,gt_long,predicted_lat,predicted_long`, as published tables of predictions have them; each id
  once;
  `url`, `author`, `license_name` and `license_url` may say where a photo is and whose (`photo_credits`);
- `photo,truth_latitude,truth_longitude,latitude,longitude`, as `geo_model evaluate --out` writes them; the
  column `error` says why a photo has no answer, and ids may repeat, for photos of two tars can share a name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from geo_model.errors import TableError
from geo_model.images import photo_name
from geo_model.metrics import DistanceSummary, summarise
from geo_model.photo_credits import CREDIT_COLUMNS, LICENCE_IDS, PhotoCredit, read_credit
from geo_model.sphere import great_circle_km
from geo_model.truth import Coordinate, csv_rows, degrees_of

PUBLISHED_COLUMNS = ("img_id", "gt_lat", "gt_long", "predicted_lat", "predicted_long")
EVALUATE_COLUMNS = ("photo", "truth_latitude", "truth_longitude", "latitude", "longitude")
"""The two layouts: id, latitude and longitude of the truth, latitude and longitude of the answer."""

WRITTEN_COLUMNS = (
    *("img_id", "gt_lat", "predicted_lat", "gt_long", "predicted_long", "great_circle_distance"),
    *("url", "available", "author", "license_id", "license_name", "license_url"),
)
"""What `table_csv` writes: the columns of the Im2GPS table that the paper's authors publish."""

_ERROR = "error"
_AXES = ("latitude", "longitude", "latitude", "longitude")


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """Photos with truth and answer, N of them, at least one.

    Attributes:
        name: Of the file.
        photo_ids: N texts.
        truth: Latitude and longitude in degrees, float64 (N, 2).
        points: The answers, likewise.
        bad_rows: A sentence for each row that was left out because it cannot be used.
        without_answer: Id and reason of each photo that the table itself says has no answer.
        credits: Where each photo is and whose; empty, or N of them, None where the table says nothing.
        remarks: A sentence for each address that is left out of a row that is otherwise used.
    """

    name: str
    photo_ids: tuple[str, ...]
    truth: NDArray[np.float64]
    points: NDArray[np.float64]
    bad_rows: tuple[str, ...]
    without_answer: tuple[tuple[str, str], ...]
    credits: tuple[PhotoCredit | None, ...] = ()
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.photo_ids)

    @property
    def distances_km(self) -> NDArray[np.float64]:
        """Great-circle distance between truth and answer in km, float64 (N,)."""
        return great_circle_km(*self.truth.T, *self.points.T)

    def summary(self) -> DistanceSummary:
        """Accuracy, median, mean and GeoScore of all rows."""
        return summarise(self.name, self.distances_km)

    def constant_summary(self, point: Coordinate) -> DistanceSummary:
        """What answering one place for every photo reaches; a model below that has learned nothing.

        Args:
            point: Latitude and longitude in degrees.
        """
        name = f"always {point[0]:g}, {point[1]:g}"
        return summarise(name, great_circle_km(self.truth[:, 0], self.truth[:, 1], point[0], point[1]))


def read_predictions(source: str | os.PathLike[str] | bytes, name: str | None = None) -> PredictionTable:
    """Read a table of predictions; see the head of this module.

    A row that cannot be used does not end the reading: `bad_rows` of the result names it by line and column.

    Args:
        source: Path of the table, or its content.
        name: What to call it; by default its path.

    Raises:
        TableError: The file cannot be read, columns are missing, or no row can be used.
    """
    name = name or ("the table" if isinstance(source, bytes) else os.fspath(source))
    rows = csv_rows(source, name)
    _, header = next(rows, (1, []))
    columns, error_at = _columns(name, header)
    credits_at = _credit_columns(header)
    ids_are_unique = columns[0][0] == PUBLISHED_COLUMNS[0]
    lines: dict[str, int] = {}
    photo_ids: list[str] = []
    degrees: list[list[float]] = []
    bad_rows: list[str] = []
    without_answer: list[tuple[str, str]] = []
    credits: list[PhotoCredit | None] = []
    remarks: list[str] = []
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{name}, line {line}"
        try:
            if len(cells) != len(header):
                raise TableError(
                    f"{where}: it has {len(cells)} cells and the header has {len(header)}; a text with a "
                    "comma in it must stand in quotes."
                )
            (id_column, id_at), *coordinates = columns
            photo_id = cells[id_at].strip()
            if error_at is not None and cells[error_at].strip():
                without_answer.append((photo_name(photo_id, "a photo"), photo_name(cells[error_at].strip())))
                continue
            if not photo_id:
                raise TableError(f"{where}, column {id_column}: it is empty; name the photo.")
            if ids_are_unique and photo_id in lines:
                raise TableError(
                    f"{where}, column {id_column}: {photo_name(photo_id)!r} is already in line "
                    f"{lines[photo_id]}; keep one of the two."
                )
            row = [
                degrees_of(f"{where}, column {column}", cells[position], axis)
                for (column, position), axis in zip(coordinates, _AXES, strict=True)
            ]
        except TableError as error:
            bad_rows.append(str(error))
            continue
        lines[photo_id] = line
        credit, remark = read_credit(where, {key: cells[at] for key, at in credits_at.items()})
        credits.append(credit)
        remarks += [remark] if remark else []
        photo_ids.append(photo_id)
        degrees.append(row)
    if not degrees:
        raise TableError(_why_nothing(name, bad_rows, without_answer))
    values = np.array(degrees, dtype=np.float64)
    return PredictionTable(
        photo_name(PurePath(name).name),
        tuple(photo_ids),
        values[:, :2],
        values[:, 2:],
        tuple(bad_rows),
        tuple(without_answer),
        tuple(credits),
        tuple(remarks),
    )


def table_csv(table: PredictionTable) -> Iterator[str]:
    """The table as CSV, line by line, in `WRITTEN_COLUMNS`, which `read_predictions` reads back.

    Degrees with up to six decimals, km with two. `available` is 1 where the table has an address, else 0;
    `license_id` is the number that Flickr's interface gives the licence, empty for others.
    """
    from geo_model.exports import csv_line  # which imports torch

    yield csv_line(WRITTEN_COLUMNS)
    credits = table.credits or (None,) * len(table)
    rows = zip(table.photo_ids, table.truth, table.points, table.distances_km, credits, strict=True)
    for photo_id, truth, point, km, credit in rows:
        said = credit or PhotoCredit()
        degrees = [round(float(value), 6) for value in (truth[0], point[0], truth[1], point[1])]
        yield csv_line(
            [
                *(photo_name(photo_id), *degrees, f"{km:.2f}", said.url, int(bool(said.url)), said.author),
                *(LICENCE_IDS.get(said.licence, ""), said.licence, said.licence_url),
            ]
        )


def _columns(name: str, header: list[str]) -> tuple[list[tuple[str, int]], int | None]:
    """Name and position of the five columns of a layout, and the position of the column `error` if any."""
    found = {cell.strip().casefold(): position for position, cell in reversed(list(enumerate(header)))}
    for layout in (PUBLISHED_COLUMNS, EVALUATE_COLUMNS):
        if all(column in found for column in layout):
            error_at = found.get(_ERROR) if layout is EVALUATE_COLUMNS else None
            return [(column, found[column]) for column in layout], error_at
    listed = photo_name(",".join(header)[:200], "nothing")
    expected = " or ".join(",".join(layout) for layout in (PUBLISHED_COLUMNS, EVALUATE_COLUMNS))
    raise TableError(f"{name}, line 1: the header needs the columns {expected} and has {listed!r}.")


def _credit_columns(header: list[str]) -> dict[str, int]:
    """Position of each of `CREDIT_COLUMNS` that the table has."""
    found = {cell.strip().casefold(): position for position, cell in reversed(list(enumerate(header)))}
    return {column: found[column] for column in CREDIT_COLUMNS if column in found}


def _why_nothing(name: str, bad_rows: list[str], without_answer: list[tuple[str, str]]) -> str:
    if bad_rows:
        return f"{bad_rows[0]} No other row can be used either."
    if without_answer:
        photo, reason = without_answer[0]
        return (
            f"{name}: none of its {len(without_answer):,} photos has an answer; the first, {photo}: {reason}."
        )
    return f"{name}: it has a header and no line below; give at least one photo."
