"""Answers and untrusted text as people read them, in the visitor's language.

Coordinates are written as on the command line, by `geo_model.terminal`: maps take them so in any language.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from geo_model import terminal
from geo_model.errors import reason_of
from geo_model.photo_files import shown_name
from geo_model.places import AT_PLACE_KM, Place
from webapp.language import figures, language, tr
from webapp.measure_wording import HEADLINES, IN_SHORT, KNOWN_AREAS_KM2

EARTH_KM2 = 510_100_000

WORD_JOINER = "\u2060"


@dataclass(frozen=True)
class Certainty:
    """How sure an answer is, by the area of its 90% credible region.

    Attributes:
        up_to_km2: The largest area that it stands for.
        headline: In a few words.
        in_short: In a word or two: within what the answer is right.
        tone: Good, fair or poor.
    """

    up_to_km2: float
    headline: str
    in_short: str
    tone: Literal["good", "fair", "poor"]


_TONES: tuple[tuple[float, Literal["good", "fair", "poor"]], ...] = (
    (3_000, "good"),
    (100_000, "good"),
    (2_000_000, "good"),
    (15_000_000, "fair"),
    (60_000_000, "fair"),
    (float("inf"), "poor"),
)
_CERTAINTIES = tuple(
    Certainty(up_to_km2, headline, in_short, tone)
    for (up_to_km2, tone), headline, in_short in zip(_TONES, HEADLINES, IN_SHORT, strict=True)
)


def certainty(area_km2: float) -> Certainty:
    """How sure an answer is whose 90% credible region has this area."""
    step = next(step for step in _CERTAINTIES if area_km2 <= step.up_to_km2)
    return replace(step, headline=tr(step.headline), in_short=tr(step.in_short))


def area_in_words(area_km2: float) -> str:
    """An area compared with one that people know: "about twice the size of Italy"."""
    index = bisect_right([area for area, _ in KNOWN_AREAS_KM2], area_km2 * 1.1) - 1
    if index < 0:
        return tr("smaller than {known}", known=tr(KNOWN_AREAS_KM2[0][1]))
    known_km2, name = KNOWN_AREAS_KM2[index]
    known, ratio = tr(name), area_km2 / known_km2
    if ratio < 1.25:
        return tr("about the size of {known}", known=known)
    if ratio < 1.75:
        return tr("about one and a half times the size of {known}", known=known)
    if ratio < 2.5:
        return tr("about twice the size of {known}", known=known)
    return tr("about {ratio} times the size of {known}", ratio=round(ratio), known=known)


def area(area_km2: float) -> str:
    """An area in km² with no more digits than it deserves: "1.2 million km²"."""
    number, _, unit = terminal.area_text(area_km2).partition(" ")
    return f"{figures(number)} {tr('million km²') if unit == 'million km²' else unit}"


def percent(probability: float) -> str:
    """A probability in percent: 12.3%, 0.05%, <0.01%."""
    return figures(terminal.percent(probability))


def place_text(place: Place) -> str:
    """Where a point is, in words, as `Place.text` says it in English."""
    if language() == "en":
        return place.text
    country = country_name(place.country_code, place.country)
    label = place.name if place.name in (place.country, country) else f"{place.name}, {country}"
    if place.distance_km <= AT_PLACE_KM:
        return label
    return tr("about {distance} from {place}", distance=distance(_rounded(place.distance_km)), place=label)


def _rounded(km: float) -> float:
    """A distance rounded as `Place.text` does."""
    step_km = 5 if km < 100 else 10 if km < 1000 else 100
    return round(km / step_km) * step_km


def country_name(code: str, english: str) -> str:
    """A country in the visitor's language, by its ISO 3166-1 alpha-2 code."""
    return english if language() == "en" else _countries(language()).get(code, english)


@cache
def _countries(of_language: str) -> dict[str, str]:
    from babel import Locale

    return dict(Locale(of_language).territories)


def distance(km: float) -> str:
    """A distance in km: "3.4 km", "812 km", "1,240 km", "less than 0.1 km"."""
    if km < 0.1:
        return tr("less than {distance}", distance=figures("0.1 km"))
    return figures(f"{km:.1f} km" if km < 10 else f"{float(f'{km:.3g}'):,.0f} km")


def capitalised(text: str) -> str:
    """A text with its first letter in upper case and the others as they are."""
    return text[:1].upper() + text[1:]


def named_apart(names: Sequence[str]) -> list[str]:
    """The names with a number behind each that came before: a choice goes to the browser as its name."""
    seen: set[str] = set()
    found = []
    for name in names:
        number, apart = 1, name
        while apart in seen:
            number += 1
            apart = f"{name} ({number})"
        seen.add(apart)
        found.append(apart)
    return found


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number of things: "1 cell", "1,204 cells"; `plural` where it does not just end in s."""
    return figures(f"{number:,}") + " " + tr(noun if number == 1 else plural or f"{noun}s")


def time_left(seconds: float) -> str:
    """How long something still takes, roughly: "about 20 s left", "about 3 min left"."""
    if seconds < 90:
        return tr("about {seconds} s left", seconds=max(5, 5 * round(seconds / 5)))
    return tr("about {minutes} min left", minutes=round(seconds / 60))


def as_code(text: str) -> str:
    """Untrusted text as a Markdown code span: nothing in it is markup, a link, an icon or HTML."""
    runs = [len(run) for run in re.findall("`+", text)]
    fence = "`" * (max(runs, default=0) + 1)
    return f"{fence} {text} {fence}" if runs else f"{fence}{text}{fence}"


PATH_REFUSALS = (OSError, RuntimeError, ValueError)
"""What a path can raise that is too long, names a user who is none, or holds a null byte."""


def cannot_be_read(name: str, error: Exception) -> str:
    """A sentence on a path that the system does not take, in English, for `library_sentences.said`."""
    why = reason_of(error).rstrip(".")
    return f"{shown_name(name)} cannot be read: {why}; check the path."


def literal(text: str) -> str:
    """Text with every character that Markdown could take for markup escaped.

    GitHub's Markdown, which Streamlit draws, makes links of addresses even where they are escaped
    (https://github.github.com/gfm/#autolinks-extension-): a word joiner, which nobody sees, parts them.
    """
    parted = re.sub(r"(://|www(?=\.)|@)(?=\S)", f"\\1{WORD_JOINER}", text, flags=re.IGNORECASE)
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", parted)
