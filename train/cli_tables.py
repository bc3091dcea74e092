"""The commands `check-table`, `hashes` and `import-shards` of `python -m train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
