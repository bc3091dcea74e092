"""What the page Evaluation compares: tables of predictions, and runs. Nothing here knows Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geo_model.level_limit import finest_level, levels_up_to
from geo_model.measurements import ANSWERS, Measurements
from geo_model.photo_credits import PhotoCredit
from geo_model.places import Place, nearest_places
from geo_model.prediction_table import PredictionTable, read_predictions
from webapp import evaluation_wording as words
from webapp.language import Language, tr

IM2GPS_CSV = Path(__file__).resolve().parent.parent / "assets" / "im2gps.csv"


@dataclass(frozen=True, eq=False)
class PredictionSet:
    """Predictions of one method for photos whose place is known.

    Attributes:
        key: Names it within the session.
        name: What readers call it. Untrusted text.
        note: Where it comes from.
        table: Truth and answer of each photo.
        measurements: The levels and regions too, of the same photos in the same order, if a model was run.
        answer: Of a model that was run: how its answer is made, in English.
    """

    key: str
    name: str
    note: str
    table: PredictionTable
    measurements: Measurements | None = None
    answer: str = words.ANSWER_HIERARCHY

    @cached_property
    def distances_km(self) -> NDArray[np.float64]:
        """Error of each photo in km."""
        return self.table.distances_km

    @cached_property
    def truth_places(self) -> list[Place]:
        """The populated place nearest to where each photo was taken."""
        return nearest_places(*self.table.truth.T)

    @cached_property
    def answer_places(self) -> list[Place]:
        """The populated place nearest to each prediction."""
        return nearest_places(*self.table.points.T)

    def credit(self, row: int) -> PhotoCredit | None:
        """Where a photo can be seen and whose it is, if the table says so."""
        return self.table.credits[row] if self.table.credits else None

    def licence(self, row: int) -> str:
        """Name of a photo's licence."""
        credit = self.credit(row)
        return credit.licence if credit and credit.licence else words.NO_LICENCE

    def answers(self) -> list[tuple[str, NDArray[np.float64]]]:
        """What is measured apart: a name and the errors in km, the final answer first."""
        if self.measurements is None:
            return [(self.name, self.distances_km)]
        shown = [level.value for level in levels_up_to(finest_level())]
        levels = [
            (f"{self.name}: {tr(words.ANSWER_NAMES[answer])}", self.measurements.distances_km[answer])
            for answer in ANSWERS
            if answer in shown
        ]
        return [(f"{self.name}: {tr(self.answer)}", self.distances_km), *levels]


@cache
def bundled_set(_language: Language = "en") -> PredictionSet:
    """The published predictions for Im2GPS that come with the app, named in the visitor's language."""
    return PredictionSet(
        "im2gps", tr(words.BUNDLED_NAME), tr(words.BUNDLED_NOTE), read_predictions(IM2GPS_CSV)
    )


def credits_for(photo_ids: Sequence[str], sets: Sequence[PredictionSet]) -> tuple[PhotoCredit | None, ...]:
    """What the tables say about photos of these ids, or of the file names that they end in."""
    known: dict[str, PhotoCredit | None] = {}
    for entry in reversed(sets):
        known.update(
            {photo_id: entry.credit(row) for row, photo_id in enumerate(entry.table.photo_ids)}
            if entry.table.credits
            else {}
        )
    return tuple(known.get(photo_id) or known.get(photo_id.rsplit("/", 1)[-1]) for photo_id in photo_ids)
