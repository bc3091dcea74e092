"""What the app is for, what not, how sure it is, and what happens to photos."""

from __future__ import annotations

import streamlit as st

from webapp.language import tr
from webapp.serving import serves_this_machine_only


def show_responsible_use() -> None:
    """Four short parts of text."""
    st.subheader(tr("Responsible use"), anchor=False)
    st.markdown(f"**{tr('What it is for')}**")
    st.markdown(
        tr(
            "Research and teaching on geolocation, sorting one's own photos, checking where a published "
            "picture may have been taken, and seeing how much a photo gives away."
        )
    )
    st.markdown(f"**{tr('What it is not for')}**")
    st.markdown(
        tr(
            "Never use it to find, follow or harass a person, to guess where someone lives, or to decide "
            "anything about a person. Locate only photos that are yours, or that you have leave to use."
        )
    )
    st.markdown(f"**{tr('How sure it is')}**")
    st.markdown(
        tr(
            "Answers are often wrong, at times by a continent. Each comes with its credible region: of ten "
            "90% regions of a calibrated model nine hold the truth; the figures of the model say how many "
            "did. They are for photos like those measured; portraits, interiors and close-ups are harder. A "
            "single answer proves nothing: check it against other evidence."
        )
    )
    st.markdown(f"**{tr('What happens to photos')}**")
    st.markdown(
        tr(
            "They stay in the app's memory while the page is open and are forgotten with the session. They "
            "are not stored, logged or passed on, and the model sees only their pixels."
        )
    )
    if serves_this_machine_only():
        st.markdown(tr("This app serves this computer only: the photos do not leave it."))
    else:
        st.markdown(tr("This app runs on a server: photos travel to it, and its operator answers for it."))
