"""From logits to cell probabilities, from those to one answer and to credible regions.

Shapes: N photos, V crops a photo, C, M and F cells of the coarse, middle and fine partitioning.
Probabilities are float32 in [0, 1] and sum to 1 over the cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geo_model.cells import Hierarchy
from geo_model.ranking import credible_regions as credible_regions
from geo_model.sphere import EARTH_RADIUS_KM, chord_of_km, great_circle_km, unit_vectors

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CropReduction = Literal["mean", "max"]

_DENSE_CELLS = 6000
"""Up to so many fine cells, what lies around each is kept as an ordinary matrix: 144 MB at most."""


@dataclass(frozen=True)
class Temperature:
    """Calibration: logits of each head are divided by its temperature before the softmax.

    The product of three levels counts the same evidence three times, so it has a temperature of its own.
    After Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
    """

    coarse: float = 1.0
    middle: float = 1.0
    fine: float = 1.0
    hierarchy: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"temperature {name} is {value}; it must be a number above 0")

    @property
    def of_levels(self) -> tuple[float, float, float]:
        """The temperatures of the coarse, middle and fine head."""
        return self.coarse, self.middle, self.fine


@dataclass(frozen=True)
class Decoding:
    """How one cell is chosen from the probabilities of the fine cells.

    `argmax` takes the most probable cell. The others look at what lies around a cell, by great-circle
    distance between the cells' mean coordinates: `mass` takes the cell with the most probability within
    `radius_km`, `smooth` the most probable one after smoothing with a Gaussian of standard deviation
    `radius_km`. Both are better than `argmax` at hundreds of kilometres and worse at tens.
    """

    rule: Literal["argmax", "mass", "smooth"] = "argmax"
    radius_km: float = 0.0

    def __post_init__(self) -> None:
        if self.rule not in ("argmax", "mass", "smooth"):
            raise ValueError(f"decoding rule {self.rule!r} is unknown; use 'argmax', 'mass' or 'smooth'")
        if self.rule != "argmax" and not (np.isfinite(self.radius_km) and self.radius_km > 0):
            raise ValueError(f"decoding radius_km is {self.radius_km}; rule {self.rule!r} needs one above 0")


def reduce_crops(
    logits: Sequence[Tensor], temperature: Temperature, crops: CropReduction = "mean"
) -> tuple[Tensor, ...]:
    """Cell probabilities of each level from the logits of each crop.

    Args:
        logits: One tensor (N, V, cells) per level, coarse first.
        temperature: Divides the logits.
        crops: `mean` averages the crops' softmaxes; `max` takes the largest of each cell and renormalises,
            as the paper's code did before showing none of it.

    Returns:
        One float32 tensor (N, cells) per level.
    """
    reduced = []
    for level_logits, level_temperature in zip(logits, temperature.of_levels, strict=True):
        softmaxes = torch.softmax(level_logits.float() / level_temperature, dim=-1)
        if crops == "mean":
            reduced.append(softmaxes.mean(dim=1))
        elif crops == "max":
            largest = softmaxes.amax(dim=1)
            reduced.append(largest / largest.sum(dim=-1, keepdim=True))
        else:
            raise ValueError(f"crops is {crops!r}; use 'mean' or 'max'")
    return tuple(reduced)


def hierarchy_product(
    probabilities: Sequence[Tensor], ancestors: Tensor, hierarchy_temperature: float = 1.0
) -> Tensor:
    """Probability of each fine cell from all three levels.

    p(f) is proportional to (product over levels l of p_l(ancestor of f in l)) ** (1 / temperature):
    equation 3 of the ECCV 2018 paper, with a temperature.

    Args:
        probabilities: One tensor (N, cells) per level, coarse first.
        ancestors: int64 (F, 3), `Hierarchy.ancestors`.
        hierarchy_temperature: 1 gives the paper's product.

    Returns:
        float32 (N, F).
    """
    # Sums of logarithms: three small float32 probabilities multiplied would underflow to 0.
    tiny = torch.finfo(torch.float32).tiny
    log_product = sum(
        p.float().clamp_min(tiny).log()[:, ancestors[:, column]] for column, p in enumerate(probabilities)
    )
    assert isinstance(log_product, Tensor)
    return torch.softmax(log_product / hierarchy_temperature, dim=-1)


@dataclass(frozen=True, eq=False)
class Decoded:
    """What the logits of N photos say.

    Attributes:
        levels: Probabilities of each level, coarse first, float32 (N, cells).
        product: Probabilities of the fine cells from all levels, float32 (N, F).
        classes: The fine class answered, int64 (N,).
        points: Answers within these cells, latitude and longitude in degrees, float64 (N, 2); None answers
            the cells' mean coordinates.
    """

    levels: tuple[Tensor, ...]
    product: Tensor
    classes: Tensor
    points: Tensor | None = None


class Decoder:
    """From logits to the answer: the one way that prediction, validation and evaluation take.

    Args:
        hierarchy: The three partitionings.
        temperature: Calibration of the heads and of their product.
        decoding: How the answer is chosen.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        temperature: Temperature = Temperature(),
        decoding: Decoding = Decoding(),
    ) -> None:
        self.temperature = temperature
        self.decoding = decoding
        self._fine = hierarchy.fine
        self._ancestors = torch.tensor(hierarchy.ancestors)
        self._neighbours: Tensor | csr_array | None = None

    def decode(self, logits: Sequence[Tensor], crops: CropReduction = "mean") -> Decoded:
        """All steps after the network.

        Args:
            logits: One tensor (N, V, cells) per level, coarse first, on any device.
            crops: See `reduce_crops`.
        """
        levels = reduce_crops(logits, self.temperature, crops)
        product = hierarchy_product(levels, self._ancestors.to(levels[0].device), self.temperature.hierarchy)
        return Decoded(levels, product, self.classes(product))

    def classes(self, product: Tensor) -> Tensor:
        """The fine class answered for each photo, int64 (N,), from probabilities (N, F)."""
        if self.decoding.rule == "argmax":
            return product.argmax(dim=-1)
        if self._neighbours is None:
            dense = len(self._fine) <= _DENSE_CELLS
            measure = _dense_neighbourhoods if dense else _neighbourhoods
            self._neighbours = measure(self._fine.latitudes, self._fine.longitudes, self.decoding)
        if isinstance(self._neighbours, Tensor):
            self._neighbours = self._neighbours.to(product.device)
            # The matrix is symmetric, and as the left factor it is read faster: 0.7 against 1.0 ms a photo.
            mass = (self._neighbours @ product.float().T.contiguous()).T
        else:
            rows = np.ascontiguousarray(product.float().cpu().numpy().T)
            mass = torch.from_numpy((self._neighbours @ rows).T).to(product.device)
        # Many cells near one peak hold almost the same mass; rounding must not choose among them.
        best = mass.amax(dim=-1, keepdim=True)
        return torch.where(mass >= best - 1e-5, product, -1.0).argmax(dim=-1)


