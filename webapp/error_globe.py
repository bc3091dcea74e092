"""Errors on the globe: a great circle from where each photo was taken to where it was predicted.

Colours are steps of the palette's ramp, ever darker in the light theme and ever brighter in the dark one, so
that lightness alone tells them apart. A click is taken by a wide, all but invisible line above each thin one.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import pydeck
from numpy.typing import NDArray

from geo_model.metrics import THRESHOLDS_KM
from webapp import evaluation_wording as words
from webapp.geometry import great_circle
from webapp.globe import lifted_line, marks_layer, point_geometry, upright
from webapp.language import tr
from webapp.palette import Colour, Palette, css

CLASS_ENDS_KM = (*THRESHOLDS_KM, float("inf"))
"""Upper ends of the classes of errors, in km; an end belongs to its class."""

MOST_LINES = 800
"""Most photos drawn at once: a few hundred kilobytes."""

_STEP_DEGREES = 4.0
"""Between the points of a line: its chords stay above the sphere, for it is lifted."""

_CLICK_PX = 12
_UNSEEN = [128, 128, 128, 1]


def error_classes(distances_km: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index into `CLASS_ENDS_KM` of each error."""
    return np.searchsorted(CLASS_ENDS_KM, distances_km, side="left").astype(np.int64)


def class_colours(palette: Palette) -> list[Colour]:
    """A colour for each class, from the least error to the largest."""
    ramp = np.array(palette.ramp, dtype=float)
    places = np.linspace(0, len(ramp) - 1, len(CLASS_ENDS_KM))
    channels = [np.interp(places, np.arange(len(ramp)), column) for column in ramp.T]
    return [(int(red), int(green), int(blue)) for red, green, blue in np.rint(channels).T]


def drawn_rows(rows: NDArray[np.int64], distances_km: NDArray[np.float64]) -> NDArray[np.int64]:
    """The rows to draw: all, or `MOST_LINES` evenly spread over the errors."""
    if len(rows) <= MOST_LINES:
        return rows
    ordered = rows[np.argsort(distances_km[rows], kind="stable")]
    return ordered[np.linspace(0, len(ordered) - 1, MOST_LINES).round().astype(int)]


def error_layers(
    layer_id: str,
    truth: NDArray[np.float64],
    points: NDArray[np.float64],
    texts: Sequence[dict[str, str]],
    palette: Palette,
    *,
    flat: bool,
) -> tuple[list[pydeck.Layer], list[pydeck.Layer]]:
    """Lines and dots of photos.

    Args:
        layer_id: Name of the layer that takes clicks; row i of its data is photo i. A second such layer, for
            the dots, is called `dots_id(layer_id)`.
        truth: Latitude and longitude in degrees, (N, 2).
        points: The predictions, likewise.
        texts: For each photo what the tooltip says.
        palette: Colours.
        flat: For the flat map instead of the globe.

    Returns:
        Layers that are seen, the largest errors first so that small ones lie above them, and layers to click.
    """
    from geo_model.sphere import great_circle_km

    lines = [
        lifted_line(great_circle(tuple(start), tuple(end), _STEP_DEGREES))
        for start, end in zip(truth.tolist(), points.tolist(), strict=True)
    ]
    classes = error_classes(great_circle_km(*truth.T, *points.T))
    seen = []
    for number, colour in reversed(list(enumerate(class_colours(palette)))):
        inside = np.flatnonzero(classes == number).tolist()
        geometries: list[dict[str, Any]] = [lines[row] for row in inside]
        geometries += [point_geometry((truth[row, 0], truth[row, 1])) for row in inside]
        if geometries:
            seen.append(
                marks_layer(
                    f"{layer_id}-class-{number}",
                    geometries,
                    palette,
                    point_colour=colour,
                    line_colour=colour,
                    line_px=2,
                    point_px=4,
                    halo_px=1,
                    flat=flat,
                )
            )
    clicks = [
        pydeck.Layer(
            "PathLayer",
            id=layer_id,
            data=[{"path": line["coordinates"], **text} for line, text in zip(lines, texts, strict=True)],
            get_path="path",
            get_color=_UNSEEN,
            width_units='"pixels"',
            get_width=_CLICK_PX,
            cap_rounded=True,
            pickable=True,
            auto_highlight=True,
            highlight_color=[*palette.estimate, 110],
            **upright(flat),
        ),
        pydeck.Layer(
            "ScatterplotLayer",
            id=dots_id(layer_id),
            data=[
                {"position": point_geometry((place[0], place[1]))["coordinates"], **text}
                for place, text in zip(truth, texts, strict=True)
            ],
            get_position="position",
            get_fill_color=_UNSEEN,
            radius_units='"pixels"',
            get_radius=_CLICK_PX / 2 + 2,
            billboard=True,
            pickable=True,
            auto_highlight=True,
            highlight_color=[*palette.estimate, 110],
            **upright(flat),
        ),
    ]
    return seen, clicks


def dots_id(layer_id: str) -> str:
    """Name of the layer of dots that goes with a layer of lines."""
    return f"{layer_id}-dots"


def chosen_layer(
    truth: tuple[float, float], point: tuple[float, float], palette: Palette, *, flat: bool
) -> list[pydeck.Layer]:
    """The photo whose card is open: a thick line, where it was taken and where it was predicted."""
    line = lifted_line(great_circle(truth, point, 1.0))
    return [
        marks_layer(
            "chosen-photo",
            [line, point_geometry(truth)],
            palette,
            point_colour=palette.tag,
            line_colour=palette.tag,
            line_px=4,
            flat=flat,
        ),
        marks_layer(
            "chosen-prediction", [point_geometry(point)], palette, point_colour=palette.estimate, flat=flat
        ),
    ]


def legend_html(distances_km: NDArray[np.float64], palette: Palette, chosen: bool) -> str:
    """The classes with their colours and numbers of photos, and what the large points mean."""
    counts = np.bincount(error_classes(distances_km), minlength=len(CLASS_ENDS_KM))
    lows = (0.0, *CLASS_ENDS_KM[:-1])
    items = [
        _item(
            f"width:22px;height:5px;border-radius:2px;background:{css(colour)};vertical-align:3px",
            words.error_class(low, high, int(number)),
        )
        for colour, low, high, number in zip(class_colours(palette), lows, CLASS_ENDS_KM, counts, strict=True)
    ]
    if chosen:
        for colour, text in (
            (palette.tag, tr(words.LEGEND_TRUTH)),
            (palette.estimate, tr(words.LEGEND_PREDICTION)),
        ):
            dot = f"width:12px;height:12px;border-radius:50%;background:{css(colour)};vertical-align:-1px"
            items.append(_item(f"{dot};border:2px solid {css(palette.halo)}", text))
    return (
        "<div style='font-size:0.82rem'>"
        f"<div style='opacity:0.75'>{html.escape(tr(words.LEGEND_TITLE))}</div>"
        f"<div style='display:flex;flex-wrap:wrap;gap:0.2rem 1.2rem'>{''.join(items)}</div></div>"
    )


def _item(style: str, text: str) -> str:
    return (
        f"<div><span style='display:inline-block;margin-right:0.4rem;{style}'></span>"
        f"{html.escape(text)}</div>"
    )
