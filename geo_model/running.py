"""How a network runs on a device: folded, in its precision, one call at a time, compiled, or as a CUDA graph.

All ways give the same answers beyond rounding. Which is taken, `measured_choices` says.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from geo_model.folding import folded
from geo_model.measured_choices import Choices
from geo_model.network import GeoNetwork

Logits: TypeAlias = tuple[Tensor, ...]
Run: TypeAlias = Callable[[Tensor], Logits]


def fast_network(network: nn.Module, crop_px: int, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The network as it computes fastest: a copy, or the one given where nothing is known of it."""
    if not isinstance(network, GeoNetwork):
        return network.to(device=device, dtype=dtype)
    backbone = folded(network.backbone, crop_px)
    fast = copy.deepcopy(network)
    fast.backbone = backbone if backbone is not network.backbone else fast.backbone
    if device.type == "cpu":
        fast.backbone.to(dtype)
    else:
        fast.to(device=device, dtype=dtype)
    return fast.to(memory_format=torch.channels_last)


def backbone_parameters(network: nn.Module) -> int:
    """How many numbers the network has learned, those of its heads not counted."""
    backbone = network.backbone if isinstance(network, GeoNetwork) else network
    return sum(parameter.numel() for parameter in backbone.parameters())


def runner(network: nn.Module, choices: Choices, views: int) -> Run:
    """What gives the logits of normalised crops (B, 3, S, S) in the way that the choices name.

    Args:
        network: As `fast_network` gives it.
        choices: Its `way` and how many photos go together.
        views: Crops of each photo.
    """
    if choices.way == "eager":
        return network
    whole = views * (choices.photos_at_once or choices.batch_size)
    fixed: Run = Compiled(network) if choices.way == "compiled" else CapturedNetwork(network)
    return FixedBatch(network, fixed, whole)


class FixedBatch:
    """Runs batches of one size in a way that takes no other: nearly full ones are filled up with black.

    Args:
        eager: Runs batches of any size; takes those that are less than half full.
        fixed: Runs those of the one size.
        size: How many crops that is.
    """

    def __init__(self, eager: Run, fixed: Run, size: int) -> None:
        self.eager, self.fixed, self.size = eager, fixed, size

    def __call__(self, pixels: Tensor) -> Logits:
        """Logits (B, cells) of normalised crops (B, 3, S, S)."""
        count = len(pixels)
        if count > self.size or 2 * count < self.size:
            return self.eager(pixels)
        if count < self.size:
            filled = pixels.new_zeros(self.size, *pixels.shape[1:]).to(memory_format=torch.channels_last)
            filled[:count] = pixels
            pixels = filled
        return tuple(logits[:count] for logits in self.fixed(pixels))


class Compiled:
    """A network through torch.compile, compiled when it first runs; as it is where that fails.

    Args:
        network: Any.
    """

    def __init__(self, network: nn.Module) -> None:
        # On the CPU weights that cannot change may be laid out as the processor likes them.
        freezing = next(network.parameters()).device.type == "cpu"
        self._network = network
        self._compiled: Run | None = torch.compile(network, dynamic=False, options={"freezing": freezing})

    def __call__(self, pixels: Tensor) -> Logits:
        """Logits (B, cells) of normalised crops (B, 3, S, S)."""
        if self._compiled is not None:
            try:
                return self._compiled(pixels)
            except Exception as error:  # whatever Python, C++ compiler and torch make of it
                if type(error).__name__ == "OutOfMemoryError":
                    raise
                self._compiled = None
                logging.getLogger(__name__).warning(
                    "The network cannot be compiled here (%s); it runs as it is, with the same answers.",
                    " ".join(str(error).split())[:200],
                )
        return self._network(pixels)

    @property
    def failed(self) -> bool:
        """Whether compiling failed."""
        return self._compiled is None


class CapturedNetwork:
    """A network on a GPU as a CUDA graph: all its kernels are launched at once. Captured when it first runs.

    Every batch must have the shape of the first. See "CUDA Graphs" in PyTorch's notes on CUDA semantics.

    Args:
        network: On the GPU.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._graph: torch.cuda.CUDAGraph | None = None
        self._pixels = torch.empty(0)
        self._logits: Logits = ()
        self._one_at_a_time = threading.Lock()  # a graph has one place for its input and one for its output

    def __call__(self, pixels: Tensor) -> Logits:
        """Logits (B, cells) of normalised crops (B, 3, S, S)."""
        with self._one_at_a_time:
            if self._graph is None:
                self._capture(pixels)
            assert self._graph is not None
            self._pixels.copy_(pixels)
            self._graph.replay()
            return tuple(logits.clone() for logits in self._logits)

    def _capture(self, pixels: Tensor) -> None:
        self._pixels = pixels.clone(memory_format=torch.preserve_format)
        computing, aside = torch.cuda.current_stream(pixels.device), torch.cuda.Stream(pixels.device)
        aside.wait_stream(computing)
        with torch.cuda.stream(aside):
            for _ in range(3):  # libraries choose kernels and take memory in the first runs
                self._network(self._pixels)
        computing.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # Other threads may copy photos to the GPU meanwhile. By itself it captures on the current device.
        with (
            torch.cuda.device(pixels.device),
            torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"),
        ):
            self._logits = self._network(self._pixels)
        self._graph = graph


class Arriving:
    """Tensors on their way from a GPU to the processor, begun without waiting; those of a CPU are there.

    Args:
        tensors: By name, all on one device.
    """

    def __init__(self, **tensors: Sequence[Tensor]) -> None:
        self._tensors = tensors
        self._event: torch.cuda.Event | None = None
        on_gpu = [tensor for group in tensors.values() for tensor in group if tensor.is_cuda]
        if on_gpu:
            # Copies that do not block go into pinned memory.
            self._tensors = {
                key: [tensor.to("cpu", non_blocking=True) for tensor in group]
                for key, group in tensors.items()
            }
            self._event = torch.cuda.Event()
            self._event.record(torch.cuda.current_stream(on_gpu[0].device))

    def arrived(self) -> dict[str, Sequence[Tensor]]:
        """The tensors on the CPU; waits for them, and not for what the GPU was given after them."""
        if self._event is not None:
            self._event.synchronize()
        return self._tensors
