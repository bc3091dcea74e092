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
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geo_model import cli_convert, cli_explain, cli_geoclip, cli_locate, cli_metrics, cli_tune
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
    from rich.console import Console

app = typer.Typer(
    help="Where on Earth was this photo taken? A place, cell probabilities, and how sure that is. Offline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # so that the lines of a paragraph are joined
)


cli_locate.register(app)


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

            loaded = load_model(model, device, precision)
        with Work("Evaluating", len(collections)) as work:
            report = evaluate_photos(
                loaded,
                collections,
                truths,
                batch_size=batch_size or "auto",
                crops=crops_value(crops),
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


def _complain(sentence: str) -> None:
    from geo_model.progress import complain

    complain(sentence)


def _stdout_console() -> Console:
    from rich.console import Console

    return Console(highlight=False, emoji=False)
