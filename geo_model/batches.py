"""A batch of photos that a device was given, and the predictions that come of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from geo_model.cells import LEVELS, Hierarchy
from geo_model.decoding import CropReduction
from geo_model.prediction import PhotoFailure, Prediction, describe
from geo_model.ranking import RankedCells
from geo_model.running import Arriving


@dataclass(frozen=True)
class Asked:
    """What a caller of `Model.stream` wants of every photo; see there."""

    crops: CropReduction | None = None
    keep_logits: bool = False
    regions: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Given:
    """A batch that the device was given.

    Attributes:
        names: Of the photos in order, each with a failure or none.
        answers: What the device makes of those without a failure; None if there are none. Its tensors have a
            row for each: `levels` (three), `answer` (product and classes), and none or all of `points`,
            `logits` (three) and `ranked` (order, counts and what they hold).
        asked: What is wanted.
        hierarchy: The partitionings that the answers are about.
    """

    names: list[tuple[str, PhotoFailure | None]]
    answers: Arriving | None
    asked: Asked
    hierarchy: Hierarchy

    def results(self) -> Iterator[Prediction | PhotoFailure]:
        """The predictions and failures, in order; waits for the device."""
        predictions = iter(self._predictions(self.answers) if self.answers else [])
        for _, failure in self.names:
            yield next(predictions) if failure is None else failure

    def _predictions(self, answers: Arriving) -> list[Prediction]:
        names = [name for name, failure in self.names if failure is None]
        parts = answers.arrived()
        levels, logits = ([level.numpy() for level in parts[key]] for key in ("levels", "logits"))
        product, classes = parts["answer"][0].numpy(), parts["answer"][1].tolist()
        points = parts["points"][0].tolist() if parts["points"] else None
        # Rows are copied, so that who keeps one prediction does not keep its batch.
        predictions = [
            Prediction(
                name=name,
                class_index=classes[row],
                levels={level: levels[column][row].copy() for column, level in enumerate(LEVELS)},
                product=product[row].copy(),
                hierarchy=self.hierarchy,
                answer=None if points is None else (points[row][0], points[row][1]),
                logits=tuple(level[row].copy() for level in logits) or None,
            )
            for row, name in enumerate(names)
        ]
        if parts["ranked"]:
            order, counts, held = parts["ranked"]
            describe(predictions, RankedCells(order, self.asked.regions, counts, held))
        return predictions
