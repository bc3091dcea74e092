"""The page Locate: photos in; a place, how sure that is, and the cells on a globe out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from geo_model.exports import Result
from geo_model.photo_files import photo_name
from webapp.downloads import show_downloads
from webapp.gallery import show_gallery
from webapp.globe_view import on_phone
from webapp.language import tr
from webapp.locate_wording import PRIVACY, RESPONSIBLE_USE, UPLOAD_HELP
from webapp.model_gate import model_or_panel
from webapp.model_notes import show_model
from webapp.photos import Located, Photo, content_key
from webapp.result_view import show_result
from webapp.session import MOST_PHOTOS, Session, session
from webapp.upload_field import show_upload_field
from webapp.welcome import show_samples, show_welcome
from webapp.wording import count


def upload(state: Session) -> None:
    """A field for photos."""

    def take(files: Sequence[UploadedFile]) -> None:
        contents = [(photo_name(file.name), file.getvalue()) for file in files]
        state.add([Photo(content_key(data), name, partial(bytes, data)) for name, data in contents])
        state.upload_round += 1

    show_upload_field(
        tr("Your photos"),
        "uploads",
        lambda: state.upload_round,
        take,
        # Some browsers know no media type for the newer formats, so their endings are named as well.
        type=["image", ".heic", ".heif", ".avif"],
        accept_multiple_files=True,
        help=tr(UPLOAD_HELP, most=MOST_PHOTOS),
    )


def show_actions(state: Session) -> None:
    """Samples, downloads, clear and undo."""
    with st.container(horizontal=True):
        if state.photos:
            with st.popover(tr("Add a sample"), icon=":material/add:", type="tertiary"):
                show_samples(state)
            if state.located:
                show_downloads(partial(exported, state))
            st.button(
                tr("Put all photos away"), icon=":material/close:", type="tertiary", on_click=state.clear
            )
        if state.can_undo:
            st.button(tr("Undo"), icon=":material/undo:", type="tertiary", on_click=state.undo)


def exported(state: Session) -> list[Result]:
    """All results so far, each under its photo's own name."""
    found = ((photo, state.results.get(photo.key)) for photo in state.photos)
    return [
        replace(result.prediction if isinstance(result, Located) else result, name=photo.name)
        for photo, result in found
        if result is not None
    ]


def show_notes(state: Session) -> None:
    """Say once what the visitor should know of the photos that were just added."""
    for text, numbers in state.notes:
        values = {**numbers, "photos": count(numbers["photos"], "photo")}
        st.toast(tr(text, **values), icon=":material/info:")
    state.notes = []


state = session()
st.title(tr("Where on Earth was this photo taken?"), anchor=False)
left, right = st.columns([2, 3], gap="small" if on_phone() else "large", vertical_alignment="center")
with left:
    upload(state)
with right:
    if not state.photos:
        st.caption(f":material/lock: {tr(PRIVACY)}")
    show_actions(state)
show_notes(state)

model = model_or_panel()
if model is None:
    st.stop()

# Containers keep every part in its place while others come and go, so that nothing is shown twice meanwhile.
above, body, below = st.container(), st.container(), st.container()
state.go_on(model)
with above:
    show_gallery(state)
with body:
    if shown := state.shown:
        show_result(state, *shown, model)
    else:
        if not state.photos:
            show_welcome(state)
        show_model(model)
with below:
    if state.photos:
        st.caption(f":material/lock: {tr(PRIVACY)}")
    st.caption(f":material/balance: {tr(RESPONSIBLE_USE)}")
