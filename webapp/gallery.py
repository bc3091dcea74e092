"""All photos of the page Locate: how far the model is, a table with thumbnails, and a globe with all of them.

While the model is at work only this part of the page is drawn again, so that the rest answers meanwhile.
"""

from __future__ import annotations

from hashlib import sha256

import streamlit as st

from geo_model.photo_files import shown_name
from geo_model.predict import PhotoFailure
from geo_model.terminal import coordinate_text
from webapp import globe
from webapp.globe_view import globe_is_drawn, land, on_phone, palette
from webapp.language import tr
from webapp.library_sentences import said
from webapp.locate_wording import SURE_HELP
from webapp.photos_globe import TOOLTIP, legend_html, photo_layers
from webapp.session import Session
from webapp.wording import as_code, capitalised, certainty, count, literal, place_text, time_left

_POLL_SECONDS = 0.7
_ROW_PX = 56
_PLACE_PX, _SURE_PX = 280, 150
_HEIGHT_PX = 400


def show_gallery(state: Session) -> None:
    """Progress while there is any, failures, and from two photos on the table and the globe of all."""
    running = state.run is not None and state.run.state == "running"
    # A fragment that asks again and again, as long as that has a point.
    part = st.fragment(_gallery, run_every=_POLL_SECONDS if running else None)
    part(state, running, _shown_key(state))


def _shown_key(state: Session) -> str | None:
    return state.shown[0].key if state.shown else None


def _gallery(state: Session, running: bool, shown: str | None) -> None:
    """The part of the page; what it is given is what the whole page was last drawn with."""
    ended = running and state.run is not None and state.run.state != "running"
    if ended or _shown_key(state) != shown:
        st.rerun()
    _show_progress(state, running)
    _show_failures(state)
    if len(state.photos) > 1 and state.located:
        left, right = st.columns([3, 2], gap="large")
        with left:
            _show_table(state)
        with right:
            _show_globe(state)


def _show_progress(state: Session, running: bool) -> None:
    run = state.run
    if run is None or not run.missing:
        return
    if run.error is not None:
        st.error(literal(said(run.error)), icon=":material/error:")
    if running:
        text = tr("{done} of {photos} are done", done=run.done, photos=count(run.total, "photo"))
        seconds = run.seconds_left
        text += f", {time_left(seconds)}" if seconds is not None else " …"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(run.done / run.total, text=text)
            st.button(tr("Cancel"), icon=":material/close:", on_click=state.cancel, key="locate-cancel")
    elif state.cancelled or run.error is not None:
        st.info(tr("{photos} not located yet.", photos=count(run.missing, "photo")), icon=":material/pause:")
        if st.button(tr("Go on"), icon=":material/play_arrow:", on_click=state.resume, key="locate-go-on"):
            st.rerun()


def _show_failures(state: Session) -> None:
    """What was wrong with each photo that could not be read."""
    lines = []
    for photo in state.photos:
        result = state.results.get(photo.key)
        if isinstance(result, PhotoFailure):
            reason = said(result.reason).removeprefix(f"{shown_name(result.name)}: ")
            lines.append(f"- {as_code(photo.short_name)} — {literal(reason)}")
    if lines:
        heading = tr("{photos} could not be read:", photos=count(len(lines), "photo"))
        st.error("\n".join([heading, "", *lines]), icon=":material/broken_image:")


def _show_table(state: Session) -> None:
    """The located photos; a click on a row chooses the photo to show."""
    located = state.located
    # A new set of photos is a new table; one that only grows keeps its place.
    every_key = "".join(photo.key for photo in state.photos)
    table_key = f"photos-{sha256(every_key.encode()).hexdigest()[:12]}"

    def choose() -> None:
        for row, _column in st.session_state[table_key].selection.cells:
            state.chosen, state.turn = located[row][0].key, state.turn + 1

    photo_name, name, place = tr("Photo"), tr("Name"), tr("Place")
    sure, region, coordinates, off = (
        tr("How sure"),
        tr("90% region, km²"),
        tr("Coordinates"),
        tr("Off by, km"),
    )
    rows = []
    shown = _shown_key(state)
    for photo, result in located:
        area_km2 = result.prediction.region(0.9).area_km2
        rows.append(
            {
                "": "▶" if photo.key == shown else "",
                photo_name: result.thumbnail,
                place: capitalised(place_text(result.prediction.place)),
                sure: certainty(area_km2).in_short,
                region: area_km2,
                off: result.truth.distance_km if result.truth else None,
                coordinates: coordinate_text(result.prediction.latitude, result.prediction.longitude),
                name: photo.short_name,
            }
        )
    if all(row[off] is None for row in rows):
        for row in rows:
            del row[off]
    st.caption(
        tr(
            "{photos} located. Click a row, or a point of the globe, to see the photo.",
            photos=count(len(rows), "photo"),
        )
    )
    st.dataframe(
        rows,
        key=table_key,
        hide_index=True,
        row_height=_ROW_PX,
        height=min(38 + _ROW_PX * len(rows), _HEIGHT_PX),
        column_config={
            "": st.column_config.TextColumn(width=30),
            photo_name: st.column_config.ImageColumn(width=76),
            place: st.column_config.TextColumn(width=_PLACE_PX),
            sure: st.column_config.TextColumn(width=_SURE_PX, help=tr(SURE_HELP)),
            region: st.column_config.NumberColumn(format="compact"),
            off: st.column_config.NumberColumn(
                format="localized", help=tr("From where it was taken, if that is known"), step=1
            ),
        },
        placeholder="",
        on_select=choose,
        selection_mode="single-cell",  # a click anywhere in the row; row selection takes only its checkbox
    )


def _show_globe(state: Session) -> None:
    located = state.located
    flat = not globe_is_drawn() or state.flat
    colours = palette()
    every_key = "".join(photo.key for photo, _ in located)
    layer_id = f"all-{sha256(every_key.encode()).hexdigest()[:12]}-{state.turn}"
    key = "all-map" if flat else "all-globe"

    def choose() -> None:
        if rows := st.session_state[key].selection.indices.get(layer_id, []):
            state.chosen = located[rows[0]][0].key

    photo, shown = state.shown or located[0]
    point = (shown.prediction.latitude, shown.prediction.longitude)
    deck = globe.draw(
        colours,
        globe.camera(point, flat, True),
        flat=flat,
        land=land(),
        marks=photo_layers(layer_id, located, photo.key, colours, flat=flat),
        tooltip=TOOLTIP,
    )
    st.pydeck_chart(
        deck,
        height=300 if on_phone() else 360,
        on_select=choose,
        key=key,
        alt=tr("The Earth with a point for each photo"),
    )
    st.html(legend_html(colours))
