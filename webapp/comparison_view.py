"""Two sets of predictions against each other on the photos that both have."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from geo_model.paired_comparison import compare_paired, matching_rows
from webapp import evaluation_wording as words
from webapp.evaluation_session import EvaluationSession
from webapp.figures_table import comparison_html
from webapp.language import tr
from webapp.prediction_sets import PredictionSet
from webapp.wording import literal

_FIRST, _SECOND = "compare-first", "compare-second"


def show_comparison(state: EvaluationSession, sets: Sequence[PredictionSet]) -> None:
    """Choose two answers of the sets, and see which is nearer more often."""
    answers = [
        (name, entry.table.photo_ids, distances) for entry in sets for name, distances in entry.answers()
    ]
    names = [name for name, _, _ in answers]
    st.subheader(tr(words.COMPARISON), anchor=False)
    st.caption(tr(words.COMPARISON_CAPTION))
    first_of_last = len(answers) - len(sets[-1].answers())
    chosen = []
    columns = st.columns(2)
    # Another number of answers begins anew, so that a set that was just added is the one compared.
    for column, field, label, start in (
        (columns[0], _FIRST, tr(words.COMPARE_FIRST), 0),
        (columns[1], _SECOND, tr(words.COMPARE_SECOND), first_of_last),
    ):
        key = f"{field}-{len(names)}"
        if st.session_state.get(key) not in names:
            kept = state.kept.get(key)
            st.session_state[key] = kept if kept in names else names[start]
        with column:
            st.selectbox(label, names, key=key)
        chosen.append(names.index(st.session_state[key]))
        state.note(key)
    if chosen[0] == chosen[1]:
        st.info(tr(words.COMPARE_SAME))
        return
    (first_name, first_ids, first_km), (second_name, second_ids, second_km) = (
        answers[index] for index in chosen
    )
    first_rows, second_rows = matching_rows(first_ids, second_ids)
    if not len(first_rows):
        st.info(tr(words.COMPARE_NOTHING))
        return
    comparison = compare_paired(first_km[first_rows], second_km[second_rows])
    st.markdown(words.comparison_verdict(comparison, literal(first_name), literal(second_name)))
    st.html(comparison_html(comparison))
    st.caption(tr(words.COMPARISON_METHODS))
