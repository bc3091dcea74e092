"""Fields for files, which are taken into the session at once: a field forgets them on other pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

Take = Callable[[Sequence["UploadedFile"]], None]


def show_upload_field(
    label: str,
    name: str,
    fill: Callable[[], int],
    take: Take,
    **options: Any,  # noqa: ANN401 - they are Streamlit's
) -> None:
    """A field for files.

    Args:
        label: What it is for.
        name: Tells it from other fields.
        fill: How often the page has emptied it; a field of another count is a new, empty one.
        take: Gets the files as soon as they are there, and none when they are taken away.
        options: Of `st.file_uploader`.
    """
    now = fill()
    key = f"{name}-{now}"

    def hand_over() -> None:
        # The browser goes on sending the files of a field until it has heard that the field is gone.
        if fill() == now:
            given = st.session_state[key]
            take(given if isinstance(given, list) else [given] if given else [])

    st.file_uploader(label, key=key, on_change=hand_over, **options)
