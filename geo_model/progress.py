"""What the command line says on standard error while it works: a bar, and one sentence per complaint."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text


class Work:
    """A piece of work on standard error: its bar disappears at the end, complaints stay.

    The bar is drawn on a terminal only. Use as a context manager.

    Args:
        title: What is being done.
        total: Number of steps; None while nobody knows.
    """

    def __init__(self, title: str, total: int | None = None) -> None:
        self._console = error_console()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            # Whatever a command writes to standard output must stay there.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task(title, total=total)

    def __enter__(self) -> Work:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def advance(self) -> None:
        """One step is done."""
        self._bar.advance(self._task)

    def complain(self, sentence: str) -> None:
        """Say what is wrong, above the bar."""
        complain(sentence, self._console)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar off the screen while something is written to standard output."""
        if self._console.is_terminal and sys.stdout.isatty():
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
