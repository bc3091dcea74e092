"""What one visitor's session remembers, and the model that all sessions share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from geo_model.cells import Level
from geo_model.geoclip_parts import NAME, names_geoclip
from geo_model.level_limit import finest_level, limited
from geo_model.model_folder import find_model
from geo_model.predict import Model, PhotoFailure, load
from webapp.globe import CellBook
from webapp.language import tr
from webapp.locate_run import LocateRun
from webapp.locate_wording import REPEATED, TOO_MANY
from webapp.photos import Located, Photo
from webapp.preparation import GeoclipPreparation

if TYPE_CHECKING:
    from geo_model.activation_maps import ActivationMap

T = TypeVar("T")

MOST_PHOTOS = 100
"""Most photos on the page at once; each lies in memory while the page is open."""

_UNDO_STEPS = 10

MODEL_VARIABLE = "GEO_MODEL"
"""Environment variable: the model folder, or the name of the model, that the app shows."""

CHOSEN_MODEL = "chosen-model"
"""Session-state key: the name or folder of the model that the visitor chose instead."""


def _load(folder: str, finest: Level) -> Model:
    return limited(load(folder), finest)


@lru_cache
def _kept(work: Callable[..., T], most: int, spinner: str) -> Callable[..., T]:
    """The work with its results kept for all sessions, whatever the language of the spinner."""
    return st.cache_resource(show_spinner=spinner, max_entries=most)(work)


def _model(folder: str, finest: Level) -> Model:
    return _kept(_load, 2, tr("Loading the model …"))(folder, finest)


@st.cache_resource
def preparation() -> GeoclipPreparation:
    """What gets GeoCLIP ready, one for all sessions."""
    return GeoclipPreparation()


def the_model() -> Model:
    """The model that this visitor chose, loaded once for all sessions, with its answers limited if need be.

    Raises:
        NotReadyError: The model lacks a part; `model_gate` shows which, and how it comes here.
        GeoModelError: There is no such model, or its folder is damaged.
    """
    key = model_key()
    if key == NAME:
        preparation().check()  # here nothing is ever downloaded in passing
    return _model(key, finest_level())


def model_key() -> str:
    """What tells the model that this visitor looks at from others: its folder, or the name of one without."""
    wanted = st.session_state.get(CHOSEN_MODEL) or os.environ.get(MODEL_VARIABLE)
    return NAME if names_geoclip(wanted) else str(find_model(wanted))


def _cell_book(folder: str, finest: Level, level: Level) -> CellBook:
    return CellBook(_model(folder, finest).hierarchy[level])


def cell_book(level: Level | None) -> CellBook:
    """Outlines and places of a level's cells, computed once for all sessions; None is the fine level."""
    kept = _kept(_cell_book, 6, tr("Preparing the cells …"))
    return kept(model_key(), finest_level(), level or Level.FINE)


