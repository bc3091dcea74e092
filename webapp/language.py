"""The language of the app: English texts in the code, and a German one for each in webapp/german/*.json.

A page writes `tr("Add a photo")`, or `tr("{count} photos", count=3)`; the English text is the key. What has
no German text yet is shown in English; a test names it.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Literal, cast

import streamlit as st

Language = Literal["en", "de"]
LANGUAGES: dict[Language, str] = {"en": "English", "de": "Deutsch"}
CATALOGUES = Path(__file__).resolve().parent / "german"

_KEY = "language"
_SWAPPED = str.maketrans(",.", ".,")


@cache
def german_texts() -> dict[str, str]:
    """The German text of each English one, from all catalogues."""
    texts: dict[str, str] = {}
    for file in sorted(CATALOGUES.glob("*.json")):
        texts.update(json.loads(file.read_text(encoding="utf-8")))
    return texts


def language() -> Language:
    """What the visitor chose, before that what the browser prefers."""
    chosen = st.session_state.get(_KEY)
    if chosen in LANGUAGES:
        return cast("Language", chosen)
    return "de" if (st.context.locale or "").lower().startswith("de") else "en"


def choose_language() -> None:
    """The choice of language; kept while the visitor goes from page to page."""
    # A widget's own value is forgotten on pages that do not draw it, so it is set again on each run.
    st.session_state[_KEY] = language()
    st.radio(tr("Language"), list(LANGUAGES), key=_KEY, format_func=LANGUAGES.__getitem__, horizontal=True)


def tr(text: str, **values: object) -> str:
    """A text in the visitor's language, with values put in by `str.format` if there are any."""
    found = german_texts().get(text, text) if language() == "de" else text
    return found.format(**values) if values else found


def figures(text: str) -> str:
    """Numbers as the visitor's language writes them: "1,240.5 km" is "1.240,5 km" in German."""
    return text.translate(_SWAPPED) if language() == "de" else text
