"""How fast each way to compute is on this machine: all measured by turns in one run, and the fastest chosen.

First the network, on made-up crops: precision, photos at once, and how it runs. Then whole predictions, from
made-up JPEGs: threads that read, and what decodes. `python -m geo_model tune` and the benchmark
prediction_speed.py both call this.
"""

from __future__ import annotations

import copy
import io
import os
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from geo_model import gpu_jpeg
from geo_model.errors import GeoModelError
from geo_model.measured_choices import Choices, built_in
from geo_model.network import GeoNetwork
from geo_model.predict import Model
from geo_model.running import backbone_parameters

WORTH = 1.03
"""How many times as fast as the built-in choice another must be to take its place: less is noise."""

_ROUNDS = 5
_CPU_PHOTOS_AT_ONCE = (1, 2, 4)
_GPU_BATCHES = (16, 32, 64, 128)
_JPEG_PX = (1024, 768)


@dataclass(frozen=True)
class Timing:
    """How fast one choice is.

    Attributes:
        choices: What was measured.
        first_s: Seconds that the first run took, with what is compiled, captured or laid out in it.
        seconds: A photo, by the clock, round by round.
        processor_seconds: A photo, of all cores of this process, likewise.
        problem: Why it could not be measured; None if it was.
    """

    choices: Choices
    first_s: float = float("nan")
    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)
    problem: str | None = None

    def times_as_fast(self, other: Timing) -> float:
        """Median of the rounds' ratios by the clock."""
        return statistics.median(b / a for a, b in zip(self.seconds, other.seconds, strict=True))


class Tuning:
    """One measurement of everything; `run` does it.

    Args:
        model: Of timm's networks, loaded in float32.
        compiled: Whether torch.compile is measured and may be chosen: every new process compiles anew.
        rounds: How often each choice is measured; None is 5 times.

    Attributes:
        network: What was found of the network.
        reading: What was found of reading, with the network's best choice.
        notes: What could not be measured, a sentence each.
        chosen: The fastest; before `run` the built-in choice.

    Raises:
        GeoModelError: The model's network leaves nothing to choose.
    """

    def __init__(self, model: Model, compiled: bool = False, rounds: int | None = None) -> None:
        if not isinstance(model.network, GeoNetwork):
            raise GeoModelError(f"{model.spec.name} runs as its package has it; there is nothing to tune.")
        self.model, self.rounds = model, rounds or _ROUNDS
        self.notes: list[str] = []
        parameters = backbone_parameters(model.network)
        if compiled and (reason := _no_compiler(model.device)):
            compiled = False
            self.notes.append(reason)
        self._networks = _network_candidates(model.device, parameters, compiled)
        self.chosen = self._networks[0]
        self._readings = _reading_candidates(model.device, self.chosen)
        self.steps = (len(self._networks) + len(self._readings)) * (1 + self.rounds)
        self.network: list[Timing] = []
        self.reading: list[Timing] = []

    def run(self, advance: Callable[[], None] = lambda: None) -> Choices:
        """Measure, and choose; `advance` is called for each of `steps`."""
        models = {choices.dtype: self._in(choices.dtype) for choices in self._networks}
        most = max(choices.photos_at_once or choices.batch_size for choices in self._networks)
        side_px = self.model.spec.crop_rule.crop_px
        crops = torch.from_numpy(
            np.random.default_rng(0).integers(0, 256, (most, 5, side_px, side_px, 3), dtype=np.uint8)
        ).movedim(-1, 2)
        works = [
            (choices, _logits(models[choices.dtype].computing(choices), crops)) for choices in self._networks
        ]
        self.network = self._measured(works, most, advance)
        best = self._best(self.network)
        # The same photos at once and way, however they are read.
        readings = [replace(best, readers=reading.readers, jpegs=reading.jpegs) for reading in self._readings]
        photos = _jpegs(2 * best.batch_size)
        reader = models[best.dtype]
        self.reading = self._measured(
            [(choices, _predictions(reader.computing(choices), photos)) for choices in readings],
            len(photos),
            advance,
        )
        self.chosen = self._best(self.reading)
        return self.chosen

    def _in(self, dtype: torch.dtype) -> Model:
        model = self.model
        network = copy.deepcopy(model.network).to("cpu", torch.float32)
        return Model(model.path, model.spec, model.hierarchy, network, model.device, dtype)

    def _measured(
        self, works: Sequence[tuple[Choices, Callable[[], Any]]], photos: int, advance: Callable[[], None]
    ) -> list[Timing]:
        """Each piece of work by turns, in alternating order."""
        timings: list[Timing] = []
        for choices, work in works:
            try:
                timings.append(Timing(choices, first_s=self._timed(work)[0]))
            except RuntimeError as error:
                timings.append(Timing(choices, problem=" ".join(str(error).split())[:100]))
            advance()
        for number in range(self.rounds):
            turns = list(zip(timings, works, strict=True))
            for timing, (_, work) in turns if number % 2 == 0 else reversed(turns):
                if timing.problem is None:
                    clock, processor = self._timed(work)
                    timing.seconds.append(clock / photos)
                    timing.processor_seconds.append(processor / photos)
                advance()
        return timings

    def _timed(self, work: Callable[[], Any]) -> tuple[float, float]:
        clock, processor = time.perf_counter(), time.process_time()
        work()
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)
        return time.perf_counter() - clock, time.process_time() - processor

    def _best(self, timings: Sequence[Timing]) -> Choices:
        """The fastest of those that beat the first, which is built in, in every round; or that one."""
        measured = [timing for timing in timings if timing.problem is None]
        if not measured:
            raise GeoModelError(f"nothing could be measured: {timings[0].problem}.")
        built, *others = measured
        better = [
            timing
            for timing in others
            if timing.times_as_fast(built) >= WORTH
            and all(a < b for a, b in zip(timing.seconds, built.seconds, strict=True))
        ]
        return max(better, key=lambda timing: timing.times_as_fast(built), default=built).choices


