"""The choices on the page Cells: photo, level, view, colours, credible region and temperatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from geo_model.decoding import Temperature
from geo_model.photo_files import shown_name
from webapp.cells_state import COMBINED, LEVEL_NAMES, REGION_SHARES, CellsState, level_of
from webapp.globe_view import GLOBE, MAP, globe_is_drawn, level_name, view_name
from webapp.language import figures, tr
from webapp.photos import Located

_NO_PHOTO = ""
_PRODUCT_STEPS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
_HEAD_STEPS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)


def _bound(key: str, value: object, take: Callable[[Any], None]) -> dict[str, Any]:
    """Arguments of a widget whose value is kept in the page's state, wherever it is changed."""
    st.session_state[key] = value  # a widget's own value is forgotten on pages that do not draw it
    return {"key": key, "on_change": lambda: take(st.session_state[key])}


def choose_photo(state: CellsState, located: Mapping[str, Located]) -> Located | None:
    """Which photo's probabilities are shown; None shows the partitioning itself."""
    if state.photo not in located:
        state.photo = None

    def take(key: str) -> None:
        state.photo, state.start = key or None, None
        state.note(cell=None, camera=None, level=COMBINED if key else state.view.level)

    st.selectbox(
        tr("Show"),
        [_NO_PHOTO, *located],
        format_func=lambda key: (
            shown_name(located[key].prediction.name, longest=60)
            if key in located
            else tr("no photo: training photos in each cell")
        ),
        **_bound("cells-photo", state.photo or _NO_PHOTO, take),
    )
    if not located:
        st.caption(tr("Locate a photo first to see what the model believes about it."))
    return located.get(state.photo or _NO_PHOTO)


def choose_view(state: CellsState, with_photo: bool) -> None:
    """Level, view, colours and region, kept in the state and so in the address."""
    names = [name for name in LEVEL_NAMES if with_photo or name != COMBINED]
    if state.view.level not in names:
        state.note(level="fine")

    def turn(view: str) -> None:
        state.note(flat=view == MAP, camera=None)
        state.start = None

    with st.container(horizontal=True, gap="large"):
        st.segmented_control(
            tr("Level"),
            names,
            required=True,
            format_func=lambda name: level_name(level_of(name)),
            **_bound("cells-level", state.view.level, lambda name: state.note(level=name, cell=None)),
        )
        if globe_is_drawn():
            st.segmented_control(
                tr("View"),
                [GLOBE, MAP],
                required=True,
                format_func=view_name,
                **_bound("cells-view", MAP if state.view.flat else GLOBE, turn),
            )
        elif not state.view.flat:
            state.note(flat=True)
        if with_photo:
            st.segmented_control(
                tr("Outline of the credible region"),
                list(REGION_SHARES),
                format_func=lambda share: f"{share:.0%}",
                **_bound("cells-region", state.view.region, lambda share: state.note(region=share)),
            )
        st.toggle(
            tr("Linear colours"),
            **_bound("cells-linear", state.view.linear, lambda linear: state.note(linear=linear)),
        )


def choose_temperatures(state: CellsState, own: Temperature, multiplies: bool) -> None:
    """What other temperatures would make of the probabilities."""

    def take_product(wanted: float) -> None:
        state.temperature = None if wanted == own.hierarchy else wanted

    def take_heads(wanted: float) -> None:
        state.heads = wanted

    with st.expander(tr("Temperature: what calibration does"), icon=":material/thermostat:"):
        st.markdown(
            tr(
                "Calibration divides logits by a temperature: above 1 the model grows less sure, below 1 "
                "surer. The order within one level stays."
            )
        )
        if multiplies:
            st.select_slider(
                tr("Temperature of the product of the three levels"),
                sorted({*_PRODUCT_STEPS, own.hierarchy}),
                format_func=lambda step: (
                    tr("{value} (this model's)", value=figures(f"{step:.3g}"))
                    if step == own.hierarchy
                    else figures(f"{step:g}")
                ),
                **_bound(
                    "cells-temperature",
                    own.hierarchy if state.temperature is None else state.temperature,
                    take_product,
                ),
            )
            st.caption(tr("Exact: the product is made anew from the three levels' probabilities."))
        st.select_slider(
            tr("Temperature of the three levels, times the model's own"),
            _HEAD_STEPS,
            format_func=lambda step: figures(f"{step:g}"),
            **_bound("cells-heads", state.heads, take_heads),
        )
        st.caption(
            tr(
                "Approximate: the kept probabilities are a mean over several crops or a sum, and the mean of "
                "powers is not the power of the mean."
            )
        )
