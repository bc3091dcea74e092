"""What the model looked at: the map of one of the top places, laid over the photo."""

from __future__ import annotations

import html
import io

import numpy as np
import streamlit as st
from PIL import Image

from geo_model.activation_maps import CLASS_ACTIVATION, activation_maps
from geo_model.activation_overlay import AGAINST, FOR, laid_over
from geo_model.errors import ActivationMapError
from geo_model.predict import Model
from webapp.language import tr
from webapp.locate_wording import MAP_INTRODUCTION, MAP_ROLLOUT, MAP_UNSEEN, NO_MAP
from webapp.palette import css
from webapp.photos import Located, Photo
from webapp.session import Session
from webapp.wording import capitalised, percent, place_text

_PLACES = 5


def show_activation(state: Session, photo: Photo, located: Located, model: Model) -> None:
    """A switch that brings the picture; without it the network does not run again."""
    st.session_state.setdefault("looked-at", state.looked_at)
    state.looked_at = st.toggle(tr("What the model looked at"), key="looked-at")
    if state.looked_at:
        _show(state, photo, located, model)


@st.fragment
def _show(state: Session, photo: Photo, located: Located, model: Model) -> None:
    candidates = located.prediction.top(_PLACES)
    if photo.key not in state.maps:
        with st.spinner(tr("The network looks at the photo once more …")):
            try:
                classes = [candidate.class_index for candidate in candidates]
                state.maps[photo.key] = activation_maps(model, (photo.name, photo.read()), classes)
            except ActivationMapError:
                state.maps[photo.key] = None
    maps = state.maps[photo.key]
    if maps is None:
        st.info(tr(NO_MAP), icon=":material/visibility_off:")
        return
    exact = maps[0].method == CLASS_ACTIVATION
    chosen: int | None = None
    if exact:
        key = f"map-place-{photo.key[:12]}"
        st.session_state.setdefault(key, state.map_places.get(photo.key, 0))
        chosen = st.selectbox(
            tr("For the place"),
            list(range(len(candidates))),
            format_func=lambda row: (
                f"{row + 1}. {capitalised(place_text(candidates[row].place))} "
                f"({percent(candidates[row].probability)}, {candidates[row].token})"
            ),
            key=key,
        )
        state.map_places[photo.key] = chosen or 0
    rank = chosen or 0
    st.session_state.setdefault("map-strength", state.map_strength)
    state.map_strength = st.slider(tr("Strength of the colours, %"), 0, 100, step=5, key="map-strength")
    preview = Image.open(io.BytesIO(located.preview))
    st.image(
        laid_over(maps[rank], preview, state.map_strength / 100),
        alt=tr("The photo with what mattered in colour"),
    )
    st.html(_legend(exact))
    texts = [tr(MAP_INTRODUCTION) if exact else tr(MAP_ROLLOUT)]
    if np.isnan(maps[rank].map).any():
        texts.append(tr(MAP_UNSEEN))
    st.caption(" ".join(texts))


def _legend(exact: bool) -> str:
    """The colour scale, with words at its ends."""
    grey = (205, 205, 205)
    stops = [AGAINST, grey, FOR] if exact else [grey, FOR]
    ends = (tr("spoke against"), tr("spoke for")) if exact else (tr("looked at least"), tr("most"))
    bar = ", ".join(css(stop) for stop in stops)
    return (
        "<div style='font-size:0.82rem;max-width:400px'>"
        f"<div style='height:10px;border-radius:5px;background:linear-gradient(90deg,{bar})'></div>"
        "<div style='display:flex;justify-content:space-between;opacity:0.75'>"
        f"<span>{html.escape(ends[0])}</span><span>{html.escape(ends[1])}</span></div></div>"
    )
