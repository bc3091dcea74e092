"""What is wrong with a table of photo coordinates: all of it, not only the first row."""

from __future__ import annotations

import contextlib
import csv
import heapq
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO

from geo_model.errors import TableError
from geo_model.files import replaced_when_written
from train.tables import REPEATED_ID, Defect, scan_table

COLUMNS = ("line", "column", "kind", "reason")
"""The columns of the table of defects that `check_table` writes."""


@dataclass(frozen=True)
class TableReport:
    """What a table holds.

    Attributes:
        rows: Rows below the header, empty lines left out.
        usable: Rows without a defect.
        with_ids: Whether there is an id column.
        latitudes, longitudes: Smallest and largest of the usable rows, degrees; None if there are none.
        counts: Defective rows of each kind, the most frequent first.
        first: The first defects, in the order of the lines.
    """

    rows: int
    usable: int
    with_ids: bool
    latitudes: tuple[float, float] | None
    longitudes: tuple[float, float] | None
    counts: dict[str, int]
    first: tuple[Defect, ...]

    @property
    def defective(self) -> int:
        """Rows with a defect."""
        return self.rows - self.usable


def check_table(
    path: str | os.PathLike[str],
    *,
    shown: int = 10,
    out: str | os.PathLike[str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> TableReport:
    """Read a whole table and find every row that cannot be used, and why.

    Memory does not grow with the number of defects.

    Args:
        path: A CSV file as `train.tables` reads it.
        shown: How many defects to return.
        out: A CSV to write with all of them, columns `COLUMNS`.
        progress: Called now and then with the share of the file that has been read, 0 to 1.

    Raises:
        TableError: The file cannot be read, a column is missing, or there is no row.
        GeoModelError: `out` cannot be written.
    """
    with contextlib.ExitStack() as stack:
        # Repeated ids are known only at the end; until then the other defects wait on the disk.
        waiting = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", newline=""))
        writer = csv.writer(waiting)
        scan = scan_table(
            path, lambda d: writer.writerow((d.line, d.column, d.kind, d.reason)), progress=progress
        )
        waiting.seek(0)
        defects = heapq.merge(_read(waiting), scan.repeated_ids(), key=lambda defect: defect.line)
        listed = None
        if out is not None:
            listed = csv.writer(stack.enter_context(replaced_when_written(out)), lineterminator="\n")
            listed.writerow(COLUMNS)
        counts: Counter[str] = Counter()
        first: list[Defect] = []
        for defect in defects:
            counts[defect.kind] += 1
            if len(first) < shown:
                first.append(defect)
            if listed:
                listed.writerow((defect.line, defect.column, defect.kind, defect.reason))
    repeated = counts.get(REPEATED_ID, 0)
    by_itself = counts.total() - repeated
    table = scan.table
    if not len(table) + by_itself:
        raise TableError(f"{path} has a header but no rows")
    return TableReport(
        rows=len(table) + by_itself,
        usable=len(table) - repeated,
        with_ids=scan.ids is not None,
        latitudes=(float(table.latitudes.min()), float(table.latitudes.max())) if len(table) else None,
        longitudes=(float(table.longitudes.min()), float(table.longitudes.max())) if len(table) else None,
        counts=dict(counts.most_common()),
        first=tuple(first),
    )


def _read(written: TextIO) -> Iterator[Defect]:
    for line, column, kind, reason in csv.reader(written):
        yield Defect(int(line), column, kind, reason)
