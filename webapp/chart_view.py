"""Charts on every page, with the numbers of axes and tooltips as the visitor's language writes them."""

from __future__ import annotations

from typing import Any

import altair as alt
import streamlit as st

from webapp.language import Language, language

_SEPARATORS: dict[Language, tuple[str, str]] = {"en": (".", ","), "de": (",", ".")}


def number_locale(of: Language) -> dict[str, Any]:
    """How Vega writes numbers (https://vega.github.io/vega-lite/docs/config.html#locale)."""
    decimal, thousands = _SEPARATORS[of]
    return {"decimal": decimal, "thousands": thousands, "grouping": [3], "currency": ["", ""]}


def show_chart(chart: alt.Chart | alt.LayerChart, alt_text: str) -> None:
    """Draw a chart as wide as its column.

    Args:
        chart: Without configuration of its own.
        alt_text: What it shows, for those who cannot see it.
    """
    shown = chart.configure(locale=alt.Locale(number=alt.NumberLocale(**number_locale(language()))))
    st.altair_chart(shown, width="stretch", alt=alt_text)
