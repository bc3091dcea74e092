"""How many photos of a round have answered so far, read from what the workers keep on disk.

So it works the same for processes here and for a cluster that shares the folder.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from train.download_shard import ShardDownload, is_done, read_addresses
from train.download_spool import ANSWERS

_EVERY_S = 0.5


class Watch:
    """Counts the answers of a round's shards.

    Args:
        work: How they are fetched.
        shards: Number and path of each, in order; all but the last are full.
    """

    def __init__(self, work: ShardDownload, shards: Sequence[tuple[int, str]]) -> None:
        self._work = work
        self._left = dict(shards)
        self._sizes = {number: work.shard_size for number, _ in shards}
        if shards:
            self._sizes[shards[-1][0]] = len(read_addresses(Path(shards[-1][1])))
        self._done = 0
        self._lines: dict[int, tuple[int, int]] = {}

    @property
    def total(self) -> int:
        """Photos of the round."""
        return sum(self._sizes.values())

    def answered(self) -> int:
        """Photos that came, or will not."""
        under_way = 0
        for number, path in tuple(self._left.items()):
            if is_done(path):
                self._done += self._sizes[number]
                del self._left[number]
                continue
            offset, lines = self._lines.get(number, (0, 0))
            with contextlib.suppress(OSError), open(self._work.folder(number) / ANSWERS, "rb") as file:
                file.seek(offset)
                new = file.read()
                self._lines[number] = offset + len(new), lines + new.count(b"\n")
            under_way += self._lines.get(number, (0, 0))[1]
        return self._done + under_way


@contextlib.contextmanager
def shown(console: Console | None, title: str, watch: Watch) -> Iterator[None]:
    """A bar of a round on a terminal, while the block runs."""
    if console is None or not console.is_terminal:
        yield
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    ended = threading.Event()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=watch.total)

        def follow() -> None:
            while not ended.wait(_EVERY_S):
                bar.update(task, completed=watch.answered())

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
