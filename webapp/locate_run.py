"""The photos of the page Locate on their way through the model. Nothing here knows Streamlit."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from geo_model.predict import Model, PhotoFailure
from webapp.background import BackgroundWork
from webapp.photos import Located, Photo, to_show


class LocateRun(BackgroundWork):
    """Locates what it is asked for, one photo after another; more can be asked for meanwhile.

    Args:
        model: The model.
        wanted: As for `BackgroundWork`.

    Attributes:
        model: The model.
        results: By content key, as they are ready.
    """

    def __init__(self, model: Model, wanted: Callable[[], bool] = lambda: True) -> None:
        super().__init__(wanted)
        self.model = model
        self.results: dict[str, Located | PhotoFailure] = {}
        self._asked: tuple[Photo, ...] = ()
        self._lock = threading.Lock()

    def ask(self, photos: Sequence[Photo]) -> None:
        """Take these for the photos to locate, instead of those asked for before; each key is one photo."""
        with self._lock:
            self._asked = tuple(photos)

    def forget(self, keep: set[str]) -> None:
        """Forget the results of all photos but these."""
        for key in set(self.results) - keep:
            self.results.pop(key, None)

    @property
    def total(self) -> int:
        """Photos asked for."""
        return len(self._asked)

    @property
    def done(self) -> int:
        """Photos located or found unreadable."""
        return sum(photo.key in self.results for photo in self._asked)

    @property
    def missing(self) -> int:
        """Photos asked for that have no result yet."""
        return self.total - self.done

    def _steps(self) -> Iterator[None]:
        begun: deque[Photo] = deque()  # the model gives results in the order in which it took the photos
        seen: set[str] = set()

        def photos() -> Iterator[tuple[str, bytes]]:
            while photo := self._next(seen):
                seen.add(photo.key)
                begun.append(photo)
                yield photo.name, photo.read()

        on_cpu = self.model.device.type == "cpu"  # where small batches cost nothing and show progress
        batch_size: int | Literal["auto"] = 1 if on_cpu else "auto"
        # The page Cells makes exact probabilities under other temperatures from the logits.
        for result in self.model.stream(photos(), batch_size=batch_size, keep_logits=True):
            photo = begun.popleft()
            self.results[photo.key] = to_show(photo, result)
            yield

    def _next(self, seen: set[str]) -> Photo | None:
        """The next photo that nobody looked at yet."""
        with self._lock:
            return next(
                (one for one in self._asked if one.key not in self.results and one.key not in seen), None
            )
