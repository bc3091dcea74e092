"""What is believed before a photo is looked at: how many photos the cells hold.

A collection of photos may lie elsewhere: then its photos count by how many more photos the cells have around
them than the collection itself, so that together they stand for the cells' photos. This is importance
weighting, Shimodaira, "Improving predictive inference under covariate shift by weighting the log-likelihood
function", Journal of Statistical Planning and Inference 90, 2000, section 2.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geo_model.cells import LEVELS, Hierarchy, Partitioning
from geo_model.sphere import unit_vectors
from train.labels import distances_km

_FROM_ANYWHERE = 0.05
"""Share of a collection that is taken to follow the cells' photos, so that no weight exceeds 20."""

_CHUNK = 512


def log_priors(hierarchy: Hierarchy, by_photos: bool) -> tuple[Tensor, ...]:
    """Logarithm of each cell's share of the partitioning's photos, float32 (cells,) per level; or zeros."""
    priors = []
    for level in LEVELS:
        counts = np.maximum(hierarchy[level].photo_counts.astype(np.float64), 1)
        share = np.log(counts / counts.sum()) if by_photos else np.zeros(len(counts))
        priors.append(torch.from_numpy(share.astype(np.float32)))
    return tuple(priors)


def importance(
    coordinates: NDArray[np.float64],
    collection: NDArray[np.float64],
    partitioning: Partitioning,
    sigma_km: float,
) -> NDArray[np.float64]:
    """How much a photo of a collection counts for the photos of a partitioning.

    The density of the partitioning's photos over that of the collection, both smoothed with a Gaussian.

    Args:
        coordinates: Of N photos of the collection, latitude and longitude in degrees, (N, 2).
        collection: Of the M photos that its density is measured by, (M, 2).
        partitioning: Says with its cells' coordinates and photo counts where photos are taken.
        sigma_km: Standard deviation of the Gaussian.

    Returns:
        float64 (N,), above 0 and at most 20; 1 where both are equally dense.
    """
    photos, around = (
        torch.from_numpy(unit_vectors(*part.T).astype(np.float32)) for part in (coordinates, collection)
    )
    cells = torch.from_numpy(unit_vectors(partitioning.latitudes, partitioning.longitudes).astype(np.float32))
    counts = torch.from_numpy(np.maximum(partitioning.photo_counts, 1).astype(np.float64))
    share = counts / counts.sum()
    weights = []
    for part in photos.split(_CHUNK):
        of_cells = _gaussian(part, cells, sigma_km) @ share
        own = _gaussian(part, around, sigma_km).mean(dim=1)
        weights.append(of_cells / ((1 - _FROM_ANYWHERE) * own + _FROM_ANYWHERE * of_cells))
    return torch.cat(weights).numpy() if weights else np.zeros(0)


def _gaussian(points: Tensor, cells: Tensor, sigma_km: float) -> Tensor:
    exponent = (distances_km(points, cells) / sigma_km) ** 2 / 2
    return torch.exp(-exponent.double()).clamp_min(1e-300)
