"""A table of the cells of one level by value, with a search for places and tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from webapp.cells_globe import CellValues
from webapp.globe import CellBook
from webapp.language import tr
from webapp.wording import capitalised, count, place_text

MOST_ROWS = 1000
"""Most rows sent to the browser; the search looks at all cells."""


def folded(text: str) -> str:
    """A text without accents and capitals: São Paulo is found by "sao paulo"."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in apart if not unicodedata.combining(sign))


def matching(book: CellBook, places: list[str], wanted: str) -> NDArray[np.bool_]:
    """Which cells have a token that begins with a text, or a place that holds it, bool (C,)."""
    text = folded(wanted.strip())
    tokens = book.partitioning.tokens
    return np.array(
        [token.startswith(text) or text in folded(place) for token, place in zip(tokens, places, strict=True)]
    )


def show_table(
    shown: CellValues,
    probabilities: NDArray[np.float32] | None,
    book: CellBook,
    choose: Callable[[int], None],
) -> None:
    """The search and the table; a row that is clicked is handed over as its class index."""
    cells = book.partitioning
    places = [capitalised(place_text(place)) for place in book.places]
    wanted = st.text_input(
        tr("Search for a place or a token"), key="cells-search", placeholder=tr("Lisbon, Japan, 47e …")
    )
    order = np.argsort(-shown.values, kind="stable")
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(1, len(order) + 1)
    if wanted.strip():
        order = order[matching(book, places, wanted)[order]]
    rows = order[:MOST_ROWS]
    columns: dict[str, object] = {
        tr("Rank"): ranks[rows],
        tr("Nearest place"): [places[index] for index in rows],
        tr("Token"): [cells.tokens[index] for index in rows],
        tr("S2 level"): cells.s2_levels[rows],
        tr("Area, km²"): np.round(cells.areas_km2[rows], 1),
        tr("Training photos"): cells.photo_counts[rows],
    }
    settings: dict[str, object] = {
        tr("Area, km²"): st.column_config.NumberColumn(format="localized"),
        tr("Training photos"): st.column_config.NumberColumn(format="localized"),
    }
    if probabilities is not None:
        columns[tr("Probability, %")] = 100 * probabilities[rows].astype(np.float64)
        settings[tr("Probability, %")] = st.column_config.NumberColumn(format="%.4f")

    key = f"cells-table-{folded(wanted)}"

    def take() -> None:
        if chosen := st.session_state[key].selection.rows:
            choose(int(rows[chosen[0]]))

    if not len(rows):
        st.info(tr("No cell of this level has such a place or token."))
        return
    st.dataframe(
        columns,
        key=key,
        on_select=take,
        selection_mode="single-row",
        hide_index=True,
        column_config=settings,  # type: ignore[arg-type]
        height=360,
    )
    if len(order) > len(rows):
        st.caption(
            tr("The first {rows} of {cells}.", rows=count(len(rows), "row"), cells=count(len(order), "cell"))
        )