def _network_candidates(device: torch.device, parameters: int, compiled: bool) -> list[Choices]:
    """The built-in choice first."""
    fastest = built_in(device, parameters=parameters)
    candidates: list[Choices] = []
    for dtype in dict.fromkeys([fastest.dtype, torch.float32]):
        before = built_in(device, dtype, parameters)
        if device.type == "cuda":
            sizes = [replace(before, batch_size=size) for size in _GPU_BATCHES]
        else:
            sizes = [
                replace(before, photos_at_once=size, batch_size=max(size, before.batch_size))
                for size in _CPU_PHOTOS_AT_ONCE
            ]
        eager = [before, *(size for size in sizes if size != before)]
        candidates += eager
        if device.type == "cuda":
            candidates += [replace(choices, way="graph") for choices in eager]
        if compiled:
            candidates.append(replace(before, way="compiled"))
    return candidates


def _reading_candidates(device: torch.device, before: Choices) -> list[Choices]:
    """The built-in choice first."""
    cores = os.cpu_count() or 2
    readers = dict.fromkeys([before.readers, max(1, cores // 4), max(1, cores // 2), cores])
    candidates = [replace(before, readers=count) for count in readers if count <= max(32, before.readers)]
    if device.type == "cuda" and gpu_jpeg.available():
        candidates += [replace(choices, jpegs="nvjpeg") for choices in candidates]
    return candidates


def _no_compiler(device: torch.device) -> str | None:
    """Why torch.compile cannot be measured, in a sentence; None if it can."""
    names = [os.environ.get("CXX", ""), "g++", "clang++", "c++", *(["cl"] if os.name == "nt" else [])]
    if device.type == "cpu" and not any(name and shutil.which(name) for name in names):
        return "torch.compile is left out: there is no C++ compiler, which it needs; install g++ or clang++."
    return None


def _logits(model: Model, crops: torch.Tensor) -> Callable[[], Any]:
    def work() -> None:
        size = model.choices.photos_at_once or model.choices.batch_size
        for part in crops.split(size):
            model.logits(part)
        if getattr(getattr(model.run, "fixed", None), "failed", False):
            raise RuntimeError("it cannot be compiled here")

    return work


def _predictions(model: Model, photos: Sequence[bytes]) -> Callable[[], Any]:
    return lambda: model.predict(photos)


def _jpegs(count: int) -> list[bytes]:
    """Made-up photos with coarse and fine detail, as many bytes as real ones have."""
    random = np.random.default_rng(0)
    photos = []
    for _ in range(min(count, 8)):
        photo = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize(
            _JPEG_PX, Image.Resampling.BICUBIC
        )
        grain = Image.fromarray(random.integers(0, 256, (*_JPEG_PX[::-1], 3), dtype=np.uint8))
        file = io.BytesIO()
        Image.blend(photo, grain, 0.1).save(file, "JPEG", quality=85)
        photos.append(file.getvalue())
    return [photos[number % len(photos)] for number in range(count)]
