"""The globe or the flat map on the page Locate: level, view, legend and the cell that was clicked."""

from __future__ import annotations

from typing import Any

import streamlit as st

from geo_model.cells import LEVELS, Level
from geo_model.terminal import area_text, coordinate_text, percent
from webapp import globe
from webapp.geometry import great_circle
from webapp.legend import legend_html
from webapp.palette import DARK, LIGHT, Palette
from webapp.photos import Located, Photo
from webapp.session import Session, cell_book
from webapp.wording import capitalised, count

_COMBINED = "Combined"
_LEVEL_NAMES = {_COMBINED: None, **{level.value.capitalize(): level for level in LEVELS}}
GLOBE, MAP = "Globe", "Flat map"

NO_GLOBE = "The globe needs Streamlit 1.67 and Python 3.11, or newer. This is the flat map."
"""What the page says where the installed Streamlit draws no globe."""


def globe_is_drawn() -> bool:
    """Whether the Streamlit that is installed draws a globe: before 1.67 it made a flat map of it.

    Python 3.10 has no newer Streamlit than 1.65, so the app shows only its own flat map there.
    """
    major, minor = st.__version__.split(".")[:2]
    return (int(major), int(minor)) >= (1, 67)


def palette() -> Palette:
    """Colours for the theme that the visitor uses."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def on_phone() -> bool:
    """Whether the visitor's browser says that it runs on a phone, where the globe must be smaller."""
    return "Mobi" in (st.context.headers.get("User-Agent") or "")


def chart_height() -> int:
    """Height of the globe in pixels."""
    return 400 if on_phone() else 540


def land() -> str | dict[str, Any]:
    """The land as the globe wants it."""
    return globe.land_source(bool(st.get_option("server.enableStaticServing")))


@st.fragment
def show_globe(state: Session, photo: Photo, located: Located) -> None:
    """Controls, globe, legend and the chosen cell; a click runs only this part of the page again."""
    level, flat = _controls(state)
    prediction = located.prediction
    book = cell_book(level)
    colours = palette()
    shown = globe.cells_on_show(prediction, level)
    layer_id = globe.cells_layer_id(shown, photo.key)
    key = "flat-map" if flat else "globe"
    point = (prediction.latitude, prediction.longitude)

    def remember_click() -> None:
        rows = st.session_state[key].selection.indices.get(layer_id, [])
        state.cell = (photo.key, level, int(shown.classes[rows[0]])) if rows else None

    marks = [globe.estimate_layer(point, colours, flat=flat)]
    if located.truth:
        tag = (located.truth.latitude, located.truth.longitude)
        marks.insert(0, globe.tag_layer(tag, point, colours, flat=flat))
    cell = _chosen_class(state, photo, level)
    selected = st.session_state.get(key, {}).get("selection", {}).get("indices", {}).get(layer_id)
    if cell is not None and not selected:
        marks.insert(0, globe.outline_layer(cell, book, colours, flat=flat))
    deck = globe.draw(
        colours,
        _camera(located, flat),
        flat=flat,
        land=land(),
        cells=[globe.cells_layer(layer_id, shown, book, colours, flat=flat)],
        marks=marks,
    )
    st.pydeck_chart(
        deck,
        height=chart_height(),
        on_select=remember_click,
        key=key,
        alt="The Earth with cells coloured by their probability",
    )
    st.html(legend_html(shown.scale, colours, located.truth))
    _show_cell(located, level, cell)
    drawn = f"the {len(shown.classes):,} most probable of {count(len(book.partitioning), 'cell')}"
    st.caption(f"Drawn: {drawn}, which hold {percent(shown.held)} of the probability.")


def _controls(state: Session) -> tuple[Level | None, bool]:
    st.session_state.setdefault("level", state.level_name)
    with st.container(horizontal=True, gap="large"):
        name = st.segmented_control(
            "Cells",
            list(_LEVEL_NAMES),
            key="level",
            required=True,
            help="The network answers at three resolutions. *Combined* multiplies the three along the "
            "hierarchy, and gives the answer.",
        )
        if globe_is_drawn():
            st.session_state.setdefault("view", MAP if state.flat else GLOBE)
            state.flat = st.segmented_control("View", [GLOBE, MAP], key="view", required=True) == MAP
        else:
            state.flat = True
    if not globe_is_drawn():
        st.caption(NO_GLOBE)
    state.level_name = name or _COMBINED
    return _LEVEL_NAMES[state.level_name], state.flat


def _camera(located: Located, flat: bool) -> globe.Camera:
    """Looks at the prediction, or, if both can be seen at once, at the way from it to the truth."""
    point = (located.prediction.latitude, located.prediction.longitude)
    truth = located.truth
    if truth is None or (truth.distance_km > globe.ONE_SIDE_KM and not flat):
        return globe.camera(point, flat, on_phone())
    way = great_circle(point, (truth.latitude, truth.longitude))
    if flat:
        return globe.map_camera(way, on_phone())
    latitude, longitude = way[len(way) // 2].tolist()
    return globe.camera((latitude, longitude), flat, on_phone())


def _chosen_class(state: Session, photo: Photo, level: Level | None) -> int | None:
    if state.cell and state.cell[:2] == (photo.key, level):
        return state.cell[2]
    return None


def _show_cell(located: Located, level: Level | None, cell: int | None) -> None:
    if cell is None:
        st.caption(":material/ads_click: Point at a cell to see what it holds; click it to keep it here.")
        return
    book = cell_book(level)
    cells = book.partitioning
    probability = float(located.prediction.probabilities(level)[cell])
    with st.container(border=True):
        st.markdown(
            f"**{capitalised(book.places[cell].text)}** — {percent(probability)} of the probability  \n"
            f"Cell `{cells.tokens[cell]}` (S2 level {cells.s2_levels[cell]}), "
            f"{area_text(cells.areas_km2[cell])}, shaped by "
            f"{count(int(cells.photo_counts[cell]), 'photo')} with their mean at "
            f"`{coordinate_text(cells.latitudes[cell], cells.longitudes[cell])}`."
        )
