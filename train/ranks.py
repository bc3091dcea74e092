"""The processes of a run: one a device, on one machine or several.

Each learns from its environment, as `torchrun` and train/launch.py set it, which of them it is: RANK of
WORLD_SIZE, and LOCAL_RANK of LOCAL_WORLD_SIZE on its machine. Without it a run is one process.

What the processes tell each other here goes over a group of its own, from memory to memory, so that it waits
for no GPU and may take as long as the first of them needs to read all tars.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from geo_model.errors import GeoModelError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

_SIGNS_OF_AN_END = (
    "onnection closed",
    "onnection reset",
    "roken pipe",
    "remote process exited",
    "NCCL error",
)
"""In what gloo and NCCL say."""

PARENT = "GEO_TRAIN_PARENT"
"""Names, in the environment, the process that train/launch.py runs in."""

_PATIENCE = timedelta(days=1)
_control: Any = None


class ConnectionLostError(GeoModelError):
    """Another process of the run has ended."""


@dataclass(frozen=True)
class Ranks:
    """Which process of a run this is: `rank` of `world`, and `local_rank` of `local_world` on its machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and talks to the user."""
        return self.rank == 0


def ranks() -> Ranks:
    """What the environment says."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if not all(os.environ.get(name, "").isdigit() for name in names):
        return Ranks()
    return Ranks(*(int(os.environ[name]) for name in names))


def join(device: torch.device) -> None:
    """Meet the other processes of the run, if there are any; waits until all are there.

    Args:
        device: That this process computes on.
    """
    global _control
    if ranks().world == 1:
        return
    import torch
    from torch import distributed

    _end_with_parent()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    _control = distributed.new_group(backend="gloo", timeout=_PATIENCE)


def speaks() -> bool:
    """Whether this process says what is wrong: before they have met, all find the same faults."""
    return _control is not None or ranks().local_rank == 0


def leave() -> None:
    """Part from the other processes; waits until all do."""
    global _control
    if _control is None:
        return
    from torch import distributed

    distributed.barrier(_control)
    _control = None
    distributed.destroy_process_group()


def from_first(value: T) -> T:
    """The first process's value, in every process."""
    if _control is None:
        return value
    from torch import distributed

    values = [value]
    distributed.broadcast_object_list(values, 0, _control)
    return values[0]


def from_all(value: T) -> list[T]:
    """Every process's value in the order of their ranks, in every process."""
    if _control is None:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * ranks().world
    distributed.all_gather_object(values, value, _control)
    return values


def any_says(answers: Sequence[bool]) -> list[bool]:
    """For each question whether a process says yes, in every process."""
    if _control is None:
        return list(answers)
    import torch
    from torch import distributed

    said = torch.tensor(answers, dtype=torch.int32)
    distributed.all_reduce(said, distributed.ReduceOp.MAX, _control)
    return [bool(value) for value in said]


def in_turn(work: Callable[[], T]) -> T:
    """Do what leaves files for others: the first process, then one on each machine, then the rest."""
    here = ranks()
    if _control is None:
        return work()
    from torch import distributed

    turn = 0 if here.first else 1 if here.local_rank == 0 else 2
    for now in range(3):
        if now == turn:
            result = work()
        distributed.barrier(_control)
    return result


@contextmanager
def lost_connections_in_one_sentence() -> Iterator[None]:
    """What a process finds when another has ended is no fault of its own.

    Raises:
        ConnectionLostError: Another process has ended. On each machine one process says so.
        SystemExit: Likewise, in the others.
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        if _control is None or not any(sign in str(error) for sign in _SIGNS_OF_AN_END):
            raise
        if ranks().local_rank:
            raise SystemExit(1) from error
        raise ConnectionLostError(
            f"another process of this run has ended, and it says why or its machine does ({reason[-120:]}); "
            "the same command goes on from the last checkpoint."
        ) from error


def _end_with_parent() -> None:
    """Do not outlive the process that started this one, even if that is killed."""
    parent = os.environ.get(PARENT, "")

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(1)
        os._exit(1)

    if parent.isdigit():
        threading.Thread(target=watch, daemon=True).start()
