"""Batch normalisation folded into the convolutions before it: fewer passes over memory, the same function.

In evaluation a batch normalisation multiplies each channel by one number and adds another, which the weights
and bias of the convolution before it can do at no cost (Jacob et al., "Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018, section 3.2).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_TOLERANCE = 1e-3
"""Largest change of an output, of the largest output, that rounding explains in float32."""


@torch.no_grad()
def folded(network: nn.Module, crop_px: int) -> nn.Module:
    """A copy of a network without the batch normalisations that a convolution can take over.

    Which convolution feeds which normalisation is seen by running the network once, and the copy is run to
    compare: a network that uses its layers in another way than was seen comes back as it was.

    Args:
        network: Any module from float32 pixels (B, 3, S, S) to features, in evaluation mode, on the CPU.
        crop_px: S.

    Returns:
        The folded copy; or `network` itself, where nothing can be folded.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network
    pixels = torch.randn(1, 3, crop_px, crop_px, generator=torch.Generator().manual_seed(0))
    copied = copy.deepcopy(network)
    pairs, expected = _convolutions_before_normalisations(copied, pixels)
    if not pairs:
        return network
    names = {module: name for name, module in copied.named_modules()}
    for convolution, normalisation in pairs:
        _replace(copied, names[convolution], fuse_conv_bn_eval(convolution, normalisation))
        _replace(copied, names[normalisation], _what_follows(normalisation))
    same = (copied(pixels) - expected).abs().max() <= _TOLERANCE * expected.abs().max()
    return copied if same else network


def _convolutions_before_normalisations(
    network: nn.Module, pixels: Tensor
) -> tuple[list[tuple[nn.Conv2d, nn.BatchNorm2d]], Tensor]:
    """The pairs that ran directly one after the other, each layer once, and the network's output."""
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # the tensor is kept, so that its id stays its own
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    runs: dict[nn.Module, int] = {}

    def ran(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        runs[module] = runs.get(module, 0) + 1
        if isinstance(module, nn.Conv2d):
            made[id(output)] = (module, output)
        elif isinstance(module, nn.BatchNorm2d) and id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])][0], module))

    hooks = [
        module.register_forward_hook(ran)
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
    ]
    try:
        output = network(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    once = [pair for pair in pairs if all(runs[module] == 1 for module in pair)]
    return once, output


def _what_follows(normalisation: nn.BatchNorm2d) -> nn.Module:
    """The activation that timm's BatchNormAct2d holds, or nothing."""
    activation = getattr(normalisation, "act", None)
    return activation if isinstance(activation, nn.Module) else nn.Identity()


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, module)
