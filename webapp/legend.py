"""The legend of the globe as HTML; every text in it is the app's own."""

from __future__ import annotations

import math

from webapp.language import figures, tr
from webapp.palette import Colour, Palette, ProbabilityScale, css
from webapp.photos import Truth


def legend_html(scale: ProbabilityScale, palette: Palette, truth: Truth | None) -> str:
    """A bar of colours with three probabilities below it, and what the points mean."""
    stops = ", ".join(css(colour) for colour in palette.ramp)
    middle = math.sqrt(scale.lowest * scale.highest)
    ticks = "".join(f"<span>{_two_digits(value)}</span>" for value in (scale.lowest, middle, scale.highest))
    marks = _mark(palette.estimate, palette.halo, tr("Prediction"))
    if truth:
        marks += _mark(
            palette.tag,
            palette.halo,
            tr("The photo's own GPS tag") if truth.from_tag else tr("Where it was taken"),
        )
    return f"""
<div style="display:flex;flex-wrap:wrap;gap:0.4rem 1.6rem;align-items:center;font-size:0.82rem">
  <div style="flex:1 1 220px;max-width:340px">
    <div style="height:10px;border-radius:5px;background:linear-gradient(90deg,{stops})"></div>
    <div style="display:flex;justify-content:space-between;opacity:0.75">{ticks}</div>
  </div>
  <div style="opacity:0.75">{tr("probability of a cell, logarithmic")}</div>
  {marks}
</div>"""


def _two_digits(probability: float) -> str:
    """A probability in percent to two digits, however small: the ends of a scale must differ."""
    return figures(f"{100 * probability:.2g}%") if probability < 0.995 else "100%"


def _mark(colour: Colour, halo: Colour, text: str) -> str:
    dot = (
        f"display:inline-block;width:12px;height:12px;border-radius:50%;background:{css(colour)};"
        f"border:2px solid {css(halo)};box-shadow:0 0 0 1px rgba(128,128,128,0.6);margin-right:0.45rem;"
        "vertical-align:-2px"
    )
    return f'<div><span style="{dot}"></span>{text}</div>'
