"""`python -m train download`."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from train.download_plan import Plan
    from train.download_report import DownloadReport


class Distributor(str, Enum):
    """Who runs the workers."""

    multiprocessing = "multiprocessing"
    pyspark = "pyspark"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("download")(download_command)


def download_command(
    table: Annotated[
        Path,
        typer.Option(
            help="CSV of photos: an id, coordinates, and a column url (whole addresses) or hash (YFCC100M).",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the tars and missing.csv.", show_default=False)],
    base_url: Annotated[
        str | None,
        typer.Option(
            help="Where the photo of a hash lies: BASE/abc/def/abcdef....jpg.",
            show_default="the public bucket multimedia-commons",
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Worker processes.", show_default="one a processor")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Photos that each fetches at a time.")] = 32,
    retries: Annotated[
        int, typer.Option(min=0, help="Rounds after the first, for photos that may come later.")
    ] = 4,
    timeout_s: Annotated[
        float, typer.Option(min=0.1, help="Longest wait for a connection or a piece of a photo, seconds.")
    ] = 20.0,
    back_off_s: Annotated[
        float, typer.Option(min=0.0, help="Wait before the second round, seconds; it doubles each time.")
    ] = 5.0,
    max_failed_share: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Exit with code 1 if a larger share of the photos is missing."),
    ] = 0.05,
    shard_size: Annotated[int, typer.Option(min=1, help="Most photos of a tar.")] = 10_000,
    distributor: Annotated[
        Distributor,
        typer.Option(help="Worker processes here, or a Spark cluster as its own configuration says."),
    ] = Distributor.multiprocessing,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before fetching.")] = False,
) -> None:
    """Fetch photos into WebDataset tars, short side 320.

    Can be ended at any moment: the same command goes on, and fetches nothing twice. It also asks again for
    photos that were missing for a reason that may pass.
    """
    from train.cli import message_console
    from train.download import download

    try:
        report = download(
            table,
            out,
            base_url=base_url,
            processes=processes,
            threads=threads,
            retries=retries,
            timeout_s=timeout_s,
            back_off_s=back_off_s,
            shard_size=shard_size,
            distributor=distributor.value,
            confirm=None if yes else _ask,
            console=message_console(),
        )
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        raise typer.Exit(130) from None
    _print(report)
    if report.failed_share > max_failed_share:
        again = "; the same command asks again for those that may come later" if report.passing else ""
        print(
            f"Error: {report.failed_share:.1%} of the photos are missing, more than the "
            f"{max_failed_share:.1%} of --max-failed-share{again}",
            file=sys.stderr,
        )
        raise typer.Exit(1)


def _ask(plan: Plan, photos: int) -> None:
    """Name the hosts, and go on only if the user says so."""
    hosts = ", ".join(f"{host} ({count:,})" for host, count in plan.hosts)
    more = plan.host_count - len(plan.hosts)
    if more:
        hosts += f" and {more:,} others"
    if not sys.stdin.isatty():
        print(
            f"Error: {photos:,} photos would be fetched from {hosts}; say --yes if that is meant",
            file=sys.stderr,
        )
        raise typer.Exit(1)
    typer.confirm(f"Fetch {photos:,} photos from {hosts}?", abort=True, err=True)


def _print(report: DownloadReport) -> None:
    from rich.console import Console

    from train.download_report import reason_table

    console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    if report.missing:
        console.print(reason_table(report))
    tars = f"tars 00000 to {report.tars - 1:05}" if report.tars > 1 else f"{report.tars or 'no'} tar"
    repeated = f", rows that repeat an address: {report.repeated:,}" if report.repeated else ""
    console.print(
        f"{report.out}: {report.photos:,} of {report.rows:,} photos, {tars}; missing: {report.failed:,} "
        f"({report.failed_share:.2%}){repeated}, see {report.missing_csv.name}."
    )
