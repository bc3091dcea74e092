"""Two or more ways to do one thing, measured in turns on the same photos."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

Photos = list[tuple[str, bytes]]
Timed = tuple[float, float, Any]
"""Seconds by the clock, seconds of the processor, and what the work gave."""


def timed(work: Callable[[], Any], device: Any) -> Timed:
    """The processor's seconds are those of this process and of its ended children."""
    import torch

    def processor() -> float:
        return time.process_time() + sum(os.times()[2:4])  # the children's in hundredths of a second

    clock, used = time.perf_counter(), processor()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - clock, processor() - used, result


def clocked(work: Callable[[Any], Any], device: Any) -> Callable[[Any], Timed]:
    """A side of `in_turns` that runs in this process."""
    return lambda chunk: timed(lambda: work(chunk), device)


def in_turns(sides: list[Callable[[Any], Timed]], chunks: list[Any]) -> list[list[Timed]]:
    """Each side on each chunk, by turns and in alternating order; what each side gave for each chunk."""
    measured: list[list[Timed]] = [[] for _ in sides]
    for turn, chunk in enumerate(chunks):
        order = range(len(sides)) if turn % 2 == 0 else reversed(range(len(sides)))
        for side in order:
            measured[side].append(sides[side](chunk))
    return measured


def ratio(slower: list[Timed], faster: list[Timed]) -> dict[str, float]:
    """How many times as fast the second is, over pairs of measurements."""
    clock = [a[0] / b[0] for a, b in zip(slower, faster, strict=True)]
    used = [a[1] / b[1] for a, b in zip(slower, faster, strict=True) if b[1] > 0]
    return {
        "ratio": statistics.median(clock),
        "lowest": min(clock),
        "highest": max(clock),
        "processor_ratio": statistics.median(used) if used else float("nan"),
    }


def shown(values: dict[str, float]) -> str:
    """A ratio with its spread, in words."""
    return (
        f"{values['ratio']:.2f} ({values['lowest']:.2f} to {values['highest']:.2f}; "
        f"by processor time {values['processor_ratio']:.2f})"
    )


def pieces(photos: Photos, count: int) -> list[Photos]:
    """The photos in so many pieces of one size; what is left over is left out."""
    size = max(1, len(photos) // count)
    return [photos[begin : begin + size] for begin in range(0, size * count, size)]
