"""A table of results that a run of any length adds to, and that a run killed at any moment can go on with.

While a run goes on, everything lies in the folder `OUT.unfinished`:

    settings.json   what the rows were made with
    rows            CSV, GeoJSON lines or, for Parquet, a JSON array a line
    failures.csv    photo,reason
    done            a line a photo: 32 hexadecimal digits of its name's BLAKE2b, bytes of rows and of failures
    table           at the end, the rows as Parquet
    counts.json     at the end, how many photos could not be read

A line of `done` is written after the row or failure that it counts. Whatever lies beyond the last whole line,
half a row perhaps, is cut off when a run is gone on with, and its photo is located again: so each photo is in
the rows or in the failures once. At the end the files take the places asked for, and the folder is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from geo_model.bulk_formats import other_settings, row_names, write_parquet
from geo_model.bulk_names import SeenNames, name_key
from geo_model.bulk_places import put, unfinished_folder
from geo_model.errors import GeoModelError, reason_of
from geo_model.exports import csv_line
from geo_model.files import check_writable
from geo_model.images import photo_name

_FINISHED = b"finished\n"
_FAILURES_HEADER = b"photo,reason\n"
_SYNC_S = 5.0


class BulkOutput:
    """Opens the output of a run, or goes on with it. Use as a context manager; call `finish` at the end.

    Args:
        out: The file to write, or an `s3://` address; its format is that of `settings["format"]`.
        failures: The CSV of photos that could not be read; made only if there are any.
        settings: What the rows are made with, plain values; a run gone on with must have the same.
        header: First line of the rows.
        resume: Whether to go on with what is there.
        columns: Of a Parquet file.

    Attributes:
        folder: Where the run is kept until it is finished.
        done: Photos done with, those of earlier runs included.
        failed: How many of them could not be read.
        seen: Their names.

    Raises:
        GeoModelError: It cannot be written, another run is at it, or it is not what was asked for.
    """

    def __init__(
        self,
        out: str,
        failures: str,
        settings: dict[str, Any],
        header: str = "",
        resume: bool = False,
        columns: list[str] | None = None,
    ) -> None:
        self.out, self.failures, self.settings = out, failures, settings
        self.header, self.columns = header.encode(), columns or []
        self.folder = unfinished_folder(out)
        self.done = self.failed = 0
        self.seen = SeenNames()
        for target in (out, failures):
            if not target.startswith("s3://"):
                check_writable(target)
        with self._explained():
            if self._is_finished():
                self._settle()
            with contextlib.suppress(OSError):
                self.folder.rmdir()  # empty, after a kill at the very end
            if self.folder.exists() and not resume:
                raise GeoModelError(
                    f"{self.folder} holds a run that was stopped; give --resume to go on with it, or remove "
                    "that folder to start again."
                )
            fresh = not self.folder.exists()
            self.folder.mkdir(exist_ok=True)
            self._log: IO[bytes] = open(self.folder / "done", "a+b")  # noqa: SIM115
            self._lock()
            if fresh or not (self.folder / "settings.json").exists():
                self._begin(resume)
            self._check_settings()
            sizes = self._go_on()
            self._rows = self._cut("rows", sizes[0])
            self._failures = self._cut("failures.csv", sizes[1])
        self._synced = time.monotonic()

    def __enter__(self) -> BulkOutput:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for file in (self._rows, self._failures, self._log):
            file.close()

    def add(self, name: str, line: str) -> None:
        """A photo was located; its row is safe from a kill once this returns."""
        with self._explained():
            self._rows.write(line.encode("utf-8", "replace"))
            self._rows.flush()
            self._note(name)

    def add_failure(self, name: str, reason: str) -> None:
        """A photo could not be read."""
        with self._explained():
            self._failures.write(csv_line([photo_name(name), reason]).encode("utf-8", "replace"))
            self._failures.flush()
            self.failed += 1
            self._note(name)

    def finish(self) -> None:
        """Put the files in the places asked for.

        Raises:
            GeoModelError: They cannot be written; the run can be gone on with.
        """
        with self._explained():
            self._sync()
            self._rows.close()
            self._failures.close()
            if self.settings["format"] == "parquet":
                write_parquet(self.folder / "rows", self.folder / "table", self.columns, self.settings)
            (self.folder / "counts.json").write_text(json.dumps({"failed": self.failed}), encoding="utf-8")
            self._log.write(_FINISHED)
            self._log.flush()
            os.fsync(self._log.fileno())
            self._log.close()
            self._settle()

    def _note(self, name: str) -> None:
        line = f"{name_key(name).hex()} {self._rows.tell()} {self._failures.tell()}\n"
        self._log.write(line.encode())
        self._log.flush()
        self.done += 1
        if time.monotonic() - self._synced > _SYNC_S:
            self._sync()

    def _sync(self) -> None:
        """Make what is done safe from a power failure too: first what is counted, then the count."""
        for file in (self._rows, self._failures, self._log):
            file.flush()
            os.fsync(file.fileno())
        self._synced = time.monotonic()

    def _begin(self, resume: bool) -> None:
        """A new run; with --resume it begins with the rows of a finished one; failures are tried again."""
        self._log.truncate(0)
        lines: Iterator[tuple[str, bytes]] = iter(())
        if resume and not self.out.startswith("s3://") and Path(self.out).exists():
            lines = row_names(Path(self.out), self.settings, self.header, self.columns)
        elif resume and self.out.startswith("s3://"):
            from geo_model.object_store import object_exists

            if object_exists(self.out):
                shutil.rmtree(self.folder)
                raise GeoModelError(f"{self.out} is finished; leave out --resume to write it again.")
        try:
            with open(self.folder / "rows", "wb") as rows:
                rows.write(self.header)
                for name, line in lines:
                    rows.write(line)
                    if name:
                        self._log.write(f"{name_key(name).hex()} {rows.tell()} 0\n".encode())
        except GeoModelError:
            shutil.rmtree(self.folder)
            raise
        self._log.flush()
        (self.folder / "settings.part").write_text(json.dumps(self._settings_of_run()), encoding="utf-8")
        (self.folder / "settings.part").replace(self.folder / "settings.json")

    def _settings_of_run(self) -> dict[str, Any]:
        """What a run gone on with must share: an address too, for those of one name share a folder here."""
        return {**self.settings, "out": self.out} if self.out.startswith("s3://") else self.settings

    def _check_settings(self) -> None:
        there = json.loads((self.folder / "settings.json").read_text(encoding="utf-8"))
        if difference := other_settings(there, self._settings_of_run()):
            raise GeoModelError(
                f"{self.folder}: {difference}; give the same options, or remove that folder to start again."
            )

    def _go_on(self) -> tuple[int, int]:
        """Cut the record of what is done to its whole lines; returns bytes of rows and failures."""
        names = ("rows", "failures.csv")
        most = [path.stat().st_size if (path := self.folder / name).exists() else 0 for name in names]
        rows, failures, end = len(self.header), 0, 0
        counted = len(_FAILURES_HEADER)

        def keys() -> Iterator[bytes]:
            nonlocal rows, failures, end, counted
            self._log.seek(0)
            for line in self._log:
                parts = line.split()
                if not line.endswith(b"\n") or len(parts) != 3 or int(parts[1]) > most[0]:
                    return
                if int(parts[2]) > most[1]:
                    return
                rows, failures, end = int(parts[1]), int(parts[2]), end + len(line)
                self.failed += failures > counted
                counted = max(counted, failures)
                self.done += 1
                yield bytes.fromhex(parts[0].decode())

        self.seen.load(keys())
        self._log.truncate(end)
        self._log.seek(end)
        return rows, failures

    def _cut(self, name: str, size: int) -> IO[bytes]:
        file = open(self.folder / name, "a+b")  # noqa: SIM115
        file.truncate(size)
        file.seek(size)
        if name == "failures.csv" and size == 0:
            file.write(_FAILURES_HEADER)
            file.flush()
        return file

    def _is_finished(self) -> bool:
        log = self.folder / "done"
        if not log.exists():
            return False
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - len(_FINISHED)))
            return file.read() == _FINISHED

    def _settle(self) -> None:
        """Move finished files to their places; can be begun again after a kill at any point of it."""
        counts = self.folder / "counts.json"
        if counts.exists():
            failed = json.loads(counts.read_text(encoding="utf-8"))["failed"]
            put(self.folder / "failures.csv", self.failures, wanted=failed > 0)
            put(self.folder / ("table" if self.settings["format"] == "parquet" else "rows"), self.out)
            counts.unlink()  # from here on nothing is left but to clear away
        for file in self.folder.iterdir():
            if file.name != "done":
                file.unlink()
        (self.folder / "done").unlink()  # it says that the rest may go
        self.folder.rmdir()

    def _lock(self) -> None:
        """Keep other runs out; the system lets go of the lock when this program ends, however it ends."""
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GeoModelError(f"{self.folder}: another run is at work on it; wait until it ends.") from None

    def _explained(self) -> _Explained:
        return _Explained(self.folder)


class _Explained:
    """Turns what the disk refuses into a sentence."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if isinstance(error, OSError):
            why = reason_of(error)
            raise GeoModelError(
                f"{self.folder} cannot be written ({why}); put that right and give --resume to go on."
            ) from error
