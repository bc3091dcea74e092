"""The loaded model at work on photos whose place is known, in a thread of its own.

A run can be stopped at any photo and gone on with: what is done is kept, in memory only.
Nothing here knows Streamlit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import numpy as np

from geo_model.cells import LEVELS
from geo_model.evaluation import Intake, WaitingPhoto
from geo_model.measurements import Measurements, measure
from geo_model.photo_archive import PhotoArchive, Refusal
from geo_model.photo_collection import PhotoCollection, SourcePhoto
from geo_model.photo_files import shown_name
from geo_model.predict import Model, PhotoFailure, Prediction
from geo_model.truth import Coordinate
from webapp.background import BackgroundWork


class PhotosToRun:
    """The photos of an archive or, on this computer only, of a folder.

    Args:
        source: Bytes of a zip or tar, or a path.
        name: What to call it.

    Attributes:
        name: Printable. Still untrusted text.
        refused: Entries of the archive that are not used.

    Raises:
        GeoModelError: There is no photo in it, or it cannot be read.
    """

    def __init__(self, source: bytes | Path, name: str) -> None:
        self.name = shown_name(name, longest=60)
        self.refused: tuple[Refusal, ...] = ()
        self._photos: PhotoArchive | PhotoCollection
        if isinstance(source, Path) and source.is_dir():
            self._photos = PhotoCollection(source)
        else:
            self._photos = PhotoArchive(source, name)
            self.refused = self._photos.refused

    def __len__(self) -> int:
        return len(self._photos)

    def names(self) -> Iterator[SourcePhoto]:
        """Every photo without its content."""
        if isinstance(self._photos, PhotoArchive):
            return self._photos.described()
        return iter(self._photos)

    def contents(self, wanted: Collection[str]) -> Iterator[SourcePhoto]:
        """The photos of these ids, in their order."""
        if isinstance(self._photos, PhotoArchive):
            return self._photos.photos(skip=set(self._photos.photo_ids) - set(wanted))
        return (photo for photo in self._photos if photo.photo_id in wanted)

    def read(self, photo_id: str) -> bytes | Path:
        """One photo; raises KeyError or GeoModelError if it is gone."""
        if isinstance(self._photos, PhotoArchive):
            return self._photos.read(photo_id)
        found = next(self.contents({photo_id}), None)
        if found is None:
            raise KeyError(photo_id)
        return found.source


class EvaluationRun(BackgroundWork):
    """A model, photos and where they were taken; `start` locates what is not located yet.

    Args:
        model: The model.
        photos: Photos.
        truths: Latitude and longitude in degrees by img_id.
        wanted: As for `BackgroundWork`.

    Attributes:
        key: Names the run, and the set of predictions that it makes.
        unreadable: Sentence for each photo that could not be read, by id.
        without_truth: Ids of photos whose place is not known; they are not located.
        repeated: Ids of photos left out because another one has the truth of the same file name.
    """

    def __init__(
        self,
        model: Model,
        photos: PhotosToRun,
        truths: Mapping[str, Coordinate],
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(wanted)
        self.key = f"run-{uuid4().hex[:12]}"
        self.model = model
        self.photos = photos
        self.unreadable: dict[str, str] = {}
        intake = Intake(photos.names(), truths, lambda: None)
        for _ in intake.named_sources():
            pass
        self.planned: dict[str, WaitingPhoto] = {photo.photo_id: photo for photo in intake.waiting}
        self.without_truth, self.repeated = intake.without_truth, intake.repeated
        self._measured: dict[str, Measurements] = {}

    @property
    def total(self) -> int:
        """Photos to locate, those done included."""
        return len(self.planned)

    @property
    def done(self) -> int:
        """Photos located or found unreadable."""
        return len(self._measured) + len(self.unreadable)

    def results(self) -> tuple[tuple[str, ...], Measurements] | None:
        """Ids and measurements of what is located so far; None if that is nothing."""
        found = dict(self._measured)  # a copy: the thread adds to it
        return (tuple(found), Measurements.join(list(found.values()))) if found else None

    def _steps(self) -> Iterator[None]:
        left = [key for key in self.planned if key not in self._measured and key not in self.unreadable]
        sources = ((photo.photo_id, photo.source) for photo in self.photos.contents(set(left)))
        on_cpu = self.model.device.type == "cpu"  # where small batches cost nothing and end soon
        for result in self.model.stream(sources, batch_size=1 if on_cpu else "auto"):
            self._take(result)
            yield

    def _take(self, result: Prediction | PhotoFailure) -> None:
        if isinstance(result, PhotoFailure):
            self.unreadable[result.name] = result.reason
            return
        self._measured[result.name] = measure(
            [result.levels[level][np.newaxis] for level in LEVELS],
            result.product[np.newaxis],
            [result.point()],
            [self.planned[result.name].truth],
            self.model.hierarchy,
        )
