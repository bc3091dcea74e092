"""How the probability spreads over countries and continents, as bars."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import streamlit as st
from numpy.typing import NDArray

from geo_model.cells import Level
from webapp.chart_view import show_chart
from webapp.language import tr
from webapp.session import cell_book
from webapp.wording import country_name

_MOST_BARS = 8
_LEAST_SHARE = 0.005
_BAR_PX = 26


def show_shares(probabilities: NDArray[np.float32]) -> None:
    """Two charts: by country and by continent, the most probable first."""
    book = cell_book(Level.FINE)
    english = {place.country_code: place.country for place in book.places}
    countries = [(country_name(code, english[code]), share) for code, share in book.countries(probabilities)]
    continents = [(tr(name), share) for name, share in book.continents(probabilities)]
    by_country, by_continent = st.tabs([tr("By country"), tr("By continent")])
    with by_country:
        _bars(bars(countries, tr("elsewhere")), tr("Country"))
    with by_continent:
        _bars(bars(continents, tr("elsewhere")), tr("Continent"))


def bars(shares: Sequence[tuple[str, float]], elsewhere: str) -> list[tuple[str, float]]:
    """The largest shares, and what they leave over as the last one if that can be seen."""
    shown = [(name, share) for name, share in shares[:_MOST_BARS] if share >= _LEAST_SHARE]
    rest = sum(share for _, share in shares) - sum(share for _, share in shown)
    return [*shown, (elsewhere, rest)] if rest >= _LEAST_SHARE else shown


def _bars(shares: Sequence[tuple[str, float]], title: str) -> None:
    axis = tr("Share of the probability, %")
    rows = [{title: name, axis: round(100 * share, 2)} for name, share in shares]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(color="#0080aa")
        .encode(
            x=alt.X(f"{axis}:Q"),
            y=alt.Y(
                f"{title}:N", sort=[name for name, _ in shares], title=None, axis=alt.Axis(labelLimit=170)
            ),
            tooltip=[alt.Tooltip(f"{title}:N"), alt.Tooltip(f"{axis}:Q", format=".1f")],
        )
        .properties(height=60 + _BAR_PX * len(shares))
    )
    show_chart(chart, tr("Share of the probability, %"))
