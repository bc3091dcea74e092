"""Which addresses a download has to fetch, in which shards; on disk, so that it can be gone on with.

File format, a folder:

    plan.json                 what the download was asked for; written last, without it there is no plan
    round-NNN/NUMBER.arrow    addresses of a shard that is still to be fetched: id, latitude, longitude, url
    round-NNN/NUMBER.parquet  record of one that is done, see train/download_shard.py
    round-000/left-out.parquet  rows of the table that are never fetched: id, url, reason

Round 0 holds the whole table. Each later one holds what failed in the one before it and may pass.
Numbers of shards go on through all rounds, so that no two photos have one key.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from geo_model.errors import GeoModelError, TableError, reason_of
from geo_model.files import replaced_when_written
from train.download_addresses import (
    MULTIMEDIA_COMMONS,
    address_column,
    address_of,
    clean_address,
    column_texts,
)
from train.download_reasons import NO_ADDRESS, REPEATED
from train.download_shard import is_done, shard_name

if TYPE_CHECKING:
    import pyarrow

LEFT_OUT = "left-out.parquet"

_PLAN = "plan.json"
_VERSION = 1
_HOSTS_NAMED = 10


@dataclass(frozen=True)
class Plan:
    """What a download was asked for.

    Attributes:
        table_sha256: Of the table's bytes.
        table: The table's name, for messages.
        base_url: Where hashes are looked up; None where the table has addresses.
        shard_size: Most photos of a tar.
        rows: Of the table.
        hosts: Those asked for the most photos, such as `https://example.org`, with how many.
        host_count: How many hosts there are in all.
    """

    table_sha256: str
    table: str
    base_url: str | None
    shard_size: int
    rows: int
    hosts: tuple[tuple[str, int], ...]
    host_count: int


def read_plan(folder: Path) -> Plan | None:
    """The plan in a folder; None if there is none, or it was broken off.

    Raises:
        GeoModelError: It is of another version of this program, or damaged.
    """
    try:
        values = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        values = {}
    if not isinstance(values, dict) or values.pop("version", None) != _VERSION:
        raise GeoModelError(f"{folder / _PLAN} is damaged or of another version; download to another folder")
    return Plan(**{**values, "hosts": tuple((host, count) for host, count in values["hosts"])})


def make_plan(
    table: Path,
    folder: Path,
    base_url: str | None,
    shard_size: int,
    progress: Callable[[float], None] | None = None,
) -> Plan:
    """Read a table and write its addresses in shards; what the folder holds of a plan goes.

    Args:
        table: CSV with ids, coordinates and a column `url` or `hash`.
        folder: Where to write.
        base_url: As for `train.download.download`.
        shard_size: Most photos of a tar.
        progress: Called now and then with the share that is done, 0 to 1.

    Raises:
        TableError: The table cannot be used.
    """
    from train.photo_ids import PhotoIds
    from train.tables import read_coordinates

    column = address_column(table, base_url)
    if column == "hash":
        base_url = base_url or MULTIMEDIA_COMMONS
    shutil.rmtree(folder, ignore_errors=True)
    first_round = folder / "round-000"
    first_round.mkdir(parents=True)
    coordinates = read_coordinates(table, progress=lambda share: progress and progress(share / 2))
    ids = coordinates.ids
    if ids is None:
        raise TableError(f"{table}: no column IMG_ID or id; every photo needs one, to be found again")
    # Cleaned here, so that two ways to write an address are one; cleaning it again below changes nothing.
    texts = PhotoIds.of(
        text.strip() if column == "hash" else clean_address(text) or text
        for text in column_texts(table, column)
    )
    repeated = set(texts.repeated()[:, 0].tolist())
    hosts: Counter[str] = Counter()
    left_out: list[tuple[str, str, str]] = []

    def wanted() -> Iterator[pyarrow.Table]:
        rows: list[tuple[str, float, float, str]] = []
        columns = (ids, coordinates.latitudes, coordinates.longitudes, texts)
        for row, (photo_id, latitude, longitude, text) in enumerate(zip(*columns, strict=True)):
            address = address_of(text, base_url) if column == "hash" else clean_address(text)
            if address is None or row in repeated:
                left_out.append((photo_id, address or text, REPEATED if address else NO_ADDRESS))
                continue
            hosts["{0.scheme}://{0.netloc}".format(urlsplit(address))] += 1
            rows.append((photo_id, float(latitude), float(longitude), address))
            if len(rows) == shard_size:
                yield _addresses(rows)
                rows = []
                if progress:
                    progress(0.5 + row / len(coordinates) / 2)
        if rows:
            yield _addresses(rows)

    _write_shards(first_round, wanted(), 0, shard_size)
    _write_left_out(first_round / LEFT_OUT, left_out)
    plan = Plan(
        table_sha256=digest(table),
        table=table.name,
        base_url=base_url,
        shard_size=shard_size,
        rows=len(coordinates),
        hosts=tuple(hosts.most_common(_HOSTS_NAMED)),
        host_count=len(hosts),
    )
    with replaced_when_written(folder / _PLAN) as file:
        json.dump({"version": _VERSION, **asdict(plan)}, file, indent=1)
    return plan


def check_plan(plan: Plan, table: Path, base_url: str | None, shard_size: int, out: Path) -> None:
    """Whether what is asked for now is what the folder was begun with.

    Raises:
        GeoModelError: It is not.
    """
    if digest(table) != plan.table_sha256:
        raise GeoModelError(
            f"{out} holds a download of another table ({plan.table}); give another --out for {table}"
        )
    if base_url is not None and base_url.rstrip("/") != (plan.base_url or "").rstrip("/"):
        was = f"from {plan.base_url}" if plan.base_url else "without --base-url"
        raise GeoModelError(f"{out} holds a download {was}; give the same, or another --out")
    if shard_size != plan.shard_size:
        raise GeoModelError(
            f"{out} holds a download with --shard-size {plan.shard_size}; give the same, or another --out"
        )


def digest(table: Path) -> str:
    """SHA-256 of a file.

    Raises:
        TableError: It cannot be read.
    """
    try:
        with open(table, "rb") as file:
            sha256 = hashlib.sha256()
            while part := file.read(1 << 20):
                sha256.update(part)
            return sha256.hexdigest()
    except OSError as error:
        raise TableError(f"{table} cannot be read: {reason_of(error)}") from error


def rounds(folder: Path) -> list[Path]:
    """Folders of the rounds so far, in order."""
    return sorted(folder.glob("round-???"))


def unfinished(folder: Path) -> list[tuple[int, str]]:
    """Number and path of each shard that is still to be fetched, in order."""
    shards = [path for part in rounds(folder) for path in part.glob("*.arrow")]
    return sorted((int(path.stem), str(path)) for path in shards if not is_done(path))


def records(round_folder: Path) -> list[Path]:
    """Records of a round's shards that are done, in order."""
    return sorted(path for path in round_folder.glob("*.parquet") if path.name != LEFT_OUT)


