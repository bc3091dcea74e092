"""Which model answers, how good it was measured to be, and its model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from geo_model.model_folder import CARD
from geo_model.predict import Model
from webapp.language import figures, language, tr
from webapp.model_wording import CARD_LANGUAGE
from webapp.wording import distance, literal, percent

_SHOWN_KM = (25, 200, 750, 2500)
_ANSWER = "hierarchy"
_REGION = 0.9


def show_model(model: Model) -> None:
    """The model's name and accuracy, and its card to unfold."""
    st.markdown(tr("**The model: {name}**", name=literal(model.spec.name)))
    if model.spec.description:
        st.markdown(literal(tr(model.spec.description)))
    if model.spec.accuracy:
        st.markdown(accuracy_table(model.spec.accuracy))
    with st.expander(tr("Model card"), icon=":material/description:"):
        if language() != "en":
            st.caption(tr(CARD_LANGUAGE))
        st.markdown((model.path / CARD).read_text(encoding="utf-8"))


def accuracy_table(accuracy: Mapping[str, Any]) -> str:
    """How often the answer was near and the region right: a Markdown table, a column for each set of photos.

    Args:
        accuracy: Of a ModelSpec, as `train.export.accuracy_record` writes it.
    """
    columns = [_column(name, record) for name, record in accuracy.items()]
    labels = [
        tr("measured on"),
        tr("photos"),
        *(tr("within {distance}", distance=distance(km)) for km in _SHOWN_KM),
        tr("median error"),
        tr("{share}% region holds the truth", share=round(100 * _REGION)),
    ]
    rows = [f"| {' | '.join(cells)} |" for cells in zip(labels, *columns, strict=True)]
    return "\n".join([rows[0], "| --- |" + " ---: |" * len(columns), *rows[1:]])


def _column(name: str, record: Mapping[str, Any]) -> list[str]:
    answer = record["answers"][_ANSWER]
    shares = {entry["km"]: entry["share"] for entry in answer["accuracy"]}
    coverage = next(entry["share"] for entry in record["coverage"] if entry["region"] == _REGION)
    chosen = tr("the model was chosen on it") if record["role"] == "validation" else tr("never trained on")
    return [
        f"{literal(name)} ({chosen})",
        figures(f"{record['photos']:,}"),
        *(percent(shares[km]) for km in _SHOWN_KM),
        distance(answer["median_km"]),
        percent(coverage),
    ]
