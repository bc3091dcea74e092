"""From the photo ids of a table to the hashes under which YFCC100M's photos are stored.

`yfcc100m_hash.bz2` of the public bucket `multimedia-commons` holds a line for each of its 100 million photos
(see `train.hash_lines`). It is read once from its start, never unpacked to the disk; what is found, and how
far reading has come, goes to a journal beside the result every few seconds.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo_model.errors import GeoModelError, TableError
from geo_model.files import replaced_when_written
from train.byte_source import ByteSource
from train.bz2_blocks import DamagedError, read_blocks
from train.found_hashes import FoundHashes
from train.hash_lines import HashLines, read_lines
from train.journal import Journal
from train.processors import processor_count
from train.tables import CoordinateTable

COLUMNS = ("IMG_ID", "LAT", "LON", "hash")
"""The columns of the table of photos with a hash."""

MISSING_COLUMNS = ("IMG_ID", "LAT", "LON", "reason")
"""The columns of the table of photos without."""

NO_NUMBER = "the id holds no photo number"
NOT_FOUND = "the photo number is not in the hash file"

_LONGEST_NUMBER = 18
_LONGEST_LINE = 1 << 20
_HEAD_BYTES = 1 << 16
_ROWS_AT_ONCE = 50_000
_SECONDS_BETWEEN_ENTRIES = 5.0


def photo_numbers(ids: Iterable[str], count: int) -> NDArray[np.int64]:
    """Flickr's number of each photo: 3228511372 for `45/77/3228511372.jpg`, -1 for an id without.

    Args:
        ids: Photo ids.
        count: How many.

    Returns:
        int64 (count,).
    """

    def number(photo_id: str) -> int:
        stem = photo_id[photo_id.rfind("/") + 1 :].partition(".")[0]
        return int(stem) if stem.isdecimal() and stem.isascii() and len(stem) <= _LONGEST_NUMBER else -1

    return np.fromiter(map(number, ids), np.int64, count)


def find_hashes(
    wanted: NDArray[np.int64],
    source: ByteSource,
    journal_path: Path,
    *,
    workers: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    note: Callable[[str], None] = lambda sentence: None,
    seconds_between_entries: float = _SECONDS_BETWEEN_ENTRIES,
) -> FoundHashes:
    """Look photos up in the hash file.

    Reading ends at the last photo that is wanted. A journal of the same photos and the same hash file, by its
    first 64 KiB, is gone on with, wherever the file lies now.

    Args:
        wanted: Photo numbers, ascending, each once, int64 (N,).
        source: The hash file.
        journal_path: Where to keep what was found; the caller removes it.
        workers: Threads that decompress; None takes as many as there are processors.
        progress: Called with the compressed bytes that were read, and how many there are.
        note: Called with a sentence about an earlier journal, if there is one.
        seconds_between_entries: How much work a kill may cost.

    Raises:
        GeoModelError: The file cannot be read, is damaged, cut off, or no hash file; or the journal cannot be
            written. What was found until then is kept.
    """
    about = {
        "version": 1,
        "wanted": hashlib.sha256(wanted.astype("<i8").tobytes()).hexdigest(),
        "head": hashlib.sha256(_head(source)).hexdigest(),
    }
    with Journal(journal_path, about) as journal:
        found = FoundHashes(wanted)
        at = {"start": 0, "stream_checksum": 0, "rest": "", "is_end": False}
        for state, rows in journal.entries:
            found.restore(state["found"], rows)
            at = state["at"]
        journal.entries.clear()
        if journal.begun_anew:
            note(f"{journal_path} is about other photos or another file; beginning anew.")
        elif found.lines:
            note(f"Going on after line {found.lines:,}; {found.found_count:,} hashes found before.")
        if not at["is_end"] and not found.is_complete:
            reading = _Reading(found, at, journal, seconds_between_entries)
            try:
                reading.read(source, workers or processor_count(), progress)
            except DamagedError as error:
                raise GeoModelError(
                    f"{source.name} cannot be read on after line {found.lines:,}: {error}; get it again, and "
                    "the same command goes on from there"
                ) from error
        return found


class _Reading:
    """Reads the hash file from where the journal says."""

    def __init__(self, found: FoundHashes, at: dict[str, Any], journal: Journal, seconds: float) -> None:
        self._found = found
        self._start = int(at["start"])
        self._stream_checksum = int(at["stream_checksum"])
        self._rest = at["rest"].encode("latin-1")  # the beginning of a line that ends in the next block
        self._journal = journal
        self._seconds = seconds
        self._new: list[NDArray[np.int64]] = []

    def read(
        self, source: ByteSource, workers: int, progress: Callable[[int, int | None], None] | None
    ) -> None:
        blocks = read_blocks(
            source.chunks(self._start // 8),
            self._lines_of,
            start=self._start,
            stream_checksum=self._stream_checksum,
            workers=workers,
        )
        kept_at = time.monotonic()
        with contextlib.closing(blocks):
            while not self._found.is_complete:
                try:
                    block = next(blocks, None)
                except (DamagedError, GeoModelError):
                    self._keep(is_end=False)
                    raise
                if block is None:
                    break
                self._add(source, *block.made)
                self._start, self._stream_checksum = block.next_start, block.stream_checksum
                if progress:
                    progress(self._start // 8, source.size)
                if time.monotonic() - kept_at >= self._seconds:
                    self._keep(is_end=False)
                    kept_at = time.monotonic()
        if self._rest and not self._found.is_complete:
            self._take(source, read_lines(self._rest, self._found.wanted))
        self._rest = b""
        self._keep(is_end=True)

    def _lines_of(self, data: bytes) -> tuple[bytes, HashLines | None, bytes]:
        """In a thread: the end of a line that began before, the whole lines, the beginning of another."""
        first, last = data.find(b"\n") + 1, data.rfind(b"\n") + 1
        if not first:
            return data, None, b""
        return data[:first], read_lines(data[first:last], self._found.wanted), data[last:]

    def _add(self, source: ByteSource, head: bytes, lines: HashLines | None, rest: bytes) -> None:
        if lines is None:
            self._rest += head
            if len(self._rest) > _LONGEST_LINE:
                raise self._wrong_file(source)
            return
        self._take(source, read_lines(self._rest + head, self._found.wanted))
        self._take(source, lines)
        self._rest = rest

    def _take(self, source: ByteSource, lines: HashLines) -> None:
        self._new.append(self._found.add(lines))
        if 2 * self._found.malformed > self._found.lines > 1:
            raise self._wrong_file(source)

    def _wrong_file(self, source: ByteSource) -> GeoModelError:
        self._journal.remove()
        return GeoModelError(
            f"{source.name}: most lines, such as line {self._found.first_malformed or 1:,}, are not a photo "
            "number, a tab and a hash in hexadecimal digits; give yfcc100m_hash.bz2"
        )

    def _keep(self, *, is_end: bool) -> None:
        at = {
            "start": self._start,
            "stream_checksum": self._stream_checksum,
            "rest": self._rest.decode("latin-1"),
            "is_end": is_end,
        }
        positions = np.concatenate([*self._new, np.zeros(0, np.int64)])
        self._new = []
        self._journal.add({"at": at, "found": self._found.state()}, self._found.rows(positions))


def write_hashes(
    out: str | os.PathLike[str],
    missing: str | os.PathLike[str],
    table: CoordinateTable,
    numbers: NDArray[np.int64],
    found: FoundHashes,
) -> tuple[int, int]:
    """Write the photos that have a hash, and those that have none and why, in the order of the table.

    Both files are replaced only once all rows are written; UTF-8, LF.

    Args:
        out: CSV with the columns `COLUMNS`.
        missing: CSV with the columns `MISSING_COLUMNS`.
        table: N photos with ids.
        numbers: The number of each, int64 (N,), as `photo_numbers` gives them.
        found: Their hashes; of at least one wanted photo.

    Returns:
        How many photos are in the two files.

    Raises:
        GeoModelError: A file cannot be written.
    """
    if table.ids is None:
        raise TableError("the table has no column IMG_ID or id")
    counts = [0, 0]
    with replaced_when_written(missing) as missing_file, replaced_when_written(out) as out_file:
        writers = [csv.writer(file, lineterminator="\n") for file in (out_file, missing_file)]
        writers[0].writerow(COLUMNS)
        writers[1].writerow(MISSING_COLUMNS)
        for start in range(0, len(table), _ROWS_AT_ONCE):
            part = slice(start, min(start + _ROWS_AT_ONCE, len(table)))
            at = np.minimum(np.searchsorted(found.wanted, numbers[part]), len(found.wanted) - 1)
            is_found = (numbers[part] >= 0) & (found.lengths[at] > 0)
            last = np.where(numbers[part] < 0, NO_NUMBER, NOT_FOUND).astype(object)
            last[is_found] = found.texts(at[is_found])
            rows = zip(
                is_found.tolist(),
                table.ids[part],
                table.latitudes[part].tolist(),
                table.longitudes[part].tolist(),
                last.tolist(),
                strict=True,
            )
            for has_hash, *row in rows:
                writers[0 if has_hash else 1].writerow(row)
            counts[0] += int(is_found.sum())
            counts[1] += int((~is_found).sum())
    return counts[0], counts[1]


def _head(source: ByteSource) -> bytes:
    """The first bytes of a source, by which it is known again."""
    head = b""
    with contextlib.closing(source.chunks()) as chunks:
        for chunk in chunks:
            head += chunk
            if len(head) >= _HEAD_BYTES:
                break
    return head[:_HEAD_BYTES]
