"""What one visitor's session remembers, and the model that all sessions share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import streamlit as st

from geo_model.cells import Level
from geo_model.geoclip_parts import NAME, Download, names_geoclip
from geo_model.model_folder import find_model
from geo_model.predict import Model, PhotoFailure, load
from webapp.globe import CellBook
from webapp.photos import Located, Photo

MODEL_VARIABLE = "GEO_MODEL"
"""Environment variable: the model folder, or the name of the model, that the app shows."""


@st.cache_resource(show_spinner="Loading the model …", max_entries=1)
def _load(folder: str) -> Model:
    return load(folder, allow_download=_agreed())


@st.cache_resource
def _agreements() -> set[str]:
    return set()


def _agreed() -> bool:
    return bool(_agreements())


def agree_to_download(download: Download) -> None:
    """Remember, until the app ends, that a visitor agreed to fetch what the model lacks."""
    _agreements().add(download.url)


def the_model() -> Model:
    """The model, loaded once for all sessions.

    Raises:
        DownloadNeededError: The model lacks a part, and nobody agreed yet to fetch it.
        GeoModelError: There is no such model, or its folder is damaged.
    """
    return _load(_model_key())


def _model_key() -> str:
    wanted = os.environ.get(MODEL_VARIABLE)
    return NAME if names_geoclip(wanted) else str(find_model(wanted))


@st.cache_resource(show_spinner="Preparing the cells …", max_entries=3)
def _cell_book(folder: str, level: Level) -> CellBook:
    return CellBook(_load(folder).hierarchy[level])


def cell_book(level: Level | None) -> CellBook:
    """Outlines and places of a level's cells, computed once for all sessions; None is the fine level."""
    return _cell_book(_model_key(), level or Level.FINE)


@dataclass
class Session:
    """The state of one visitor's page; it ends with the session and is never written anywhere.

    Attributes:
        keys: Content key of each uploaded file, by Streamlit's file id.
        results: By content key, so that looking at another level or photo runs no network.
        chosen: Content key of the photo on show.
        cell: The cell clicked last: content key, level, class index.
        level_name: The level on show, as the page names it.
        flat: Whether the flat map is on show.
        upload_round: Changes to empty the upload field.
        cancelled: Whether the visitor stopped locating.
        seen: Content keys of the last run, to notice new photos.
    """

    keys: dict[str, str] = field(default_factory=dict)
    results: dict[str, Located | PhotoFailure] = field(default_factory=dict)
    chosen: str | None = None
    cell: tuple[str, Level | None, int] | None = None
    level_name: str = "Combined"
    flat: bool = False
    upload_round: int = 0
    cancelled: bool = False
    seen: list[str] = field(default_factory=list)

    def follow(self, photos: Sequence[Photo]) -> None:
        """Show a photo that was just added, and forget the results of photos that are gone."""
        keys = [photo.key for photo in photos]
        new = [key for key in keys if key not in self.seen]
        if new:
            self.chosen, self.cancelled = new[0], False
        elif self.chosen not in keys:
            self.chosen = keys[0] if keys else None
        self.seen = keys
        self.results = {key: result for key, result in self.results.items() if key in keys}

    def cancel(self) -> None:
        """Stop locating."""
        self.cancelled = True

    def go_on(self) -> None:
        """Locate the rest after all."""
        self.cancelled = False


def session() -> Session:
    """This visitor's state."""
    return st.session_state.setdefault("locate", Session())
