"""The command `python -m geo_model metrics`: the figures of predictions that lie in a CSV."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from geo_model.prediction_table import PredictionTable
    from geo_model.truth import Coordinate

_NAMED = 10
"""Rows and photos that are named one by one before the others are only counted."""


class Beside(str, Enum):
    """Benchmarks with published figures."""

    IM2GPS = "im2gps"
    IM2GPS3K = "im2gps3k"


def register(app: typer.Typer) -> None:
    """Add the command `metrics` to the command line."""
    app.command("metrics")(metrics_command)


def metrics_command(
    predictions: Annotated[
        Path,
        typer.Option(
            "--predictions",
            metavar="CSV",
            help="Truth and prediction of each photo in degrees, as img_id, gt_lat, gt_long, predicted_lat, "
            "predicted_long; or the table that `evaluate --out` writes.",
            show_default=False,
        ),
    ],
    beside: Annotated[
        Beside | None,
        typer.Option(
            metavar="BENCHMARK", help="Print the published figures of im2gps or im2gps3k beside them."
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that cannot be used, and say how many.")
    ] = False,
    always: Annotated[
        str | None,
        typer.Option(
            metavar="LAT,LON",
            help="Print beside them what answering this one place for every photo reaches, in degrees.",
            show_default="none",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compute the accuracy of predictions that lie in a table, from any method.

    Prints accuracy within 1, 25, 200, 750 and 2500 km with 95% intervals, the median and the mean error and
    the GeoScore. Distances are great circles on a sphere of 6371 km radius, and a photo at exactly a
    threshold counts as within it.
    """
    from geo_model.cli import plain_endings

    with plain_endings():
        from geo_model.prediction_table import read_predictions

        constant = None if always is None else _coordinate(always)
        table = read_predictions(predictions)
        complain_of_bad_rows(table, skip_bad)
        if as_json:
            print(json.dumps(metrics_record(table, beside, constant), indent=2), flush=True)
        else:
            print_metrics(table, beside, constant)


def _coordinate(text: str) -> Coordinate:
    from geo_model.truth import degrees_of

    latitude, _, longitude = text.partition(",")
    where = f"--always {text}"
    return degrees_of(where, latitude, "latitude"), degrees_of(where, longitude, "longitude")


def complain_of_bad_rows(table: PredictionTable, skip_bad: bool) -> None:
    """Name rows that cannot be used on standard error.

    Raises:
        TableError: There are some, and they are not to be skipped.
    """
    from geo_model.errors import TableError
    from geo_model.progress import complain

    if not table.bad_rows:
        return
    count = f"{len(table.bad_rows):,} bad {'row' if len(table.bad_rows) == 1 else 'rows'}"
    if not skip_bad:
        raise TableError(f"{table.bad_rows[0]} Correct the table, or leave its {count} out with --skip-bad.")
    for sentence in table.bad_rows[:_NAMED]:
        complain(sentence)
    more = len(table.bad_rows) - _NAMED
    complain(f"{count} left out" + (f", {more:,} of them not named here." if more > 0 else "."))


def metrics_record(
    table: PredictionTable, beside: Beside | None, always: Coordinate | None = None
) -> dict[str, Any]:
    """The figures in plain JSON values.

    Args:
        table: Predictions beside the truth.
        beside: Whose published figures to add.
        always: Latitude and longitude in degrees of a constant answer to compare with.
    """
    from geo_model.published import benchmark, published_figures

    record = asdict(table.summary())
    if always:
        record["always"] = asdict(table.constant_summary(always))
    record["bad_rows"] = list(table.bad_rows)
    record["without_answer"] = [{"photo": photo, "reason": reason} for photo, reason in table.without_answer]
    if beside:
        record["beside"] = asdict(benchmark(beside.value))
        record["published"] = [asdict(figures) for figures in published_figures(beside.value)]
    return record


def print_metrics(table: PredictionTable, beside: Beside | None, always: Coordinate | None = None) -> None:
    """The figures as a table on standard output; takes what `metrics_record` takes."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from geo_model.published import benchmark, published_figures
    from geo_model.terminal import ACCURACY_TITLE, beside_notes, beside_table, error_line

    console = Console(highlight=False, emoji=False)
    summary = replace(table.summary(), name="these predictions")
    published = published_figures(beside.value) if beside else ()
    summaries, lines = [summary], [error_line(summary)]
    if always:
        summaries.append(table.constant_summary(always))
        lines.append(f"{summaries[1].name}: {error_line(summaries[1])}")
    if table.without_answer:
        photo, reason = table.without_answer[0]
        count = f"{len(table.without_answer):,} of the rows"
        lines.append(f"Left out for want of an answer: {count}, the first of them {photo}: {reason}")
    if table.bad_rows:
        lines.append(f"Left out because they cannot be used: {len(table.bad_rows):,} of the rows.")
    if beside:
        lines += beside_notes(benchmark(beside.value), published, len(table))
    console.print(Text(f"{len(table):,} predictions of {table.name}", style="bold cyan"))
    console.print(Text(ACCURACY_TITLE, style="bold"))
    console.print(Padding(beside_table(summaries, published), (0, 0, 1, 0)))
    for line in lines:
        console.print(Text(line))
