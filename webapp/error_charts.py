"""Charts of errors: the cumulative curve, the median by continent, the reliability diagram.

The colours are Okabe and Ito's, which people with any kind of colour vision tell apart; lines differ in their
dashes as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from geo_model.error_breakdown import LARGEST_KM, SMALLEST_KM, cumulative_curve
from geo_model.metrics import THRESHOLDS_KM, DistanceSummary
from geo_model.reliability import ReliabilityBin
from webapp import evaluation_wording as words
from webapp.language import tr

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [10, 4], [1, 3])
_PLOT_PX, _LEGEND_ROW_PX = 320, 22
_TICKS_KM = [0.1, 1, 10, 25, 200, 750, 2500, 10_000]


def curve_chart(series: Sequence[tuple[str, NDArray[np.float64]]]) -> alt.LayerChart:
    """Share of photos by largest error, a line for each (name, errors in km)."""
    rows = []
    for name, distances in series:
        km, shares = cumulative_curve(distances)
        rows += [
            {"set": name, "km": round(float(x), 4), "share": round(100 * float(y), 3)}
            for x, y in zip(km, shares, strict=True)
        ]
    names = [name for name, _ in series]
    lines = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(interpolate="step-after", strokeWidth=2.2)
        .encode(
            x=_km_axis("km", tr(words.AXIS_ERROR)),
            y=alt.Y("share:Q", title=tr(words.AXIS_SHARE), scale=alt.Scale(domain=[0, 100])),
            color=_colour(names),
            strokeDash=alt.StrokeDash(
                "set:N", scale=alt.Scale(domain=names, range=_repeated(_DASHES, len(names))), legend=None
            ),
            tooltip=[
                alt.Tooltip("set:N", title=tr(words.SERIES)),
                alt.Tooltip("km:Q", title=tr(words.COLUMN_ERROR), format=",.1f"),
                alt.Tooltip("share:Q", title=tr(words.AXIS_SHARE), format=".1f"),
            ],
        )
    )
    marks = (
        alt.Chart(alt.Data(values=[{"km": km} for km in THRESHOLDS_KM]))
        .mark_rule(strokeDash=[2, 3], opacity=0.5, color="#888888")
        .encode(x="km:Q")
    )
    return alt.layer(marks, lines).properties(height=_PLOT_PX + _LEGEND_ROW_PX * len(names))


def continent_chart(rows_of: Sequence[tuple[str, Sequence[DistanceSummary]]]) -> alt.Chart:
    """Median error by continent, a point for each set of predictions."""
    names = [name for name, _ in rows_of]
    rows = [
        {
            "continent": summary.name,
            "set": name,
            "median": max(round(summary.median_km, 2), SMALLEST_KM),
            "mean": round(summary.mean_km, 1),
            "photos": summary.count,
        }
        for name, summaries in rows_of
        for summary in summaries
    ]
    order = list(dict.fromkeys(str(row["continent"]) for row in rows))
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_point(filled=True, size=110, opacity=1)
        .encode(
            x=_km_axis("median", tr(words.AXIS_MEDIAN)),
            y=alt.Y("continent:N", sort=order, title=None, axis=alt.Axis(labelLimit=110)),
            yOffset=alt.YOffset("set:N", sort=names),
            color=_colour(names),
            shape=alt.Shape("set:N", scale=alt.Scale(domain=names), legend=None),
            tooltip=[
                alt.Tooltip("continent:N", title=tr(words.AXIS_CONTINENT)),
                alt.Tooltip("set:N", title=tr(words.SERIES)),
                alt.Tooltip("photos:Q", title=tr(words.COLUMN_PHOTOS), format=","),
                alt.Tooltip("median:Q", title=tr(words.AXIS_MEDIAN), format=",.1f"),
                alt.Tooltip("mean:Q", title=tr(words.COLUMN_MEAN), format=",.0f"),
            ],
        )
        .properties(height=max(_PLOT_PX, 14 * len(rows)) + _LEGEND_ROW_PX * len(names))
    )


def reliability_chart(bins: Sequence[ReliabilityBin]) -> alt.LayerChart:
    """Share of right cells by stated probability, with 95% intervals, beside the diagonal."""
    rows: list[dict[str, Any]] = [
        {
            "stated": 100 * entry.confidence,
            "right": 100 * entry.share,
            "low": 100 * entry.share_low,
            "high": 100 * entry.share_high,
            "photos": entry.count,
        }
        for entry in bins
    ]
    percent = alt.Scale(domain=[0, 100])
    x = alt.X("stated:Q", title=tr(words.AXIS_STATED), scale=percent)
    diagonal = (
        alt.Chart(alt.Data(values=[{"stated": 0, "right": 0}, {"stated": 100, "right": 100}]))
        .mark_line(strokeDash=[5, 4], color="#888888")
        .encode(x=x, y="right:Q")
    )
    base = alt.Chart(alt.Data(values=rows)).encode(x=x)
    bars = base.mark_rule(strokeWidth=2, color=_COLOURS[0], opacity=0.6).encode(y="low:Q", y2="high:Q")
    points = base.mark_point(filled=True, color=_COLOURS[0], opacity=1).encode(
        y=alt.Y("right:Q", title=tr(words.AXIS_RIGHT), scale=percent),
        size=alt.Size("photos:Q", legend=None, scale=alt.Scale(range=[40, 320])),
        tooltip=[
            alt.Tooltip("stated:Q", title=tr(words.AXIS_STATED), format=".1f"),
            alt.Tooltip("right:Q", title=tr(words.AXIS_RIGHT), format=".1f"),
            alt.Tooltip("photos:Q", title=tr(words.COLUMN_PHOTOS), format=","),
        ],
    )
    return alt.layer(diagonal, bars, points).properties(height=320)


def _km_axis(column: str, title: str) -> alt.X:
    return alt.X(
        f"{column}:Q",
        title=title,
        scale=alt.Scale(type="log", domain=[SMALLEST_KM, LARGEST_KM]),
        axis=alt.Axis(values=_TICKS_KM, format=",~r", labelOverlap=True, grid=False),
    )


def _colour(names: Sequence[str]) -> alt.Color:
    legend = alt.Legend(orient="bottom", columns=1, labelLimit=600, symbolType="stroke", symbolStrokeWidth=3)
    return alt.Color(
        "set:N",
        title=None,
        sort=list(names),
        scale=alt.Scale(domain=list(names), range=_repeated(_COLOURS, len(names))),
        legend=legend,
    )


def _repeated(values: Sequence[Any], length: int) -> list[Any]:
    return [values[index % len(values)] for index in range(length)]
