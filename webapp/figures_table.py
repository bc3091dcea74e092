"""Tables of figures as HTML: accuracy beside what is published, coverage, continents, comparison.

Every name that comes from a file is escaped. A table wider than the page scrolls by itself.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from geo_model.measurements import Coverage
from geo_model.metrics import THRESHOLDS_KM, DistanceSummary
from geo_model.paired_comparison import PairedComparison
from geo_model.published import Benchmark, PublishedFigures
from geo_model.terminal import area_text
from webapp import evaluation_wording as words

_STYLE = """<style>
.figures {overflow-x: auto}
.figures table {border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums}
.figures th {font-weight: 600; text-align: right; padding: 0.3rem 0.6rem; white-space: nowrap}
.figures td {text-align: right; padding: 0.35rem 0.6rem; line-height: 1.25;
  border-top: 1px solid rgba(128, 128, 128, 0.25); white-space: nowrap}
.figures th:first-child, .figures td:first-child {text-align: left; white-space: normal; min-width: 9rem;
  overflow-wrap: anywhere}
.figures small {opacity: 0.7}
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
    thresholds = "".join(f"<th scope='col'>{km:,.0f} km</th>" for km in THRESHOLDS_KM)
    last = [words.COLUMN_MEDIAN, words.COLUMN_MEAN, words.COLUMN_SCORE]
    head = (
        f"<tr><th scope='col'>{words.PERCENT_WITHIN}</th>{thresholds}"
        + "".join(f"<th scope='col'>{text}</th>" for text in (*last, words.COLUMN_PHOTOS))
        + "</tr>"
    )
    rows = []
    for group in groups:
        for number, summary in enumerate(group):
            cells = "".join(
                _share(100 * entry.share, 100 * entry.low, 100 * entry.high) for entry in summary.accuracies
            )
            cells += f"<td>{_km(summary.median_km)}</td><td>{_km(summary.mean_km)}</td>"
            cells += f"<td>{summary.mean_geoscore:,.0f}</td><td>{summary.count:,}</td>"
            name = html.escape(summary.name)
            rows.append(
                f"<tr{' class=part' if number else ''}><td>{name if number else f'<b>{name}</b>'}</td>"
                f"{cells}</tr>"
            )
    if benchmark:
        title = words.PUBLISHED_ROWS.format(name=benchmark.name, photos=benchmark.photos)
        rows.append(f"<tr class=heading><td colspan={len(THRESHOLDS_KM) + 5}>{html.escape(title)}</td></tr>")
    for figures in published:
        cells = "".join(
            _share(percent, 100 * low, 100 * high)
            for percent, (low, high) in zip(figures.percents, figures.intervals, strict=True)
        )
        source = html.escape(f"{figures.paper}. {figures.note}".strip(), quote=True)
        name = f"<span title='{source}'>{html.escape(figures.method)}, {figures.year}</span>"
        rows.append(f"<tr class=published><td>{name}</td>{cells}<td></td><td></td><td></td><td></td></tr>")
    return _table(head, rows)


def coverage_html(coverages: Sequence[Coverage]) -> str:
    """How often the credible regions hold the truth."""
    columns = ("", words.COLUMN_HOLDS, words.COLUMN_AREA)
    rows = [
        f"<tr><td>{words.REGION_NAME.format(share=entry.region)}</td>"
        f"{_share(100 * entry.share, 100 * entry.low, 100 * entry.high, '%')}"
        f"<td>{area_text(entry.median_area_km2)}</td></tr>"
        for entry in coverages
    ]
    return _table(_head(columns), rows)


def continents_html(rows_of: Sequence[tuple[str, Sequence[DistanceSummary]]]) -> str:
    """Figures by continent for each set of predictions."""
    columns = (words.AXIS_CONTINENT, words.COLUMN_SET, words.COLUMN_PHOTOS)
    thresholds = tuple(f"{km:,.0f} km" for km in THRESHOLDS_KM)
    head = _head((*columns, *thresholds, words.COLUMN_MEDIAN, words.COLUMN_MEAN))
    rows = []
    for name, summaries in rows_of:
        for summary in summaries:
            cells = "".join(
                _share(100 * entry.share, 100 * entry.low, 100 * entry.high) for entry in summary.accuracies
            )
            rows.append(
                f"<tr><td>{html.escape(summary.name)}</td><td>{html.escape(name)}</td>"
                f"<td>{summary.count:,}</td>{cells}"
                f"<td>{_km(summary.median_km)}</td><td>{_km(summary.mean_km)}</td></tr>"
            )
    return _table(head, rows)


def comparison_html(comparison: PairedComparison) -> str:
    """How many photos one or both of two methods have within each distance."""
    columns = (words.COLUMN_WITHIN, words.COLUMN_BOTH, words.COLUMN_ONLY_FIRST, words.COLUMN_ONLY_SECOND)
    rows = [
        f"<tr><td>{entry.km:,.0f} km</td><td>{entry.both:,}</td><td>{entry.first_only:,}</td>"
        f"<td>{entry.second_only:,}</td><td>{entry.neither:,}</td>"
        f"<td>{html.escape(words.p_value(entry.adjusted_p_value))}</td></tr>"
        for entry in comparison.thresholds
    ]
    return _table(_head((*columns, words.COLUMN_NEITHER, words.COLUMN_CHANCE)), rows)


def _head(columns: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<th scope='col'>{html.escape(column)}</th>" for column in columns) + "</tr>"


def _table(head: str, rows: Sequence[str]) -> str:
    # A scrolling box must be reachable by keyboard.
    return (
        f"{_STYLE}<div class='figures' tabindex='0'><table><thead>{head}</thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _share(percent: float, low: float, high: float, unit: str = "") -> str:
    return f"<td>{percent:.1f}{unit}<br><small>{low:.1f}–{high:.1f}</small></td>"


def _km(km: float) -> str:
    return f"{km:.1f} km" if km < 10 else f"{km:,.0f} km"
