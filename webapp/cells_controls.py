"""The choices on the page Cells: photo, level, view, colours, credible region and temperatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from geo_model.decoding import Temperature
from geo_model.level_limit import finest_level, levels_up_to
from geo_model.photo_files import shown_name
from geo_model.predict import Prediction
from geo_model.retempering import multiplies_levels
from webapp.cells_state import COMBINED, REGION_SHARES, CellsState, level_of
from webapp.globe_view import GLOBE, MAP, globe_is_drawn, level_name, view_name
from webapp.language import figures, tr
from webapp.photos import Located
from webapp.wording import named_apart

_NO_PHOTO = ""
_THREE = "Three levels"
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
    keys = [_NO_PHOTO, *located]
    names = [shown_name(one.prediction.name, longest=60) for one in located.values()]
    labels = dict(zip(keys, named_apart([tr("no photo: training photos in each cell"), *names]), strict=True))
    st.selectbox(
        tr("Show"),
        keys,
        format_func=lambda key: labels.get(key, key),
        **_bound("cells-photo", state.photo or _NO_PHOTO, lambda key: state.show_photo(key or None)),
    )
    if not located:
        st.caption(tr("Locate a photo first to see what the model believes about it."))
    return located.get(state.photo or _NO_PHOTO)


def choose_view(state: CellsState, with_photo: bool) -> None:
    """Level, view, colours and region, kept in the state and so in the address."""
    names = [level.value for level in levels_up_to(finest_level())]
    views = [*([GLOBE] if globe_is_drawn() else []), MAP, *([_THREE] if len(names) > 1 else [])]
    if state.view.level not in (*names, COMBINED):
        state.note(level=names[-1], cell=None)  # a link may ask for more than the app's limit
    if state.view.level == COMBINED and not with_photo:
        state.note(level=names[-1])
    if with_photo:
        names.append(COMBINED)
    view = _THREE if state.view.three else MAP if state.view.flat else GLOBE
    if view not in views:
        view = views[0]
        state.note(flat=view == MAP, three=False)

    def turn(wanted: str) -> None:
        state.note(flat=wanted == MAP, three=wanted == _THREE)
        state.look(None)

    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.segmented_control(
            tr("Level"),
            names,
            required=True,
            format_func=lambda name: level_name(level_of(name)),
            **_bound("cells-level", state.view.level, lambda name: state.note(level=name, cell=None)),
        )
        if len(views) > 1:
            st.segmented_control(
                tr("View"),
                views,
                required=True,
                format_func=lambda name: tr("Three levels") if name == _THREE else view_name(name),
                **_bound("cells-view", view, turn),
            )
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


def choose_temperatures(state: CellsState, own: Temperature, prediction: Prediction) -> None:
    """What other temperatures would make of the probabilities."""

    def take_product(wanted: float) -> None:
        state.temperature = None if wanted == own.hierarchy else wanted

    def take_heads(wanted: float) -> None:
        state.heads = wanted

    with st.expander(tr("Temperature: what calibration does"), icon=":material/thermostat:"):
        st.markdown(
            tr(
                "Calibration divides logits by a temperature: above 1 the model grows less sure, below 1 "
                "surer."
            )
        )
        if multiplies_levels(prediction):
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
        st.select_slider(
            tr("Temperature of the three levels, times the model's own"),
            _HEAD_STEPS,
            format_func=lambda step: figures(f"{step:g}"),
            **_bound("cells-heads", state.heads, take_heads),
        )
        if prediction.logits is not None:
            st.caption(tr("Exact: everything is made anew from the logits of each crop. The answer stays."))
        else:
            st.caption(
                tr(
                    "Approximate: this model weighs many places and sums them up in cells, and only the sums "
                    "are kept. The answer stays."
                )
            )
