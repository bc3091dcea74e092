"""The last feature map of a timm backbone, as features of single positions whose mean is what the heads see.

A network that ends in global average pooling has such features by its making; so has one that normalises
the pooled vector after it (ConvNeXt, a transformer whose patch tokens are averaged), as long as the norm's
mean and variance are held at those of the photo. Which it is, is not looked up but tried on noise: a way of
pooling that does not give what the network gives is not taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_RELATIVE_ERROR = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2}
"""Of pooled noise computed again, by what the network computes in; a wrong guess is off by 0.1 or more."""


@dataclass(frozen=True, eq=False)
class PositionFeatures:
    """Features of each position of the last feature map.

    Attributes:
        positions: float32 (B, h, w, D).
        shift: float32 (D,), what the network adds after pooling; zeros where it adds nothing.
    """

    positions: Tensor
    shift: Tensor

    @property
    def pooled(self) -> Tensor:
        """What the heads see, float32 (B, D); the network itself may have rounded it to 16 bits."""
        return self.positions.mean(dim=(1, 2)) + self.shift


def position_features(backbone: nn.Module, pixels: Tensor) -> PositionFeatures | None:
    """Run a backbone and take its pooled features apart by position.

    Args:
        backbone: A timm model made with num_classes=0, in evaluation mode.
        pixels: Normalised crops (B, 3, S, S).

    Returns:
        None where the pooled features are no mean over positions: between its last feature map and the heads
        the network does something else than average and, perhaps, a layer norm.
    """
    last = backbone.forward_features(pixels)  # type: ignore[operator]
    if not isinstance(last, Tensor):
        return None
    noise = torch.randn(last.shape, generator=torch.Generator().manual_seed(0)).to(last)
    wanted = backbone.forward_head(noise, pre_logits=True).float()  # type: ignore[operator]
    if wanted.ndim != 2:
        return None
    tolerance = _RELATIVE_ERROR[last.dtype] * wanted.abs().max()
    count = wanted.shape[1]
    for tried, found in zip(_ways(backbone, noise, count), _ways(backbone, last, count), strict=True):
        if (tried.pooled - wanted).abs().max() <= tolerance:
            return found
    return None


def _ways(backbone: nn.Module, last: Tensor, feature_count: int) -> Iterator[PositionFeatures]:
    """Each way in which features may be pooled: the mean alone, and the mean and one of the layer norms."""
    for grid in _grids(last.float(), feature_count):
        yield PositionFeatures(grid, grid.new_zeros(feature_count))
        mean = grid.mean(dim=(1, 2))
        centred = grid - grid.mean(dim=-1, keepdim=True)
        for norm in backbone.modules():
            if isinstance(norm, nn.LayerNorm) and tuple(norm.normalized_shape) == (feature_count,):
                scale = torch.rsqrt(mean.var(dim=1, unbiased=False, keepdim=True) + norm.eps)
                if norm.weight is not None:
                    scale = scale * norm.weight.float()
                shift = grid.new_zeros(feature_count) if norm.bias is None else norm.bias.float()
                yield PositionFeatures(centred * scale[:, None, None, :], shift)


def _grids(last: Tensor, feature_count: int) -> Iterator[Tensor]:
    """A feature map as (B, h, w, D): channels first, last, or a square of tokens after some others."""
    if last.ndim == 4 and last.shape[1] == feature_count:
        yield last.permute(0, 2, 3, 1)
    if last.ndim == 4 and last.shape[3] == feature_count:
        yield last
    if last.ndim == 3 and last.shape[2] == feature_count:
        side = math.isqrt(last.shape[1])
        yield last[:, last.shape[1] - side * side :].unflatten(1, (side, side))
