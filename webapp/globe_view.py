"""The globe or the flat map on the page Locate: level, view, legend and the cell that was clicked."""

from __future__ import annotations

from typing import Any

import streamlit as st

from geo_model.cells import LEVELS, Level
from geo_model.level_limit import finest_level, levels_up_to
from geo_model.retempering import multiplies_levels
from geo_model.terminal import coordinate_text
from webapp import globe
from webapp.geometry import great_circle
from webapp.language import figures, tr
from webapp.legend import legend_html
from webapp.locate_wording import COMBINED_HELP, NO_GLOBE, SUMS_HELP
from webapp.palette import DARK, LIGHT, Palette
from webapp.photos import Located, Photo
from webapp.session import Session, cell_book
from webapp.wording import area, capitalised, count, percent, place_text

_COMBINED = "combined"
_LEVELS: dict[str, Level | None] = {_COMBINED: None, **{level.value: level for level in LEVELS}}
GLOBE, MAP = "Globe", "Flat map"


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
    prediction = located.prediction
    level, flat = _controls(state, multiplies_levels(prediction))
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
        alt=tr("The Earth with cells coloured by their probability"),
    )
    st.html(legend_html(shown.scale, colours, located.truth))
    _show_cell(located, level, cell)
    if len(shown.classes) == len(book.partitioning):
        return
    st.caption(
        tr(
            "Drawn: the {drawn} most probable of {cells}, which hold {share} of the probability.",
            drawn=figures(f"{len(shown.classes):,}"),
            cells=count(len(book.partitioning), "cell"),
            share=percent(shown.held),
        )
    )


def _controls(state: Session, multiplies: bool) -> tuple[Level | None, bool]:
    st.session_state.setdefault("level", state.level.value if state.level else _COMBINED)
    with st.container(horizontal=True, gap="large"):
        allowed = levels_up_to(finest_level())
        name = st.segmented_control(
            tr("Cells"),
            [name for name, level in _LEVELS.items() if level is None or level in allowed],
            key="level",
            required=True,
            format_func=lambda name: level_name(_LEVELS[name]),
            help=tr(COMBINED_HELP if multiplies else SUMS_HELP),
        )
        if globe_is_drawn():
            st.session_state.setdefault("view", MAP if state.flat else GLOBE)
            chosen = st.segmented_control(
                tr("View"), [GLOBE, MAP], key="view", required=True, format_func=view_name
            )
            state.flat = chosen == MAP
        else:
            state.flat = True
    if not globe_is_drawn():
        st.caption(tr(NO_GLOBE))
    state.level = _LEVELS[name or _COMBINED]
    return state.level, state.flat


def level_name(level: Level | None) -> str:
    """What the page calls a level."""
    names = {
        None: tr("Combined"),
        Level.COARSE: tr("Coarse"),
        Level.MIDDLE: tr("Middle"),
        Level.FINE: tr("Fine"),
    }
    return names[level]


def view_name(view: str) -> str:
    """What the page calls `GLOBE` and `MAP`."""
    return tr("Flat map") if view == MAP else tr("Globe")


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
        hint = tr("Point at a cell to see what it holds; click it to keep it here.")
        st.caption(f":material/ads_click: {hint}")
        return
    book = cell_book(level)
    cells = book.partitioning
    probability = float(located.prediction.probabilities(level)[cell])
    share = tr("{share} of the probability", share=percent(probability))
    about = tr(
        "Cell `{token}` (S2 level {level}), {area}, shaped by {photos} with their mean at `{point}`.",
        token=cells.tokens[cell],
        level=cells.s2_levels[cell],
        area=area(float(cells.areas_km2[cell])),
        photos=count(int(cells.photo_counts[cell]), "photo"),
        point=coordinate_text(cells.latitudes[cell], cells.longitudes[cell]),
    )
    with st.container(border=True):
        st.markdown(f"**{capitalised(place_text(book.places[cell]))}** — {share}  \n{about}")
