"""A warning with a list: what was left out, and why; a long list can be scrolled."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from webapp.language import figures, tr
from webapp.wording import as_code, literal

_NAMED = 8
_MOST_LISTED = 2000
_LIST_PX = 240


def show_warning(heading: str, entries: Sequence[tuple[str, str]], icon: str = ":material/warning:") -> None:
    """Warn of things.

    Args:
        heading: Markdown.
        entries: Name, or nothing, and what is to be said of each; untrusted text.
        icon: Beside the heading.
    """
    lines = [
        f"- {as_code(name)} — {literal(text)}"
        if name and text
        else f"- {as_code(name)}"
        if name
        else f"- {literal(text)}"
        for name, text in entries[:_NAMED]
    ]
    st.warning("\n".join([heading, "", *lines]), icon=icon)
    rest = entries[_NAMED:]
    if not rest:
        return
    with (
        st.expander(tr("… and {number} more", number=figures(f"{len(rest):,}"))),
        st.container(height=_LIST_PX),
    ):
        # Text shows every character as it is.
        st.text("\n".join(": ".join(filter(None, entry)) for entry in rest[:_MOST_LISTED]))
        if len(rest) > _MOST_LISTED:
            st.text(tr("… and {number} more", number=figures(f"{len(rest) - _MOST_LISTED:,}")))
