"""From a table of photo addresses to WebDataset tars, with img2dataset.

Rounds: the first asks for every photo of the table, each later one for those that failed in the one before
and may pass (`429`, `5xx`, cut connections, time-outs, damaged photos), after a pause that doubles. Within a
round every address is asked once, and while its host answers `429` or `503` a few times more.

What is done stays done: tars come whole into the folder, everything under way lies in `.download` in it, and
a run that was ended at any moment goes on with the photos that it has. Only photos that were on their way
at that moment are fetched again.

    train/download_addresses.py    where a photo is
    train/download_plan.py         the table, the rounds, the shards
    train/download_workers.py      processes here, or Spark
    train/download_shard.py        one shard to one tar
    train/download_img2dataset.py  what of img2dataset is used, and how
    train/download_spool.py        what a shard's addresses have answered
    train/download_fetch.py        one photo
    train/download_reasons.py      why not
    train/download_report.py       what is missing
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from geo_model.errors import GeoModelError, reason_of
from train.download_fetch import check_reachable
from train.download_plan import (
    Plan,
    check_plan,
    make_plan,
    plan_round,
    read_plan,
    records,
    rounds,
    unfinished,
)
from train.download_reasons import is_passing
from train.download_report import DownloadReport, count_reasons, to_ask_again, write_report
from train.download_shard import ShardDownload, locked, shard_name
from train.download_workers import run_here, run_on_spark
from train.processors import processor_count

if TYPE_CHECKING:
    from rich.console import Console

WORK_FOLDER = ".download"
LONGEST_WAIT_S = 600.0
"""Between two rounds, seconds."""


def download(
    table: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    base_url: str | None = None,
    processes: int | None = None,
    threads: int = 32,
    retries: int = 4,
    timeout_s: float = 20.0,
    back_off_s: float = 5.0,
    shard_size: int = 10_000,
    distributor: Literal["multiprocessing", "pyspark"] = "multiprocessing",
    confirm: Callable[[Plan, int], None] | None = None,
    console: Console | None = None,
) -> DownloadReport:
    """Fetch the photos of a table into WebDataset tars, or go on with it.

    Worker processes are spawned: a script that calls this needs `if __name__ == "__main__":`.

    Args:
        table: CSV with `IMG_ID,LAT,LON` or `id,latitude,longitude` in degrees, and either `url`, whole
            addresses, or `hash`, YFCC100M hashes of photos.
        out: Folder of the tars, `00000.tar` and so on, and of `missing.csv`; made if it is not there. For
            a cluster, a folder that all its machines see.
        base_url: Where hashes are looked up: `BASE/abc/def/abcdef....jpg`. By default the public bucket
            multimedia-commons.
        processes: Worker processes on this machine; by default one a processor.
        threads: Photos fetched at a time by each.
        retries: Rounds after the first.
        timeout_s: Longest wait for a connection or a piece of a photo, seconds; a whole photo may take six
            times as long.
        back_off_s: Wait before the second round, seconds; it doubles each time. Also the first pause where a
            host asks to slow down without saying for how long.
        shard_size: Most photos of a tar.
        distributor: `multiprocessing` for this machine, `pyspark` for a cluster.
        confirm: Called with the plan and the number of photos that are left before anything is fetched;
            raises to prevent it. Without it nobody is asked.
        console: Where progress is shown, if anywhere.

    Returns:
        What was fetched and what is missing. Many failures are no error here: look at `failed_share`.

    Raises:
        GeoModelError: The table cannot be used, the folder cannot be written or holds something else, or a
            worker failed.
    """
    table, out = Path(table), Path(os.path.abspath(out))
    work_folder = out / WORK_FOLDER
    work = ShardDownload(
        out=str(out),
        work=str(work_folder / "work"),
        shard_size=shard_size,
        threads=threads,
        timeout_s=timeout_s,
        back_off_s=back_off_s,
    )

    def run(shards: Sequence[tuple[int, str]]) -> None:
        if distributor == "pyspark":
            run_on_spark(work, shards)
        else:
            run_here(work, shards, processes or processor_count())

    try:
        work_folder.mkdir(parents=True, exist_ok=True)
        with locked(work_folder / "lock"):
            folder = work_folder / "plan"
            plan = _plan(table, out, folder, base_url, shard_size, console)
            _tidy(folder, work)
            all_rounds = _Rounds(folder, work, run, console)
            if left := all_rounds.left():
                if confirm:
                    confirm(plan, left)
                if distributor == "multiprocessing":  # a cluster may reach what this machine does not
                    check_reachable(plan.hosts[0][0], timeout_s)
            _run_rounds(all_rounds, plan.shard_size, retries, back_off_s)
            close_gaps(out)
            return write_report(out, folder, plan)
    except BlockingIOError:
        raise GeoModelError(f"{out}: another download is at work in this folder; let it end first") from None
    except OSError as error:
        raise GeoModelError(f"{out}: {reason_of(error)}") from error


def close_gaps(folder: Path) -> None:
    """Number tars without gaps: a shard of which no photo came has left one.

    Those with the highest numbers take the free ones; keys in a tar stay as they are.
    """
    numbers = sorted(int(path.stem) for path in folder.glob("*.tar") if path.stem.isdigit())
    free = sorted(set(range(len(numbers))) - set(numbers))
    for number, new in zip(reversed(numbers), free, strict=False):
        (folder / f"{shard_name(number)}.tar").replace(folder / f"{shard_name(new)}.tar")


def _plan(
    table: Path, out: Path, folder: Path, base_url: str | None, shard_size: int, console: Console | None
) -> Plan:
    """The plan that is there, or a new one."""
    plan = read_plan(folder)
    if plan is not None:
        check_plan(plan, table, base_url, shard_size, out)
        return plan
    if foreign := next(out.glob("*.tar"), None):
        raise GeoModelError(f"{out} holds tars already, such as {foreign.name}; give an empty folder")
    if console is None:
        return make_plan(table, folder, base_url, shard_size)
    with console.status("Reading the table") as status:
        return make_plan(
            table,
            folder,
            base_url,
            shard_size,
            progress=lambda share: status.update(f"Reading the table, {share:.0%}"),
        )


def _tidy(folder: Path, work: ShardDownload) -> None:
    """Remove what is left of shards that were ended when they were done, but had not tidied up."""
    for part in rounds(folder):
        for record in records(part):
            record.with_suffix(".arrow").unlink(missing_ok=True)
            shutil.rmtree(Path(work.work, record.stem), ignore_errors=True)


class _Rounds:
    """The rounds of a plan, one after another."""

    def __init__(
        self,
        folder: Path,
        work: ShardDownload,
        run: Callable[[Sequence[tuple[int, str]]], None],
        console: Console | None,
    ) -> None:
        self.folder = folder
        self._work = work
        self._run = run
        self._console = console

    def finish(self) -> None:
        """Fetch what is left of the last round."""
        from train.download_watch import Watch, shown

        shards = unfinished(self.folder)
        number = len(rounds(self.folder))
        with shown(self._console, f"Round {number}", Watch(self._work, shards)):
            self._run(shards)
        reasons = count_reasons(rounds(self.folder)[-1])
        came = reasons.pop("", 0)
        later = sum(count for reason, count in reasons.items() if is_passing(reason))
        self._say(
            f"Round {number}: {came:,} photos came, {reasons.total() - later:,} will not, "
            f"{later:,} may come later."
        )

    def wait(self, wait_s: float) -> None:
        """Between two rounds, seconds."""
        self._say(f"Waiting {wait_s:,.0f} s before asking again.")
        time.sleep(wait_s)

    def left(self) -> int:
        """How many photos would be asked for now."""
        from train.download_watch import Watch

        if shards := unfinished(self.folder):
            watch = Watch(self._work, shards)
            return watch.total - watch.answered()
        return sum(len(table) for table in to_ask_again(rounds(self.folder)[-1]))

    def _say(self, sentence: str) -> None:
        if self._console is not None:
            self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _run_rounds(all_rounds: _Rounds, shard_size: int, retries: int, back_off_s: float) -> None:
    """Finish the round that is under way, and have as many more as are allowed and needed."""
    folder = all_rounds.folder
    for ran in range(retries + 1):
        if not unfinished(folder):
            if not all_rounds.left():
                return
            if ran:
                wait_s = min(back_off_s * 2 ** (ran - 1), LONGEST_WAIT_S)
                all_rounds.wait(wait_s * random.uniform(1.0, 1.2))
            plan_round(folder, to_ask_again(rounds(folder)[-1]), shard_size)
        all_rounds.finish()
