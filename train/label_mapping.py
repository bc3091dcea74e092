"""The classes that the earlier tool gave to photos.

File format: a JSON object, `{"45/77/3228511372.jpg": [coarse, middle, fine], ...}`, one entry a photo; the
classes are positions in the three partitionings.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from geo_model.errors import TableError, reason_of
from train.photo_ids import PhotoIds

NOT_GIVEN = -2
"""The class of a photo that has no entry."""

_LEVELS = 3
_ENTRIES_AT_ONCE = 1 << 14
_MOST_CLASSES = 2**31


def read_label_mapping(
    path: str | os.PathLike[str], ids: PhotoIds, progress: Callable[[float], None] | None = None
) -> tuple[NDArray[np.int32], int]:
    """Read the classes of photos; the file is never in memory as a whole.

    Args:
        path: The file.
        ids: The photos that are wanted, N of them.
        progress: Called now and then with the share of the file that has been read, 0 to 1.

    Returns:
        Classes, int32 (N, 3), coarse first, -1 where the file says so or null, -2 for photos that have no
        entry; and how many entries are for other photos.

    Raises:
        TableError: The file cannot be read, is no such JSON, or the first entry that is not three classes.
    """
    import ijson

    classes = np.full((len(ids), _LEVELS), NOT_GIVEN, np.int32)
    others = count = 0
    keys: list[bytes] = []
    values: list[tuple[int, ...]] = []

    def take() -> int:
        rows = ids.rows_of(keys)
        wanted = rows >= 0
        if wanted.any():
            classes[rows[wanted]] = np.array(values, np.int64)[wanted]
        keys.clear()
        values.clear()
        return int((~wanted).sum())

    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            _check_object(path, file)
            for key, value in ijson.kvitems(file, "", use_float=True):
                keys.append(key.encode("utf-8", "surrogatepass"))
                values.append(_classes(path, key, value))
                count += 1
                if len(keys) == _ENTRIES_AT_ONCE:
                    others += take()
                    if progress and size:
                        progress(file.tell() / size)
    except OSError as error:
        raise TableError(f"{path} cannot be read: {reason_of(error)}") from error
    except (ijson.JSONError, ValueError, OverflowError) as error:
        raise TableError(
            f"{path}: after entry {count:,} it is not JSON any more ({_reason(error)}); get it again"
        ) from error
    others += take()
    if not count:
        raise TableError(f"{path} holds no photo; give a JSON object of photo ids with three classes each")
    return classes, others


def _check_object(path: str | os.PathLike[str], file: BinaryIO) -> None:
    first = file.read(64).lstrip(b" \t\r\n")[:1]
    file.seek(0)
    if first != b"{":
        raise TableError(
            f'{path} is no JSON object; it must begin as {{"45/77/3228511372.jpg": [981, 1170, 1241], ...'
        )


def _classes(path: str | os.PathLike[str], key: str, value: Any) -> tuple[int, ...]:  # noqa: ANN401
    if isinstance(value, list) and len(value) == _LEVELS:
        classes = tuple(-1 if entry is None else entry for entry in value)
        if all(type(entry) is int and -1 <= entry < _MOST_CLASSES for entry in classes):
            return classes
    raise TableError(
        f"{path}, entry {key[:60]!r}: {repr(value)[:60]} is not three class numbers, [coarse, middle, fine]"
    )


def _reason(error: Exception) -> str:
    return "".join(c for c in " ".join(str(error).split())[:80] if c.isprintable()) or type(error).__name__
