"""What the command line shows: predictions and evaluation reports as rich tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from geo_model.cells import LEVELS
from geo_model.images import photo_name
from geo_model.published import Benchmark, PublishedFigures, published_figures

if TYPE_CHECKING:
    from geo_model.evaluation import Report
    from geo_model.metrics import DistanceSummary
    from geo_model.predict import Prediction

ACCURACY_TITLE = "% within a distance of the truth, with 95% interval"

_NAMED = 5
"""Photo ids that a list of a report names before it only counts."""


def prediction_view(prediction: Prediction, top_k: int = 5) -> RenderableType:
    """Name, answer, credible regions and the most probable cells of one photo."""
    answer = Table.grid(padding=(0, 2))
    answer.add_row("Place", Text(prediction.place.text, style="bold"))
    answer.add_row("Latitude, longitude", coordinate_text(prediction.latitude, prediction.longitude))
    answer.add_row("Probability of its cell", percent(prediction.probability))
    for share in (0.9, 0.5):
        region = prediction.region(share)
        answer.add_row(
            f"{share:.0%} region", f"{area_text(region.area_km2)} in {len(region.classes):,} cells"
        )
    parts: list[RenderableType] = [
        Text(photo_name(prediction.name), style="bold cyan"),
        Padding(answer, (0, 2)),
    ]
    if top_k > 0:
        cells = _table()
        cells.add_column("", justify="right")
        cells.add_column("Most probable cells", overflow="fold")
        cells.add_column("Lat, lon", justify="right", no_wrap=True)
        for level in LEVELS:
            cells.add_column(level.value.capitalize(), justify="right")
        cells.add_column("Together", justify="right")
        ancestors = prediction.hierarchy.ancestors
        for candidate in prediction.top(top_k):
            heads = [
                percent(float(prediction.levels[level][ancestors[candidate.class_index, column]]))
                for column, level in enumerate(LEVELS)
            ]
            cells.add_row(
                str(candidate.rank),
                Text(candidate.place.text),
                coordinate_text(candidate.latitude, candidate.longitude, digits=2),
                *heads,
                percent(candidate.probability),
            )
        parts.append(Padding(cells, (1, 0, 1, 2)))
    return Group(*parts)


def report_view(report: Report) -> RenderableType:
    """Accuracy, coverage, kinds of photo, and what was left out."""
    parts: list[RenderableType] = [Text(f"{_count(report.count)} evaluated", style="bold cyan")]
    for title, table in (
        (ACCURACY_TITLE, _accuracy_table(report)),
        ("Photos whose true cell is in the credible region", _coverage_table(report)),
        ("The final answer by kind of photo, % within a distance", _kind_table(report)),
    ):
        if table.row_count:
            parts += [Text(title, style="bold"), Padding(table, (0, 0, 1, 0))]
    return Group(*parts, *(Text(line) for line in _left_out(report)))


def benchmark_view(model: str, benchmark: Benchmark, report: Report) -> RenderableType:
    """A model's figures on a benchmark below the published ones, its regions, and what was left out."""
    published = published_figures(benchmark.key)
    title = f"{benchmark.name}: {photo_name(model)}, {_count(report.count)} evaluated"
    return Group(
        Text(title, style="bold cyan"),
        Text(ACCURACY_TITLE, style="bold"),
        Padding(beside_table(report.distances, published), (0, 0, 1, 0)),
        Text(f"The final answer is hierarchy. {error_line(report.answer)}"),
        *(Text(line) for line in beside_notes(benchmark, published, report.count)),
        Text("\nPhotos whose true cell is in the credible region", style="bold"),
        Padding(_coverage_table(report), (0, 0, 1, 0)),
        *(Text(line) for line in _left_out(report)),
    )


def _table() -> Table:
    """An empty table that fits into 80 columns where it can."""
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def _accuracy_table(report: Report) -> Table:
    table = _table()
    table.add_column("")
    for accuracy in report.answer.accuracies:
        table.add_column(f"{accuracy.km:g} km", justify="right")
    table.add_column("Median", justify="right")
    table.add_column("GeoScore", justify="right")
    for summary in report.distances:
        table.add_row(
            summary.name,
            *_accuracy_cells(summary),
            f"{summary.median_km:,.0f} km",
            f"{summary.mean_geoscore:,.0f}",
        )
    return table


def _accuracy_cells(summary: DistanceSummary) -> list[Text]:
    cells = []
    for accuracy in summary.accuracies:
        interval = f"\n{100 * accuracy.low:.1f}–{100 * accuracy.high:.1f}"
        cells.append(Text(f"{100 * accuracy.share:.1f}").append(interval, style="dim"))
    return cells


