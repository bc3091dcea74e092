"""From the earlier tool's photo shards to the WebDataset tars that training reads.

A shard becomes a tar of the same number, `shard_17.msg` becomes `00017.tar`, with a pair of files a photo:

    KEY.jpg     the photo as it was; one with a short side above 320 pixels is reduced to that
    KEY.json    {"latitude": degrees, "longitude": degrees, "id": text} and "classes": [coarse, middle, fine]
                where a label mapping gives them

The key is the tar's number and the photo's position in its shard. A journal beside the tars, see
`train.journal`, has an entry for each shard that is done: what was wrong with it, and the rows of its photos
in the table.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo_model.errors import GeoModelError, TableError, reason_of
from geo_model.files import replaced_when_written
from train.journal import Journal
from train.jpeg_to_keep import DAMAGED, jpeg_to_keep
from train.label_mapping import NOT_GIVEN
from train.msgpack_shards import BrokenShardError, Record, Shard, read_shard
from train.photo_ids import PhotoIds
from train.photo_tar import PhotoTar
from train.tables import CoordinateTable

REPORT_COLUMNS = ("shard", "position", "id", "reason")
"""The columns of the report."""

JOURNAL = "import.journal"
REPORT = "import-report.csv"

NOT_IN_TABLE = "not in the table"
REPEATED = "imported already from another record"
BROKEN = "the rest of the shard cannot be read"
UNREADABLE = "the shard cannot be read"

_AHEAD = 4  # photos that wait for each worker
_LONGEST_ID = 200

Progress = Callable[[int, int | None], None]
Defect = tuple[int, str, str]
"""Position in the shard, id, reason."""


@dataclass
class ImportReport:
    """What became of the shards.

    Attributes:
        shards: How many there are.
        done_before: How many of them an earlier run had finished.
        tars: How many tars hold their photos.
        photos: How many photos.
        without_classes: How many of them have no classes; 0 where none were to be had.
        counts: Records that were left out, by reason; a broken shard counts once.
        unreadable: Shards that could not be opened or read, with the reason; they are not done.
    """

    shards: int = 0
    done_before: int = 0
    tars: int = 0
    photos: int = 0
    without_classes: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)


def import_shards(
    shards: list[Shard],
    table: CoordinateTable,
    out: Path,
    *,
    classes: NDArray[np.int32] | None = None,
    workers: int = 1,
    progress: Progress = lambda done, total: None,
) -> ImportReport:
    """Write the photos of shards into tars, and a report of those left out.

    Shards that are done already are passed over, as long as shard and tar are as they were.

    Args:
        shards: As `find_shards` gives them.
        table: Where photos were taken; with ids, N of them.
        out: The folder to write to; it is made if need be.
        classes: int32 (N, 3), as `read_label_mapping` gives them.
        workers: Threads that decode photos.
        progress: Called with the bytes of shards that are done, and how many there are.

    Raises:
        GeoModelError: The folder holds other tars, was begun with another table or other labels, or cannot be
            written to.
    """
    if not isinstance(table.ids, PhotoIds):
        raise TableError("the table has no column IMG_ID or id")
    journal_path = out / JOURNAL
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not journal_path.exists() and next(out.glob("*.tar"), None) is not None:
            raise GeoModelError(f"{out} holds other tars already; give a folder that is empty or not there")
    except OSError as error:
        raise GeoModelError(f"{out} cannot be written: {reason_of(error)}") from error
    refusal = (
        f"{out} was begun with another table or other labels; give these again, or another folder with --out"
    )
    with (
        Journal(journal_path, _about(table, classes), refusal) as journal,
        ThreadPoolExecutor(workers, thread_name_prefix="photos") as pool,
    ):
        importing = _Import(table, table.ids, classes, out, journal, pool, workers)
        try:
            report = importing.run(shards, progress)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        importing.write_report(report.unreadable)
    return report


@dataclass(frozen=True)
class _Signature:
    """By what a shard is known again."""

    path: str
    size: int
    changed_ns: int

    @classmethod
    def of(cls, shard: Shard) -> _Signature:
        try:
            status = shard.path.stat()
        except OSError:  # reading it will say so
            return cls(str(shard.path.resolve()), 0, 0)
        return cls(str(shard.path.resolve()), status.st_size, status.st_mtime_ns)


class _Import:
    """One run over shards."""

    def __init__(
        self,
        table: CoordinateTable,
        ids: PhotoIds,
        classes: NDArray[np.int32] | None,
        out: Path,
        journal: Journal,
        pool: ThreadPoolExecutor,
        workers: int,
    ) -> None:
        self._table = table
        self._ids = ids
        self._classes = classes
        self._out = out
        self._journal = journal
        self._pool = pool
        self._ahead = _AHEAD * workers
        self._imported = np.zeros(len(table), np.bool_)
        self._done: dict[int, dict[str, Any]] = {}

    def run(self, shards: list[Shard], progress: Progress) -> ImportReport:
        """Import what is not done yet."""
        report = ImportReport(shards=len(shards))
        for state, rows in self._journal.entries:
            self._done[state["number"]] = {**state, "rows": np.frombuffer(rows, "<i4")}
        self._journal.entries.clear()
        signatures = [_Signature.of(shard) for shard in shards]
        for shard, signature in zip(shards, signatures, strict=True):
            if not self._is_done(shard, signature):
                self._done.pop(shard.number, None)
        for state in self._done.values():
            self._imported[state["rows"]] = True
        before, total = 0, sum(signature.size for signature in signatures)
        for shard, signature in zip(shards, signatures, strict=True):
            if shard.number in self._done:
                report.done_before += 1
            else:
                try:
                    self._import_shard(shard, signature, partial(_tell, progress, before, total))
                except _UnreadableError as error:
                    report.unreadable.append((shard.path, str(error)))
            before += signature.size
            progress(before, total)
        for shard in shards:
            if shard.number in self._done:
                done = self._done[shard.number]
                report.tars += bool(done["photos"])
                report.photos += done["photos"]
                report.without_classes += done["without_classes"]
                report.counts.update(_kind(reason) for _, _, reason in done["defects"])
        return report

    def _is_done(self, shard: Shard, signature: _Signature) -> bool:
        """Whether the shard and its tar are as an earlier run left them."""
        state = self._done.get(shard.number)
        if state is None:
            return False
        tar, before = self._tar_path(shard), _Signature(*state["signature"])
        is_same = (before.size, before.changed_ns) == (signature.size, signature.changed_ns)
        if not is_same and before.path != signature.path:
            raise GeoModelError(
                f"{tar} was made of {before.path}, and {shard.path} is another shard of this number; import "
                "it into another folder"
            )
        return is_same and (tar.stat().st_size if tar.is_file() else 0) == state["tar_bytes"]

    def _tar_path(self, shard: Shard) -> Path:
        return self._out / f"{shard.number:05}.tar"

    def _import_shard(self, shard: Shard, signature: _Signature, tell: Callable[[int], None]) -> None:
        defects: list[Defect] = []
        rows: list[int] = []
        without_classes = 0
        try:
            with PhotoTar(self._tar_path(shard)) as tar:
                for record, row, jpeg in self._decoded(self._checked(shard, defects)):
                    if isinstance(jpeg, str):
                        defects.append((record.position, self._ids[row], jpeg))
                    elif self._imported[row]:
                        defects.append((record.position, self._ids[row], REPEATED))
                    else:
                        annotation = self._annotation(row)
                        without_classes += self._classes is not None and "classes" not in annotation
                        tar.add(f"{shard.number:05}{record.position:05}", jpeg, annotation)
                        self._imported[row] = True
                        rows.append(row)
                    tell(record.end)
        except _UnreadableError:
            self._imported[rows] = False
            raise
        state = {
            "number": shard.number,
            "signature": [signature.path, signature.size, signature.changed_ns],
            "photos": len(rows),
            "without_classes": without_classes,
            "tar_bytes": self._tar_path(shard).stat().st_size if rows else 0,
            "defects": sorted(defects),
        }
        self._journal.add(state, np.array(rows, "<i4").tobytes())
        self._done[shard.number] = {**state, "rows": None}

    def _decoded(self, records: Iterator[tuple[Record, int]]) -> Iterator[tuple[Record, int, bytes | str]]:
        """Records, their rows, and the photo to keep or what is wrong with it, in the same order."""
        waiting: deque[tuple[Record, int, Future[bytes | str]]] = deque()
        while True:
            while len(waiting) < self._ahead and (found := next(records, None)) is not None:
                waiting.append((*found, self._pool.submit(jpeg_to_keep, found[0].image or b"")))
            if not waiting:
                return
            record, row, future = waiting.popleft()
            yield record, row, future.result()

    def _checked(self, shard: Shard, defects: list[Defect]) -> Iterator[tuple[Record, int]]:
        """The records that may be imported, and their rows in the table; the others go to `defects`."""
        position = 0
        try:
            for record in read_shard(shard.path):
                position = record.position + 1
                shown = (record.photo_id or b"").decode(errors="replace")[:_LONGEST_ID]
                if record.lack is not None:
                    defects.append((record.position, shown, record.lack))
                    continue
                row = int(self._ids.rows_of([record.photo_id or b""])[0])
                if row < 0:
                    defects.append((record.position, shown, NOT_IN_TABLE))
                elif self._imported[row]:
                    defects.append((record.position, shown, REPEATED))
                else:
                    yield record, row
        except BrokenShardError as error:
            defects.append((position, "", f"{BROKEN}: {error}"))
        except OSError as error:
            raise _UnreadableError(reason_of(error)) from error

    def _annotation(self, row: int) -> dict[str, Any]:
        annotation: dict[str, Any] = {
            "latitude": float(self._table.latitudes[row]),
            "longitude": float(self._table.longitudes[row]),
            "id": self._ids[row],
        }
        if self._classes is not None and self._classes[row, 0] != NOT_GIVEN:
            annotation["classes"] = self._classes[row].tolist()
        return annotation

    def write_report(self, unreadable: list[tuple[Path, str]]) -> None:
        """Write what was left out of every shard that is done, and which could not be read."""
        with replaced_when_written(self._out / REPORT) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(REPORT_COLUMNS)
            for number in sorted(self._done):
                state = self._done[number]
                name = os.path.basename(state["signature"][0])
                writer.writerows((name, *defect) for defect in state["defects"])
            writer.writerows((path.name, "", "", f"{UNREADABLE}: {reason}") for path, reason in unreadable)


def _tell(progress: Progress, before: int, total: int, byte: int) -> None:
    progress(before + byte, total)


class _UnreadableError(Exception):
    """A shard cannot be read, for a reason that does not lie in what it holds."""


def _kind(reason: str) -> str:
    """A reason without what is special about one record."""
    return next((kind for kind in (DAMAGED, BROKEN) if reason.startswith(kind)), reason)


def _about(table: CoordinateTable, classes: NDArray[np.int32] | None) -> dict[str, Any]:
    digest = hashlib.sha256()
    assert isinstance(table.ids, PhotoIds)
    for part in (table.ids.digest(), table.latitudes.tobytes(), table.longitudes.tobytes()):
        digest.update(part)
    labels = None if classes is None else hashlib.sha256(classes.tobytes()).hexdigest()
    return {"version": 1, "table": digest.hexdigest(), "labels": labels}
