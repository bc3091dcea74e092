"""What the command line says on standard error while it works: a bar, and one sentence per complaint."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_LINE_EVERY_S = 60.0
_DRAWN_EVERY_S = 0.05


class _Rate(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.1f}/s")


class Work:
    """A piece of work on standard error: its bar disappears at the end, complaints stay.

    The bar is drawn on a terminal only; elsewhere, a log perhaps, a line a minute says how far it is. Use as
    a context manager.

    Args:
        title: What is being done.
        total: Number of steps; None while nobody knows.
        done: Steps that an earlier run has done.
        count: Finds out the number of steps, meanwhile, given what says that nobody wants to know any more;
            None if it cannot.
    """

    def __init__(
        self,
        title: str,
        total: int | None = None,
        *,
        done: int = 0,
        count: Callable[[Callable[[], bool]], int | None] | None = None,
    ) -> None:
        self._console = error_console()
        self._drawn = self._console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            # Whatever a command writes to standard output must stay there.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._title, self._total = title, total
        self._task = self._bar.add_task(title, total=total, completed=done)
        self._done = self._done_before = done
        self._began = self._said = time.monotonic()
        self._over = threading.Event()
        self._count = count

    def __enter__(self) -> Work:
        if self._drawn:
            self._bar.start()
        if self._count is not None:
            threading.Thread(target=self._find_total, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._drawn:
            self._bar.stop()

    def advance(self) -> None:
        """One step is done."""
        self._done += 1
        now = time.monotonic()
        if now - self._said < (_DRAWN_EVERY_S if self._drawn else _LINE_EVERY_S):
            return
        self._said = now
        if self._drawn:
            self._bar.update(self._task, completed=self._done)
        else:
            self._console.print(self._line(), soft_wrap=True, markup=False)

    def _line(self) -> str:
        rate = (self._done - self._done_before) / (time.monotonic() - self._began)
        if self._total is None:
            return f"{self._title}: {self._done:,}, {rate:,.1f}/s"
        left = max(self._total - self._done, 0) / rate / 60
        time_left = f"{left:,.0f} min" if left < 120 else f"{left / 60:,.0f} h"
        return f"{self._title}: {self._done:,} of {self._total:,}, {rate:,.1f}/s, {time_left} left"

    def _find_total(self) -> None:
        assert self._count is not None
        try:
            self._total = self._count(self._over.is_set)
        except Exception:  # whatever is wrong with the photos, reading them says it
            return
        if self._total is not None:
            self._bar.update(self._task, total=self._total)

    def complain(self, sentence: str) -> None:
        """Say what is wrong, above the bar."""
        complain(sentence, self._console)

    def say(self, sentence: str) -> None:
        """Say something, above the bar."""
        self._console.print(Text(sentence), soft_wrap=True)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar off the screen while something is written to standard output."""
        if self._drawn and sys.stdout.isatty():
            self._bar.stop()
            yield
            self._bar.start()
        else:
            yield


def complain(sentence: str, console: Console | None = None) -> None:
    """One red sentence on standard error, on one line whatever the width of the screen."""
    (console or error_console()).print(Text(sentence, style="red"), soft_wrap=True)


def error_console() -> Console:
    """Standard error as rich sees it at this moment."""
    return Console(stderr=True, highlight=False, emoji=False)
