"""The page Locate: photos in; a place, how sure that is, and the cells on a globe out."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from geo_model.errors import GeoModelError
from geo_model.geoclip_parts import DownloadNeededError
from geo_model.photo_files import photo_name, shown_name
from geo_model.predict import PhotoFailure, Prediction
from webapp.downloads import show_downloads
from webapp.model_notes import ask_to_download, show_model
from webapp.photos import Located, Photo, content_key, locate, read_samples, sample_photo
from webapp.result_view import photo_table, show_result
from webapp.session import Session, session, the_model
from webapp.welcome import SAMPLES_KEY, show_welcome
from webapp.wording import as_code, count, literal

PRIVACY = (
    "Photos stay in this app's memory while the page is open. They are not stored, logged or sent anywhere, "
    "and only the pixels are looked at, never the name or the metadata."
)
RESPONSIBLE_USE = (
    "Only locate photos that you may. Do not use this to find, follow or harass a person, or to decide "
    "anything about one: the answers are often wrong."
)


def uploads(state: Session) -> list[Photo]:
    """The photos in the upload field."""
    files = st.file_uploader(
        "Your photos",
        # Some browsers know no media type for the newer formats, so their endings are named as well.
        type=["image", ".heic", ".heif", ".avif"],
        accept_multiple_files=True,
        key=f"uploads-{state.upload_round}",
        help="Drop photos here or choose them, as many as you like: "
        "JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF.",
    )
    photos = []
    for file in files:
        if file.file_id not in state.keys:
            state.keys[file.file_id] = content_key(file.getvalue())
        photos.append(Photo(state.keys[file.file_id], photo_name(file.name), file.getvalue))
    return photos


def samples() -> list[Photo]:
    """The sample photos that were asked for."""
    by_title = {sample.title: sample for sample in read_samples()}
    st.pills(
        "Or try a sample",
        list(by_title),
        key=SAMPLES_KEY,
        selection_mode="multi",
        format_func=lambda title: by_title[title].short_title,
    )
    return [sample_photo(by_title[title]) for title in st.session_state[SAMPLES_KEY]]


def locate_missing(state: Session, photos: list[Photo]) -> None:
    """Locate what has no result yet, showing how far that is; a click on Cancel ends it."""
    missing = list({photo.key: photo for photo in photos if photo.key not in state.results}.values())
    if not missing:
        return
    if state.cancelled:
        st.info(f"{count(len(missing), 'photo')} not located yet.", icon=":material/pause:")
        st.button("Go on", icon=":material/play_arrow:", on_click=state.go_on)
        return
    place = st.empty()
    with place.container():
        bar = st.progress(0.0, text=f"Locating {count(len(missing), 'photo')} …")
        if len(missing) > 1:
            st.button("Cancel", icon=":material/close:", on_click=state.cancel)
        with st.spinner("The network is looking at the pixels …"):
            for done, (photo, result) in enumerate(locate(the_model(), missing), start=1):
                state.results[photo.key] = result
                bar.progress(done / len(missing), text=f"{done} of {count(len(missing), 'photo')} located")
    place.empty()


def show_failures(state: Session, photos: list[Photo]) -> None:
    """What was wrong with each photo that could not be read."""
    lines = []
    for photo in photos:
        result = state.results.get(photo.key)
        if isinstance(result, PhotoFailure):
            reason = result.reason.removeprefix(f"{shown_name(result.name)}: ")
            lines.append(f"- {as_code(photo.short_name)} — {literal(reason)}")
    if lines:
        heading = f"{count(len(lines), 'photo')} could not be read:"
        st.error("\n".join([heading, "", *lines]), icon=":material/broken_image:")


def to_export(photo: Photo, result: Located | PhotoFailure) -> Prediction | PhotoFailure:
    """A result under the photo's own name: files of the same content share one result."""
    return replace(result.prediction if isinstance(result, Located) else result, name=photo.name)


def put_away() -> None:
    """Empty the page."""
    session().upload_round += 1  # an upload field under a new key is empty
    st.session_state[SAMPLES_KEY] = []


state = session()
st.title("Where on Earth was this photo taken?", anchor=False)
left, right = st.columns([3, 2], gap="large", vertical_alignment="center")
with left:
    photos = uploads(state)
with right:
    if photos or st.session_state.get(SAMPLES_KEY):
        photos += samples()
        actions = st.container(horizontal=True)
        actions.button("Put all photos away", icon=":material/close:", type="tertiary", on_click=put_away)
    else:
        st.caption(f":material/lock: {PRIVACY}")

try:
    model = the_model()
except DownloadNeededError as needed:
    ask_to_download(needed.download)
    st.stop()
except GeoModelError as error:
    st.error(literal(str(error)), icon=":material/error:")
    st.stop()

# Containers keep every part in its place while others come and go, so that nothing is shown twice meanwhile.
above, body, below = st.container(), st.container(), st.container()
state.follow(photos)
with above:
    locate_missing(state, photos)
    show_failures(state, photos)
located = [(photo, result) for photo in photos if isinstance(result := state.results.get(photo.key), Located)]
with body:
    if located:
        with actions:
            done = state.results
            show_downloads([to_export(photo, done[photo.key]) for photo in photos if photo.key in done])
        photo, result = photo_table(state, located) if len(located) > 1 else located[0]
        show_result(state, photo, result, model)
    else:
        if not photos:
            show_welcome()
        show_model(model)
with below:
    if photos:
        st.caption(f":material/lock: {PRIVACY}")
    st.caption(f":material/balance: {RESPONSIBLE_USE}")
