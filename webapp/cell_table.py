"""A table of the cells of one level by value, with a search for places and tokens, and as a CSV file."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from geo_model.exports import csv_line
from webapp.cells_globe import CellValues, place_names
from webapp.globe import CellBook
from webapp.language import tr
from webapp.wording import count

MOST_ROWS = 1000
"""Most rows sent to the browser; the search looks at all cells, and the file holds all of them."""


def folded(text: str) -> str:
    """A text without accents and capitals: São Paulo is found by "sao paulo"."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in apart if not unicodedata.combining(sign))


def matching(book: CellBook, places: Sequence[str], wanted: str) -> NDArray[np.bool_]:
    """Which cells have a token that begins with a text, or a place that holds it, bool (C,)."""
    text = folded(wanted.strip())
    tokens = book.partitioning.tokens
    return np.array(
        [token.startswith(text) or text in folded(place) for token, place in zip(tokens, places, strict=True)]
    )


def ranks_of(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The rank of each value, 1 for the highest, int64 (C,); among equal ones the first comes first."""
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return ranks


def table_csv(shown: CellValues, book: CellBook, rows: NDArray[np.int64]) -> bytes:
    """Cells as UTF-8 CSV, in the order of `rows`, class indices.

    Columns: rank, token, s2_level, area_km2, training_photos, latitude and longitude (degrees, the mean of
    the cell's photos), place, country_code, and, where probabilities are shown, probability in [0, 1].
    """
    cells, ranks = book.partitioning, ranks_of(shown.values)
    columns = ["rank", "token", "s2_level", "area_km2", "training_photos", "latitude", "longitude"]
    columns += ["place", "country_code", *([] if shown.photos else ["probability"])]
    lines = [csv_line(columns)]
    for index in rows.tolist():
        place = book.places[index]
        values: list[object] = [int(ranks[index]), cells.tokens[index], int(cells.s2_levels[index])]
        values += [float(f"{cells.areas_km2[index]:.6g}"), int(cells.photo_counts[index])]
        values += [round(float(cells.latitudes[index]), 6), round(float(cells.longitudes[index]), 6)]
        values += [place.text, place.country_code]
        if not shown.photos:
            values.append(float(f"{shown.values[index]:.6g}"))
        lines.append(csv_line(values))
    return "".join(lines).encode("utf-8")


def show_table(shown: CellValues, book: CellBook, name: str, choose: Callable[[int], None]) -> None:
    """The search and the table; a row that is clicked is handed over as its class index.

    Args:
        shown: What the cells are sorted by.
        book: Their level.
        name: Of this table; another one than before ends the selection of a row.
        choose: Takes the class index.
    """
    cells = book.partitioning
    places = place_names(book)
    kept = "cells-search-kept"  # a widget's own value is forgotten on other pages
    st.session_state.setdefault("cells-search", st.session_state.get(kept, ""))
    wanted = st.text_input(
        tr("Search for a place or a token"), key="cells-search", placeholder=tr("Lisbon, Japan, 47e …")
    )
    st.session_state[kept] = wanted
    ranks = ranks_of(shown.values)
    order = np.argsort(ranks)
    if wanted.strip():
        order = order[matching(book, places, wanted)[order]]
    rows = order[:MOST_ROWS]
    columns: dict[str, object] = {
        tr("Rank"): ranks[rows],
        tr("Nearest place"): [places[index] for index in rows],
    }
    settings: dict[str, object] = {}
    if not shown.photos:
        columns[tr("Probability, %")] = 100 * shown.values[rows]
        settings[tr("Probability, %")] = st.column_config.NumberColumn(format="localized")
    areas = cells.areas_km2[rows]
    columns |= {
        tr("Training photos"): cells.photo_counts[rows],
        tr("Token"): [cells.tokens[index] for index in rows],
        tr("S2 level"): cells.s2_levels[rows],
        tr("Area, km²"): np.where(areas < 100, np.round(areas, 1), np.round(areas)),
    }
    for number in (tr("Area, km²"), tr("Training photos")):
        settings[number] = st.column_config.NumberColumn(format="localized")

    key = f"cells-table-{name}-{folded(wanted)}"

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
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            tr("Download {cells} as CSV", cells=count(len(order), "cell")),
            partial(table_csv, shown, book, order),
            file_name=f"cells-{name.split('-')[0]}.csv",
            mime="text/csv",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
            key="cells-download",
        )
        if len(order) > len(rows):
            st.caption(tr("The table shows the first {rows}.", rows=count(len(rows), "row")))
