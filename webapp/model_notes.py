"""Which model answers, how good it was measured to be, and its model card."""

from __future__ import annotations

import streamlit as st

from geo_model.model_folder import CARD
from geo_model.predict import Model
from webapp.wording import literal


def show_model(model: Model) -> None:
    """The model's name and accuracy, and its card to unfold."""
    st.markdown(f"**The model: {literal(model.spec.name)}**")
    if model.spec.description:
        st.markdown(literal(model.spec.description))
    with st.expander("Model card", icon=":material/description:"):
        st.markdown((model.path / CARD).read_text(encoding="utf-8"))
