"""How sure a model was in a run: coverage of its credible regions, and its reliability diagram."""

from __future__ import annotations

import streamlit as st

from geo_model.level_limit import finest_level, levels_up_to
from geo_model.measurements import HIERARCHY, REGION_SHARES
from geo_model.reliability import expected_calibration_error, reliability_bins
from webapp import evaluation_wording as words
from webapp.chart_view import show_chart
from webapp.error_charts import reliability_chart
from webapp.evaluation_session import EvaluationSession
from webapp.figures_table import coverage_html
from webapp.language import figures, tr
from webapp.prediction_sets import PredictionSet
from webapp.wording import count, literal


def show_details(state: EvaluationSession, made: PredictionSet) -> None:
    """Regions and reliability of one run."""
    found = made.measurements
    assert found is not None
    st.subheader(tr(words.DETAILS, name=literal(made.name)), anchor=False)
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.markdown(tr(words.COVERAGE))
        st.html(coverage_html([found.coverage(region) for region in REGION_SHARES]))
        if outside := int(found.outside.sum()):
            st.caption(
                tr(words.OUTSIDE_CELLS, outside=figures(f"{outside:,}"), photos=count(len(found), "photo"))
            )
    with right:
        st.markdown(tr(words.RELIABILITY))
        key = f"reliability-{made.key}"
        names = [HIERARCHY, *(level.value for level in levels_up_to(finest_level()))]
        state.keep(key, names[0])
        st.segmented_control(
            tr(words.RELIABILITY_LEVEL),
            names,
            key=key,
            required=True,
            format_func=lambda level: tr(words.RELIABILITY_LEVELS[level]),
        )
        state.note(key)
        answer = st.session_state[key]
        bins = reliability_bins(found.confidences[answer], found.ranks[answer] == 1)
        show_chart(reliability_chart(bins), tr(words.RELIABILITY_ALT))
        st.caption(
            tr(
                words.CALIBRATION_ERROR,
                error=figures(f"{expected_calibration_error(bins):.1%}"),
                photos=count(len(found), "photo"),
            )
        )
