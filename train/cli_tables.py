"""The commands `check-table`, `hashes` and `import-shards` of `python -m train`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from geo_model.errors import TableError

TableOption = Annotated[
    Path,
    typer.Option(
        "--table",
        help="CSV of photos: columns IMG_ID or id, LAT or latitude, LON or longitude (degrees); others are "
        "ignored.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("check-table")(check_table_command)
    app.command("hashes")(_stoppable(hashes_command))
    app.command("import-shards")(_stoppable(import_shards_command))


def _stoppable(command: Callable[..., None]) -> Callable[..., None]:
    """A command that Ctrl-C ends with exit code 130 and a word on how to go on."""

    @functools.wraps(command)
    def stoppable(*arguments: object, **options: object) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            _say("Stopped. The same command goes on from there.")
            raise typer.Exit(130) from None

    return stoppable


def check_table_command(
    table: Annotated[
        Path,
        typer.Argument(
            help="CSV of photos: columns IMG_ID or id (may be missing), LAT or latitude, LON or longitude "
            "(degrees); others are ignored.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="CSV to write with every defective row.", show_default="none"),
    ] = None,
    show: Annotated[int, typer.Option(min=0, help="How many defective rows to show.")] = 10,
) -> None:
    """Say what a table of photos holds, and which of its rows cannot be used and why.

    Ends with exit code 1 if there is such a row. The other commands refuse a table at the first of them.
    """
    from geo_model.files import check_writable
    from train.cli import print_summary, progress_bar
    from train.table_check import check_table

    if out is not None:
        check_writable(out)
    with progress_bar(f"Reading {table.name}") as progress:
        report = check_table(table, shown=show, out=out, progress=progress)
    print_summary(f"{table}: {_counted(report.rows, 'row')}, {'with' if report.with_ids else 'without'} ids.")
    if report.latitudes is not None and report.longitudes is not None:
        (south, north), (west, east) = report.latitudes, report.longitudes
        print_summary(
            f"{report.usable:,} can be used: latitude {south:.6g} to {north:.6g}, longitude {west:.6g} to "
            f"{east:.6g} degrees."
        )
    if not report.defective:
        return
    print_summary(f"{report.defective:,} cannot be used:")
    for kind, count in report.counts.items():
        print_summary(f"  {count:,} {kind}")
    for defect in report.first:
        print_summary(defect.sentence(table))
    if report.defective > len(report.first):
        print_summary(f"and {report.defective - len(report.first):,} more.")
    if out is not None:
        print_summary(f"{out} lists all of them.")
    raise typer.Exit(1)


def hashes_command(
    table: TableOption,
    hashes: Annotated[
        str,
        typer.Option(
            help="yfcc100m_hash.bz2 of the public bucket multimedia-commons: a path, or an http(s) address.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="CSV to write, with columns IMG_ID,LAT,LON,hash.", show_default=False)
    ],
    missing: Annotated[
        Path | None,
        typer.Option(
            help="CSV to write of photos without a hash, with columns IMG_ID,LAT,LON,reason.",
            show_default="OUT with .missing.csv",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that decompress.", show_default="one a processor")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before fetching from an address.")] = False,
) -> None:
    """Look up the hashes under which YFCC100M's photos are stored, MP-16's among them, for `download`.

    The file of 100 million hashes is read once, without unpacking it, up to the last photo that is wanted.
    Can be ended at any moment: the same command goes on from there.
    """
    import numpy as np

    from geo_model.files import check_writable
    from train.byte_source import FileSource, UrlSource
    from train.cli import message_console, print_summary, progress_bar
    from train.hashes import find_hashes, photo_numbers, write_hashes
    from train.hosts import confirm_host
    from train.progress import byte_bar
    from train.tables import read_coordinates

    missing = missing or out.with_suffix(".missing.csv")
    if len({path.resolve() for path in (table, out, missing)}) < 3:
        raise typer.BadParameter("--table, --out and --missing must be three files")
    for path in (out, missing):
        check_writable(path)
    source: FileSource | UrlSource
    if "://" in hashes:
        confirm_host(hashes, "the hash file", agreed=yes)
        source = UrlSource(hashes, _say)
    else:
        source = FileSource(hashes)
    with progress_bar(f"Reading {table.name}") as progress:
        photos = read_coordinates(table, progress=progress)
    if photos.ids is None:
        raise TableError(f"{table} has no column IMG_ID or id; the hashes are looked up by the photos' ids")
    numbers = photo_numbers(photos.ids, len(photos))
    wanted = np.unique(numbers[numbers >= 0])
    if not len(wanted):
        raise TableError(f"{table}: no id holds a photo number, as 45/77/3228511372.jpg does")
    journal = out.with_name(out.name + ".journal")
    with byte_bar(message_console(), f"Looking for {_counted(len(wanted), 'photo')}") as bar:
        found = find_hashes(wanted, source, journal, workers=workers, progress=bar, note=_say)
    if not found.found_count:
        journal.unlink()
        raise TableError(
            f"none of the {_counted(len(wanted), 'photo')} of {table} is among the "
            f"{_counted(found.lines, 'line')} of {hashes}; nothing was written"
        )
    with_hash, without = write_hashes(out, missing, photos, numbers, found)
    journal.unlink()
    print_summary(
        f"{out}: {with_hash:,} of {_counted(len(photos), 'photo')} ({with_hash / len(photos):.1%}) have a "
        f"hash; {missing} lists the {without:,} others."
    )
    malformed = ""
    if found.malformed:
        malformed = f", {found.malformed:,} of them malformed, the first in line {found.first_malformed:,}"
    print_summary(f"{hashes}: {_counted(found.lines, 'line')} read{malformed}.")


def import_shards_command(
    shards: Annotated[
        str,
        typer.Option(
            help="Folder of shard_<k>.msg, or a glob pattern in quotes such as '/data/*/shard_*.msg'.",
            show_default=False,
        ),
    ],
    table: TableOption,
    out: Annotated[
        Path,
        typer.Option(help="Folder for the tars and the report of what was left out.", show_default=False),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="JSON object of the classes by photo id, three each, as the earlier tool wrote it.",
            show_default="none",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that decode photos.", show_default="one a processor")
    ] = None,
) -> None:
    """Turn MessagePack shards of photos into WebDataset tars, with coordinates from the table.

    What is damaged, not in the table or there twice is left out and listed in import-report.csv. Can be ended
    at any moment: the same command goes on after the last whole shard.
    """
    from train.cli import message_console, print_summary, progress_bar
    from train.import_shards import REPORT, import_shards
    from train.label_mapping import read_label_mapping
    from train.msgpack_shards import find_shards
    from train.photo_ids import PhotoIds
    from train.processors import processor_count
    from train.progress import byte_bar
    from train.tables import read_coordinates

    found = find_shards(shards)
    with progress_bar(f"Reading {table.name}") as progress:
        photos = read_coordinates(table, progress=progress)
    if not isinstance(photos.ids, PhotoIds):
        raise TableError(f"{table} has no column IMG_ID or id; coordinates are looked up by the photos' ids")
    classes = None
    if labels is not None:
        with progress_bar(f"Reading {labels.name}") as progress:
            classes, others = read_label_mapping(labels, photos.ids, progress)
        if others:
            _say(f"{labels}: for {others:,} of its ids there is no row in {table}.")
    with byte_bar(message_console(), f"Importing {_counted(len(found), 'shard')}") as bar:
        report = import_shards(
            found, photos, out, classes=classes, workers=workers or processor_count(), progress=bar
        )
    left_out = sum(report.counts.values())
    for path, reason in report.unreadable:
        _say(f"{path} cannot be read: {reason}")
    before = f", {report.done_before:,} of them before," if report.done_before else ""
    print_summary(
        f"{out}: {_counted(report.photos, 'photo')} of {_counted(report.shards, 'shard')}{before} in "
        f"{_counted(report.tars, 'tar')}."
    )
    if report.without_classes:
        print_summary(f"{report.without_classes:,} have no entry in {labels}.")
    if left_out:
        print_summary(f"{left_out:,} left out; {out / REPORT} lists them:")
        for reason, count in report.counts.most_common():
            print_summary(f"  {count:,} {reason}")
    if report.unreadable or not report.photos:
        raise typer.Exit(1)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
