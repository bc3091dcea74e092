"""Results to take away, in the formats of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from geo_model.exports import Result, exporter

_FORMATS = {
    "csv": ("CSV", "text/csv", "a table with a row for each photo"),
    "json": ("JSON", "application/json", "for programs"),
    "geojson": ("GeoJSON", "application/geo+json", "points and 90% regions, for maps"),
    "kml": ("KML", "application/vnd.google-earth.kml+xml", "points and 90% regions, for Google Earth"),
}


def show_downloads(results: Sequence[Result]) -> None:
    """A button that unfolds into one for each format; a file is made when its button is clicked."""
    with st.popover("Download", icon=":material/download:", type="tertiary"):
        for name, (label, media_type, purpose) in _FORMATS.items():
            st.download_button(
                f"{label}: {purpose}",
                partial(_export, name, results),
                file_name=f"locations.{name}",
                mime=media_type,
                on_click="ignore",
                type="tertiary",
                key=f"download-{name}",
            )


def _export(name: str, results: Sequence[Result]) -> bytes:
    return "".join(exporter(name, draw_region=True)(results, 5)).encode("utf-8")
