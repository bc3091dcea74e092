"""Which model answers, how good it was measured to be, and its model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from geo_model.geoclip_parts import Download
from geo_model.model_folder import CARD
from geo_model.predict import Model
from geo_model.terminal import percent
from webapp.session import agree_to_download
from webapp.wording import distance, literal

_SHOWN_KM = (25, 200, 750, 2500)
_ANSWER = "hierarchy"
_REGION = 0.9


def show_model(model: Model) -> None:
    """The model's name and accuracy, and its card to unfold."""
    st.markdown(f"**The model: {literal(model.spec.name)}**")
    if model.spec.description:
        st.markdown(literal(model.spec.description))
    if model.spec.accuracy:
        st.markdown(accuracy_table(model.spec.accuracy))
    with st.expander("Model card", icon=":material/description:"):
        st.markdown((model.path / CARD).read_text(encoding="utf-8"))


def ask_to_download(download: Download) -> None:
    """What the model lacks, how large it is and where it lies, with a button that fetches it."""
    size = f"{download.megabytes / 1000:.1f} GB"
    st.warning(
        f"The model lacks {literal(download.what)}. Nothing is fetched unless you click. "
        "The photos stay here either way.",
        icon=":material/cloud_download:",
    )
    st.button(
        f"Download {size} from {download.host}",
        icon=":material/download:",
        on_click=agree_to_download,
        args=(download,),
    )


def accuracy_table(accuracy: Mapping[str, Any]) -> str:
    """How often the answer was near and the region right: a Markdown table, a column for each set of photos.

    Args:
        accuracy: Of a ModelSpec, as `train.export.accuracy_record` writes it.
    """
    columns = [_column(name, record) for name, record in accuracy.items()]
    labels = [
        "measured on",
        "photos",
        *(f"within {km:,} km" for km in _SHOWN_KM),
        "median error",
        f"{100 * _REGION:.0f}% region holds the truth",
    ]
    rows = [f"| {' | '.join(cells)} |" for cells in zip(labels, *columns, strict=True)]
    return "\n".join([rows[0], "| --- |" + " ---: |" * len(columns), *rows[1:]])


def _column(name: str, record: Mapping[str, Any]) -> list[str]:
    answer = record["answers"][_ANSWER]
    shares = {entry["km"]: entry["share"] for entry in answer["accuracy"]}
    coverage = next(entry["share"] for entry in record["coverage"] if entry["region"] == _REGION)
    chosen = " (the model was chosen on it)" if record["role"] == "validation" else " (never trained on)"
    return [
        literal(name) + chosen,
        f"{record['photos']:,}",
        *(percent(shares[km]) for km in _SHOWN_KM),
        distance(answer["median_km"]),
        percent(coverage),
    ]
