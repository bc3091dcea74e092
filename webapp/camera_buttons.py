"""Buttons that turn and zoom a chart: for the keyboard, and for fingers that would rather scroll the page."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from webapp.globe import FARTHEST, MERCATOR_LIMIT, NEAREST, Camera
from webapp.language import tr

_ZOOM_STEP = 0.75
_TURN_DEGREES = 40.0
_MOST_DEGREES = 30.0


def stepped(camera: Camera, *, east: int = 0, north: int = 0, nearer: int = 0) -> Camera:
    """A camera some steps away: a step turns by less the nearer the camera is; longitudes go round."""
    degrees = min(_TURN_DEGREES / 2 ** (camera.zoom - 1), _MOST_DEGREES)
    latitude = min(max(camera.latitude + north * degrees, -MERCATOR_LIMIT), MERCATOR_LIMIT)
    longitude = (camera.longitude + east * degrees + 180) % 360 - 180
    zoom = min(max(camera.zoom + nearer * _ZOOM_STEP, FARTHEST), NEAREST)
    return Camera(round(latitude, 4), round(longitude, 4), round(zoom, 3))


def show_camera_buttons(camera: Callable[[], Camera], look: Callable[[Camera | None], None]) -> None:
    """A row of buttons; `look` is given the new camera, or None to go back to where the page had it look.

    Args:
        camera: Tells where the viewer looks when a button is clicked.
        look: Turns the chart.
    """
    buttons = [
        ("zoom_in", tr("Zoom in"), {"nearer": 1}),
        ("zoom_out", tr("Zoom out"), {"nearer": -1}),
        ("arrow_back", tr("Turn west"), {"east": -1}),
        ("arrow_forward", tr("Turn east"), {"east": 1}),
        ("arrow_upward", tr("Turn north"), {"north": 1}),
        ("arrow_downward", tr("Turn south"), {"north": -1}),
        ("restart_alt", tr("Back to the first view"), {}),
    ]

    def turn(steps: dict[str, int]) -> None:
        look(stepped(camera(), **steps) if steps else None)

    # deck.gl takes the focus ring away from what takes its keys.
    st.html("<style>.deck-events-root:focus-visible { outline: 2px solid currentColor !important; }</style>")
    with st.container(horizontal=True, gap="xsmall"):
        for icon, label, steps in buttons:
            st.button(
                f":material/{icon}:",
                key=f"camera-{icon}",
                help=label,
                on_click=turn,
                args=(steps,),
            )
    st.caption(tr("By keyboard: Tab to a chart, then the arrow keys, + and −; the table reaches every cell."))
