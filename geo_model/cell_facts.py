"""What is known of one cell: its facts, the cells above and below it, and how its probability came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geo_model.cells import LEVELS, Hierarchy, Level


@dataclass(frozen=True)
class CellFacts:
    """One cell of a partitioning.

    Attributes:
        level: The partitioning that it belongs to.
        class_index: Its row there.
        token: S2 token.
        s2_level: 0 (a sixth of the Earth) to 30.
        area_km2: On a sphere of 6371 km radius.
        photos: Training photos in it.
        latitude: Degrees, mean of its photos' latitudes.
        longitude: Degrees, mean of its photos' longitudes.
    """

    level: Level
    class_index: int
    token: str
    s2_level: int
    area_km2: float
    photos: int
    latitude: float
    longitude: float


def cell_facts(hierarchy: Hierarchy, level: Level, class_index: int) -> CellFacts:
    """The facts of one cell.

    Raises:
        IndexError: The level has no such class.
    """
    cells = hierarchy[level]
    if not 0 <= class_index < len(cells):
        raise IndexError(f"class {class_index} is not among the {len(cells)} cells of level {level.value}")
    return CellFacts(
        level=level,
        class_index=class_index,
        token=cells.tokens[class_index],
        s2_level=int(cells.s2_levels[class_index]),
        area_km2=float(cells.areas_km2[class_index]),
        photos=int(cells.photo_counts[class_index]),
        latitude=float(cells.latitudes[class_index]),
        longitude=float(cells.longitudes[class_index]),
    )


def ancestor_classes(hierarchy: Hierarchy, level: Level, class_index: int) -> dict[Level, int]:
    """The classes of the levels above that are or hold a cell, the coarsest first.

    A level is missing where no cell of it holds this one, which only a cell without fine cells can have.
    """
    cell = hierarchy[level].ids[[class_index]]
    above = LEVELS[: LEVELS.index(level)]
    found = {upper: int(hierarchy[upper].classes_of_ids(cell)[0]) for upper in above}
    return {upper: index for upper, index in found.items() if index >= 0}


def child_classes(hierarchy: Hierarchy, level: Level, class_index: int) -> NDArray[np.int64]:
    """The classes of the next finer level within a cell, int64 (K,), ascending; none below the fine level."""
    if level is Level.FINE:
        return np.empty(0, dtype=np.int64)
    lower = hierarchy[LEVELS[LEVELS.index(level) + 1]]
    return np.flatnonzero(hierarchy[level].classes_of_ids(lower.ids) == class_index).astype(np.int64)


def fine_classes_within(hierarchy: Hierarchy, level: Level, class_index: int) -> NDArray[np.int64]:
    """The fine classes that are or lie in a cell of any level, int64 (K,), ascending."""
    return np.flatnonzero(hierarchy.ancestors[:, LEVELS.index(level)] == class_index).astype(np.int64)


@dataclass(frozen=True)
class ProductExplained:
    """How a fine cell's probability from all levels came about: equation 3 of the ECCV 2018 paper.

    Attributes:
        classes: The class of each level that counts for the cell.
        factors: Their probabilities, in [0, 1].
        product: The factors multiplied.
        temperature: Of the product, see `decoding.Temperature`.
        tempered: product ** (1 / temperature).
        total: The sum of `tempered` over all fine cells.
        probability: tempered / total.
    """

    classes: dict[Level, int]
    factors: dict[Level, float]
    product: float
    temperature: float
    tempered: float
    total: float
    probability: float


def explain_product(
    hierarchy: Hierarchy,
    levels: Mapping[Level, NDArray[np.float32]],
    fine_class: int,
    hierarchy_temperature: float = 1.0,
) -> ProductExplained:
    """From the three heads' probabilities to that of a fine cell, as `hierarchy_product` goes.

    Args:
        hierarchy: The cells.
        levels: Probabilities of each head, float32 (cells of that level,).
        fine_class: Which fine cell.
        hierarchy_temperature: Above 0.
    """
    # float64 holds the product of three of float32's smallest numbers, so nothing underflows here.
    tiny = float(np.finfo(np.float32).tiny)
    columns = [
        np.maximum(levels[level].astype(np.float64), tiny)[hierarchy.ancestors[:, column]]
        for column, level in enumerate(LEVELS)
    ]
    products = np.prod(columns, axis=0)
    tempered = products ** (1 / hierarchy_temperature)
    total = float(tempered.sum())
    return ProductExplained(
        classes={level: int(hierarchy.ancestors[fine_class, column]) for column, level in enumerate(LEVELS)},
        factors={level: float(columns[column][fine_class]) for column, level in enumerate(LEVELS)},
        product=float(products[fine_class]),
        temperature=hierarchy_temperature,
        tempered=float(tempered[fine_class]),
        total=total,
        probability=float(tempered[fine_class]) / total,
    )
