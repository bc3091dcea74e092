"""The page Locate before there is a photo."""

from __future__ import annotations

import streamlit as st

from webapp import globe
from webapp.globe_view import chart_height, globe_is_drawn, land, on_phone, palette
from webapp.language import tr
from webapp.photos import read_samples, sample_card, sample_photo
from webapp.session import Session


def show_welcome(state: Session) -> None:
    """What to do, the samples to try, and a globe or a flat map that waits."""
    flat = not globe_is_drawn()
    left, right = st.columns(2, gap="large", vertical_alignment="center")
    with left:
        st.subheader(tr("Add a photo to begin"), anchor=False)
        move = (
            tr("**Move the map** and click its cells to see where the probability lies.")
            if flat
            else tr("**Turn the globe** and click its cells to see where the probability lies.")
        )
        st.markdown(
            f"1. {tr('**Drop photos** on the field above, or choose them.')}\n"
            f"2. {tr('**See the place**, how sure that is, and which other places are possible.')}\n"
            f"3. {move}"
        )
        st.markdown(tr("No photo at hand? Try one of these:"))
        show_samples(state)
    with right:
        deck = globe.draw(palette(), globe.camera((25.0, 5.0), flat, on_phone()), flat=flat, land=land())
        st.pydeck_chart(deck, height=chart_height(), key="welcome-globe", alt=tr("The Earth"))


def show_samples(state: Session) -> None:
    """The sample photos, each with a button that adds it."""
    samples = read_samples()
    for column, sample in zip(st.columns(len(samples), wrap=False, gap="small"), samples, strict=True):
        with column:
            st.image(sample_card(sample), width="stretch", alt=sample.title)
            st.button(
                sample.short_title,
                key=f"try-{sample.file}",
                width="stretch",
                on_click=lambda sample=sample: state.add([sample_photo(sample)]),
            )
