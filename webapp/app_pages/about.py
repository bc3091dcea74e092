"""The page About: the model and its card, what it computes on, and responsible use."""

from __future__ import annotations

import streamlit as st

from geo_model.cells import LEVELS
from geo_model.errors import GeoModelError
from geo_model.level_limit import finest_level, levels_up_to
from geo_model.predict import Model
from webapp.language import figures, tr
from webapp.level_notice import level_notice
from webapp.library_sentences import said
from webapp.model_choice import show_model_choice
from webapp.model_gate import model_or_panel
from webapp.model_notes import show_model
from webapp.responsible_use import show_responsible_use
from webapp.serving import serves_this_machine_only
from webapp.wording import literal


def show_machine(model: Model) -> None:
    """What the model computes on and in, and how finely it answers."""
    device = str(model.device)
    if model.device.type == "cuda":
        import torch

        device = f"{device} ({torch.cuda.get_device_name(model.device)})"
    levels = levels_up_to(finest_level())
    cells = figures(" / ".join(f"{len(model.hierarchy[level]):,}" for level in levels))
    rows = [
        (tr("Device"), device),
        (tr("Precision"), str(model.dtype).removeprefix("torch.")),
        (tr("Network"), model.spec.backbone),
        (tr("Coarse, middle and fine cells") if len(levels) == len(LEVELS) else tr("Cells"), cells),
    ]
    if serves_this_machine_only():
        rows.append((tr("Folder"), str(model.path)))
    st.markdown("  \n".join(f"**{label}:** {literal(value)}" for label, value in rows))


st.title(tr("About"), anchor=False)
left, right = st.columns([3, 2], gap="large")
with right:
    show_responsible_use()
with left:
    st.subheader(tr("The model"), anchor=False)
    if notice := level_notice():
        st.info(
            f"{notice} {tr('The figures of the model were measured without this limit.')}",
            icon=":material/lock:",
        )
    try:
        show_model_choice()
    except GeoModelError as error:
        st.error(literal(said(str(error))), icon=":material/error:")
    else:
        model = model_or_panel()
        if model is not None:
            show_machine(model)
            show_model(model)
