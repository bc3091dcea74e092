"""Which model answers, how good it was measured to be, and its model card."""

from __future__ import annotations

import streamlit as st

from geo_model.model_folder import CARD
from geo_model.predict import Model
from webapp.figures_table import measured_html
from webapp.language import language, tr
from webapp.model_wording import CARD_LANGUAGE
from webapp.wording import literal


def show_model(model: Model) -> None:
    """The model's name and accuracy, and its card to unfold."""
    st.markdown(tr("**The model: {name}**", name=literal(model.spec.name)))
    if model.spec.description:
        st.markdown(literal(tr(model.spec.description)))
    if table := measured_html(model.spec.accuracy):
        st.html(table)
    with st.expander(tr("Model card"), icon=":material/description:"):
        if language() != "en":
            st.caption(tr(CARD_LANGUAGE))
        st.markdown((model.path / CARD).read_text(encoding="utf-8"))
