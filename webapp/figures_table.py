"""Tables of figures as HTML: accuracy, published and of a model, coverage, continents, comparison.

Every name that comes from a file is escaped. A table wider than the page scrolls by itself.
"""

from __future__ import annotations

import contextlib
import html
from collections.abc import Mapping, Sequence
from typing import Any

from geo_model.measurements import HIERARCHY, Coverage
from geo_model.metrics import THRESHOLDS_KM, DistanceSummary
from geo_model.paired_comparison import PairedComparison
from geo_model.published import Benchmark, PublishedFigures
from webapp import evaluation_wording as words
from webapp.language import figures, tr
from webapp.wording import area, distance, percent

_MEASURED_KM = (25, 200, 750, 2500)
_MEASURED_REGION = 0.9
_STYLE = """<style>
.figures {overflow-x: auto}
.figures table {border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums}
.figures th {font-weight: 600; text-align: right; padding: 0.3rem 0.6rem; white-space: nowrap}
.figures td {text-align: right; padding: 0.35rem 0.6rem; line-height: 1.25;
  border-top: 1px solid rgba(128, 128, 128, 0.25); white-space: nowrap}
.figures th:first-child, .figures td:first-child {text-align: left; white-space: normal; min-width: 9rem;
  overflow-wrap: anywhere}
.figures small {opacity: 0.7}
.figures.measured th {white-space: normal; vertical-align: bottom}
.figures.measured th, .figures.measured td {padding-left: 0.3rem; padding-right: 0.3rem}
.figures.measured th:first-child, .figures.measured td:first-child {min-width: 6.5rem}
.figures.short th:first-child, .figures.short td:first-child {min-width: 0}
.figures.short th {white-space: normal}
.figures.measured small {font-weight: 400}
.figures tr.part td:first-child {padding-left: 1.4rem}
.figures tr.heading td {text-align: left; font-weight: 600; padding-top: 0.9rem; white-space: normal}
.figures tr.published td {opacity: 0.85}
</style>"""


def accuracy_html(
    groups: Sequence[Sequence[DistanceSummary]],
    benchmark: Benchmark | None,
    published: Sequence[PublishedFigures],
) -> str:
    """Accuracy with intervals, median, mean and GeoScore, and the published figures below.

    Args:
        groups: For each set of predictions its answers, of which all but the first are parts of it.
        benchmark: Whose published figures are shown, if any.
        published: They.
    """
    thresholds = "".join(f"<th scope='col'>{_count(km)} km</th>" for km in THRESHOLDS_KM)
    last = [tr(words.COLUMN_MEDIAN), tr(words.COLUMN_MEAN), tr(words.COLUMN_SCORE)]
    head = (
        f"<tr><th scope='col'>{tr(words.PERCENT_WITHIN)}</th>{thresholds}"
        + "".join(f"<th scope='col'>{text}</th>" for text in (*last, tr(words.COLUMN_PHOTOS)))
        + "</tr>"
    )
    rows = []
    for group in groups:
        for number, summary in enumerate(group):
            cells = "".join(
                _share(100 * entry.share, 100 * entry.low, 100 * entry.high) for entry in summary.accuracies
            )
            cells += f"<td>{_km(summary.median_km)}</td><td>{_km(summary.mean_km)}</td>"
            cells += f"<td>{_count(summary.mean_geoscore)}</td><td>{_count(summary.count)}</td>"
            name = html.escape(summary.name)
            rows.append(
                f"<tr{' class=part' if number else ''}><td>{name if number else f'<b>{name}</b>'}</td>"
                f"{cells}</tr>"
            )
    if benchmark:
        title = tr(words.PUBLISHED_ROWS, name=benchmark.name, photos=figures(f"{benchmark.photos:,}"))
        rows.append(f"<tr class=heading><td colspan={len(THRESHOLDS_KM) + 5}>{html.escape(title)}</td></tr>")
    for known in published:
        cells = "".join(
            _share(percent, 100 * low, 100 * high)
            for percent, (low, high) in zip(known.percents, known.intervals, strict=True)
        )
        source = html.escape(f"{known.paper}. {known.note}".strip(), quote=True)
        name = f"<span title='{source}'>{html.escape(known.method)}, {known.year}</span>"
        rows.append(f"<tr class=published><td>{name}</td>{cells}<td></td><td></td><td></td><td></td></tr>")
    return _table(head, rows)


def coverage_html(coverages: Sequence[Coverage]) -> str:
    """How often the credible regions hold the truth."""
    columns = (tr(words.COLUMN_REGION), tr(words.COLUMN_HOLDS), tr(words.COLUMN_AREA))
    rows = [
        f"<tr><td>{entry.region:.0%}</td>"
        f"{_share(100 * entry.share, 100 * entry.low, 100 * entry.high, '%')}"
        f"<td>{area(entry.median_area_km2)}</td></tr>"
        for entry in coverages
    ]
    return _table(_head(columns), rows, "short")


