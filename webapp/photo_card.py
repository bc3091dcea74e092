"""The card of one photo on the page Evaluation: truth, prediction, distance, whose it is, the photo itself.

The photo is loaded by the visitor's browser, from the address in the table and only after the visitor has
allowed its host. The server never fetches it: an uploaded table could name addresses inside the server's own
network.
"""

from __future__ import annotations

import io

import streamlit as st
from PIL import Image

from geo_model.errors import GeoModelError
from geo_model.images import read_image
from geo_model.metrics import geoscore
from geo_model.photo_credits import PhotoCredit
from geo_model.terminal import coordinate_text
from webapp import evaluation_wording as words
from webapp.evaluation_session import EvaluationSession, evaluation_session
from webapp.language import figures, tr
from webapp.prediction_sets import PredictionSet
from webapp.wording import capitalised, literal, place_text

_LONGEST_SIDE_PX = 640


def show_card(state: EvaluationSession, chosen: PredictionSet, row: int) -> None:
    """Everything known about a photo of a set of predictions."""
    km = float(chosen.distances_km[row])
    with st.container(border=True):
        st.subheader(words.off(km), anchor=False)
        st.text(chosen.table.photo_ids[row])  # st.text shows every character as it is
        for title, icon, place, point in (
            (tr(words.CARD_TAKEN), "flag", chosen.truth_places[row], chosen.table.truth[row]),
            (tr(words.CARD_PREDICTED), "my_location", chosen.answer_places[row], chosen.table.points[row]),
        ):
            st.markdown(
                f":material/{icon}: **{title}**: {literal(capitalised(place_text(place)))}  \n"
                f"`{coordinate_text(float(point[0]), float(point[1]))}`"
            )
        st.caption(tr(words.CARD_SCORE, score=figures(f"{float(geoscore(km)):,.0f}")))
        own = _own_photo(state, chosen, row)
        if own is not None:
            st.image(own, alt=tr(words.CARD_PHOTO_ALT), width="stretch")
        _show_credit(state, chosen.credit(row), load=own is None)
        st.button(tr(words.CARD_CLOSE), icon=":material/close:", type="tertiary", on_click=_close)


def _show_credit(state: EvaluationSession, credit: PhotoCredit | None, *, load: bool) -> None:
    """Whose photo it is and where; with `load` the photo too, if the visitor allows its host."""
    if credit is None:
        if load:
            st.caption(tr(words.CARD_NO_CREDIT))
        return
    author = literal(credit.author) or tr(words.CARD_UNKNOWN_AUTHOR)
    licence = literal(credit.licence) or tr(words.CARD_NO_LICENCE)
    if credit.licence_url:
        licence = f"[{licence}](<{credit.licence_url}>)"  # what could end the address is refused in the table
    st.markdown(tr(words.CARD_BY, author=author, licence=licence))
    if not credit.url:
        return
    if load:
        key = f"allow-{credit.host}"
        st.session_state.setdefault(key, credit.host in state.allowed_hosts)
        host = literal(credit.host)
        if st.toggle(tr(words.CARD_ALLOW, host=host), key=key, help=tr(words.CARD_ALLOW_HELP, host=host)):
            state.allowed_hosts.add(credit.host)
            st.image(
                credit.url, alt=tr(words.CARD_PHOTO_ALT), width="stretch"
            )  # an address is left to the browser
        else:
            state.allowed_hosts.discard(credit.host)
    st.link_button(tr(words.CARD_OPEN, host=literal(credit.host)), credit.url, icon=":material/open_in_new:")


def _own_photo(state: EvaluationSession, chosen: PredictionSet, row: int) -> bytes | None:
    """The photo as the visitor gave it for a run, small and without metadata."""
    run = state.run_of(chosen)
    if run is None:
        return None
    photo_id = chosen.table.photo_ids[row]
    try:
        image = read_image(run.photos.read(photo_id), name=photo_id, short_side_px=_LONGEST_SIDE_PX // 2)
    except (GeoModelError, LookupError, OSError):
        return None  # a folder may have changed since; the rest of the card still stands
    image.thumbnail((_LONGEST_SIDE_PX, _LONGEST_SIDE_PX))
    return _jpeg(image)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _close() -> None:
    evaluation_session().close_card()