def beside_table(summaries: Sequence[DistanceSummary], published: Sequence[PublishedFigures]) -> Table:
    """Accuracy with 95% intervals below published figures, which stand first, as printed."""
    table = _table()
    table.padding = 0  # or it would not fit into 80 columns
    labels = [f"{figures.method} {figures.year}" for figures in published]
    table.add_column("", overflow="fold", min_width=max(map(len, labels), default=0))
    for accuracy in summaries[0].accuracies:
        table.add_column(f"{accuracy.km:g} km", justify="right", no_wrap=True)
    for label, figures in zip(labels, published, strict=True):
        table.add_row(label, *(f"{percent:.1f}" for percent in figures.percents))
    if published:
        table.add_section()
    for summary in summaries:
        table.add_row(Text(summary.name), *_accuracy_cells(summary))
    return table


def error_line(summary: DistanceSummary) -> str:
    """Median and mean error and the GeoScore in one line."""
    return (
        f"Median error {summary.median_km:,.0f} km, mean {summary.mean_km:,.0f} km, "
        f"GeoScore {summary.mean_geoscore:,.0f}."
    )


def beside_notes(benchmark: Benchmark, beside: Sequence[PublishedFigures], count: int) -> list[str]:
    """What a reader of published figures should know: which photos, how wide their intervals are, and notes.

    Args:
        benchmark: What the figures were measured on.
        beside: The published figures.
        count: Photos that our own figures are of.
    """
    lines = []
    if count != benchmark.photos:
        lines.append(
            f"Published figures are of all {benchmark.photos:,} photos of {benchmark.name}, these are of "
            f"{count:,}; compare them with care."
        )
    widest = max(high - low for figures in beside for low, high in figures.intervals)
    lines.append(
        f"Published shares of {benchmark.photos:,} photos have a 95% interval too, of up to "
        f"{50 * widest:.1f} points either way."
    )
    lines += [f"{figures.method}: {figures.note}" for figures in beside if figures.note]
    return lines


def _coverage_table(report: Report) -> Table:
    table = _table()
    for title in ("Region", "Covered", "95% interval", "Median area"):
        table.add_column(title, justify="right")
    for coverage in report.coverages:
        table.add_row(
            f"{coverage.region:.0%}",
            f"{coverage.share:.1%} ({coverage.hits:,} of {coverage.total:,})",
            f"{100 * coverage.low:.1f}–{100 * coverage.high:.1f}",
            area_text(coverage.median_area_km2),
        )
    return table


def _kind_table(report: Report) -> Table:
    table = _table()
    table.add_column("")
    table.add_column("Photos", justify="right")
    for accuracy in report.answer.accuracies:
        table.add_column(f"{accuracy.km:g} km", justify="right")
    table.add_column("Median", justify="right")
    for coverage in report.coverages:
        table.add_column(f"In {coverage.region:.0%}", justify="right")
    for kind, part in report.by_kind.items():
        table.add_row(
            Text(kind),
            f"{part.count:,}",
            *(f"{100 * accuracy.share:.1f}" for accuracy in part.answer.accuracies),
            f"{part.answer.median_km:,.0f} km",
            *(f"{coverage.share:.1%}" for coverage in part.coverages),
        )
    return table


def _left_out(report: Report) -> list[str]:
    lines = []
    if report.outside_cells:
        lines.append(f"The truth of {_count(report.outside_cells)} lies in no cell, so no region holds it.")
    for what, ids in (
        ("without truth, not evaluated", report.without_truth),
        ("in the truth table and nowhere else", report.without_photo),
        ("left out, for another has the truth of their file name", report.repeated),
        ("that cannot be read, not evaluated", [photo_id for photo_id, _ in report.unreadable]),
    ):
        if ids:
            lines.append(f"{_count(len(ids))} {what}: {_named(ids)}.")
    return lines


def _count(number: int) -> str:
    return f"{number:,} photo" if number == 1 else f"{number:,} photos"


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    return ", ".join(photo_name(photo_id) for photo_id in ids[:_NAMED]) + more


def coordinate_text(latitude: float, longitude: float, digits: int = 4) -> str:
    """Latitude and longitude in degrees as maps take them: 45.7640, 4.8357."""
    return f"{latitude:.{digits}f}, {longitude:.{digits}f}"


def area_text(area_km2: float) -> str:
    """An area in km² with no more digits than it deserves."""
    if area_km2 >= 10_000_000:
        return f"{area_km2 / 1e6:,.0f} million km²"
    if area_km2 >= 1_000_000:
        return f"{area_km2 / 1e6:,.1f} million km²"
    return f"{area_km2:,.0f} km²" if area_km2 >= 10 else f"{area_km2:.2g} km²"


def percent(probability: float) -> str:
    """A probability in percent: 12.3%, 0.05%, <0.01%."""
    if 0 < probability < 0.0001:
        return "<0.01%"
    return f"{probability:.1%}" if probability >= 0.001 or probability == 0 else f"{probability:.2%}"
