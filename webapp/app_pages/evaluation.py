"""The page Evaluation: how far predictions are from the truth, and a run of the loaded model beside them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from geo_model.error_breakdown import summaries_by_group
from geo_model.metrics import DistanceSummary, summarise
from geo_model.published import BENCHMARKS, benchmark, published_figures
from webapp import evaluation_wording as words
from webapp.case_view import show_cases
from webapp.chart_view import show_chart
from webapp.comparison_view import show_comparison
from webapp.error_charts import continent_chart, curve_chart
from webapp.evaluation_session import EvaluationSession, evaluation_session
from webapp.figures_table import accuracy_html, continents_html
from webapp.language import tr
from webapp.prediction_sets import PredictionSet
from webapp.run_details import show_details
from webapp.run_panel import show_run
from webapp.set_list import show_add_table, show_sets


def show_accuracy(state: EvaluationSession, sets: Sequence[PredictionSet]) -> None:
    """Figures of every set beside the published ones."""
    st.subheader(tr(words.ACCURACY), anchor=False)
    key, keys = "published-of", [known.key for known in BENCHMARKS]
    state.keep(key, keys[0])
    shown = st.segmented_control(
        tr(words.PUBLISHED_OF), keys, key=key, format_func=lambda key: benchmark(key).name
    )
    state.note(key)
    groups = [[summarise(name, distances) for name, distances in entry.answers()] for entry in sets]
    st.html(
        accuracy_html(groups, benchmark(shown) if shown else None, published_figures(shown) if shown else ())
    )
    st.caption(f"{tr(words.CONVENTIONS)} {tr(words.PUBLISHED_CAPTION)}")


def by_continent(sets: Sequence[PredictionSet]) -> list[tuple[str, tuple[DistanceSummary, ...]]]:
    """Figures of each set's answer by the continent where photos were taken."""
    return [
        (
            entry.name,
            summaries_by_group([tr(place.continent) for place in entry.truth_places], entry.distances_km),
        )
        for entry in sets
    ]


def show_curves(sets: Sequence[PredictionSet]) -> None:
    """The cumulative curve, and the error by continent."""
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader(tr(words.CURVES), anchor=False)
        series = [answer for entry in sets for answer in entry.answers()]
        show_chart(curve_chart(series), tr(words.CURVES_ALT))
    with right:
        st.subheader(tr(words.CONTINENTS), anchor=False)
        continents = by_continent(sets)
        show_chart(continent_chart(continents), tr(words.CONTINENTS_ALT))
        st.caption(tr(words.CONTINENTS_CAPTION))
    with st.expander(f"{tr(words.CONTINENTS)}: {tr(words.AS_TABLE)}", icon=":material/table_rows:"):
        st.html(continents_html(continents))


state = evaluation_session()
st.title(tr(words.TITLE), anchor=False)
st.markdown(tr(words.INTRODUCTION))
running = state.active_run is not None and state.active_run.state == "running"
sets = state.sets()
show_sets(state, sets)
left, right = st.columns(2, gap="medium")
with left:
    show_add_table(state)
with right:
    show_run(state, sets, running)
if sets:
    show_accuracy(state, sets)
    show_curves(sets)
    st.subheader(tr(words.CASES), anchor=False)
    show_cases(state, sets)
    for entry in sets:
        if entry.measurements is not None:
            show_details(state, entry)
    if len(sets) > 1 or len(sets[0].answers()) > 1:
        show_comparison(state, sets)
