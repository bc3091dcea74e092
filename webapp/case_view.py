"""Photo by photo: choices, the globe of errors, the table of photos and the card of the chosen one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from unicodedata import combining, normalize

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from webapp import error_globe, globe
from webapp import evaluation_wording as words
from webapp.evaluation_session import EvaluationSession
from webapp.geometry import great_circle
from webapp.globe_view import GLOBE, MAP, chart_height, globe_is_drawn, land, on_phone, palette, view_name
from webapp.language import tr
from webapp.locate_wording import NO_GLOBE
from webapp.photo_card import show_card
from webapp.prediction_sets import PredictionSet
from webapp.wording import capitalised, country_name, distance, place_text

_ERROR_STOPS_KM = (0, 1, 5, 25, 100, 200, 500, 750, 1500, 2500, 5000, 10_000, 20_100)
_SET, _RANGE, _VIEW, _ORDER = "cases-set", "cases-range", "cases-view", "cases-order"
_START = (25.0, 10.0)
_MOST_ROWS = 20_000
_ROW_PX = 35


@st.fragment
def show_cases(state: EvaluationSession, sets: Sequence[PredictionSet]) -> None:
    """Everything about single photos; a click runs only this part of the page again."""
    shown = _choose_set(state, sets)
    rows = _filtered(state, shown)
    if not len(rows):
        st.info(tr(words.NOTHING_LEFT), icon=":material/filter_alt_off:")
        return
    drawn = error_globe.drawn_rows(rows, shown.distances_km)
    st.caption(f"{words.photos_on_show(len(rows), len(shown.table), len(drawn))} {tr(words.CLICK_HINT)}")
    flat = _choose_view(state)
    chosen = state.chosen[1] if state.chosen and state.chosen[0] == shown.key else None
    if chosen is None:
        _show_globe(state, shown, rows, drawn, None, flat)
    else:
        left, right = st.columns([3, 2], gap="large")
        with left:
            _show_globe(state, shown, rows, drawn, chosen, flat)
        with right:
            show_card(state, shown, chosen)
    _show_table(state, shown, rows)


def _choose_set(state: EvaluationSession, sets: Sequence[PredictionSet]) -> PredictionSet:
    if len(sets) == 1:
        return sets[0]
    by_key = {entry.key: entry for entry in sets}
    if state.kept.get(_SET) not in by_key:
        state.kept[_SET] = sets[0].key
    if st.session_state.get(_SET) not in by_key:
        st.session_state[_SET] = state.kept[_SET]
    st.selectbox(
        tr(words.CASES_OF), list(by_key), key=_SET, format_func=lambda key: by_key[key].name, width=480
    )
    state.note(_SET)
    return by_key[st.session_state[_SET]]


def _filtered(state: EvaluationSession, shown: PredictionSet) -> NDArray[np.int64]:
    """Rows of the photos that fit the choices."""
    kept = np.ones(len(shown.table), dtype=bool)
    left, middle, right = st.columns([2, 2, 2], gap="medium")
    # Streamlit takes a slider for one of a range only if a range is given, and for a new one if that changes.
    start = f"{_RANGE}-start"
    if _RANGE not in st.session_state:
        state.kept[start] = state.kept.get(_RANGE, (_ERROR_STOPS_KM[0], _ERROR_STOPS_KM[-1]))
    with left:
        st.select_slider(
            tr(words.ERROR_RANGE),
            _ERROR_STOPS_KM,
            value=state.kept[start],
            key=_RANGE,
            format_func=words.error_range,
        )
    low, high = st.session_state[_RANGE]
    kept &= (shown.distances_km >= low) & (shown.distances_km <= high)
    state.note(_RANGE)
    codes = {place.country: place.country_code for place in shown.truth_places}

    def in_words(country: str) -> str:
        return country_name(codes[country], country)

    countries = np.array([place.country for place in shown.truth_places], dtype=object)
    licences = np.array([shown.licence(row) for row in range(len(shown.table))], dtype=object)
    for column, label, values, explanation, named in (
        (middle, words.COUNTRIES, countries, tr(words.COUNTRIES_HELP), in_words),
        (right, words.LICENCES, licences, None, tr),
    ):
        options = _alphabetical(values, named)
        if len(options) < 2:
            continue
        key = f"cases-{label}-{shown.key}"
        state.keep(key, [])
        with column:
            wanted = st.multiselect(
                tr(label), options, key=key, placeholder=tr(words.ANY), help=explanation, format_func=named
            )
        state.note(key)
        if wanted:
            kept &= np.isin(values, wanted)
    return np.flatnonzero(kept)


def _alphabetical(values: NDArray[np.object_], named: Callable[[str], str]) -> list[str]:
    """Each value once, sorted by what it is called; accents and capitals make no difference."""

    def plain(value: str) -> str:
        return "".join(char for char in normalize("NFKD", named(value)) if not combining(char)).casefold()

    return sorted(set(values), key=plain)


def _choose_view(state: EvaluationSession) -> bool:
    if not globe_is_drawn():
        st.caption(tr(NO_GLOBE))
        return True
    state.keep(_VIEW, GLOBE)
    view = st.segmented_control(tr(words.VIEW), [GLOBE, MAP], key=_VIEW, required=True, format_func=view_name)
    state.note(_VIEW)
    return view == MAP


def _show_globe(
    state: EvaluationSession,
    shown: PredictionSet,
    rows: NDArray[np.int64],
    drawn: NDArray[np.int64],
    chosen: int | None,
    flat: bool,
) -> None:
    colours = palette()
    # A name for each choice of photos, so that a selection ends with what it was made on.
    layer_id = f"errors-{sha256(shown.key.encode() + drawn.tobytes()).hexdigest()[:12]}-{state.turn}"
    key = "errors-map" if flat else "errors-globe"

    def remember_click() -> None:
        indices = st.session_state[key].selection.indices
        hits = [*indices.get(layer_id, []), *indices.get(error_globe.dots_id(layer_id), [])]
        state.click(layer_id, shown.key, int(drawn[hits[0]]) if hits else None)

    texts = [
        {
            "error": distance(float(shown.distances_km[row])),
            "taken": capitalised(place_text(shown.truth_places[row])),
            "predicted": capitalised(place_text(shown.answer_places[row])),
        }
        for row in drawn.tolist()
    ]
    seen, clicks = error_globe.error_layers(
        layer_id, shown.table.truth[drawn], shown.table.points[drawn], texts, colours, flat=flat
    )
    if chosen is not None:
        truth, point = (tuple(values[chosen].tolist()) for values in (shown.table.truth, shown.table.points))
        seen += error_globe.chosen_layer(truth, point, colours, flat=flat)
    deck = globe.draw(
        colours,
        state.camera or globe.camera(_START, flat, on_phone()),
        flat=flat,
        land=land(),
        marks=[*seen, *clicks],
        tooltip=tr(words.GLOBE_TOOLTIP),
    )
    st.pydeck_chart(deck, height=chart_height(), on_select=remember_click, key=key, alt=tr(words.GLOBE_ALT))
    st.html(error_globe.legend_html(shown.distances_km[rows], colours, chosen is not None))


def _show_table(state: EvaluationSession, shown: PredictionSet, rows: NDArray[np.int64]) -> None:
    state.keep(_ORDER, words.WORST_FIRST)
    order = st.segmented_control(
        tr(words.ORDER), [words.WORST_FIRST, words.BEST_FIRST], key=_ORDER, required=True, format_func=tr
    )
    state.note(_ORDER)
    by_error = np.argsort(shown.distances_km[rows], kind="stable")
    ordered = rows[by_error if order == words.BEST_FIRST else by_error[::-1]][:_MOST_ROWS]
    table_key = f"cases-{sha256(shown.key.encode() + ordered.tobytes()).hexdigest()[:12]}"

    def choose() -> None:
        for row, _column in st.session_state[table_key].selection.cells:
            state.open_card(shown.key, int(ordered[row]))
            state.camera = _camera_of(shown, int(ordered[row]))

    with_licence = any(credit is not None for credit in shown.table.credits)
    licence = (
        {tr(words.COLUMN_LICENCE): [tr(shown.licence(row)) for row in ordered.tolist()]}
        if with_licence
        else {}
    )
    st.dataframe(
        {
            tr(words.COLUMN_ERROR): [round(float(shown.distances_km[row]), 2) for row in ordered.tolist()],
            tr(words.COLUMN_TAKEN): [
                capitalised(place_text(shown.truth_places[row])) for row in ordered.tolist()
            ],
            tr(words.COLUMN_PREDICTED): [
                capitalised(place_text(shown.answer_places[row])) for row in ordered.tolist()
            ],
            **licence,
            tr(words.COLUMN_PHOTO): [shown.table.photo_ids[row] for row in ordered.tolist()],
        },
        key=table_key,
        hide_index=True,
        height=min(38 + _ROW_PX * len(ordered), 390),
        row_height=_ROW_PX,
        column_config={
            tr(words.COLUMN_ERROR): st.column_config.NumberColumn(format="localized", width=95),
            tr(words.COLUMN_TAKEN): st.column_config.TextColumn(width="medium"),
            tr(words.COLUMN_PREDICTED): st.column_config.TextColumn(width="medium"),
        },
        on_select=choose,
        selection_mode="single-cell",  # a click anywhere in the row; row selection takes only its checkbox
    )


def _camera_of(shown: PredictionSet, row: int) -> globe.Camera:
    """Looks at the middle of the way to the prediction, or at the truth if both cannot be seen."""
    truth, point = (tuple(values[row].tolist()) for values in (shown.table.truth, shown.table.points))
    way = great_circle(truth, point)
    flat = not globe_is_drawn() or st.session_state.get(_VIEW) == MAP
    if flat:
        return globe.map_camera(way, on_phone())
    seen_together = shown.distances_km[row] <= globe.ONE_SIDE_KM
    middle = tuple(way[len(way) // 2].tolist()) if seen_together else truth
    return globe.camera(middle, flat, on_phone())
