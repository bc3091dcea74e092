"""Results to take away, in the formats of the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import streamlit as st

from geo_model.clean_copy import can_be_cut, without_metadata
from geo_model.errors import GeoModelError
from geo_model.exports import Result, exporter
from geo_model.level_limit import finest_level, levels_up_to
from geo_model.photo_files import photo_name
from geo_model.predict import Prediction
from webapp.language import tr
from webapp.locate_wording import CLEAN_ENCODED, CLEAN_HELP, CLEAN_LOSSLESS
from webapp.photos import Photo

_MEDIA_TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "geojson": "application/geo+json",
    "kml": "application/vnd.google-earth.kml+xml",
}


def show_downloads(results: Callable[[], Sequence[Result]]) -> None:
    """A button that unfolds into one for each format; a click makes the file, of what is located by then."""
    labels = {
        "csv": tr("CSV: a table with a row for each photo"),
        "json": tr("JSON: for programs"),
        "geojson": tr("GeoJSON: points and 90% regions, for maps"),
        "kml": tr("KML: points and 90% regions, for Google Earth"),
    }
    with st.popover(tr("Download"), icon=":material/download:", type="tertiary"):
        for name, label in labels.items():
            st.download_button(
                label,
                partial(_export, name, results),
                file_name=f"locations.{name}",
                mime=_MEDIA_TYPES[name],
                on_click="ignore",
                type="tertiary",
                key=f"download-{name}",
            )


def show_clean_copy(photo: Photo) -> None:
    """A button that gives the photo without metadata, with a word on how; the file is made on the click."""
    try:
        cut = can_be_cut(photo.read(), name=photo.name)
    except GeoModelError:
        return
    stem = photo_name(Path(photo.name).stem) if not photo.sample else Path(photo.sample.file).stem
    st.download_button(
        tr("Download the photo without metadata"),
        partial(_clean, photo),
        file_name=f"{stem}-clean{'.jpg' if cut else '.png'}",
        mime="image/jpeg" if cut else "image/png",
        on_click="ignore",
        type="tertiary",
        icon=":material/shield:",
        key="download-clean",
        help=f"{tr(CLEAN_HELP)} {tr(CLEAN_LOSSLESS) if cut else tr(CLEAN_ENCODED)}",
    )


def _clean(photo: Photo) -> bytes:
    return without_metadata(photo.read(), name=photo.name).data


def _export(name: str, results: Callable[[], Sequence[Result]]) -> bytes:
    """A file of results that names no level finer than the app's limit."""
    allowed = levels_up_to(finest_level())
    shown = [
        replace(result, levels={level: result.levels[level] for level in allowed})
        if isinstance(result, Prediction)
        else result
        for result in results()
    ]
    return "".join(exporter(name, draw_region=True)(shown, 5)).encode("utf-8")
