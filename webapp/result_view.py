"""What the page Locate shows of a located photo."""

from __future__ import annotations

import html
from typing import Literal

import streamlit as st

from geo_model.predict import Model
from geo_model.terminal import coordinate_text
from webapp.activation_view import show_activation
from webapp.downloads import show_clean_copy
from webapp.globe_view import on_phone, show_globe
from webapp.language import tr
from webapp.locate_wording import (
    ANSWER,
    ANSWER_BY_MASS,
    ANSWER_FROM_GALLERY,
    CARRIES_LOCATION,
    IN_NO_REGION,
    IN_REGION_50,
    IN_REGION_90,
    REGION_HELP,
    SHARES_HELP,
)
from webapp.model_notes import show_model
from webapp.photos import Located, Photo, Truth
from webapp.session import Session
from webapp.share_charts import show_shares
from webapp.wording import area, area_in_words, capitalised, certainty, count, distance, percent, place_text

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


def show_result(state: Session, photo: Photo, located: Located, model: Model) -> None:
    """The photo, the answer in words and in numbers, the globe, and what is known about the model."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        _show_photo(state, photo, located)
        _show_answer(located)
    with right:
        show_globe(state, photo, located)
    # On a phone the columns follow each other, and the globe should not come last.
    with right if on_phone() else left:
        _show_top(located)
        st.markdown(f"**{tr('Where the probability lies')}**", help=tr(SHARES_HELP))
        show_shares(located.prediction.product)
    with right:
        show_activation(state, photo, located, model)
        show_model(model)


def _show_photo(state: Session, photo: Photo, located: Located) -> None:
    width, height = located.preview_size
    st.image(
        located.preview,
        width=max(1, round(width * min(1, _PREVIEW_HEIGHT_PX / height))),
        alt=tr("The photo"),
    )
    if photo.sample:
        title, author, licence = photo.sample.credit
        st.caption(tr("{title} by {author}, {licence}", title=title, author=author, licence=licence))
    else:
        st.text(photo.short_name)  # st.text shows every character as it is
    with st.container(horizontal=True):
        show_clean_copy(photo)
        if len(state.photos) > 1:
            st.button(
                tr("Put this photo away"),
                icon=":material/remove:",
                type="tertiary",
                on_click=state.remove,
                args=(photo.key,),
                key="put-one-away",
            )


def _show_answer(located: Located) -> None:
    prediction = located.prediction
    region = prediction.region(0.9)
    sure = certainty(region.area_km2)
    colour, icon = _TONES[sure.tone]
    st.subheader(capitalised(place_text(prediction.place)), anchor=False)
    st.badge(sure.headline, color=colour, icon=icon)
    st.code(coordinate_text(prediction.latitude, prediction.longitude), language=None)
    if located.truth:
        _show_truth(located.truth)
    st.markdown(
        tr(
            ANSWER,
            area=area(region.area_km2),
            in_words=area_in_words(region.area_km2),
            cells=count(len(region.classes), "cell"),
            share=percent(prediction.probability),
        ),
        help=tr(REGION_HELP),
    )


def _show_truth(truth: Truth) -> None:
    """How far off the answer is, and whether the credible regions hold the place."""
    km = distance(truth.distance_km)
    text = (
        tr("**{distance}** from the photo's own GPS tag.", distance=km)
        if truth.from_tag
        else tr("**{distance}** from where this sample was really taken.", distance=km)
    )
    inside = {0.5: IN_REGION_50, 0.9: IN_REGION_90, None: IN_NO_REGION}[truth.region]
    st.markdown(f":material/flag: {text} {tr(inside)}")
    if truth.from_tag:
        st.warning(tr(CARRIES_LOCATION), icon=":material/location_on:")


def _show_top(located: Located) -> None:
    """The most probable fine cells, with a bar each."""
    candidates = located.prediction.top(5)
    highest = candidates[0].probability
    rows = "".join(
        f"""
        <tr><td>{candidate.rank}</td>
        <td>{html.escape(capitalised(place_text(candidate.place)))}<br>
        <small>{coordinate_text(candidate.latitude, candidate.longitude)} · {candidate.token}</small></td>
        <td><div style="width:{100 * candidate.probability / highest:.1f}%"></div></td>
        <td>{html.escape(percent(candidate.probability))}</td></tr>"""
        for candidate in candidates
    )
    st.markdown(f"**{tr('Most probable cells')}**")
    st.html(f"{_TABLE_STYLE}<table class='top-places'>{rows}</table>")
    if all(candidate.class_index != located.prediction.class_index for candidate in candidates):
        st.caption(tr(ANSWER_BY_MASS if located.prediction.answer is None else ANSWER_FROM_GALLERY))
