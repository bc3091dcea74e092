"""The command `test` of `python -m train`: a model on Im2GPS and Im2GPS3k, beside the published figures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from geo_model.cli_options import (
    BatchSizeOption,
    Crops,
    CropsOption,
    DeviceOption,
    Precision,
    PrecisionOption,
)
from geo_model.errors import DeviceError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("test")(run_test_command)


def _photos_option(name: str) -> object:
    return typer.Option(
        metavar="PHOTOS[,TRUTH]",
        help=f"Your {name} photos, a folder or a tar, and after a comma the CSV that says where they were "
        "taken: IMG_ID,LAT,LON or img_id,gt_lat,gt_long, in degrees.",
        show_default=False,
    )


def run_test_command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL_FOLDER", help="Model folder to test.", show_default=False)
    ],
    im2gps: Annotated[str | None, _photos_option("Im2GPS")] = None,
    im2gps3k: Annotated[str | None, _photos_option("Im2GPS3k")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the figures (figures.csv) and each benchmark's report and photos (JSON, CSV).",
            show_default="none",
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.AUTO,
    crops: CropsOption = None,
    batch_size: BatchSizeOption = None,
) -> None:
    """Test a model on Im2GPS and Im2GPS3k: the paper's table beside its figures, with 95% intervals.

    Measures as `python -m geo_model evaluate` does. Ends with exit code 1 if a photo cannot be read; the
    others are measured all the same.
    """
    given = {key: text for key, text in (("im2gps", im2gps), ("im2gps3k", im2gps3k)) if text is not None}
    if not given:
        raise typer.BadParameter("give --im2gps, --im2gps3k or both")
    finished: list[str] = []
    try:
        readable = _test(model, given, out, device, precision, crops, batch_size, finished)
    except KeyboardInterrupt:
        kept = f" {out} holds what was measured before." if out and finished else ""
        print(f"Stopped.{kept}", file=sys.stderr)
        raise typer.Exit(130) from None
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not imported here
            raise
        raise DeviceError(
            "the device has not enough memory; give a smaller --batch-size or --device cpu."
        ) from error
    if not readable:
        raise typer.Exit(1)


def _test(
    name: str,
    given: dict[str, str],
    out: Path | None,
    device: str,
    precision: Precision,
    crops: Crops | None,
    batch_size: int | None,
    finished: list[str],
) -> bool:
    """Measure and print; whether all photos could be read."""
    from rich.console import Console

    from geo_model.files import replaced_when_written
    from geo_model.progress import Work

    console = Console(highlight=False, emoji=False)
    with Work("Looking through the photos"):
        from train.benchmarking import (
            FIGURES,
            BenchmarkPhotos,
            benchmark_record,
            check_out,
            figures_csv,
            write_rows,
        )

        if out is not None:
            check_out(out, list(given))
        tests = [BenchmarkPhotos.open(key, text) for key, text in given.items()]
    with Work("Loading the model"):
        from geo_model.evaluation import evaluate
        from geo_model.predict import load
        from geo_model.terminal import benchmark_view

        model = load(name, device, precision.value)
    reports = []
    for test in tests:
        with Work(f"Testing on {test.benchmark.name}", len(test.collection)) as work:
            report = evaluate(
                model,
                test.collection,
                test.truths,
                batch_size=batch_size or "auto",
                crops=crops.value if crops else None,  # type: ignore[arg-type]
                progress=work.advance,
            )
            for _, reason in report.unreadable:
                work.complain(reason)
        reports.append((test.benchmark, report))
        if out is not None:
            write_rows(out / f"{test.benchmark.key}.csv", report)
            with replaced_when_written(out / f"{test.benchmark.key}.json") as file:
                record = benchmark_record(model.spec.name, test.benchmark, report)
                file.write(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
            with replaced_when_written(out / FIGURES) as file:
                file.writelines(figures_csv(model.spec.name, reports))
        finished.append(test.benchmark.key)
        console.print(benchmark_view(model.spec.name, test.benchmark, report))
    return not any(report.unreadable for _, report in reports)
