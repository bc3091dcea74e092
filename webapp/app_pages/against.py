"""The page You against the model: guess where photos were taken whose place is known, and compare."""

from __future__ import annotations

import streamlit as st

from geo_model.errors import GeoModelError
from geo_model.places import nearest_places
from geo_model.predict import PhotoFailure
from geo_model.truth import Coordinate
from webapp.guess_cells import centre
from webapp.guess_game import Challenge, Game, Round, Score
from webapp.guess_globe import choose_view, show_guess_globe, show_result_globe
from webapp.guess_photos import challenges, picture
from webapp.language import figures, tr
from webapp.library_sentences import said
from webapp.model_gate import show_preparation
from webapp.preparation import NotReadyError
from webapp.session import the_model
from webapp.wording import as_code, capitalised, count, distance, literal, place_text

LATITUDE, LONGITUDE = "guess-latitude", "guess-longitude"


def answer_of(challenge: Challenge) -> Coordinate | None:
    """The model's answer; None, with the reason on the page, if the photo cannot be located."""
    if challenge.answer is not None:
        return challenge.answer
    with st.spinner(tr("The model is looking …")):
        result = next(the_model().stream([(challenge.name, challenge.read())]))
    if isinstance(result, PhotoFailure):
        game.failures[challenge.key] = result.reason
        return None
    return result.point()


def take_cell(cell: int) -> None:
    """Guess the middle of a cell."""
    game.cell = cell
    game.latitude, game.longitude = (round(value, 4) for value in centre(cell))


def take_numbers() -> None:
    """Guess the coordinate that was typed."""
    game.latitude, game.longitude = st.session_state[LATITUDE], st.session_state[LONGITUDE]
    game.cell = None


def show_fields() -> bool:
    """Fields for the guess, for those who use no mouse or know better; true when the guess is made."""
    # Set on each run, for a click on the globe changes them as well.
    st.session_state[LATITUDE], st.session_state[LONGITUDE] = game.latitude, game.longitude
    left, middle, right = st.columns([2, 2, 3], vertical_alignment="bottom", gap="small")
    for column, label, key, end in (
        (left, tr("Latitude, degrees"), LATITUDE, 90.0),
        (middle, tr("Longitude, degrees"), LONGITUDE, 180.0),
    ):
        column.number_input(
            label, -end, end, value=None, step=1.0, format="%.4f", key=key, on_change=take_numbers
        )
    with right.container(horizontal=True):
        if game.cell is not None:
            st.button(tr("Start anew"), on_click=game.begin, args=(game.current,))
        return st.button(tr("That is my guess"), type="primary", disabled=game.guess is None)


def show_scores() -> None:
    """The running score."""
    visitor, model = game.totals
    parts = st.container(horizontal=True, gap="large")
    parts.metric(tr("You"), figures(f"{visitor:,.0f}"), width="content")
    parts.metric(tr("The model"), figures(f"{model:,.0f}"), width="content")
    most = figures(f"{5000 * len(game.rounds):,}")
    st.caption(
        tr(
            "GeoScores of {rounds} so far, of at most {most}.",
            rounds=count(len(game.rounds), "photo"),
            most=most,
        )
    )


def show_result(played: Round) -> None:
    """Both guesses beside the truth."""
    place = nearest_places([played.challenge.truth[0]], [played.challenge.truth[1]])[0]
    st.markdown(tr("It was taken here: **{place}**", place=literal(capitalised(place_text(place)))))
    lines = [f"| {tr('Place')} | {tr('Distance')} | GeoScore |", "| --- | ---: | ---: |"]
    lines += [row(tr("You"), played.visitor), row(tr("The model"), played.model)]
    st.markdown("\n".join(lines))
    if played.visitor.distance_km < played.model.distance_km:
        st.success(tr("You are nearer than the model."), icon=":material/trophy:")
    else:
        st.info(tr("The model is nearer than you."), icon=":material/smart_toy:")
    st.button(
        tr("Next photo"), type="primary", icon=":material/arrow_forward:", on_click=game.begin, args=(None,)
    )


def row(name: str, score: Score) -> str:
    """A line of the table."""
    place = nearest_places([score.point[0]], [score.point[1]])[0]
    points = figures(f"{score.points:,.0f}")
    where = literal(capitalised(place_text(place)))
    return f"| **{name}**: {where} | {distance(score.distance_km)} | {points} |"


def show_photo(challenge: Challenge, over: bool) -> None:
    """The photo; what could name its place is shown when the guess is made."""
    try:
        st.image(picture(challenge), width="stretch", alt=tr("The photo to guess"))
    except GeoModelError as error:
        if not over:  # go on with the next one; the reason stands above it
            game.failures[challenge.key] = str(error)
            st.rerun()
        st.error(literal(said(str(error))), icon=":material/broken_image:")
    if credit := challenge.credit if over else challenge.maker:
        st.caption(credit)
    elif over:
        st.caption(as_code(challenge.name))


def play(challenge: Challenge) -> None:
    """One photo: guess, then compare."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        show_photo(challenge, challenge.key in game.rounds)
        result = st.container()
        if game.rounds:
            show_scores()
    with right:
        flat = choose_view()
        place = st.empty()
        if challenge.key not in game.rounds:
            with place.container():
                st.caption(f":material/ads_click: {tr('Click where you think it was taken, or type it.')}")
                made = show_fields()
                show_guess_globe(game, flat, take_cell)
            if not made:
                return
            answer = answer_of(challenge)
            if answer is not None:
                game.settle(challenge, answer)
            st.rerun()
        show_result_globe(game.rounds[challenge.key], flat)
    with result:
        show_result(game.rounds[challenge.key])


def show_empty() -> None:
    """How to get photos whose place is known."""
    if game.rounds:
        show_scores()
        st.success(tr("That was the last photo."), icon=":material/flag:")
        st.button(tr("Play again"), icon=":material/replay:", on_click=game.rounds.clear)
    else:
        st.info(tr("There is no photo yet whose place is known."), icon=":material/image_search:")
    st.markdown(f"- {tr('Add photos with a GPS tag on the page Locate, or')}")
    st.markdown(f"- {tr('run the model over photos with known places on the page Evaluation, or')}")
    if not game.with_samples:
        st.markdown(f"- {tr('play with the three photos that come with the app.')}")
        if st.button(tr("Play with the sample photos"), type="primary", icon=":material/play_arrow:"):
            game.with_samples = True
            st.rerun()


game: Game = st.session_state.setdefault("game", Game())
st.title(tr("You against the model"), anchor=False)
st.markdown(
    tr("Guess where a photo was taken. Then see where it was, where the model put it, and who was nearer.")
)
for reason in game.failures.values():
    st.error(literal(said(reason)), icon=":material/broken_image:")
try:
    challenge = game.follow(challenges(game.with_samples))
    if challenge is None:
        show_empty()
    else:
        play(challenge)
except NotReadyError as needed:
    show_preparation(needed)
except GeoModelError as error:
    st.error(literal(said(str(error))), icon=":material/error:")
