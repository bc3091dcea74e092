"""Work on many photos in a thread of its own: how far it is, how long it takes, and a way to stop it.

What is done is kept, in memory only, and `start` goes on with the rest. Nothing here knows Streamlit.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Literal

from geo_model.errors import GeoModelError

WorkState = Literal["paused", "running", "done", "failed"]


class BackgroundWork(ABC):
    """Steps that one thread takes at a time.

    Args:
        wanted: Asked after each step; the work pauses when nobody wants it any more.

    Attributes:
        error: What ended the work, if it failed.
    """

    def __init__(self, wanted: Callable[[], bool] = lambda: True) -> None:
        self.error: str | None = None
        self._wanted = wanted
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._begun = 0.0
        self._done_before = 0

    @property
    @abstractmethod
    def total(self) -> int:
        """Photos in all, those done included."""

    @property
    @abstractmethod
    def done(self) -> int:
        """Photos that need no more work."""

    @abstractmethod
    def _steps(self) -> Iterator[None]:
        """Do what is left; yields after each photo, where it may be stopped."""

    @property
    def state(self) -> WorkState:
        """What the work is at."""
        if self._thread is not None and self._thread.is_alive():
            return "running"
        if self.error is not None:
            return "failed"
        return "done" if self.done >= self.total else "paused"

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the speed so far; None while that is not known."""
        done = self.done - self._done_before
        if done < 2 or self.state != "running":
            return None
        return (time.monotonic() - self._begun) / done * (self.total - self.done)

    def start(self) -> None:
        """Do what is left, in the background; does nothing while that goes on already."""
        if self.state == "running":
            return
        self.error = None
        self._stop.clear()
        self._begun, self._done_before = time.monotonic(), self.done
        self._thread = threading.Thread(target=self._work, name=type(self).__name__, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop after the photos that the network is at."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop and has not stopped yet."""
        return self._stop.is_set() and self.state == "running"

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the work rests."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _work(self) -> None:
        try:
            for _ in self._steps():
                if self._stop.is_set() or not self._wanted():
                    return
        except GeoModelError as error:
            self.error = str(error)
        except Exception as error:  # the thread has no caller to tell
            self.error = f"The run ended with {type(error).__name__}; go on to try again."
            raise
