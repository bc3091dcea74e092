"""What one visitor's session remembers of the page Evaluation; it ends with the session."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from geo_model.errors import GeoModelError
from geo_model.geoclip_parts import NAME as GEOCLIP
from geo_model.photo_files import shown_name
from geo_model.prediction_table import PredictionTable, read_predictions
from geo_model.truth import Coordinate, read_truth_csv
from webapp import evaluation_wording as words
from webapp.evaluation_run import EvaluationRun, PhotosToRun
from webapp.globe import Camera
from webapp.language import language
from webapp.photos import content_key
from webapp.prediction_sets import PredictionSet, bundled_set, credits_for
from webapp.wording import named_apart


@dataclass
class EvaluationSession:
    """The state of one visitor's page.

    Attributes:
        tables: Sets of predictions, the bundled one and those uploaded.
        refusals: Name and sentence of each table that could not be read, until the next upload.
        runs: Runs of the model and the name of each, the newest last.
        photos: The photos that a run is to be made of.
        photos_error: Why there are none, if they could not be read.
        own_truths: The visitor's own truth table and its name.
        truths_error: Why there is none, if it could not be read.
        chosen: Key of a set and row of the photo whose card is open.
        clicked: Layer of the globe that was clicked last; a selection that ends elsewhere is no wish.
        turn: Counts the cards opened and closed elsewhere than on the globe, whose selection ends with them.
        camera: Where the globe looks, if a photo was chosen in the table.
        allowed_hosts: Hosts that the browser may load photos from.
        kept: Values of widgets, which Streamlit forgets while another page is open.
        round: Changes to empty the upload fields for a run.
        table_round: Changes to empty the upload field for tables.
    """

    tables: list[PredictionSet] = field(default_factory=lambda: [bundled_set()])
    refusals: list[str] = field(default_factory=list)
    runs: list[tuple[str, EvaluationRun]] = field(default_factory=list)
    photos: PhotosToRun | None = None
    photos_error: str | None = None
    own_truths: tuple[str, dict[str, Coordinate]] | None = None
    truths_error: str | None = None
    chosen: tuple[str, int] | None = None
    clicked: str | None = None
    turn: int = 0
    camera: Camera | None = None
    allowed_hosts: set[str] = field(default_factory=set)
    kept: dict[str, Any] = field(default_factory=dict)
    round: int = 0
    table_round: int = 0
    _run_sets: dict[str, tuple[int, PredictionSet]] = field(default_factory=dict)

    def sets(self) -> list[PredictionSet]:
        """Every set of predictions: the tables, and each run as far as it is."""
        named = bundled_set(language())
        found = [named if entry.key == named.key else entry for entry in self.tables]
        for name, run in self.runs:
            made = self._run_set(name, run)
            if made is not None:
                found.append(made)
        names = named_apart([entry.name for entry in found])
        return [replace(entry, name=name) for entry, name in zip(found, names, strict=True)]

    @property
    def active_run(self) -> EvaluationRun | None:
        """The newest run."""
        return self.runs[-1][1] if self.runs else None

    def add_table(self, name: str, content: bytes) -> None:
        """Read an uploaded table; one that is there already is not added again."""
        shown = shown_name(name, longest=60)
        key = f"table-{content_key(content)[:16]}"
        if any(entry.key == key for entry in self.tables):
            return
        try:
            table = read_predictions(content, shown)
        except GeoModelError as error:
            self.refusals.append(str(error))
            return
        self.tables.append(PredictionSet(key, shown, words.UPLOADED_NOTE, table))

    def add_truths(self, name: str, content: bytes) -> None:
        """Read an uploaded truth table.

        Raises:
            TableError: It cannot be used.
        """
        shown = shown_name(name, longest=60)
        self.own_truths = (shown, read_truth_csv(content, shown))

    def remove(self, key: str) -> None:
        """Forget a set of predictions, and end the run that makes it."""
        if self.chosen and self.chosen[0] == key:
            self.chosen = None
        self.tables = [entry for entry in self.tables if entry.key != key]
        for _, run in self.runs:
            if run.key == key:
                run.cancel()
                self._run_sets.pop(run.key, None)
        self.runs = [(name, run) for name, run in self.runs if run.key != key]

    def run_of(self, entry: PredictionSet) -> EvaluationRun | None:
        """The run that made a set of predictions, if one did."""
        return next((run for _, run in self.runs if run.key == entry.key), None)

    def open_card(self, key: str, row: int) -> None:
        """Open the card of a photo of a set, chosen elsewhere than on the globe."""
        self.chosen, self.turn = (key, row), self.turn + 1

    def close_card(self) -> None:
        """Close it."""
        self.chosen, self.turn = None, self.turn + 1

    def click(self, layer: str, key: str, row: int | None) -> None:
        """Take a click on the globe: the row of a set, or None where a selection ended.

        One that ended because the page drew another layer is no wish of the viewer, and changes nothing.
        """
        if row is not None:
            self.clicked, self.chosen = layer, (key, row)
        elif self.clicked == layer:
            self.chosen = None

    def keep(self, key: str, default: object) -> None:
        """Give a widget, before it is drawn, the value that it had when this page was last open."""
        st.session_state.setdefault(key, self.kept.get(key, default))

    def note(self, *keys: str) -> None:
        """Remember the values of widgets that were drawn."""
        self.kept.update({key: st.session_state[key] for key in keys if key in st.session_state})

    def _run_set(self, name: str, run: EvaluationRun) -> PredictionSet | None:
        cached = self._run_sets.get(run.key)
        if cached and cached[0] == run.done:
            return cached[1]
        done, found = run.done, run.results()
        if found is None:
            return None
        photo_ids, measured = found
        unreadable = tuple(run.unreadable.items())
        credits = credits_for(photo_ids, self.tables)
        table = PredictionTable(
            f"{name}.csv", photo_ids, measured.truth, measured.points, (), unreadable, credits
        )
        answer = words.ANSWER_GALLERY if run.model.spec.name == GEOCLIP else words.ANSWER_HIERARCHY
        made = PredictionSet(run.key, name, words.RUN_NOTE, table, measured, answer)
        self._run_sets[run.key] = (done, made)
        return made


def evaluation_session() -> EvaluationSession:
    """This visitor's state."""
    return st.session_state.setdefault("evaluation", EvaluationSession())
