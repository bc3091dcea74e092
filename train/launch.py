"""Starts one process a device and looks after them, as `torchrun --nproc-per-node N` does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from train.processors import processor_count
from train.ranks import PARENT

_GRACE_SECONDS = 10.0
"""How long the others may go on once one has failed."""

_POLL_SECONDS = 0.2


def launch(arguments: Sequence[str], count: int) -> int:
    """Run `python -m train ARGUMENTS` in several processes, each with its rank in the environment.

    Ctrl-C and a request to terminate are passed on once to each process, which then stops when it has saved
    its work; a second one ends them at once. When one fails, the others, which would wait for it, are ended.

    Args:
        arguments: Of the command line.
        count: Of processes.

    Returns:
        Exit code: that of the first process that failed, or 0.
    """
    shared = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, processor_count() // count)),
        PARENT: str(os.getpid()),
    }
    if sys.platform == "linux":  # a machine's own name need not lead anywhere
        shared["GLOO_SOCKET_IFNAME"] = os.environ.get("GLOO_SOCKET_IFNAME") or "lo"
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "train", *arguments],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # so that Ctrl-C reaches them through this process, once
        )
        for rank in range(count)
    ]
    try:
        with _passing_on_signals(children):
            return _wait(children)
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
            child.wait()


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> int:
    """The exit code of the first to fail, or 0 once all have ended well."""
    failed: int | None = None
    deadline = float("inf")
    while any(child.poll() is None for child in children) and time.monotonic() < deadline:
        codes = [code for child in children if (code := child.poll())]
        if codes and failed is None:
            # A process that a signal ended has the code -N; shells say 128 + N.
            failed = codes[0] if codes[0] > 0 else 128 - codes[0]
            deadline = time.monotonic() + _GRACE_SECONDS
        time.sleep(_POLL_SECONDS)
    codes = [code for child in children if (code := child.poll())]
    return failed or (0 if not codes else codes[0] if codes[0] > 0 else 128 - codes[0])


@contextmanager
def _passing_on_signals(children: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    asked = False

    def pass_on(number: int, _: FrameType | None) -> None:
        nonlocal asked
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL if asked else signal.SIGINT)
        asked = True

    kept = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