@dataclass
class Session:
    """The state of one visitor's page; it ends with the session and is never written anywhere.

    Attributes:
        photos: The photos on the page, in the order in which they were added; no content is there twice.
        run: Locates them in the background, once there is a model.
        chosen: Content key of the photo on show.
        turn: Counts the photos chosen in the table, so that a point clicked on the globe of all ends with it.
        cell: The cell clicked last: content key, level, class index.
        level: The level on show; None for all three together.
        flat: Whether the flat map is on show.
        maps: What the model looked at, by content key, once that was asked for.
        map_places: For which of the top places, by content key, from 0.
        map_strength: Strength of its colours in percent.
        looked_at: Whether what the model looked at is on show.
        notes: What to tell the visitor once, as arguments of `tr`.
        upload_round: Changes to empty the upload field.
        cancelled: Whether the visitor stopped locating.
    """

    photos: tuple[Photo, ...] = ()
    run: LocateRun | None = None
    chosen: str | None = None
    turn: int = 0
    cell: tuple[str, Level | None, int] | None = None
    level: Level | None = None
    flat: bool = False
    maps: dict[str, list[ActivationMap] | None] = field(default_factory=dict)
    map_places: dict[str, int] = field(default_factory=dict)
    map_strength: int = 100
    looked_at: bool = False
    notes: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    upload_round: int = 0
    cancelled: bool = False
    _before: list[tuple[tuple[Photo, ...], str | None]] = field(default_factory=list)

    @property
    def results(self) -> dict[str, Located | PhotoFailure]:
        """By content key, so that looking at another level or photo runs no network."""
        return self.run.results if self.run else {}

    @property
    def located(self) -> list[tuple[Photo, Located]]:
        """The photos that are located, in their order."""
        results = self.results
        found = ((photo, results.get(photo.key)) for photo in self.photos)
        return [(photo, result) for photo, result in found if isinstance(result, Located)]

    @property
    def shown(self) -> tuple[Photo, Located] | None:
        """The photo on show: the chosen one, or, as long as that has no answer, the first that has."""
        located = self.located
        return next((one for one in located if one[0].key == self.chosen), located[0] if located else None)

    @property
    def can_undo(self) -> bool:
        """Whether there is a change of the photos to take back."""
        return bool(self._before)

    def add(self, photos: Sequence[Photo]) -> None:
        """Put photos on the page, and show the first new one; up to `MOST_PHOTOS` in all."""
        known = {photo.key: photo for photo in self.photos}
        new = {photo.key: photo for photo in photos if photo.key not in known}
        taken = list(new.values())[: MOST_PHOTOS - len(known)]
        if repeated := len(photos) - len(new):
            self.notes.append((REPEATED, {"photos": repeated}))
        if left_out := len(new) - len(taken):
            self.notes.append((TOO_MANY, {"photos": left_out, "most": MOST_PHOTOS}))
        if taken:
            self._change((*self.photos, *taken), taken[0].key)

    def remove(self, key: str) -> None:
        """Put one photo away; the one after it is shown then."""
        keys = [photo.key for photo in self.photos]
        if key not in keys:  # a second click, before the page was drawn anew
            return
        left = tuple(photo for photo in self.photos if photo.key != key)
        self._change(left, left[min(keys.index(key), len(left) - 1)].key if left else None)

    def clear(self) -> None:
        """Put all photos away."""
        self._change((), None)

    def undo(self) -> None:
        """Take back the last change of the photos."""
        if self._before:
            self.photos, self.chosen = self._before.pop()
            self._tidy()

    def _change(self, photos: tuple[Photo, ...], chosen: str | None) -> None:
        self._before = [*self._before[1 - _UNDO_STEPS :], (self.photos, self.chosen)]
        self.photos, self.chosen, self.cancelled = photos, chosen, False
        self._tidy()

    def _tidy(self) -> None:
        """Forget what belongs to photos that not even undo brings back."""
        keep = {
            photo.key for photos in (self.photos, *(before for before, _ in self._before)) for photo in photos
        }
        self.maps = {key: maps for key, maps in self.maps.items() if key in keep}
        if self.run:
            self.run.ask(self.photos)
            self.run.forget(keep)

    def go_on(self, model: Model) -> None:
        """Locate what has no result yet, unless the visitor stopped that."""
        # The same model may have been loaded again, after those of other visitors.
        if self.run is None or self.run.model.path != model.path:
            if self.run:
                self.run.cancel()
            self.run = LocateRun(model, session_watch())
            self.maps = {}
        self.run.ask(self.photos)
        if self.run.missing and not self.cancelled and self.run.error is None:
            self.run.start()

    def cancel(self) -> None:
        """Stop locating."""
        self.cancelled = True
        if self.run:
            self.run.cancel()

    def resume(self) -> None:
        """Locate the rest after all."""
        self.cancelled = False
        if self.run:
            self.run.error = None


def session() -> Session:
    """This visitor's state."""
    return st.session_state.setdefault("locate", Session())


def session_watch() -> Callable[[], bool]:
    """A function that tells, from any thread, whether this visitor's page is still open somewhere."""
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return lambda: True
    session_id = context.session_id

    def still_open() -> bool:
        try:
            return runtime.get_instance().is_active_session(session_id)
        except RuntimeError:  # the server has ended; asking before whether it runs would leave a gap
            return True

    return still_open
