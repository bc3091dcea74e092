"""Where a bulk run keeps and puts its files: local paths, or `s3://` addresses for the results."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def unfinished_folder(out: str) -> Path:
    """Where the run that writes `out` is kept: beside it, or in the current folder if it is on `s3://`."""
    return Path((out.rsplit("/", 1)[1] if out.startswith("s3://") else out) + ".unfinished")


def failures_beside(out: str) -> str:
    """Where the failures go unless another place is given: `places.failures.csv` beside `places.csv`."""
    folder, _, name = out.rpartition("/")
    stem = name.rsplit(".", 1)[0]
    return f"{folder}/{stem}.failures.csv" if folder or out.startswith("/") else f"{stem}.failures.csv"


def put(file: Path, target: str, wanted: bool = True) -> None:
    """Move a finished file to its place, whole; if it is not wanted, an earlier one is removed."""
    if target.startswith("s3://"):
        if wanted and file.exists():
            from geo_model.object_store import upload

            upload(os.fspath(file), target)
    elif not wanted:
        Path(target).unlink(missing_ok=True)
    else:
        part = f"{target}.part"
        if file.exists():
            shutil.move(file, part)  # --failures may lie on another disk; a rename is whole
        if os.path.exists(part):  # also after a kill between the two
            os.replace(part, target)
