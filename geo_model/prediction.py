"""What a model says about a photo: where it was taken, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from geo_model.cells import Hierarchy, Level
from geo_model.places import Place, nearest_places
from geo_model.ranking import RankedCells, most_probable, ranked_cells


@dataclass(frozen=True)
class PhotoFailure:
    """A photo that could not be read, with the sentence that says why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Candidate:
    """One cell in a ranking.

    Attributes:
        rank: 1 is the most probable.
        level: The level of the cell; None in a ranking of fine cells by the hierarchy's product.
        class_index: Row of the cell in its partitioning.
        token: S2 token.
        probability: In [0, 1].
        latitude: Degrees, of the mean coordinate of the cell's photos.
        longitude: Degrees, likewise.
        place: Nearest populated place.
    """

    rank: int
    level: Level | None
    class_index: int
    token: str
    probability: float
    latitude: float
    longitude: float
    place: Place


@dataclass(frozen=True, eq=False)
class Region:
    """A credible region: the smallest set of fine cells that holds a share of the probability.

    Attributes:
        share: The share asked for, in (0, 1].
        classes: Fine classes, most probable first, int64.
        probability: What they hold, at least `share`.
        area_km2: Their area in km².
    """

    share: float
    classes: NDArray[np.int64]
    probability: float
    area_km2: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """Where a photo was taken, and how sure that is.

    Attributes:
        name: Of the photo.
        class_index: The fine class answered.
        levels: Probabilities of each head, float32 (cells of that level,), in [0, 1].
        product: Probabilities of the fine cells from all three levels, float32 (F,).
        hierarchy: The partitionings that the classes belong to.
        answer: Latitude and longitude in degrees, from a model that answers more finely than a cell; None
            answers the mean coordinate of the cell's photos.
        logits: Of each crop, coarse first, float32 (V, cells), where `Model.stream` was asked to keep them
            and the model's probabilities are made of them.
    """

    name: str
    class_index: int
    levels: dict[Level, NDArray[np.float32]]
    product: NDArray[np.float32]
    hierarchy: Hierarchy
    answer: tuple[float, float] | None = None
    logits: tuple[NDArray[np.float32], ...] | None = None
    _regions: dict[float, Region] = field(default_factory=dict, init=False, repr=False)

    @property
    def latitude(self) -> float:
        """Degrees."""
        return self.answer[0] if self.answer else float(self.hierarchy.fine.latitudes[self.class_index])

    @property
    def longitude(self) -> float:
        """Degrees."""
        return self.answer[1] if self.answer else float(self.hierarchy.fine.longitudes[self.class_index])

    @property
    def probability(self) -> float:
        """Of the fine cell answered, from all three levels."""
        return float(self.product[self.class_index])

    @cached_property
    def place(self) -> Place:
        """The populated place nearest to the answer."""
        return answered_places([self])[0]

    def probabilities(self, level: Level | None = None) -> NDArray[np.float32]:
        """Probabilities of one head's cells, or of the fine cells from all levels (None)."""
        return self.product if level is None else self.levels[level]

    def point(self, level: Level | None = None) -> tuple[float, float]:
        """Latitude and longitude, in degrees, of one head's most probable cell, or of the answer (None)."""
        if level is None:
            return self.latitude, self.longitude
        partitioning, best = self.hierarchy[level], int(self.levels[level].argmax())
        return float(partitioning.latitudes[best]), float(partitioning.longitudes[best])

    def top(self, k: int = 5, level: Level | None = None) -> list[Candidate]:
        """The k most probable cells of one head, or the k most probable fine cells from all levels (None).

        The answer need not be the first of them: a model may answer the cell with the most probability
        around it (see `decoding.Decoding`).
        """
        probabilities = self.probabilities(level)
        partitioning = self.hierarchy[level or Level.FINE]
        classes = most_probable(probabilities, k)
        return [
            Candidate(
                rank=rank,
                level=level,
                class_index=index,
                token=partitioning.tokens[index],
                probability=float(probabilities[index]),
                latitude=float(partitioning.latitudes[index]),
                longitude=float(partitioning.longitudes[index]),
                place=partitioning.places[index],
            )
            for rank, index in enumerate(classes.tolist(), start=1)
        ]

    def region(self, share: float = 0.9) -> Region:
        """The credible region of a share of the probability.

        Raises:
            ValueError: The share is not in (0, 1].
        """
        if share in self._regions:
            return self._regions[share]
        return regions_of(ranked_cells(torch.from_numpy(self.product)[None], (share,)), self.hierarchy)[0]


def answered_places(predictions: Sequence[Prediction]) -> list[Place]:
    """The populated place nearest to each answer, in one call for all.

    The mean coordinates of cells are looked up once for all cells, see `Partitioning.places`.
    """
    places = [p.hierarchy.fine.places[p.class_index] if p.answer is None else None for p in predictions]
    answers = [p.answer for p in predictions if p.answer is not None]
    points = np.array(answers, dtype=np.float64).reshape(-1, 2)
    found = iter(nearest_places(points[:, 0], points[:, 1]))
    return [place or next(found) for place in places]


def regions_of(ranked: RankedCells, hierarchy: Hierarchy) -> list[Region]:
    """The credible regions of a batch, photo by photo and for each photo share by share.

    Args:
        ranked: The fine cells by probability, on the CPU.
        hierarchy: The partitionings that they are of.
    """
    order, counts, held = ranked.order.numpy(), ranked.counts.tolist(), ranked.held.tolist()
    areas_km2 = ranked.sums(hierarchy.fine.areas_km2).tolist()
    return [
        Region(share, order[row, : counts[row][column]].copy(), held[row][column], areas_km2[row][column])
        for row in range(len(order))
        for column, share in enumerate(ranked.shares)
    ]


def describe(predictions: Sequence[Prediction], ranked: RankedCells) -> None:
    """Work out the place and regions of a batch together; the predictions keep them until they are asked for.

    Args:
        predictions: Of one model.
        ranked: Their fine cells by probability, on the CPU, as many rows.
    """
    if not predictions:
        return
    regions = iter(regions_of(ranked, predictions[0].hierarchy))
    for prediction, place in zip(predictions, answered_places(predictions), strict=True):
        vars(prediction)["place"] = place  # where cached_property looks
        prediction._regions.update({share: next(regions) for share in ranked.shares})
