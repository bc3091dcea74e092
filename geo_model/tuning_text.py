"""What `tuning` found, in words and columns of text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

import torch

from geo_model.measured_choices import Choices
from geo_model.tuned_choices import device_name
from geo_model.tuning import Timing, Tuning

_CLOCK = f"{'ms a photo':>11}{'(least to most)':>20}{'processor':>10}"


def tuning_lines(tuning: Tuning) -> list[str]:
    """What was found, in words and columns of text."""
    model, chosen = tuning.model, tuning.chosen
    found = [f"{device_name(model.device)}; torch {torch.__version__}; {model.spec.backbone}"]
    found += [f"  {line}" for line in _network_table(tuning.network)]
    found += [f"  {line}" for line in _reading_table(tuning.reading)]
    found += tuning.notes
    for timing in tuning.network:
        if timing.choices.way == "compiled" and timing.problem is None:
            found.append(_what_compiling_costs(timing, tuning.network))
    faster = next(t for t in tuning.reading if t.choices == chosen).times_as_fast(tuning.reading[0])
    network = next(t for t in tuning.network if _same_network(t.choices, chosen))
    faster *= network.times_as_fast(tuning.network[0])
    found.append(f"Chosen: {in_words(chosen)}. That is {faster:.2f} times as fast as what is built in.")
    return found


def in_words(choices: Choices) -> str:
    """The choices on one line."""
    dtype = str(choices.dtype).removeprefix("torch.")
    together = choices.photos_at_once or choices.batch_size
    return (
        f"{dtype}, photos at once {together}, network {choices.way}, batches of {choices.batch_size}, "
        f"readers {choices.readers}, JPEGs by {choices.jpegs}"
    )


def _same_network(one: Choices, other: Choices) -> bool:
    return replace(one, readers=other.readers, jpegs=other.jpegs) == other


def _network_table(timings: Sequence[Timing]) -> list[str]:
    lines = [f"{'precision':10}{'at once':>8}  {'network':9}{_CLOCK}  first run"]
    for timing in timings:
        choices = timing.choices
        dtype = str(choices.dtype).removeprefix("torch.")
        start = f"{dtype:10}{choices.photos_at_once or choices.batch_size:>8}  {choices.way:9}"
        lines.append(start + (timing.problem or f"{_milliseconds(timing)}  {timing.first_s:8.1f} s"))
    return lines


def _reading_table(timings: Sequence[Timing]) -> list[str]:
    lines = [f"{'readers':>8}  {'JPEGs by':9}{_CLOCK}"]
    for timing in timings:
        start = f"{timing.choices.readers:>8}  {timing.choices.jpegs:9}"
        lines.append(start + (timing.problem or _milliseconds(timing)))
    return lines


def _milliseconds(timing: Timing) -> str:
    """Median, least and most by the clock, and the median of processor time, of a photo."""
    clock = [1000 * value for value in timing.seconds]
    spread = f"({min(clock):.1f} to {max(clock):.1f})"
    processor = 1000 * statistics.median(timing.processor_seconds)
    return f"{statistics.median(clock):>11.1f}{spread:>20}{processor:>10.1f}"


def _what_compiling_costs(timing: Timing, others: Sequence[Timing]) -> str:
    """After how many photos compiling has paid, against the same choice without."""
    eager = next(t for t in others if t.choices == replace(timing.choices, way="eager"))
    saved_s = statistics.median(a - b for a, b in zip(eager.seconds, timing.seconds, strict=True))
    dtype = str(timing.choices.dtype).removeprefix("torch.")
    start = f"Compiling takes {timing.first_s:.0f} s in every new process ({dtype})"
    if saved_s <= 0:
        return f"{start} and saves nothing."
    photos = timing.first_s / saved_s
    return f"{start} and saves {1000 * saved_s:.1f} ms a photo: it pays after {photos:,.0f} photos."
