"""The command line: `python -m geo_model locate | evaluate | metrics | models | ...`; `--help` lists all.

Results go to standard output or to --out, progress and complaints to standard error. What is wrong with the
input is one sentence and exit code 1; wrong options are exit code 2. Heavy packages are imported inside the
commands, so that `--help` answers at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from geo_model import cli_convert, cli_explain, cli_geoclip, cli_metrics, cli_tune
from geo_model.errors import GeoModelError

if TYPE_CHECKING:
    from rich.console import Console

    from geo_model.predict import Model

app = typer.Typer(
    help="Where on Earth was this photo taken? A place, cell probabilities, and how sure that is. Offline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # so that the lines of a paragraph are joined
)


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


class Precision(str, Enum):
    """What the network computes in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Crops(str, Enum):
    """How the five crops of a photo become one answer."""

    MEAN = "mean"
    MAX = "max"


ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|FOLDER",
        help="A model that `models` lists, or a model folder.",
        show_default="the bundled model",
    ),
]
DeviceOption = Annotated[
    str, typer.Option(metavar="DEVICE", help="auto (a GPU when there is one), cpu, cuda, cuda:1, ...")
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        metavar="TYPE",
        help="auto (bfloat16 where the processor multiplies it), float32, bfloat16 or float16.",
    ),
]
CropsOption = Annotated[
    Crops | None,
    typer.Option(help="Mean or maximum over the five crops.", show_default="as the model was measured"),
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Photos that go through the network together.", show_default="by device"
    ),
]


