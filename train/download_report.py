"""What a download has fetched, and what is missing and why."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geo_model.errors import GeoModelError
from geo_model.files import replaced_when_written
from train.download_plan import LEFT_OUT, Plan, records, rounds
from train.download_reasons import REPEATED, is_passing

if TYPE_CHECKING:
    import pyarrow
    from rich.table import Table

MISSING_CSV = "missing.csv"


@dataclass(frozen=True)
class DownloadReport:
    """How a download ended.

    Attributes:
        out: Folder of the tars.
        rows: Of the table.
        photos: In the tars.
        tars: How many there are.
        repeated: Rows whose address stands in an earlier row; they are fetched once, and no failures.
        missing: How many photos are missing, by reason, the most frequent first.
        missing_csv: The list of them, columns id, address, reason; repeated rows stand in it too.
    """

    out: Path
    rows: int
    photos: int
    tars: int
    repeated: int
    missing: Mapping[str, int]
    missing_csv: Path

    @property
    def failed(self) -> int:
        """Photos that are missing."""
        return sum(self.missing.values())

    @property
    def failed_share(self) -> float:
        """Share of the photos wanted that are missing, 0 to 1."""
        return self.failed / max(1, self.rows - self.repeated)

    @property
    def passing(self) -> int:
        """Photos that are missing for a reason that may pass; the same command asks for them again."""
        return sum(count for reason, count in self.missing.items() if is_passing(reason))


def write_report(out: Path, folder: Path, plan: Plan) -> DownloadReport:
    """Write the list of what is missing.

    Args:
        out: Folder of the tars; the list goes there.
        folder: Of the plan.
        plan: The plan.

    Raises:
        GeoModelError: The list cannot be written, or tars are gone that were there.
    """
    counts: Counter[str] = Counter()
    with replaced_when_written(out / MISSING_CSV) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "address", "reason"))
        for photo_id, address, reason in _missing(folder):
            counts[reason] += 1
            writer.writerow((photo_id, address, reason))
    tars = sum(1 for _ in out.glob("*.tar"))
    made = sum(1 for part in rounds(folder) for path in records(part) if "" in _reasons(path))
    if tars < made:
        raise GeoModelError(
            f"{out}: {made - tars:,} of its {made:,} tars are gone; put them back, or give another folder"
        )
    repeated = counts.pop(REPEATED, 0)
    return DownloadReport(
        out=out,
        rows=plan.rows,
        photos=plan.rows - repeated - counts.total(),
        tars=tars,
        repeated=repeated,
        missing=dict(counts.most_common()),
        missing_csv=out / MISSING_CSV,
    )


def count_reasons(round_folder: Path) -> Counter[str]:
    """How many photos of a round are missing for which reason; the empty one counts those that came."""
    counts: Counter[str] = Counter()
    for path in records(round_folder):
        counts.update(_reasons(path))
    return counts


def to_ask_again(round_folder: Path) -> Iterator[pyarrow.Table]:
    """Addresses that failed in a round and may pass, in tables that are not empty."""
    import pyarrow.parquet

    for path in records(round_folder):
        table = pyarrow.parquet.read_table(path)
        chosen = [is_passing(reason) for reason in table.column("reason").to_pylist()]
        if any(chosen):
            yield table.filter(pyarrow.array(chosen))


def reason_table(report: DownloadReport) -> Table:
    """How many photos are missing for which reason."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("Missing because")
    table.add_column("Photos", justify="right")
    table.add_column("Share", justify="right")
    wanted = max(1, report.rows - report.repeated)
    for reason, count in report.missing.items():
        table.add_row(Text(reason), f"{count:,}", f"{count / wanted:.2%}")
    return table


def _missing(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Id, address and reason of every row that has no photo of its own."""
    import pyarrow.parquet

    yield from _rows(pyarrow.parquet.read_table(rounds(folder)[0] / LEFT_OUT))
    for round_folder in rounds(folder):
        asked_again = round_folder != rounds(folder)[-1]
        for path in records(round_folder):
            for row in _rows(pyarrow.parquet.read_table(path, columns=["id", "url", "reason"])):
                if row[2] and not (asked_again and is_passing(row[2])):
                    yield row


def _reasons(path: Path) -> list[str]:
    """Of the photos of a shard; empty for those that came."""
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path, columns=["reason"]).column("reason").to_pylist()


def _rows(table: pyarrow.Table) -> Iterator[tuple[str, str, str]]:
    columns = (table.column(name).to_pylist() for name in ("id", "url", "reason"))
    return zip(*columns, strict=True)
