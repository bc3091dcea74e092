"""Writing files so that a half-written one is never left behind."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from geo_model.errors import GeoModelError, reason_of


@contextlib.contextmanager
def replaced_when_written(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """A text file (UTF-8, LF) that takes the place of `path` only if the block ends without an error.

    Args:
        path: The file to write; its folder must exist.

    Yields:
        The open file, which lies beside `path` under a temporary name.

    Raises:
        GeoModelError: The folder is missing or cannot be written to.
    """
    with replaced_file(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        yield file


@contextlib.contextmanager
def replaced_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """As `replaced_when_written`, for what writes to a path: yields that of the temporary file."""
    target = Path(path)
    check_writable(target)
    try:
        handle, name = tempfile.mkstemp(prefix=".written-", suffix=".part", dir=target.parent)
    except OSError as error:
        raise GeoModelError(f"{target} cannot be written: {reason_of(error)}") from error
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask())  # a temporary file is private, the result is an ordinary one
        part.replace(target)
    except OSError as error:
        raise GeoModelError(f"{target} cannot be written: {reason_of(error)}") from error
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole binary file; raises GeoModelError as `replaced_when_written` does."""
    with replaced_file(path) as part:
        part.write_bytes(data)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out before long work whether its result can be written.

    Raises:
        GeoModelError: The path is a folder, or the folder that it lies in is missing or read-only.
    """
    target = Path(path)
    if os.path.isdir(target):  # unlike Path.is_dir, false for a name that is too long
        raise GeoModelError(f"{target} is a folder; give the name of a file")
    if not target.parent.is_dir():
        raise GeoModelError(f"{target} cannot be written: there is no folder {target.parent}; make it first")
    if not os.access(target.parent, os.W_OK):
        raise GeoModelError(f"{target} cannot be written: the folder {target.parent} is read-only")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
