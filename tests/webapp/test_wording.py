"""Answers in words, and untrusted text that must stay text."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from geo_model.photo_files import shown_name
from webapp.wording import (
    WORD_JOINER,
    area_in_words,
    as_code,
    capitalised,
    certainty,
    count,
    distance,
    literal,
    named_apart,
)

UNTRUSTED = st.text(st.sampled_from(list("`*_[]()<>!#:$~\\|&;-+.a B@w/\n\r\t\u202e\u0000")), max_size=40)


@pytest.mark.parametrize(
    ("km2", "words"),
    [
        (20, "smaller than Paris"),
        (105, "about the size of Paris"),
        (301_000, "about the size of Italy"),
        (600_000, "about the size of Spain"),
        (3_290_000, "about the size of India"),
        (10_200_000, "about the size of Europe"),
        (149_000_000, "about the size of all the land on Earth"),
        (300_000_000, "about twice the size of all the land on Earth"),
        (510_000_000, "about 3 times the size of all the land on Earth"),
    ],
)
def test_areas_are_compared_with_known_ones(km2, words):
    assert area_in_words(km2) == words


@settings(deadline=None)
@given(st.floats(1, 5.1e8), st.floats(1, 5.1e8))
def test_a_larger_region_is_never_called_surer(first, second):
    order = {"good": 0, "fair": 1, "poor": 2}
    small, large = sorted((first, second))
    assert certainty(small).up_to_km2 <= certainty(large).up_to_km2
    assert order[certainty(small).tone] <= order[certainty(large).tone]


@pytest.mark.parametrize(
    ("km", "words"),
    [(0.01, "less than 0.1 km"), (3.44, "3.4 km"), (812.4, "812 km"), (8794.2, "8,790 km")],
)
def test_distances(km, words):
    assert distance(km) == words


def test_counts_and_capitals():
    assert count(1, "cell") == "1 cell"
    assert count(1204, "cell") == "1,204 cells"
    assert capitalised("about 35 km from Évora") == "About 35 km from Évora"


@settings(deadline=None)
@given(UNTRUSTED)
def test_untrusted_text_as_code_stays_text(text):
    text = shown_name(text)
    rendered = MarkdownIt("commonmark").render(f"before {as_code(text)} after").strip()
    start, end = "<p>before <code>", "</code> after</p>"
    assert rendered.startswith(start)
    assert rendered.endswith(end)
    inside = rendered[len(start) : -len(end)]
    assert "<" not in inside
    assert html.unescape(inside).strip() == text.strip()


@settings(deadline=None)
@given(UNTRUSTED)
def test_literal_text_stays_text(text):
    text = " ".join(text.replace("\x00", "").split())
    rendered = MarkdownIt("commonmark").render(f"x{literal(text)}x").strip()
    said = html.unescape(rendered.removeprefix("<p>").removesuffix("</p>"))
    assert said.replace(WORD_JOINER, "") == f"x{text}x"


@pytest.mark.parametrize(
    "address",
    ["me@example.com", "www.example.com", "WWW.example.com", "http://example.com/x", "https://a@b.example"],
)
def test_addresses_in_untrusted_text_are_no_links(address):
    # How GitHub's Markdown, as Streamlit has it, finds addresses in text, escaped or not.
    addresses = r"(https?://|www(?=\.))([-.\w]+)|([-.\w+]+)@([-\w]+(?:\.[-\w]+)+)"
    assert re.search(addresses, address, flags=re.IGNORECASE)
    shown = literal(address).replace("\\", "")
    assert not re.search(addresses, shown, flags=re.IGNORECASE)
    assert shown.replace(WORD_JOINER, "") == address


def test_no_two_choices_have_one_name():
    assert named_apart(["a", "a", "b", "a (2)", "a"]) == ["a", "a (2)", "b", "a (2) (2)", "a (3)"]
