"""A file that is only ever added to, so that a program killed at any moment can go on where it was.

File format: entries one after another, each

    length    uint32, little-endian, bytes of the rest of the entry without the checksum
    checksum  uint32, little-endian, CRC-32 of what follows
    state     JSON in one line, ended by LF
    rows      the rest, whatever belongs to the state

The first entry says what the journal is about. An entry that is cut off or does not fit its checksum was
being written when the program ended; it and what follows are dropped.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from geo_model.errors import GeoModelError, reason_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_HEAD = struct.Struct("<II")


class Journal:
    """Opens a journal, or begins one. Use as a context manager.

    Args:
        path: The file.
        about: What it is about, plain values; a journal about something else is begun anew.
        refusal: What to say if there is a journal about something else, instead of beginning anew.

    Attributes:
        entries: State and rows of each entry there already was, but for the first.
        begun_anew: Whether there was a journal about something else.

    Raises:
        GeoModelError: It cannot be read or written, another program has it open, or it is refused.
    """

    def __init__(self, path: Path, about: dict[str, Any], refusal: str | None = None) -> None:
        self.path = path
        self.entries: list[tuple[dict[str, Any], bytes]] = []
        self.begun_anew = False
        self._file: BinaryIO
        try:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._file = open(os.open(path, flags, 0o666), "r+b")  # noqa: SIM115
        except OSError as error:
            raise self._error(error) from error
        try:
            self._lock()
            self._read(about, refusal)
        except OSError as error:
            self._file.close()
            raise self._error(error) from error
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, state: dict[str, Any], rows: bytes = b"") -> None:
        """Add an entry; when this returns it is on the disk.

        Raises:
            GeoModelError: It cannot be written.
        """
        payload = json.dumps(state).encode() + b"\n" + rows
        try:
            self._file.write(_HEAD.pack(len(payload), zlib.crc32(payload)) + payload)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._error(error) from error

    def remove(self) -> None:
        """Delete the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise GeoModelError(f"{self.path} is in use: the same command is running already") from error

    def _read(self, about: dict[str, Any], refusal: str | None) -> None:
        self._file.seek(0)
        end, entries = 0, []
        while (entry := self._next_entry()) is not None:
            entries.append(entry)
            end = self._file.tell()
        if entries and entries[0][0] == about:
            self.entries = entries[1:]
            self._file.seek(end)
            self._file.truncate()
        elif entries and refusal:
            raise GeoModelError(refusal)
        else:
            self.begun_anew = bool(entries)
            self._file.seek(0)
            self._file.truncate()
            self.add(about)

    def _next_entry(self) -> tuple[dict[str, Any], bytes] | None:
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        length, checksum = _HEAD.unpack(head)
        if length > os.fstat(self._file.fileno()).st_size - self._file.tell():
            return None
        payload = self._file.read(length)
        if zlib.crc32(payload) != checksum:
            return None
        line, _, rows = payload.partition(b"\n")
        try:
            state = json.loads(line)
        except ValueError:
            return None
        return (state, rows) if isinstance(state, dict) else None

    def _error(self, error: OSError) -> GeoModelError:
        return GeoModelError(f"{self.path} cannot be written: {reason_of(error)}")