@app.command()
def locate(
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
    if regions and chosen not in (Format.GEOJSON, Format.GEOJSONL, Format.KML):
        raise typer.BadParameter(
            f"it is for geojson, geojsonl and kml, not for {chosen.value}", param_hint="--regions"
        )
    if photos.count("-") > 1:
        raise typer.BadParameter(
            "- can be given once, for standard input holds one photo", param_hint="PHOTO"
        )
    asked = {"--resume": resume, "--failures": failures is not None, "--engine ray": engine is Engine.RAY}
    asked["--format parquet"] = chosen is Format.PARQUET
    for option, given in asked.items():
        if given and not bulk:
            raise typer.BadParameter("it needs --out, in csv, parquet or geojsonl", param_hint=option)
    if "-" in photos and (resume or engine is Engine.RAY):
        raise typer.BadParameter("- goes with neither --resume nor --engine ray", param_hint="PHOTO")
    with plain_endings():
        from geo_model.files import check_writable, replaced_when_written
        from geo_model.progress import Work

        if out is not None and not out.startswith("s3://"):
            check_writable(out)
        elif out is not None and not bulk:
            raise GeoModelError(f"{out}: only csv, parquet and geojsonl are written to s3://.")
        cli_geoclip.make_ready(model)
        if bulk:
            assert out is not None
            with Work("Loading the model"):
                from geo_model import bulk as bulk_run
                from geo_model.bulk_output import failures_beside

                settings = bulk_run.BulkSettings(
                    out=out,
                    failures=failures or failures_beside(out),
                    file_format=chosen.value,
                    top_k=top_k,
                    regions=regions,
                    resume=resume,
                    crops=_value(crops),
                    batch_size=batch_size or "auto",
                )
                loaded = _load(model, device if engine is Engine.LOCAL else "cpu", precision)
            name = loaded.spec.name
            if engine is Engine.RAY:
                from geo_model.ray_engine import RayEngine

                failed = bulk_run.run(
                    photos, RayEngine(settings, model, device, precision.value, workers), name, settings
                )
            else:
                failed = bulk_run.run(
                    photos, lambda sources: bulk_run.lines_of(sources, loaded, settings), name, settings
                )
            if failed:
                raise typer.Exit(1)
            return
        from geo_model.photo_sources import PhotoSources

        sources = PhotoSources(photos)
        with Work("Loading the model"):
            from geo_model.locating import WatchedResults, located, write_results

            results = located(
                sources, lambda: _load(model, device, precision), batch_size or "auto", _value(crops)
            )
        with Work("Locating", count=sources.count) as work:
            watched = WatchedResults(results, work)
            with replaced_when_written(out) if out else contextlib.nullcontext(sys.stdout) as file:
                write_results(watched, chosen.value, file, work, top_k, regions)
        if watched.failed:
            raise typer.Exit(1)


@app.command()
def evaluate(
    photos: Annotated[
        list[Path],
        typer.Option(
            "--photos",
            metavar="FOLDER|TAR...",
            help="Folders or tars of photos; can be repeated.",
            show_default=False,
        ),
    ],
    more_photos: Annotated[
        list[Path] | None,
        typer.Argument(
            hidden=True, metavar="FOLDER|TAR", help="What a shell makes of `--photos *.tar` beyond the first."
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Where they were taken: IMG_ID,LAT,LON or img_id,gt_lat,gt_long, in degrees.",
            show_default="the JSON files in the tars",
        ),
    ] = None,
    model: ModelOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Table to write, a row per photo.", show_default="none")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.AUTO,
    crops: CropsOption = None,
    batch_size: BatchSizeOption = None,
) -> None:
    """Measure a model on photos whose place is known.

    Prints accuracy within 1, 25, 200, 750 and 2500 km for each level and for the final answer with 95%
    intervals, the median error, the GeoScore, and how often the 50% and the 90% region hold the truth.
    """
    with plain_endings():
        from geo_model.files import check_writable, replaced_when_written
        from geo_model.photo_collection import PhotoCollections
        from geo_model.progress import Work
        from geo_model.truth import read_truth_csv

        if out is not None:
            check_writable(out)
        truths = read_truth_csv(truth) if truth else {}
        collections = PhotoCollections([*photos, *(more_photos or [])])
        cli_geoclip.make_ready(model)
        with Work("Loading the model"):
            from geo_model.evaluation import evaluate as evaluate_photos
            from geo_model.report_files import report_csv, report_record
            from geo_model.terminal import report_view

            loaded = _load(model, device, precision)
        with Work("Evaluating", len(collections)) as work:
            report = evaluate_photos(
                loaded,
                collections,
                truths,
                batch_size=batch_size or "auto",
                crops=_value(crops),
                progress=work.advance,
            )
            for _, reason in report.unreadable:
                work.complain(reason)
        if out is not None:
            with replaced_when_written(out) as file:
                file.writelines(report_csv(report))
        if as_json:
            print(json.dumps({"model": loaded.spec.name, **report_record(report)}, indent=2), flush=True)
        else:
            _stdout_console().print(report_view(report))
        if report.unreadable:
            raise typer.Exit(1)


@app.command()
def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the models that --model takes: bundled, in the folders of GEO_MODEL_PATH, and GeoCLIP."""
    with plain_endings():
        from dataclasses import asdict

        from geo_model.model_list import model_entries, models_view

        entries = model_entries()
        if as_json:
            print(json.dumps([asdict(entry) for entry in entries], indent=2, default=str), flush=True)
        elif entries:
            _stdout_console().print(models_view(entries))
        else:
            print("There is no model; set GEO_MODEL_PATH to a folder that holds model folders.", flush=True)


cli_metrics.register(app)
cli_convert.register(app)
cli_explain.register(app)
cli_geoclip.register(app)
cli_tune.register(app)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the screen cannot show must not end the run; files and pipes get UTF-8.
        stream.reconfigure(errors="replace", encoding=None if stream.isatty() else "utf-8")  # type: ignore[union-attr]
    app()


@contextlib.contextmanager
def plain_endings() -> Iterator[None]:
    """End a command without a traceback: on a user's mistake, on Ctrl-C, and when nobody reads the output."""
    try:
        yield
    except GeoModelError as error:
        _complain(str(error))
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        _complain("Stopped.")
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # Python would complain once more when it flushes standard output at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not imported here
            raise
        _complain("The device has not enough memory; give a smaller --batch-size or --device cpu.")
        raise typer.Exit(1) from None


def _format_of(out: str | None) -> Format:
    ending = Path(out).suffix.lower().lstrip(".") if out else ""
    return Format(ending) if ending in [known.value for known in Format] else Format.TABLE


def _load(model: str | None, device: str, precision: Precision) -> Model:
    from geo_model.predict import load

    return load(model, device, precision.value)


def _value(crops: Crops | None) -> Literal["mean", "max"] | None:
    return crops.value if crops else None  # type: ignore[return-value]


def _complain(sentence: str) -> None:
    from geo_model.progress import complain

    complain(sentence)


def _stdout_console() -> Console:
    from rich.console import Console

    return Console(highlight=False, emoji=False)
