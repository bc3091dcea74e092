"""Answers and untrusted text as people read them. Nothing here knows Streamlit.

Coordinates, areas in km² and probabilities are written as on the command line, by `geo_model.terminal`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from geo_model.terminal import percent

EARTH_KM2 = 510_100_000

_KNOWN_AREAS_KM2 = (
    (105, "Paris"),
    (1_570, "Greater London"),
    (2_590, "Luxembourg"),
    (10_500, "Lebanon"),
    (30_700, "Belgium"),
    (49_000, "Slovakia"),
    (92_000, "Portugal"),
    (147_000, "Nepal"),
    (301_000, "Italy"),
    (506_000, "Spain"),
    (784_000, "Türkiye"),
    (1_220_000, "South Africa"),
    (1_960_000, "Mexico"),
    (3_290_000, "India"),
    (5_500_000, "the Amazon rainforest"),
    (7_690_000, "Australia"),
    (10_200_000, "Europe"),
    (17_800_000, "South America"),
    (24_700_000, "North America"),
    (30_400_000, "Africa"),
    (44_600_000, "Asia"),
    (75_000_000, "Africa and Asia together"),
    (149_000_000, "all the land on Earth"),
)
"""Areas in km² that many people have a feeling for."""


@dataclass(frozen=True)
class Certainty:
    """How sure an answer is, by the area of its 90% credible region.

    Attributes:
        up_to_km2: The largest area that it stands for.
        headline: In a few words.
        tone: Good, fair or poor.
    """

    up_to_km2: float
    headline: str
    tone: Literal["good", "fair", "poor"]


_CERTAINTIES = (
    Certainty(3_000, "Sure to within a city and its surroundings", "good"),
    Certainty(100_000, "Sure to within a region", "good"),
    Certainty(2_000_000, "Sure to within a country or two", "good"),
    Certainty(15_000_000, "Sure only of the part of the world", "fair"),
    Certainty(60_000_000, "Unsure: several continents remain possible", "fair"),
    Certainty(float("inf"), "Very unsure: it could be almost anywhere", "poor"),
)


def certainty(area_km2: float) -> Certainty:
    """How sure an answer is whose 90% credible region has this area."""
    return next(step for step in _CERTAINTIES if area_km2 <= step.up_to_km2)


def area_in_words(area_km2: float) -> str:
    """An area compared with one that people know: "about twice the size of Italy"."""
    index = bisect_right([area for area, _ in _KNOWN_AREAS_KM2], area_km2 * 1.1) - 1
    if index < 0:
        return f"smaller than {_KNOWN_AREAS_KM2[0][1]}"
    known_km2, name = _KNOWN_AREAS_KM2[index]
    ratio = area_km2 / known_km2
    if ratio < 1.25:
        return f"about the size of {name}"
    if ratio < 1.75:
        return f"about one and a half times the size of {name}"
    if ratio < 2.5:
        return f"about twice the size of {name}"
    return f"about {round(ratio)} times the size of {name}"


def distance(km: float) -> str:
    """A distance in km: "3.4 km", "812 km", "1,240 km", "less than 0.1 km"."""
    if km < 0.1:
        return "less than 0.1 km"
    return f"{km:.1f} km" if km < 10 else f"{float(f'{km:.3g}'):,.0f} km"


def capitalised(text: str) -> str:
    """A text with its first letter in upper case and the others as they are."""
    return text[:1].upper() + text[1:]


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number of things: "1 cell", "1,204 cells"; `plural` where it does not just end in s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural or f'{noun}s'}"


def shares(parts: Sequence[tuple[str, float]], most: int = 3) -> str:
    """The largest shares in words: "Europe 62.0%, Asia 21.1%, elsewhere 16.9%"."""
    shown = [(name, share) for name, share in parts[:most] if share >= 0.01]
    rest = 1 - sum(share for _, share in shown)
    texts = [f"{name} {percent(share)}" for name, share in shown]
    if rest >= 0.005:
        texts.append(f"elsewhere {percent(rest)}")
    return ", ".join(texts)


def as_code(text: str) -> str:
    """Untrusted text as a Markdown code span: nothing in it is markup, a link, an icon or HTML."""
    runs = [len(run) for run in re.findall("`+", text)]
    fence = "`" * (max(runs, default=0) + 1)
    return f"{fence} {text} {fence}" if runs else f"{fence}{text}{fence}"


def literal(text: str) -> str:
    """Text with every character that Markdown could take for markup escaped."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
