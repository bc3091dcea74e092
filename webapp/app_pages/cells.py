"""The page Cells: what the model believes, cell by cell, and the partitioning that it believes it in."""

from __future__ import annotations

import numpy as np
import streamlit as st

from geo_model.cells import Hierarchy, Level
from geo_model.level_limit import finest_level
from geo_model.predict import Model, Prediction
from geo_model.region_outline import region_outline
from geo_model.retempering import multiplies_levels, retempered
from webapp import globe
from webapp.address_camera import follow_camera
from webapp.cell_card import show_card
from webapp.cell_table import show_table
from webapp.cells_controls import choose_photo, choose_temperatures, choose_view
from webapp.cells_globe import CellValues, legend_html, region_layer, tooltip, value_layer
from webapp.cells_state import COMBINED, CellsState, chosen_class, level_of
from webapp.globe_view import chart_height, land, on_phone, palette
from webapp.language import figures, tr
from webapp.level_notice import level_notice
from webapp.model_gate import model_or_panel, note_borrowed_cells
from webapp.photos import Located
from webapp.session import cell_book, session, the_model
from webapp.wording import count, percent


def cells_state() -> CellsState:
    """This visitor's state of the page."""
    return st.session_state.setdefault("cells", CellsState())


def look_at(hierarchy: Hierarchy, level: Level, index: int, flat: bool) -> globe.Camera:
    """A camera above a cell."""
    cells = hierarchy[level]
    return globe.camera((float(cells.latitudes[index]), float(cells.longitudes[index])), flat, on_phone())


def choose_cell(level: Level, index: int) -> None:
    """Go to a cell; a fine cell keeps the combined probabilities on show if they are."""
    state, hierarchy = cells_state(), the_model().hierarchy
    keeps = state.view.level == COMBINED and level is Level.FINE
    name = COMBINED if keeps else level.value
    state.choose(name, hierarchy[level].tokens[index], look_at(hierarchy, level, index, state.view.flat))


def write_address(state: CellsState) -> None:
    """Have the address name what is on show."""
    address = state.view.address()
    state.written.add(frozenset(address.items()))
    if dict(st.query_params) != address:
        st.query_params.from_dict(address)


@st.fragment
def keep_camera() -> None:
    """Follow where the viewer turns the globe; only this part of the page runs then."""
    state = cells_state()
    follow_camera("cells-camera", lambda camera: state.note(camera=camera))
    write_address(state)


def show_globe(state: CellsState, model: Model, prediction: Prediction | None, shown: CellValues) -> None:
    """The globe, its legend and what it shows."""
    level, colours = level_of(state.view.level), palette()
    own, flat = level or Level.FINE, state.view.flat
    book = cell_book(own)
    classes = shown.drawn()
    scale = shown.scale(classes, state.view.linear)
    chosen = chosen_class(state.view, model.hierarchy)
    key = "cells-map" if flat else "cells-globe"
    layer_id = f"cells-{state.view.level}-{(state.photo or 'training')[:12]}-{state.round}"

    def take() -> None:
        rows = st.session_state[key].selection.indices.get(layer_id, [])
        state.note(cell=book.partitioning.tokens[classes[rows[0]]] if rows else None)

    marks = []
    if prediction is not None and state.view.region:
        region = prediction.region(state.view.region)
        lines = region_outline(model.hierarchy.fine, region.classes)
        marks.append(region_layer(lines, colours, flat=flat))
    if chosen is not None:
        marks.append(globe.outline_layer(chosen, book, colours, flat=flat))
    if prediction is not None:
        point = (prediction.latitude, prediction.longitude)
        marks.append(globe.estimate_layer(point, colours, flat=flat))
    if state.start is None:
        around = chosen if chosen is not None else int(np.argmax(shown.values))
        state.start = look_at(model.hierarchy, own, around, flat)
    deck = globe.draw(
        colours,
        state.start,
        flat=flat,
        land=land(),
        cells=[value_layer(layer_id, shown, classes, scale, book, colours, flat=flat)],
        marks=marks,
        tooltip=tooltip(shown),
    )
    st.pydeck_chart(
        deck,
        height=chart_height(),
        on_select=take,
        key=key,
        alt=tr("The Earth with the cells of one level"),
    )
    st.html(legend_html(shown, scale, colours, state.view.region if prediction else None))
    st.caption(
        tr(
            "Drawn: {drawn} of {cells}. Turn and zoom with the mouse; the table below reaches every cell by "
            "keyboard.",
            drawn=figures(f"{len(classes):,}"),
            cells=count(len(shown.values), "cell"),
        )
    )
    if prediction is not None and state.view.region:
        region = prediction.region(state.view.region)
        st.caption(
            tr(
                "The outlined region holds {share} of the combined probability in {cells} of the fine level.",
                share=percent(region.probability),
                cells=count(len(region.classes), "cell"),
            )
        )


def show_page(state: CellsState, model: Model, located: Located | None) -> None:
    """Everything below the choice of a photo."""
    choose_view(state, located is not None)
    own, prediction, of_product = model.spec.temperature, None, None
    if located is not None:
        prediction = located.prediction
        multiplies = multiplies_levels(prediction)
        # Sums over the cells below a limit cannot be made anew from what is kept.
        if finest_level() is Level.FINE:
            choose_temperatures(state, own, multiplies)
            prediction = retempered(prediction, own, state.tempered(own))
            of_product = state.tempered(own).hierarchy if multiplies else None
    if notice := level_notice():
        st.caption(notice)
    level = level_of(state.view.level)
    cells = model.hierarchy[level or Level.FINE]
    values = cells.photo_counts if prediction is None else prediction.probabilities(level)
    shown = CellValues(values.astype(np.float64), photos=prediction is None)
    chosen = chosen_class(state.view, model.hierarchy)
    if state.view.cell and chosen is None:
        st.warning(tr("This level of the loaded model has no cell {token}.", token=state.view.cell))
    left, right = st.columns([3, 2], gap="large")
    with left:
        show_globe(state, model, prediction, shown)
        keep_camera()
    with right:
        if chosen is None:
            st.info(tr("Click a cell, or choose a row of the table, to see what is known of it."))
        else:
            show_card(model.hierarchy, level, chosen, cell_book, prediction, of_product, choose_cell)
    st.subheader(tr("All cells of this level"), anchor=False)
    show_table(
        shown,
        None if prediction is None else prediction.probabilities(level),
        cell_book(level),
        lambda index: choose_cell(level or Level.FINE, index),
    )


state = cells_state()
state.open(st.query_params.to_dict())
st.title(tr("What the model believes, cell by cell"), anchor=False)
st.markdown(
    tr(
        "The model divides the Earth into cells at three levels and gives each cell a probability. "
        "The address of this page holds level, cell and camera; photos never leave your own visit."
    )
)
model = model_or_panel()
if model is None:
    st.stop()
note_borrowed_cells(model)
results = {
    key: result
    for key, result in session().results.items()
    if isinstance(result, Located) and result.prediction.hierarchy is model.hierarchy
}
show_page(state, model, choose_photo(state, results))
