"""Classes that somebody gave the photos, held against those that coordinates and partitionings give them."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from geo_model.cells import LEVELS, Hierarchy
from geo_model.errors import ConfigError, reason_of
from train.assign import COLUMNS
from train.photo_ids import PhotoIds
from train.photo_index import PhotoIndex
from train.tar_index import NOT_SAID

_AT_ONCE = 1 << 16


def check_said_classes(photos: PhotoIndex, classes: NDArray[np.int64], hierarchy: Hierarchy) -> None:
    """Check the `classes` in the tars' JSON files, where there are any.

    Args:
        photos: N photos.
        classes: Theirs by the partitionings, int64 (N, 3), -1 for none.
        hierarchy: The partitionings.

    Raises:
        ConfigError: A photo was given another class than the partitionings give it.
    """
    if photos.given_classes is not None:
        _check(photos, photos.given_classes, classes, hierarchy, "its JSON")


def check_tables(
    paths: Sequence[str], splits: Sequence[tuple[PhotoIndex, NDArray[np.int64]]], hierarchy: Hierarchy
) -> None:
    """Check the classes in tables of `python -m train assign`.

    Args:
        paths: CSVs with the columns IMG_ID, coarse, middle and fine; others are ignored. A class is empty
            where no cell holds the photo. All of them together must hold every photo.
        splits: Training and validation photos, with ids, each with its classes, int64 (N, 3), -1 for none.
        hierarchy: The partitionings.

    Raises:
        ConfigError: A table cannot be read, a photo is in none, or has another class there.
    """
    ids, given = _read(paths)
    named = " and ".join(map(str, paths))
    for photos, classes in splits:
        assert photos.ids is not None
        rows = np.empty(len(photos), np.int64)
        for start in range(0, len(photos), _AT_ONCE):
            part = [text.encode() for text in photos.ids[start : start + _AT_ONCE]]
            rows[start : start + len(part)] = ids.rows_of(part)
        if (rows < 0).any():
            lacking = int(np.argmin(rows))
            raise ConfigError(
                f"data.labels: {named} has no row for {(rows < 0).sum():,} of {len(photos):,} photos; the "
                f"first is {photos.ids[lacking]} ({photos.name(lacking)}). Make it with `python -m train "
                "assign` from a table of these photos."
            )
        _check(photos, given[rows], classes, hierarchy, named)


def _check(
    photos: PhotoIndex,
    given: NDArray[np.int32],
    classes: NDArray[np.int64],
    hierarchy: Hierarchy,
    giver: str,
) -> None:
    differs = (given != NOT_SAID) & (given != classes)
    if not differs.any():
        return
    row = int(np.argmax(differs.any(axis=1)))
    column = int(np.argmax(differs[row]))
    level, said, own = LEVELS[column], int(given[row, column]), int(classes[row, column])
    raise ConfigError(
        f"partitionings.{level.value}: {photos.name(row)}: {giver} gives it {_class(said)}, the partitioning "
        f"of {len(hierarchy[level]):,} cells {_class(own)}; {differs.any(axis=1).sum():,} of {len(photos):,} "
        "photos have other labels than these cells give; use the cells that the labels were made from."
    )


def _class(number: int) -> str:
    return "no class" if number < 0 else f"class {number}"


def _read(paths: Sequence[str]) -> tuple[PhotoIds, NDArray[np.int32]]:
    """Ids and classes, int32 (N, 3), -1 for none, of tables."""
    numbers = array("i")
    ids = PhotoIds.of(photo_id for path in paths for photo_id in _rows(path, numbers))
    return ids, np.frombuffer(numbers, np.int32).reshape(-1, 3)


def _rows(path: str, numbers: array[int]) -> Iterator[str]:
    """The ids of a table; their classes go to `numbers`."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            wanted = (COLUMNS[0], *COLUMNS[-3:])
            missing = [name for name in wanted if name not in header]
            if missing:
                raise ConfigError(
                    f"data.labels: {path} has no column {missing[0]}; it must be a table that "
                    "`python -m train assign` has written."
                )
            id_column, *columns = (header.index(name) for name in wanted)
            for row in reader:
                try:
                    numbers.extend(int(row[column]) if row[column] else -1 for column in columns)
                    photo_id = row[id_column]
                except (ValueError, IndexError, OverflowError):
                    raise ConfigError(
                        f"data.labels: {path}, line {reader.line_num}: {','.join(row)[:100]!r} does not hold "
                        "three classes, whole numbers or empty; make the table anew."
                    ) from None
                yield photo_id
    except OSError as error:
        reason = reason_of(error)
        raise ConfigError(f"data.labels: {path} cannot be read ({reason}); check the path.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"data.labels: {path} is not a UTF-8 CSV ({error}); make it anew.") from error
