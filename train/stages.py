"""Which part of a timm backbone is frozen, and cutting the network there.

A backbone's stages are the children of its `blocks`, `stages` or `layers`, or its children named `layer1`,
`layer2` ... or `s1`, `s2` ...: this covers EfficientNet, MobileNet, ResNet, RegNet, ConvNeXt and most others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from geo_model.errors import ConfigError
from train.config import Trainable

_CONTAINERS = ("blocks", "stages", "layers")
_NUMBERED = re.compile(r"(layer|s)\d+")


class _Reached(Exception):
    """Ends a forward pass at the cut and carries what arrived there."""

    def __init__(self, arrived: Tensor) -> None:
        self.arrived = arrived


class CutBackbone:
    """A backbone as a frozen front and a trainable tail: features = tail(front(crops)).

    With nothing frozen the front is the identity, with all frozen the tail is.

    Args:
        backbone: A timm model made with num_classes=0; its parameters' `requires_grad` is set.
        trainable: Which part is the tail.
        freeze_batch_norm: The tail's batch normalisation keeps its statistics, too.
        crop_px: Side in pixels of the crops that will come, for the check that the cut changes nothing.

    Raises:
        ConfigError: The backbone has no stages, too few, or cannot be cut between them.
    """

    def __init__(
        self, backbone: nn.Module, trainable: Trainable, freeze_batch_norm: bool, crop_px: int
    ) -> None:
        self.backbone = backbone
        self.mode = trainable.mode
        self._freeze_batch_norm = freeze_batch_norm
        self._tail: list[nn.Module] = []
        self._learning: list[nn.Module] = [backbone] if trainable.mode == "all" else []
        if trainable.mode == "last_stages":
            self._cut(trainable.last_stages, crop_px)
        backbone.requires_grad_(False)
        for module in self._learning:
            module.requires_grad_(True)

    def _cut(self, count: int, crop_px: int) -> None:
        stages = stages_of(self.backbone)
        if len(stages) <= count:
            raise ConfigError(
                f"backbone.trainable: the backbone has {len(stages)} stages and last_stages is {count}; "
                + (f"give 1 to {len(stages) - 1}, or use all." if stages else "use all or none.")
            )
        crops = torch.randn(2, 3, crop_px, crop_px, generator=torch.Generator().manual_seed(0))
        self.backbone.eval()
        with torch.inference_mode():
            trunk = _trunk(self.backbone, stages, crops)
            self._tail = trunk[trunk.index(stages[-count]) :] if stages[-count] in trunk else []
            if not self._tail or not torch.allclose(
                self.tail(self.front(crops)), self.backbone(crops), 1e-3, 1e-4
            ):
                raise ConfigError(
                    "backbone.trainable: this backbone cannot be cut between its stages; use all or none."
                )
        # What runs after the trunk (pooling, in some networks a last convolution) learns with the tail.
        ran = {id(module) for module in trunk}
        self._learning = self._tail + [
            child
            for child in self.backbone.children()
            if not any(id(module) in ran for module in child.modules())
        ]

    def front(self, crops: Tensor) -> Tensor:
        """What leaves the frozen part for normalised crops (B, 3, S, S); computed without gradients."""
        if self.mode == "all":
            return crops
        with torch.no_grad():
            if self.mode == "none":
                return self.backbone(crops)
            return _input_of(self._tail[0], self.backbone, crops)

    def tail(self, activations: Tensor) -> Tensor:
        """Pooled features (B, D) from what `front` gave."""
        if self.mode == "none":
            return activations
        if self.mode == "all":
            return self.backbone(activations)
        for module in self._tail:
            activations = module(activations)
        return self.backbone.forward_head(activations)  # type: ignore[operator]

    def train(self, training: bool) -> None:
        """Put the part that learns in training mode, or all in evaluation mode.

        Batch normalisation of the frozen part always keeps its statistics.
        """
        self.backbone.eval()
        for module in self._learning:
            module.train(training)
            if self._freeze_batch_norm:
                for part in module.modules():
                    if isinstance(part, nn.modules.batchnorm._BatchNorm):
                        part.eval()


def stages_of(backbone: nn.Module) -> list[nn.Module]:
    """The stages of a timm backbone in order; empty if it has none that are known."""
    for name in _CONTAINERS:
        container = getattr(backbone, name, None)
        if isinstance(container, (nn.Sequential, nn.ModuleList)):
            return list(container)
    return [child for name, child in backbone.named_children() if _NUMBERED.fullmatch(name)]


def _trunk(backbone: nn.Module, stages: list[nn.Module], crops: Tensor) -> list[nn.Module]:
    """The backbone's children and stages in the order in which `forward_features` runs them."""
    inside = {id(stage) for stage in stages}
    watched = list(stages)
    for child in backbone.children():
        if not any(id(part) in inside for part in child.children()) and id(child) not in inside:
            watched.append(child)
    ran: list[nn.Module] = []

    def note(module: nn.Module, *_: Any) -> None:  # noqa: ANN401 - a torch hook
        ran.append(module)

    with _Hooks(watched, note):
        backbone.forward_features(crops)  # type: ignore[operator]
    return ran


def _input_of(module: nn.Module, backbone: nn.Module, crops: Tensor) -> Tensor:
    """What arrives at a module when crops pass through the backbone; the pass ends there."""

    def reach(_: nn.Module, arrived: tuple[Tensor, ...]) -> None:
        raise _Reached(arrived[0])

    handle = module.register_forward_pre_hook(reach)
    try:
        backbone.forward_features(crops)  # type: ignore[operator]
    except _Reached as reached:
        return reached.arrived
    finally:
        handle.remove()
    raise AssertionError("the forward pass went round the cut")


class _Hooks:
    """Forward hooks on several modules, for as long as the block runs."""

    def __init__(self, modules: list[nn.Module], hook: Callable[..., None]) -> None:
        self._register = [partial(module.register_forward_hook, hook) for module in modules]

    def __enter__(self) -> None:
        self._handles = [register() for register in self._register]

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
