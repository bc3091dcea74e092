"""What the heads are trained towards: one cell, or shares of all cells by their distance from the photo."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from geo_model.cells import LEVELS, Hierarchy
from geo_model.sphere import EARTH_RADIUS_KM, unit_vectors
from train.config import Labels


def distances_km(points: Tensor, cells: Tensor) -> Tensor:
    """Great-circle distances from the chords between unit vectors.

    The chord, unlike the scalar product, keeps float32 good to about a metre at short distances.

    Args:
        points: Unit vectors (B, 3).
        cells: Unit vectors (C, 3).

    Returns:
        Kilometres (B, C).
    """
    chords = torch.cdist(points, cells, compute_mode="donot_use_mm_for_euclid_dist")
    return 2 * EARTH_RADIUS_KM * torch.asin((chords / 2).clamp(max=1.0))


def soft_labels(points: Tensor, cells: Tensor, kernel: Literal["exp", "gaussian"], sigma_km: float) -> Tensor:
    """A share for each cell that falls with its distance from the photo; the shares sum to 1.

    `exp` is the smoothing of Haas et al., "PIGEON: Predicting Image Geolocations", CVPR 2024, equation 1, but
    normalised.

    Args:
        points: Unit vectors of the photos (B, 3).
        cells: Unit vectors of the cells' mean coordinates (C, 3).
        kernel: `exp`, exp(-d / sigma), or `gaussian`, exp(-d² / 2 sigma²).
        sigma_km: In km, above 0.

    Returns:
        float32 (B, C).
    """
    ratio = distances_km(points, cells) / sigma_km
    # A softmax of the exponents: a photo a thousand sigmas from any cell still has its nearest cells.
    return torch.softmax(-ratio if kernel == "exp" else -(ratio**2) / 2, dim=-1)


class Targets(nn.Module):
    """Training targets and the loss towards them; holds the cells' coordinates on the module's device.

    Args:
        hierarchy: The three partitionings.
        labels: Hard or soft.
    """

    def __init__(self, hierarchy: Hierarchy, labels: Labels) -> None:
        super().__init__()
        self.labels = labels
        self.counts = hierarchy.sizes
        for level in LEVELS:
            partitioning = hierarchy[level]
            cells = unit_vectors(partitioning.latitudes, partitioning.longitudes).astype(np.float32)
            self.register_buffer(f"{level.value}_cells", torch.from_numpy(cells), persistent=False)

    def forward(self, points: Tensor, classes: Tensor) -> tuple[Tensor, ...]:
        """Shares of the cells, one float32 (B, cells) per level.

        Args:
            points: Unit vectors of the photos, float32 (B, 3).
            classes: Coarse, middle and fine class of each photo, int64 (B, 3), -1 for none. With hard labels
                such a photo has a row of zeros at that level and so no part in its loss.
        """
        if self.labels.kind == "hard":
            return tuple(
                one_hot(classes[:, column].clamp(min=0), count).float() * (classes[:, column, None] >= 0)
                for column, count in enumerate(self.counts)
            )
        return tuple(
            soft_labels(points, getattr(self, f"{level.value}_cells"), self.labels.kernel, sigma_km)
            for level, sigma_km in zip(LEVELS, self.labels.sigmas_km, strict=True)
        )


def loss_of_levels(logits: tuple[Tensor, ...], targets: tuple[Tensor, ...]) -> Tensor:
    """The sum of the three levels' cross-entropies (ECCV 2018 paper, section 3.2), each a mean over photos.

    Photos whose target is all zeros at a level are left out of its mean.

    Args:
        logits: One (B, cells) per level.
        targets: Shares of the cells, the same shapes.
    """
    total = logits[0].new_zeros((), dtype=torch.float32)
    for level_logits, target in zip(logits, targets, strict=True):
        taught = (target.sum(dim=-1) > 0).sum().clamp(min=1)
        total = total + cross_entropy(level_logits.float(), target, reduction="sum") / taught
    return total
