"""All located photos on one globe, coloured by how sure their answers are."""

from __future__ import annotations

import html
from collections.abc import Sequence

import pydeck

from webapp.globe import marks_layer, point_geometry, upright
from webapp.language import tr
from webapp.palette import Colour, Palette, css
from webapp.photos import Located, Photo
from webapp.wording import capitalised, certainty, place_text

TONES: dict[str, Colour] = {"good": (0, 114, 178), "fair": (230, 159, 0), "poor": (150, 60, 140)}
"""Colours that people who do not tell red from green tell apart, by `Certainty.tone`."""

TOOLTIP = "<b>{place}</b><br>{sure}<br>{name}"

_UNSEEN = [128, 128, 128, 1]
_CLICK_PX = 12


def photo_layers(
    layer_id: str,
    located: Sequence[tuple[Photo, Located]],
    chosen: str | None,
    palette: Palette,
    *,
    flat: bool,
) -> list[pydeck.Layer]:
    """Points that are seen, and above them all but invisible ones that take clicks.

    Args:
        layer_id: Name of the layer that takes clicks; row i of its data is photo i.
        located: Photos.
        chosen: Content key of the photo on show.
        palette: Colours.
        flat: For the flat map instead of the globe.
    """
    points = [(result.prediction.latitude, result.prediction.longitude) for _, result in located]
    sure = [certainty(result.prediction.region(0.9).area_km2) for _, result in located]
    seen = []
    for tone, colour in TONES.items():
        of_tone = [
            point_geometry(point) for point, step in zip(points, sure, strict=True) if step.tone == tone
        ]
        if of_tone:
            seen.append(
                marks_layer(
                    f"{layer_id}-{tone}",
                    of_tone,
                    palette,
                    point_colour=colour,
                    point_px=6,
                    halo_px=2,
                    flat=flat,
                )
            )
    for point, (photo, _), step in zip(points, located, sure, strict=True):
        if photo.key == chosen:
            seen.append(
                marks_layer(
                    f"{layer_id}-chosen",
                    [point_geometry(point)],
                    palette,
                    point_colour=TONES[step.tone],
                    point_px=11,
                    halo_px=4,
                    flat=flat,
                )
            )
    clicks = pydeck.Layer(
        "ScatterplotLayer",
        id=layer_id,
        data=[
            {
                "position": point_geometry(point)["coordinates"],
                "place": capitalised(place_text(result.prediction.place)),
                "sure": step.headline,
                "name": photo.short_name,
            }
            for point, (photo, result), step in zip(points, located, sure, strict=True)
        ],
        get_position="position",
        get_fill_color=_UNSEEN,
        radius_units='"pixels"',
        get_radius=_CLICK_PX,
        billboard=True,
        pickable=True,
        auto_highlight=True,
        highlight_color=[*palette.estimate, 110],
        **upright(flat),
    )
    return [*seen, clicks]


def legend_html(palette: Palette) -> str:
    """What the colours mean."""
    texts = {
        "good": tr("sure of the country or better"),
        "fair": tr("sure of the part of the world at most"),
        "poor": tr("could be almost anywhere"),
    }
    dot = "display:inline-block;width:11px;height:11px;border-radius:50%;margin-right:0.4rem"
    items = "".join(
        f"<div><span style='{dot};background:{css(TONES[tone])};border:1px solid {css(palette.halo)}'></span>"
        f"{html.escape(text)}</div>"
        for tone, text in texts.items()
    )
    return f"<div style='display:flex;flex-wrap:wrap;gap:0.2rem 1.2rem;font-size:0.82rem'>{items}</div>"
