"""What the addresses of one shard have answered, on disk, until the shard is done.

So a shard that is broken off, at any moment, goes on with what it has: no photo that came is fetched again,
and no address that said 404 is asked again.

File format, a folder with two files, both only ever appended to:

    photos.bin     the photos as they came, one after another
    answers.jsonl  a line an answer, written after the photo's last byte:
                   {"address": text, "at": bytes, "size": bytes, "crc32": number, "robots": [texts]} or
                   {"address": text, "reason": text}

A last line that is not whole is cut off, and a photo whose checksum is wrong was never kept.
"""

from __future__ import annotations

import contextlib
import io
import json
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from train.download_fetch import Answer
from train.download_reasons import FetchError

ANSWERS = "answers.jsonl"
_PHOTOS = "photos.bin"


class Spool:
    """Use as a context manager; threads may share it, processes may not.

    Args:
        folder: Where the two files lie or will lie; it must exist.

    Attributes:
        error: The error at which writing ended, such as a full disk. From then on nothing is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.error: OSError | None = None
        self._known: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._answers = open(folder / ANSWERS, "a+b", buffering=0)  # noqa: SIM115 - closed by __exit__
        self._photos = open(folder / _PHOTOS, "a+b", buffering=0)  # noqa: SIM115
        self._read_answers()
        self._end = self._photos.seek(0, io.SEEK_END)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._photos.close()

    def get(self, address: str) -> Answer | None:
        """What an address answered; None if it is not known.

        Raises:
            FetchError: It answered, and it was no photo.
        """
        with self._lock:
            line = self._known.get(address)
            if line is None:
                return None
            if "reason" in line:
                raise FetchError(line["reason"])
            self._photos.seek(line["at"])
            content = self._photos.read(line["size"])
        if len(content) != line["size"] or zlib.crc32(content) != line["crc32"]:
            return None
        return Answer(content, tuple(line["robots"]))

    def keep(self, address: str, answer: Answer) -> None:
        """Keep a photo.

        Raises:
            OSError: It cannot be written, or an earlier one could not.
        """
        size = len(answer.content)
        line = {"address": address, "size": size, "crc32": zlib.crc32(answer.content)}
        with self._writing():
            _write(self._photos, answer.content)
            self._append({**line, "at": self._end, "robots": answer.robots})
            self._end += size

    def keep_failure(self, address: str, reason: str) -> None:
        """Keep why there is no photo.

        Raises:
            OSError: As for `keep`.
        """
        with self._writing():
            self._append({"address": address, "reason": reason})

    def _append(self, line: dict[str, Any]) -> None:
        _write(self._answers, json.dumps(line).encode() + b"\n")
        self._known[line["address"]] = line

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """One thread at a time; none after an error, for what it half wrote must stay the last."""
        with self._lock:
            if self.error is not None:
                raise self.error
            try:
                yield
            except OSError as error:
                self.error = error
                raise

    def _read_answers(self) -> None:
        self._answers.seek(0)
        whole = 0
        for text in io.BytesIO(self._answers.readall()):
            if (line := _answer_line(text)) is None:
                break
            self._known[line["address"]] = line
            whole += len(text)
        self._answers.truncate(whole)


_FIELDS = (
    {"address": str, "reason": str},
    {"address": str, "at": int, "size": int, "crc32": int, "robots": list},
)


def _answer_line(text: bytes) -> dict[str, Any] | None:
    """A line of answers; None for one that is not whole, or for what a power cut left instead."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    if not text.endswith(b"\n") or not isinstance(line, dict):
        return None
    kinds = {name: type(value) for name, value in line.items()}
    return line if kinds in _FIELDS else None


def _write(file: io.FileIO, content: bytes) -> None:
    """All of it, whatever the system takes at a time."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