def plan_round(folder: Path, tables: Iterable[pyarrow.Table], shard_size: int) -> None:
    """Write another round.

    Args:
        folder: Of the plan.
        tables: Addresses, columns as in the file format above; others are dropped.
        shard_size: Most photos of a tar.
    """
    last = rounds(folder)
    numbers = (int(path.stem) for part in last for path in (*part.glob("*.arrow"), *records(part)))
    part = folder / "next.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    _write_shards(part, tables, max(numbers, default=-1) + 1, shard_size)
    part.replace(folder / f"round-{len(last):03}")


def _addresses(rows: Sequence[tuple[str, float, float, str]]) -> pyarrow.Table:
    import pyarrow

    columns = list(zip(*rows, strict=True))
    return pyarrow.table(dict(zip(("id", "latitude", "longitude", "url"), columns, strict=True)))


def _write_shards(folder: Path, tables: Iterable[pyarrow.Table], first: int, shard_size: int) -> None:
    """Tables of any length as shards of equal length."""
    import pyarrow

    options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
    left: pyarrow.Table | None = None
    number = first

    def write(table: pyarrow.Table) -> None:
        nonlocal number
        path = str(folder / f"{shard_name(number)}.arrow")
        with (
            pyarrow.OSFile(path, "wb") as file,
            pyarrow.ipc.new_file(file, table.schema, options=options) as writer,
        ):
            writer.write_table(table)
        number += 1

    for table in tables:
        table = table.select(["id", "latitude", "longitude", "url"])
        left = table if left is None else pyarrow.concat_tables([left, table])
        while len(left) >= shard_size:
            write(left.slice(0, shard_size))
            left = left.slice(shard_size)
    if left is not None and len(left):
        write(left)


def _write_left_out(path: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    import pyarrow.parquet

    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    names = ("id", "url", "reason")
    arrays = [pyarrow.array(column, pyarrow.string()) for column in columns]
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=names), os.fspath(path), compression="zstd")