def _dense_neighbourhoods(
    latitudes: NDArray[np.float64], longitudes: NDArray[np.float64], decoding: Decoding
) -> Tensor:
    """What `_neighbourhoods` gives as an ordinary matrix: twice the memory, and several times as fast."""
    points = torch.from_numpy(unit_vectors(latitudes, longitudes))
    reach_km = decoding.radius_km * (1 if decoding.rule == "mass" else 3)
    counted = torch.zeros(len(points), len(points))
    for rows, row_points in zip(counted.split(512), points.split(512), strict=True):
        # float64, for the cosine of a small angle leaves few digits: these are right to decimetres.
        half_chords = (0.5 * (1 - row_points @ points.T).clamp_min(0)).sqrt()
        near = half_chords <= chord_of_km(reach_km) / 2
        if decoding.rule == "mass":
            rows.copy_(near)
        else:
            angles = 2 * half_chords.float().clamp_max(1).asin()
            rows.copy_(torch.exp(-((angles * (EARTH_RADIUS_KM / decoding.radius_km)) ** 2) / 2) * near)
    return counted.fill_diagonal_(1)


def _neighbourhoods(
    latitudes: NDArray[np.float64], longitudes: NDArray[np.float64], decoding: Decoding
) -> csr_array:
    """Sparse (F, F) float32 matrix: how much the probability of each cell counts for each other.

    1 within the radius for the rule `mass`; exp(-d² / 2 r²) for `smooth`, and nothing beyond three radii.
    """
    from scipy.sparse import csr_array, identity
    from scipy.spatial import cKDTree

    count = len(latitudes)
    points = unit_vectors(latitudes, longitudes)
    reach_km = decoding.radius_km * (1 if decoding.rule == "mass" else 3)
    pairs = cKDTree(points).query_pairs(chord_of_km(reach_km), output_type="ndarray")
    counted = np.ones(len(pairs), np.float32)
    if decoding.rule == "smooth":
        first, second = pairs.T
        distances_km = great_circle_km(
            latitudes[first], longitudes[first], latitudes[second], longitudes[second]
        )
        counted = np.exp(-((distances_km / decoding.radius_km) ** 2) / 2).astype(np.float32)
    upper = csr_array((counted, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return csr_array(upper + upper.T + identity(count, np.float32, "csr"))
