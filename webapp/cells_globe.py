"""The cells of one level on the globe, coloured by probability or by training photos, and their legend."""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pydeck
from numpy.typing import NDArray

from webapp.globe import DRAWN_SHARE, MOST_CELLS, CellBook, lines_geometry, marks_layer, polygons_layer
from webapp.language import Language, figures, language, tr
from webapp.palette import Palette, ProbabilityScale, css
from webapp.wording import capitalised, count, percent, place_text

MOST_CELLS_OF_PARTITIONING = 5000
"""Most cells drawn when their training photos are shown, where leaving out would make holes."""


@dataclass(frozen=True, eq=False)
class CellValues:
    """What the cells of a level are coloured by.

    Attributes:
        values: Probabilities in [0, 1], or numbers of training photos, (C,).
        photos: Whether they are numbers of photos.
    """

    values: NDArray[np.float64]
    photos: bool

    def text(self, value: float) -> str:
        """One value as people read it."""
        return count(round(value), "photo") if self.photos else percent(value)

    def tick(self, value: float) -> str:
        """One value below the legend, to two digits."""
        if self.photos:
            return figures(f"{round(value):,}")
        return figures(f"{100 * value:.2g}%" if value < 0.995 else "100%")

    def drawn(self) -> NDArray[np.int64]:
        """The classes to draw, the highest value first, int64."""
        most = MOST_CELLS_OF_PARTITIONING if self.photos else MOST_CELLS
        classes = np.argsort(-self.values, kind="stable")[:most].astype(np.int64)
        if self.photos:
            return classes
        return classes[self.values[classes] >= DRAWN_SHARE * float(self.values.max())]

    def scale(self, classes: NDArray[np.int64], linear: bool) -> ProbabilityScale:
        """Colours from the lowest to the highest value drawn; a linear scale begins at nought."""
        highest, lowest = float(self.values.max()), float(self.values[classes[-1]])
        if linear:
            return ProbabilityScale(0.0, highest, linear=True)
        return ProbabilityScale(max(min(lowest, 0.1 * highest), 1e-30), highest)


def place_names(book: CellBook) -> tuple[str, ...]:
    """The place of each cell in the visitor's language; written once, for thousands take a while."""
    return _names(book, language())


@lru_cache(maxsize=12)
def _names(book: CellBook, _language: Language) -> tuple[str, ...]:
    return tuple(capitalised(place_text(place)) for place in book.places)


def value_layer(
    layer_id: str,
    shown: CellValues,
    classes: NDArray[np.int64],
    scale: ProbabilityScale,
    book: CellBook,
    palette: Palette,
    *,
    flat: bool,
) -> pydeck.Layer:
    """Cells coloured by a value; row i of the data is `classes[i]`."""
    values, names = shown.values[classes], place_names(book)
    rows = [
        {
            "polygon": book.polygon(index, flat=flat),
            "colour": colour,
            "place": names[index],
            "value": shown.text(value),
            "token": book.partitioning.tokens[index],
        }
        for index, colour, value in zip(
            classes.tolist(), scale.colours(values, palette).tolist(), values.tolist(), strict=True
        )
    ]
    return polygons_layer(layer_id, rows, flat=flat)


def tooltip(shown: CellValues) -> str:
    """What is said of the cell pointed at, with fields of `value_layer`."""
    label = tr("Training photos") if shown.photos else tr("Probability")
    return f"<b>{{place}}</b><br>{html.escape(label)}: {{value}}<br>{html.escape(tr('Cell'))} {{token}}"


def region_layer(lines: list[NDArray[np.float64]], palette: Palette, *, flat: bool) -> pydeck.Layer:
    """The outline of a credible region, of lines of latitude and longitude."""
    return marks_layer(
        "region",
        [lines_geometry(lines, flat=flat)],
        palette,
        line_colour=palette.tag,
        line_px=2,
        flat=flat,
    )


def legend_html(
    shown: CellValues, scale: ProbabilityScale, palette: Palette, answered: bool, region: float | None
) -> str:
    """A bar of colours with three values below it, the unit, and what the point and the lines mean."""
    middle = (scale.lowest + scale.highest) / 2 if scale.linear else (scale.lowest * scale.highest) ** 0.5
    ticks = "".join(
        f"<span>{html.escape(shown.tick(value))}</span>" for value in (scale.lowest, middle, scale.highest)
    )
    unit = tr("training photos in a cell") if shown.photos else tr("probability of a cell, in percent")
    kind = tr("linear colours") if scale.linear else tr("logarithmic colours")
    line = ""
    if answered:
        line = (
            f"<div><span style='display:inline-block;width:10px;height:10px;margin-right:0.45rem;"
            f"border-radius:50%;background:{css(palette.estimate)}'></span>"
            f"{html.escape(tr('the answer'))}</div>"
        )
    if answered and region:
        text = tr("{share} credible region", share=f"{region:.0%}")
        line += (
            f"<div><span style='display:inline-block;width:22px;height:3px;margin-right:0.45rem;"
            f"vertical-align:3px;background:{css(palette.tag)}'></span>{html.escape(text)}</div>"
        )
    stops = ", ".join(css(colour) for colour in palette.ramp)
    return f"""
<div style="display:flex;flex-wrap:wrap;gap:0.4rem 1.6rem;align-items:center;font-size:0.82rem">
  <div style="flex:1 1 220px;max-width:340px">
    <div style="height:10px;border-radius:5px;background:linear-gradient(90deg,{stops})"></div>
    <div style="display:flex;justify-content:space-between;opacity:0.75">{ticks}</div>
  </div>
  <div style="opacity:0.75">{html.escape(unit)}, {html.escape(kind)}</div>
  {line}
</div>"""
