"""How well a model locates photos whose place is known.

`evaluate` takes photos and truth; `summarise_arrays` takes probabilities, as training's validation has them.
Both measure in the same way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from geo_model.cells import LEVELS, Hierarchy
from geo_model.errors import TableError
from geo_model.measurements import ANSWERS, HIERARCHY, REGION_SHARES, Coverage, Measurements, measure
from geo_model.metrics import DistanceSummary, summarise
from geo_model.photo_collection import SourcePhoto
from geo_model.truth import Coordinate

if TYPE_CHECKING:
    from geo_model.decoding import CropReduction
    from geo_model.predict import Model, Prediction, Source

_CHUNK = 64
"""Predictions measured together; their probabilities are then let go, so memory does not grow with them."""


@dataclass(frozen=True, eq=False)
class Report:
    """What an evaluation found.

    Attributes:
        distances: Accuracy, median and GeoScore for each of `ANSWERS`, in that order.
        coverages: One for each of `REGION_SHARES`.
        outside_cells: Photos whose truth lies in no fine cell.
        measurements: Of every photo evaluated.
        photo_ids: Their ids, as many.
        kinds: What kind of photo each is, None where the source does not say; as many.
        by_kind: A report for each kind, without photos of its own, if there is more than one kind.
        without_truth: Ids of photos that no truth is known for; they were not located.
        without_photo: Ids in the truth table that no photo has.
        repeated: Ids of photos left out because another photo took the truth of their file name.
        unreadable: Id and sentence of each photo that could not be read.
    """

    distances: tuple[DistanceSummary, ...]
    coverages: tuple[Coverage, ...]
    outside_cells: int
    measurements: Measurements
    photo_ids: tuple[str, ...] = ()
    kinds: tuple[str | None, ...] = ()
    by_kind: Mapping[str, Report] = field(default_factory=dict)
    without_truth: tuple[str, ...] = ()
    without_photo: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()

    @property
    def count(self) -> int:
        """Photos evaluated."""
        return len(self.measurements)

    @property
    def answer(self) -> DistanceSummary:
        """The figures of the final answer."""
        return self.distances[ANSWERS.index(HIERARCHY)]


def summarise_arrays(
    levels: Sequence[ArrayLike],
    product: ArrayLike,
    points: ArrayLike,
    truth: ArrayLike,
    hierarchy: Hierarchy,
) -> Report:
    """The report for probabilities that are at hand already.

    Args:
        levels: Probabilities of the coarse, middle and fine cells, (N, cells) each; arrays or CPU tensors.
        product: Probabilities of the fine cells from all levels, (N, F).
        points: The answers: latitude and longitude in degrees, (N, 2).
        truth: Likewise, (N, 2).
        hierarchy: The partitionings that the probabilities are over.

    Raises:
        ValueError: There is no photo.
    """
    return report_of(measure(levels, product, points, truth, hierarchy))


def evaluate(
    model: Model,
    photos: Iterable[SourcePhoto | tuple[str, Source]],
    truths: Mapping[str, Coordinate] | None = None,
    *,
    batch_size: int | Literal["auto"] = "auto",
    crops: CropReduction | None = None,
    progress: Callable[[], None] | None = None,
) -> Report:
    """Locate photos and measure how far the answers are from the truth.

    Args:
        model: As `geo_model.load` gives it.
        photos: A `PhotoCollection`, or any iterable of (id, photo).
        truths: Latitude and longitude in degrees by id, as `truth.read_truth_csv` gives it; it goes before
            what a photo's own source says.
        batch_size: See `Model.stream`.
        crops: See `Model.stream`.
        progress: Called once for each photo that is done with, whatever became of it.

    Raises:
        TableError: No photo could be evaluated; says why.
    """
    from geo_model.predict import PhotoFailure

    intake = Intake(photos, truths or {}, progress or (lambda: None))
    evaluated: list[WaitingPhoto] = []
    unreadable: list[tuple[str, str]] = []
    parts: list[Measurements] = []
    chunk: list[tuple[Prediction, Coordinate]] = []
    for result in model.stream(intake.named_sources(), batch_size=batch_size, crops=crops):
        photo = intake.waiting.popleft()
        intake.progress()
        if isinstance(result, PhotoFailure):
            unreadable.append((photo.photo_id, result.reason))
            continue
        evaluated.append(photo)
        chunk.append((result, photo.truth))
        if len(chunk) == _CHUNK:
            parts.append(_measure_predictions(chunk, model.hierarchy))
            chunk = []
    if chunk:
        parts.append(_measure_predictions(chunk, model.hierarchy))
    if not parts:
        raise TableError(intake.why_nothing(unreadable))
    measurements = Measurements.join(parts)
    kinds = tuple(photo.kind for photo in evaluated)
    return report_of(
        measurements,
        photo_ids=tuple(photo.photo_id for photo in evaluated),
        kinds=kinds,
        by_kind=_by_kind(measurements, kinds),
        without_truth=tuple(intake.without_truth),
        without_photo=tuple(photo_id for photo_id in intake.truths if photo_id not in intake.used),
        repeated=tuple(intake.repeated),
        unreadable=tuple(unreadable),
    )


class WaitingPhoto(NamedTuple):
    """A photo that the model is at work on."""

    photo_id: str
    kind: str | None
    truth: Coordinate


class Intake:
    """Pairs photos with truth on their way to the model, and remembers those that go no further.

    Args:
        photos: As `evaluate` takes them.
        truths: Latitude and longitude in degrees by id.
        progress: Called for each photo that is left out.

    Attributes:
        waiting: Photos that were handed to the model and whose result is not yet taken, in their order.
        without_truth: Ids of photos that no truth is known for.
        repeated: Ids of photos left out because another photo took the truth of their file name.
    """

    def __init__(
        self,
        photos: Iterable[SourcePhoto | tuple[str, Source]],
        truths: Mapping[str, Coordinate],
        progress: Callable[[], None],
    ) -> None:
        self.photos = photos
        self.truths = truths
        self.progress = progress
        self.waiting: deque[WaitingPhoto] = deque()
        self.used: set[str] = set()
        self.without_truth: list[str] = []
        self.repeated: list[str] = []

    def named_sources(self) -> Iterator[tuple[str, Source]]:
        """Id and photo of everything with truth, for `Model.stream`."""
        for photo in self.photos:
            known = photo if isinstance(photo, SourcePhoto) else SourcePhoto(photo[0], b"")
            source = photo.source if isinstance(photo, SourcePhoto) else photo[1]
            found = known.look_up(self.truths)
            if found is None:
                self.without_truth.append(known.photo_id)
                self.progress()
                continue
            photo_id, truth = found
            if photo_id in self.used:
                self.repeated.append(known.photo_id)
                self.progress()
                continue
            if photo_id in self.truths:
                self.used.add(photo_id)
            self.waiting.append(WaitingPhoto(known.photo_id, known.kind, truth))
            yield known.photo_id, source

    def why_nothing(self, unreadable: list[tuple[str, str]]) -> str:
        """The sentence for an evaluation without a single photo."""
        if unreadable:
            return (
                f"none of the {len(unreadable)} photos with truth can be read; the first: {unreadable[0][1]}"
            )
        count = len(self.without_truth)
        if not count:
            return "there is no photo to evaluate; give a folder or a tar of photos."
        if not self.truths:
            return (
                f"no truth is known for any of the {count} photos; give a truth CSV, or a tar whose JSON "
                "files hold latitude and longitude."
            )
        return (
            f"none of the {count} photos is in the truth table, whose first id is "
            f"{next(iter(self.truths))!r} while the first photo is {self.without_truth[0]!r}; "
            "the ids must be the photos' file names."
        )


def report_of(measurements: Measurements, **more: Any) -> Report:  # noqa: ANN401 - fields of Report
    """The report of photos that are measured already; `more` are other fields of it."""
    return Report(
        distances=tuple(summarise(name, measurements.distances_km[name]) for name in ANSWERS),
        coverages=tuple(measurements.coverage(region) for region in REGION_SHARES),
        outside_cells=int(measurements.outside.sum()),
        measurements=measurements,
        **more,
    )


def _measure_predictions(
    chunk: Sequence[tuple[Prediction, Coordinate]], hierarchy: Hierarchy
) -> Measurements:
    predictions = [prediction for prediction, _ in chunk]
    return measure(
        [np.stack([prediction.levels[level] for prediction in predictions]) for level in LEVELS],
        np.stack([prediction.product for prediction in predictions]),
        [prediction.point() for prediction in predictions],
        [truth for _, truth in chunk],
        hierarchy,
    )


def _by_kind(measurements: Measurements, kinds: Sequence[str | None]) -> dict[str, Report]:
    labels = np.array([kind or "" for kind in kinds])
    present = sorted(set(labels.tolist()))
    if len(present) < 2:
        return {}
    return {kind or "not said": report_of(measurements[labels == kind]) for kind in present}
