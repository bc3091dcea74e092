"""Running shards in many processes here, or on a Spark cluster.

img2dataset's own pool of processes waits for ever for a worker that the system has killed, and ends with
success after Ctrl-C; so the processes here are those of `concurrent.futures`.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from geo_model.errors import GeoModelError
from train.download_shard import ShardDownload, is_done, shard_name

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_SHARDS_PER_SPARK_JOB = 1000
_NAMES_AN_EXCEPTION = re.compile(r"(Caused by: )?[\w.]+(Error|Exception): ")
_HERE = str(Path(__file__).resolve().parents[1])

Shards = Sequence[tuple[int, str]]


def run_here(work: ShardDownload, shards: Shards, processes: int) -> None:
    """Fetch shards in processes of this machine.

    Args:
        work: What to do with each.
        shards: Number and path of each.
        processes: How many at a time.

    Raises:
        GeoModelError: One could not be done, or a process was killed. The others are broken off.
    """
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    _start_tracker()
    context = get_context("spawn")
    # The writing end is in this process alone: when it is closed, or this process dies, the workers end.
    ends, stop = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(min(processes, len(shards)), context, _begin_worker, (ends,))
    try:
        for future in as_completed([pool.submit(work, shard) for shard in shards]):
            done, (number, _) = future.result()
            if not done:
                raise GeoModelError(_fault(work, number))
        pool.shutdown()
    except BrokenProcessPool:
        raise GeoModelError(
            "a worker process was killed, perhaps for want of memory; "
            "the same command with fewer --processes or --threads goes on"
        ) from None
    finally:
        stop.close()
        pool.shutdown(wait=True, cancel_futures=True)
        ends.close()


def run_on_spark(work: ShardDownload, shards: Shards) -> None:
    """Fetch shards with img2dataset's PySpark distributor.

    The session is the one that is active, or a new one as the user's Spark configuration says: master,
    executors and memory come from `spark-submit`, `spark-defaults.conf` or the environment. Every machine
    needs this project in the same folder, a Python with its requirements (PYSPARK_PYTHON; by default at the
    path of the one that runs here), and must see the folders of `work`.

    Args:
        work: What to do with each.
        shards: Number and path of each.

    Raises:
        GeoModelError: PySpark is not installed or cannot start, or a shard could not be done.
    """
    try:
        from py4j.protocol import Py4JError  # what PySpark does not make an exception of its own
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise GeoModelError(f"--distributor pyspark needs PySpark: pip install pyspark ({error})") from None
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # see train/download_img2dataset.py
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from img2dataset.distributor import pyspark_distributor

    with contextlib.redirect_stdout(sys.stderr):  # img2dataset prints
        try:
            active = SparkSession.getActiveSession()
            # Without a session img2dataset would make one on this machine, whatever the configuration says.
            session = active or SparkSession.builder.appName("photo download").getOrCreate()
        except (PySparkException, OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise GeoModelError(f"Spark cannot start ({reason}); is Java installed?") from None
        environment = session.sparkContext.environment  # of the workers, beside their machines' own
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (_HERE, environment.get("PYTHONPATH"))))
        try:
            pyspark_distributor(1, work, iter(shards), _SHARDS_PER_SPARK_JOB, 1)
        except (PySparkException, Py4JError) as error:
            raise GeoModelError(
                f"a Spark worker failed ({spark_reason(error)}); every machine needs this project in {_HERE} "
                f"and at {os.environ['PYSPARK_PYTHON']} (PYSPARK_PYTHON) a Python with its requirements"
            ) from None
        finally:
            if active is None:
                session.stop()
    for number, path in shards:
        if not is_done(path):
            raise GeoModelError(_fault(work, number))


def spark_reason(error: Exception) -> str:
    """The last exception that Spark's long message names, in one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    named = [line for line in lines if _NAMES_AN_EXCEPTION.match(line)]
    return (named or lines)[-1].removeprefix("Caused by: ")[:200]


def _fault(work: ShardDownload, number: int) -> str:
    return (
        f"{work.out}: tar {shard_name(number)} could not be made ({work.fault_of(number)}); mend that, and "
        "the same command goes on from what is there"
    )


def _start_tracker() -> None:
    """Start the process that removes semaphores of workers that were ended, and have it say nothing of it."""
    if os.name != "posix":
        return
    from multiprocessing import resource_tracker

    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (before, "ignore:resource_tracker")))
    try:
        resource_tracker.ensure_running()
    finally:
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


def _begin_worker(ends: Connection) -> None:
    """Make a process one of this download's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process decides
    os.dup2(2, 1)  # img2dataset prints what goes wrong; standard output is for what was made
    threading.Thread(target=_end_with, args=(ends,), daemon=True).start()


def _end_with(ends: Connection) -> None:
    """End this process when the other end of a pipe is gone."""
    with contextlib.suppress(OSError, EOFError):
        ends.recv_bytes()
    os._exit(1)