def continents_html(rows_of: Sequence[tuple[str, Sequence[DistanceSummary]]]) -> str:
    """Figures by continent for each set of predictions."""
    columns = (tr(words.AXIS_CONTINENT), tr(words.COLUMN_SET), tr(words.COLUMN_PHOTOS))
    thresholds = tuple(f"{_count(km)} km" for km in THRESHOLDS_KM)
    head = _head((*columns, *thresholds, tr(words.COLUMN_MEDIAN), tr(words.COLUMN_MEAN)))
    rows = []
    for name, summaries in rows_of:
        for summary in summaries:
            cells = "".join(
                _share(100 * entry.share, 100 * entry.low, 100 * entry.high) for entry in summary.accuracies
            )
            rows.append(
                f"<tr><td>{html.escape(summary.name)}</td><td>{html.escape(name)}</td>"
                f"<td>{_count(summary.count)}</td>{cells}"
                f"<td>{_km(summary.median_km)}</td><td>{_km(summary.mean_km)}</td></tr>"
            )
    return _table(head, rows)


def comparison_html(comparison: PairedComparison) -> str:
    """How many photos one or both of two methods have within each distance."""
    columns = (
        tr(words.COLUMN_WITHIN),
        tr(words.COLUMN_BOTH),
        tr(words.COLUMN_ONLY_FIRST),
        tr(words.COLUMN_ONLY_SECOND),
    )
    rows = [
        f"<tr><td>{_count(entry.km)} km</td><td>{_count(entry.both)}</td><td>{_count(entry.first_only)}</td>"
        f"<td>{_count(entry.second_only)}</td><td>{_count(entry.neither)}</td>"
        f"<td>{html.escape(words.p_value(entry.adjusted_p_value))}</td></tr>"
        for entry in comparison.thresholds
    ]
    return _table(_head((*columns, tr(words.COLUMN_NEITHER), tr(words.COLUMN_CHANCE))), rows)


def measured_html(accuracy: Mapping[str, Any]) -> str:
    """What was measured of a model: a column for each set of photos, and whether it was chosen on them.

    Args:
        accuracy: Of a ModelSpec, as `train.export.accuracy_record` writes it; what is not so is left out.

    Returns:
        HTML; empty if nothing is left.
    """
    columns = []
    for name, record in accuracy.items():
        with contextlib.suppress(KeyError, TypeError, ValueError):  # a folder of others may say it otherwise
            columns.append(_measured(name, record))
    if not columns:
        return ""
    labels = [
        tr("photos"),
        *(tr("within {distance}", distance=distance(km)) for km in _MEASURED_KM),
        tr("median error"),
        tr("{share}% region holds the truth", share=round(100 * _MEASURED_REGION)),
    ]
    rows = [
        f"<tr><td>{label}</td>{''.join(f'<td>{value}</td>' for value in values)}</tr>"
        for label, *values in zip(labels, *(values for _, values in columns), strict=True)
    ]
    head = f"<th scope='col'>{tr('measured on')}</th>" + "".join(title for title, _ in columns)
    return _table(f"<tr>{head}</tr>", rows, "measured")


def _measured(name: str, record: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Head and cells of one set of photos; raises KeyError, TypeError or ValueError if one is lacking."""
    role = tr("the model was chosen on it") if record["role"] == "validation" else tr("never trained on")
    answer = record["answers"][HIERARCHY]
    shares = {entry["km"]: entry["share"] for entry in answer["accuracy"]}
    held = {entry["region"]: entry["share"] for entry in record["coverage"]}
    values = [
        _count(record["photos"]),
        *(percent(shares[km]) for km in _MEASURED_KM),
        distance(answer["median_km"]),
        percent(held[_MEASURED_REGION]),
    ]
    return f"<th scope='col'>{html.escape(name)}<br><small>{role}</small></th>", values


def _head(columns: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<th scope='col'>{html.escape(column)}</th>" for column in columns) + "</tr>"


def _table(head: str, rows: Sequence[str], kind: str = "wide") -> str:
    # A scrolling box must be reachable by keyboard.
    return (
        f"{_STYLE}<div class='figures {kind}' tabindex='0'><table><thead>{head}</thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _share(percent: float, low: float, high: float, unit: str = "") -> str:
    return figures(f"<td>{percent:.1f}{unit}<br><small>{low:.1f}–{high:.1f}</small></td>")


def _count(number: float) -> str:
    return figures(f"{number:,.0f}")


def _km(km: float) -> str:
    return figures(f"{km:.1f} km" if km < 10 else f"{km:,.0f} km")
