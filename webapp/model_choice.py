"""Which of the installed models answers, or, where the app serves this machine only, a folder's."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from geo_model import geoclip_parts
from geo_model.errors import GeoModelError
from geo_model.geoclip_parts import NAME
from geo_model.model_folder import MODEL_PATH_VARIABLE
from geo_model.model_list import ModelEntry, model_entries
from webapp.language import figures, tr
from webapp.library_sentences import said
from webapp.preparation import NotReadyError
from webapp.serving import serves_this_machine_only
from webapp.session import CHOSEN_MODEL, model_key, session, the_model
from webapp.wording import PATH_REFUSALS, cannot_be_read, literal, named_apart

_CHOICE, _FOLDER, _REFUSED = "model-choice", "model-folder", "model-refused"


@st.cache_resource(ttl=60, show_spinner=False)
def _entries(_places: str) -> list[ModelEntry]:
    return model_entries()


def installed_models(own_machine: bool) -> dict[str, ModelEntry]:
    """What can be chosen, by key: on a server for others nothing that is damaged or must be fetched first."""
    entries = {
        NAME if entry.name == NAME else str(entry.path): entry
        for entry in _entries(os.environ.get(MODEL_PATH_VARIABLE, ""))
        if entry.error is None
    }
    return {key: entry for key, entry in entries.items() if own_machine or not lacking(entry)}


def lacking(entry: ModelEntry) -> str:
    """What a model needs before it can answer; empty if nothing."""
    if entry.name != NAME or not entry.state:
        return ""
    if geoclip_parts.installed_package() is None:
        return tr("needs the Python package geoclip, which is not installed")
    if geoclip_parts.local_clip() is None:
        needed = geoclip_parts.clip_download()
        size = figures(f"{needed.megabytes / 1000:.1f} GB")
        return tr("{size} are downloaded from {host}, after asking", size=size, host=needed.host)
    return ""


def take_model(wanted: str) -> None:
    """Ask another model from now on, if it can be loaded, and forget what the earlier one said."""
    before = st.session_state.get(CHOSEN_MODEL)
    st.session_state[CHOSEN_MODEL] = wanted
    st.session_state.pop(_REFUSED, None)
    try:
        the_model()
    except NotReadyError:
        pass  # the page asks
    except GeoModelError as error:
        st.session_state[CHOSEN_MODEL] = before
        st.session_state[_REFUSED] = str(error)
        return
    except BaseException:
        st.session_state[CHOSEN_MODEL] = before
        raise
    forget_answers()


def forget_answers() -> None:
    """Forget what the earlier model said of photos; the photos stay."""
    state = session()
    state.cancel()
    state.run, state.cell, state.maps, state.cancelled = None, None, {}, False
    st.session_state.pop("game", None)


def show_model_choice() -> None:
    """The installed models, and a field for a folder."""
    own_machine = serves_this_machine_only()
    entries = installed_models(own_machine)
    current = model_key()
    keys = list(entries) if current in entries else [current, *entries]
    st.session_state[_CHOICE] = current
    names = [entries[key].name if key in entries else Path(key).name for key in keys]
    labels = dict(zip(keys, named_apart(names), strict=True))

    def take_choice() -> None:
        # What the browser sends need not be one of the choices, and a path would be read.
        if (wanted := st.session_state[_CHOICE]) in keys:
            take_model(wanted)

    st.radio(
        tr("Model that answers"),
        keys,
        key=_CHOICE,
        format_func=lambda key: labels.get(key, key),
        captions=[_caption(entries.get(key)) for key in keys],
        on_change=take_choice,
    )
    if own_machine:

        def take_folder() -> None:
            folder = st.session_state[_FOLDER].strip()
            if folder and serves_this_machine_only():
                try:
                    take_model(str(Path(folder).expanduser()))
                except PATH_REFUSALS as error:
                    st.session_state[_REFUSED] = cannot_be_read(folder, error)

        st.text_input(
            tr("Another model folder on this computer"),
            key=_FOLDER,
            on_change=take_folder,
            placeholder="/home/me/models/my-model",
            help=tr("Offered because this app serves this computer only."),
        )
    if refused := st.session_state.get(_REFUSED):
        st.error(literal(said(refused)), icon=":material/error:")


def _caption(entry: ModelEntry | None) -> str:
    if entry is None:
        return ""
    cells = " / ".join(f"{number:,}" for number in entry.cells)
    text = f"{literal(entry.backbone)}, {figures(cells)} {tr('cells in three levels')}"
    text += f", {figures(f'{entry.megabytes:,.0f}')} MB"
    return f"{text}; {missing}" if (missing := lacking(entry)) else text
