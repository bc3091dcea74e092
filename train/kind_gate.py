"""Telling apart the kinds of photo whose evidence is weighed apart (`calibration.away`) from the others.

What a network learns from thousands of street scenes holds for street scenes. On photos of other kinds the
same evidence misleads in two ways: it knows where the few training photos of these kinds were collected, and
it is surer than it has reason to be. So these photos are located by what sets them apart from the average
photo of their kinds, and with a strength of its own. Which kind a photo is of, a multinomial logistic
regression on the pooled features says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

HOME, AWAY = 0, 1


@dataclass(frozen=True, eq=False)
class Gate:
    """A fitted gate.

    Attributes:
        weight, bias: float32 (2, D) and (2,), on standardised features; row 0 for the kinds at home, 1 for
            those of `calibration.away`.
        centre: Mean standardised features of the training photos away, float32 (D,).
    """

    weight: Tensor
    bias: Tensor
    centre: Tensor

    def shares(self, features: Tensor) -> Tensor:
        """How much photos look like those at home and those away, (..., 2), of features (..., D)."""
        return torch.softmax(features @ self.weight.T + self.bias, dim=-1)

    def save(self, file: Path) -> None:
        """Write it as safetensors."""
        from safetensors.torch import save_file

        save_file({"weight": self.weight, "bias": self.bias, "centre": self.centre}, file)

    @classmethod
    def read(cls, file: Path) -> Gate:
        """Read what `save` wrote."""
        from safetensors.torch import load_file

        return cls(**load_file(file))


def fit_gate(features: Tensor, away: Tensor, ridge: float) -> Gate:
    """Fit a gate; both groups count alike, however many photos they have.

    Args:
        features: Standardised, float32 (N, D), of training photos.
        away: bool (N,), which of them are of the kinds away; some are and some are not.
        ridge: Times the sum of the squared weights is added to the mean loss.
    """
    target = away.long()
    each = 0.5 / torch.bincount(target, minlength=2).float()
    weight = torch.zeros(2, features.shape[1], requires_grad=True)
    bias = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        losses = cross_entropy(features @ weight.T + bias, target, reduction="none")
        total = (losses * each[target]).sum() + ridge * (weight**2).sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    return Gate(weight.detach(), bias.detach(), features[away].mean(dim=0))
