"""What the page Locate shows of a located photo."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Literal

import streamlit as st

from geo_model.cells import Level
from geo_model.predict import Model
from geo_model.terminal import area_text, coordinate_text, percent
from webapp.globe_view import on_phone, show_globe
from webapp.model_notes import show_model
from webapp.photos import Located, Photo
from webapp.session import Session, cell_book
from webapp.wording import (
    area_in_words,
    capitalised,
    certainty,
    count,
    distance,
    shares,
)

_TONES: dict[str, tuple[Literal["green", "orange", "red"], str]] = {
    "good": ("green", ":material/my_location:"),
    "fair": ("orange", ":material/location_searching:"),
    "poor": ("red", ":material/question_mark:"),
}
_TABLE_STYLE = """<style>
.top-places {border-collapse: collapse; width: 100%; font-size: 0.9rem}
.top-places td {padding: 0.35rem 0.5rem; border-top: 1px solid rgba(128, 128, 128, 0.25); line-height: 1.3}
.top-places td:first-child {opacity: 0.6; width: 1.2rem}
.top-places td:nth-child(3) {width: 22%}
.top-places td:last-child {text-align: right; width: 3.6rem; white-space: nowrap}
.top-places small {opacity: 0.65}
.top-places div {height: 8px; min-width: 2px; border-radius: 4px; background: rgb(0, 128, 170)}
</style>"""
_PREVIEW_HEIGHT_PX = 220


def photo_table(state: Session, located: Sequence[tuple[Photo, Located]]) -> tuple[Photo, Located]:
    """All located photos; a click on a row chooses the photo to show, which comes back."""
    keys = [photo.key for photo, _ in located]
    table_key = "photos-" + "-".join(key[-6:] for key in keys)  # a new set of photos is a new table

    def choose() -> None:
        for row, _column in st.session_state[table_key].selection.cells:
            state.chosen = keys[row]

    current = keys.index(state.chosen) if state.chosen in keys else 0
    rows = [
        {
            "": "▶" if row == current else "",
            "Photo": result.thumbnail,
            "Name": photo.short_name,
            "Place": capitalised(result.prediction.place.text),
            "Coordinates": coordinate_text(result.prediction.latitude, result.prediction.longitude),
            "90% region, km²": result.prediction.region(0.9).area_km2,
            "Off by, km": result.truth.distance_km if result.truth else None,
        }
        for row, (photo, result) in enumerate(located)
    ]
    if all(row["Off by, km"] is None for row in rows):
        for row in rows:
            del row["Off by, km"]
    st.caption(f"{count(len(rows), 'photo')} located. Click a row to see it.")
    st.dataframe(
        rows,
        key=table_key,
        hide_index=True,
        row_height=48,
        height=min(38 + 48 * len(rows), 280),
        column_config={
            "": st.column_config.TextColumn(width=30),
            "Photo": st.column_config.ImageColumn(width="small"),
            "Name": st.column_config.TextColumn(width="medium"),
            "Place": st.column_config.TextColumn(width="large"),
            "90% region, km²": st.column_config.NumberColumn(format="compact"),
            "Off by, km": st.column_config.NumberColumn(
                format="localized", help="From where it was taken, if that is known", step=1
            ),
        },
        placeholder="",
        on_select=choose,
        selection_mode="single-cell",  # a click anywhere in the row; row selection takes only its checkbox
    )
    return located[current]


def show_result(state: Session, photo: Photo, located: Located, model: Model) -> None:
    """The photo, the answer in words and in numbers, the globe, and what is known about the model."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        _show_photo(photo, located)
        _show_answer(located)
    with right:
        show_globe(state, photo, located)
    # On a phone the columns follow each other, and the globe should not come last.
    with right if on_phone() else left:
        _show_top(located)
    with right:
        show_model(model)


def _show_photo(photo: Photo, located: Located) -> None:
    width, height = located.preview_size
    st.image(
        located.preview, width=max(1, round(width * min(1, _PREVIEW_HEIGHT_PX / height))), alt="The photo"
    )
    if photo.sample:
        st.caption(photo.sample.credit)
    else:
        st.text(photo.short_name)  # st.text shows every character as it is


def _show_answer(located: Located) -> None:
    prediction = located.prediction
    region = prediction.region(0.9)
    sure = certainty(region.area_km2)
    colour, icon = _TONES[sure.tone]
    st.subheader(capitalised(prediction.place.text), anchor=False)
    st.badge(sure.headline, color=colour, icon=icon)
    st.code(coordinate_text(prediction.latitude, prediction.longitude), language=None)
    if truth := located.truth:
        source = "the photo's own GPS tag" if truth.from_tag else "where this sample was really taken"
        st.markdown(f":material/flag: **{distance(truth.distance_km)}** from {source}.")
    continents = cell_book(Level.FINE).continents(prediction.product)
    st.markdown(
        f"The 90% region covers **{area_text(region.area_km2)}**, {area_in_words(region.area_km2)}, in "
        f"{count(len(region.classes), 'cell')}. The answer's own cell holds "
        f"{percent(prediction.probability)} of the probability. By continent: {shares(continents)}.",
        help="The 90% credible region is the smallest set of fine cells that holds 90% of the probability. "
        "Its area counts the sea in these cells.",
    )


def _show_top(located: Located) -> None:
    """The most probable fine cells, with a bar each."""
    candidates = located.prediction.top(5)
    highest = candidates[0].probability
    rows = "".join(
        f"""
        <tr><td>{candidate.rank}</td>
        <td>{html.escape(capitalised(candidate.place.text))}<br>
        <small>{coordinate_text(candidate.latitude, candidate.longitude)} · {candidate.token}</small></td>
        <td><div style="width:{100 * candidate.probability / highest:.1f}%"></div></td>
        <td>{html.escape(percent(candidate.probability))}</td></tr>"""
        for candidate in candidates
    )
    st.markdown("**Most probable cells**")
    st.html(f"{_TABLE_STYLE}<table class='top-places'>{rows}</table>")
