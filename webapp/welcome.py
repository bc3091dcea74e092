"""The page Locate before there is a photo."""

from __future__ import annotations

import streamlit as st

from webapp import globe
from webapp.globe_view import chart_height, globe_is_drawn, land, on_phone, palette
from webapp.photos import read_samples, sample_card

SAMPLES_KEY = "samples"
"""Session-state key of the titles of the samples that the visitor asked for."""


def show_welcome() -> None:
    """What to do, the samples to try, and a globe or a flat map that waits."""
    flat = not globe_is_drawn()
    left, right = st.columns([2, 3], gap="large", vertical_alignment="center")
    with left:
        st.subheader("Add a photo to begin", anchor=False)
        st.markdown(
            "1. **Drop photos** on the field above, or choose them.\n"
            "2. **See the place**, how sure that is, and which other places are possible.\n"
            f"3. **{'Move the map' if flat else 'Turn the globe'}** and click its cells to see where the "
            "probability lies."
        )
        st.markdown("No photo at hand? Try one of these:")
        _show_samples()
    with right:
        deck = globe.draw(palette(), globe.camera((25.0, 5.0), flat, on_phone()), flat=flat, land=land())
        st.pydeck_chart(deck, height=chart_height(), key="welcome-globe", alt="The Earth")


def _show_samples() -> None:
    samples = read_samples()
    for column, sample in zip(st.columns(len(samples), wrap=False, gap="small"), samples, strict=True):
        with column:
            st.image(sample_card(sample), width="stretch", alt=sample.title)
            st.button(
                sample.short_title,
                key=f"try-{sample.file}",
                width="stretch",
                on_click=_try,
                args=(sample.title,),
            )


def _try(title: str) -> None:
    st.session_state[SAMPLES_KEY] = [title]
