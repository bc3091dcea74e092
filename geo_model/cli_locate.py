"""The command `python -m geo_model locate`: where photos were taken, of a few or of any number."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geo_model import cli_geoclip
from geo_model.cli_options import (
    BatchSizeOption,
    CropsOption,
    DeviceOption,
    ModelOption,
    Precision,
    PrecisionOption,
    crops_value,
    load_model,
)
from geo_model.errors import GeoModelError

if TYPE_CHECKING:
    from geo_model.bulk import BulkSettings
    from geo_model.predict import Model


class Format(str, Enum):
    """What `locate` writes."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    GEOJSON = "geojson"
    GEOJSONL = "geojsonl"
    KML = "kml"
    PARQUET = "parquet"


class Engine(str, Enum):
    """What `locate` runs on."""

    LOCAL = "local"
    RAY = "ray"


def register(app: typer.Typer) -> None:
    """Add the command `locate` to the command line."""
    app.command("locate")(locate_command)


def locate_command(
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO|FOLDER|ARCHIVE|PATTERN|LIST|-...",
            help="Photos, folders (with their subfolders), tars and zips, patterns in quotes, lists "
            "(.txt, a path a line, seen from the current folder), s3:// addresses, or - for one photo from "
            "standard input.",
            show_default=False,
        ),
    ],
    model: ModelOption = None,
    top_k: Annotated[
        int, typer.Option(min=0, metavar="K", help="How many of the most probable cells to name.")
    ] = 5,
    output_format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="table, json, csv, geojson, geojsonl (newline-delimited GeoJSON), kml or parquet.",
            show_default="by the ending of --out, else table",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="File to write, or an s3:// address.", show_default="standard output"
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a run into csv, parquet or geojsonl that was stopped or killed, or add what is "
            "new to a finished one. A photo is known by its name: its path, or ARCHIVE/NAME, as given.",
        ),
    ] = False,
    failures: Annotated[
        str | None,
        typer.Option(
            metavar="CSV",
            help="Where a bulk run lists the photos that could not be read, and why.",
            show_default="OUT.failures.csv, beside --out",
        ),
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="This process, or Ray: workers here or on the cluster at RAY_ADDRESS.")
    ] = Engine.LOCAL,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Workers of Ray.", show_default="one a GPU, or 4 cores"),
    ] = None,
    regions: Annotated[
        bool,
        typer.Option("--regions", help="Draw the cells of the 90% region, in geojson, geojsonl and kml."),
    ] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.AUTO,
    crops: CropsOption = None,
    batch_size: BatchSizeOption = None,
) -> None:
    """Say where photos were taken.

    A photo that cannot be read gets one sentence on standard error; the others are located all the same, and
    the exit code is 1.

    With --out in csv, parquet or geojsonl there may be any number of photos: each is in the output once, or
    in the list of failures, however often the run was stopped or killed. Until the end everything lies in the
    folder OUT.unfinished.
    """
    chosen = output_format or _format_of(out)
    bulk = out is not None and chosen.value in ("csv", "parquet", "geojsonl")
    needs_bulk = {
        "--resume": resume,
        "--failures": failures is not None,
        "--engine ray": engine is Engine.RAY,
        "--format parquet": chosen is Format.PARQUET,
    }
    for option, given in needs_bulk.items():
        if given and not bulk:
            raise typer.BadParameter("it needs --out, in csv, parquet or geojsonl", param_hint=option)
    if regions and chosen not in (Format.GEOJSON, Format.GEOJSONL, Format.KML):
        raise typer.BadParameter(
            f"it is for geojson, geojsonl and kml, not for {chosen.value}", param_hint="--regions"
        )
    if workers and engine is not Engine.RAY:
        raise typer.BadParameter("it is for --engine ray", param_hint="--workers")
    if photos.count("-") > 1:
        raise typer.BadParameter(
            "- can be given once, for standard input holds one photo", param_hint="PHOTO"
        )
    if "-" in photos and (resume or engine is Engine.RAY):
        raise typer.BadParameter("- goes with neither --resume nor --engine ray", param_hint="PHOTO")

    from geo_model.cli import plain_endings

    with plain_endings():
        from geo_model.files import check_writable
        from geo_model.progress import Work

        if out is not None and not out.startswith("s3://"):
            check_writable(out)
        elif out is not None and not bulk:
            raise GeoModelError(f"{out}: only csv, parquet and geojsonl are written to s3://.")
        cli_geoclip.make_ready(model)
        with Work("Loading the model"):
            from geo_model.bulk import BulkSettings
            from geo_model.bulk_places import failures_beside

            settings = BulkSettings(
                out=out or "",
                failures=failures or failures_beside(out or ""),
                file_format=chosen.value,
                top_k=top_k,
                regions=regions,
                resume=resume,
                crops=crops_value(crops),
                batch_size=batch_size or "auto",
            )
        if not bulk:
            failed = _locate_some(photos, lambda: load_model(model, device, precision), settings)
        elif engine is Engine.RAY:
            failed = _locate_with_ray(photos, model, device, precision, workers, settings)
        else:
            failed = _locate_any_number(photos, lambda: load_model(model, device, precision), settings)
        if failed:
            raise typer.Exit(1)


def _locate_some(photos: list[str], load: Callable[[], Model], settings: BulkSettings) -> int:
    """Results to standard output or a file as they come; returns how many photos could not be read."""
    from geo_model.files import replaced_when_written
    from geo_model.photo_sources import PhotoSources
    from geo_model.progress import Work

    sources = PhotoSources(photos)
    with Work("Loading the model"):
        from geo_model.locating import WatchedResults, located, write_results

        results = located(sources, load, settings.batch_size, settings.crops)
    with Work("Locating", count=sources.count) as work:
        watched = WatchedResults(results, work)
        out = replaced_when_written(settings.out) if settings.out else contextlib.nullcontext(sys.stdout)
        with out as file:
            write_results(watched, settings.file_format, file, work, settings.top_k, settings.regions)
    return watched.failed


def _locate_any_number(photos: list[str], load: Callable[[], Model], settings: BulkSettings) -> int:
    """Rows into a table that a stopped run can be gone on with; returns how many could not be read."""
    from geo_model import bulk
    from geo_model.progress import Work

    with Work("Loading the model"):
        model = load()
    return bulk.run(
        photos, lambda sources: bulk.lines_of(sources, model, settings), model.spec.name, settings
    )


def _locate_with_ray(
    photos: list[str],
    model: str | None,
    device: str,
    precision: Precision,
    workers: int | None,
    settings: BulkSettings,
) -> int:
    """The same by Ray's workers; the model is loaded here too, for what is wrong with it shows at once."""
    from geo_model import bulk
    from geo_model.progress import Work

    with Work("Loading the model"):
        # Not in their precision, which may be for GPUs alone.
        name = load_model(model, "cpu", Precision.AUTO).spec.name
    with Work("Starting Ray"):
        from geo_model.ray_engine import RayEngine

        engine = RayEngine(settings, model, device, precision.value, workers)
    return bulk.run(photos, engine, name, settings)


def _format_of(out: str | None) -> Format:
    ending = Path(out).suffix.lower().lstrip(".") if out else ""
    return Format(ending) if ending in [known.value for known in Format] else Format.TABLE
