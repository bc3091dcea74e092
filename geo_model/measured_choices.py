"""What is fastest on which hardware, as measured; what `auto` means for precision and batch size.

Each choice names what it was measured with. To measure on another machine, for it alone or for this table:

    python -m geo_model tune
    python tests/benchmarks/prediction_speed.py --choices
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch

Way = Literal["eager", "compiled", "graph"]
JpegDecoder = Literal["pillow", "nvjpeg"]


@dataclass(frozen=True)
class Choices:
    """How a model computes on a device unless it is told otherwise.

    Attributes:
        dtype: Precision of the backbone.
        batch_size: Photos that are read ahead, decoded into places and given back together.
        photos_at_once: Photos that go through the network together; None takes the whole batch.
        readers: Threads that decode photos.
        batches_ahead: Batches that the device is given before the answers of an earlier one are awaited.
        way: How the network runs: `eager`, `compiled` by torch.compile, or as a CUDA `graph`.
        jpegs: What decodes plain JPEGs: `pillow` on the CPU, or `nvjpeg` on a CUDA GPU.
    """

    dtype: torch.dtype
    batch_size: int
    photos_at_once: int | None
    readers: int
    batches_ahead: int
    way: Way = "eager"
    jpegs: JpegDecoder = "pillow"


def choices_for(
    device: torch.device,
    backbone: str | None = None,
    dtype: torch.dtype | None = None,
    parameters: int = 0,
) -> Choices:
    """The choices for a device of this machine.

    Args:
        device: The device.
        backbone: The network; what `tune` found for it on this machine goes before what is built in.
        dtype: The precision; what was found counts only if it is of this one. None takes the fastest.
        parameters: How many numbers the network's backbone has learned.
    """
    if backbone is not None:
        from geo_model.tuned_choices import tuned

        found = tuned(device, backbone)
        if found is not None and dtype in (None, found.dtype):
            return found
    return built_in(device, dtype, parameters)


def built_in(device: torch.device, dtype: torch.dtype | None = None, parameters: int = 0) -> Choices:
    """The choices for a device that nothing was tuned on; takes what `choices_for` does."""
    cores = os.cpu_count() or 2
    if device.type == "cuda":
        # Not measured: no GPU was at hand; `tune` measures CUDA graphs and nvJPEG there. Photos enough that
        # launching kernels takes no share of the time, and readers enough that decoding, 3 to 5 ms of a core
        # a photo, keeps up.
        bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        fastest = torch.bfloat16 if bfloat16 else torch.float16
        return Choices(dtype or fastest, 64, None, min(32, cores), 1)
    dtype = dtype or (torch.bfloat16 if multiplies_bfloat16() else torch.float32)
    photos_at_once = _photos_at_once(dtype, parameters)
    # Decoding 16 photos together takes half as long a photo as 8: it waits for a matrix of 4,773 x 4,773.
    # Two readers instead of one: 68 instead of 77 ms a photo with Lite2 on those 2 cores, 128 instead of 133
    # with ResNet-50.
    return Choices(dtype, max(16, photos_at_once), photos_at_once, max(2, min(8, cores // 2)), 0)


_LARGE = 16_000_000
"""Parameters from which on a network spends its time with reading them."""


def _photos_at_once(dtype: torch.dtype, parameters: int) -> int:
    """Photos of five crops that go through a network together on the CPU.

    Milliseconds a photo by the clock, medians of 5 in turns on 2 cores of an AMD EPYC (Zen 4), a virtual
    machine with nothing else on it; torch 2.15, folded networks, made-up pixels; by photos at once
    (`python tests/benchmarks/prediction_speed.py --choices --rounds 5`):

                                              1    2    4
        EfficientNet-Lite2, 260 px, float32   107  109  156
        EfficientNet-Lite2, 260 px, bfloat16   66   63   80
        ResNet-50, 224 px, float32            248  266  264
        ResNet-50, 224 px, bfloat16           136  128  117

    A small network's activations stay in the cache when there are few of them, and those of bfloat16 are half
    the size; a large one reads its weights once for all photos. More threads share more photos; that was not
    measured.

    torch.compile (inductor, weights frozen) saved up to 19 ms a photo there, or nothing, after 3 to 18 s of
    compiling in every new process: it pays after 260 to 3,600 photos, if at all. So it is no default;
    `tune --compile` keeps it where it is the fastest.
    """
    least = (4 if parameters >= _LARGE else 2) if dtype is torch.bfloat16 else 1
    return max(least, torch.get_num_threads() // 4)


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for products of bfloat16 numbers (AVX-512 BF16 or AMX).

    Without them bfloat16 is emulated and slower than float32.
    """
    found = False
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        # Private names, in PyTorch since 2.6: where they are missing, float32 it is.
        found = found or bool(getattr(torch.cpu, name, lambda: False)())
    return found
