"""The page Cells: what the model believes, cell by cell, and the partitioning that it believes it in."""

from __future__ import annotations

import streamlit as st

from geo_model.cells import Level
from geo_model.level_limit import finest_level
from geo_model.predict import Model
from geo_model.retempering import multiplies_levels, retempered
from webapp.address_camera import follow_camera
from webapp.camera_buttons import show_camera_buttons
from webapp.cell_card import show_card
from webapp.cell_table import show_table
from webapp.cells_chart import Picture, show_charts
from webapp.cells_controls import choose_photo, choose_temperatures, choose_view
from webapp.cells_state import COMBINED, CellsState, chosen_class, level_of
from webapp.language import tr
from webapp.level_notice import level_notice
from webapp.model_gate import model_or_panel, note_borrowed_cells
from webapp.photos import Located
from webapp.session import cell_book, session


def cells_state() -> CellsState:
    """This visitor's state of the page."""
    return st.session_state.setdefault("cells", CellsState())


def choose_cell(picture: Picture, level: Level, index: int) -> None:
    """Go to a cell; one of the finest level keeps the combined probabilities on show if they are."""
    state = picture.state
    keeps = state.view.level == COMBINED and level is finest_level()
    name = COMBINED if keeps else level.value
    state.choose(name, picture.hierarchy[level].tokens[index], picture.look_at(level, index))


def write_address(state: CellsState) -> None:
    """Have the address name what is on show."""
    address = state.view.address()
    state.written.add(frozenset(address.items()))
    if dict(st.query_params) != address:
        st.query_params.from_dict(address)


@st.fragment
def keep_camera(state: CellsState) -> None:
    """Follow where the viewer turns the charts; only this part of the page runs then."""
    follow_camera("cells-camera", lambda camera: state.note(camera=camera))
    write_address(state)


def show_page(state: CellsState, model: Model, located: Located | None) -> None:
    """Everything below the choice of a photo."""
    choose_view(state, located is not None)
    own, prediction, of_product = model.spec.temperature, None, None
    if located is not None:
        prediction = located.prediction
        # Sums over the cells below a limit cannot be made anew from what is kept.
        if finest_level() is Level.FINE:
            choose_temperatures(state, own, prediction)
            of_product = state.tempered(own).hierarchy if multiplies_levels(prediction) else None
            prediction = retempered(prediction, own, state.tempered(own), model.spec.crops)
    if notice := level_notice():
        st.caption(notice)
    picture = Picture(state, model.hierarchy, prediction)
    level = level_of(state.view.level)
    chosen = chosen_class(state.view, model.hierarchy)
    if state.view.cell and chosen is None:
        st.warning(tr("This level of the loaded model has no cell {token}.", token=state.view.cell))
        state.note(cell=None)
    if state.view.three:
        chart = st.container()
        card, table = st.columns([2, 3], gap="medium")
    else:
        chart, card = st.columns([3, 2], gap="medium")
        table = st.container()
    with chart:
        show_charts(picture)
        show_camera_buttons(lambda: state.view.camera or picture.camera(), state.look)
        keep_camera(state)
    with card:
        if chosen is None:
            st.info(tr("Click a cell, or choose a row of the table, to see what is known of it."))
        else:
            show_card(
                model.hierarchy,
                level,
                chosen,
                cell_book,
                prediction,
                of_product,
                lambda level, index: choose_cell(picture, level, index),
            )
    with table:
        st.subheader(tr("All cells of this level"), anchor=False)
        show_table(
            picture.values(level),
            cell_book(level),
            f"{state.view.level}-{state.table}",
            lambda index: choose_cell(picture, level or finest_level(), index),
        )


state = cells_state()
opened = state.open(st.query_params.to_dict())
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
    for key, result in dict(session().results).items()  # a copy: the thread adds to it
    if isinstance(result, Located) and result.prediction.hierarchy.has_cells_of(model.hierarchy)
}
on_show = session().shown
state.follow(on_show[0].key if on_show and on_show[0].key in results else None, opened)
show_page(state, model, choose_photo(state, results))
