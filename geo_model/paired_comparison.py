"""Two methods on the same photos: which is nearer to the truth how often, and is that more than chance?

Unpaired intervals overlap long before two methods that were measured on the same photos are alike, because
most photos are easy or hard for both. So the photos on which they differ are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo_model.metrics import THRESHOLDS_KM

SAME_KM = 1e-6
"""Errors that differ by no more than a millimetre count as equal."""

SIGNIFICANT = 0.05
"""A p-value below this is called more than chance."""


@dataclass(frozen=True)
class ThresholdComparison:
    """Photos within one distance of the truth by two methods.

    Attributes:
        km: The distance.
        both: Within it by both methods.
        first_only: Only by the first.
        second_only: Only by the second.
        neither: By neither.
        p_value: Of McNemar's exact test, two-sided.
        adjusted_p_value: After Holm's correction for as many thresholds as are compared.
    """

    km: float
    both: int
    first_only: int
    second_only: int
    neither: int
    p_value: float
    adjusted_p_value: float


@dataclass(frozen=True)
class PairedComparison:
    """What the second method does better or worse than the first on the same photos.

    Attributes:
        photos: Compared.
        better: Photos on which the second is nearer to the truth.
        worse: On which it is farther.
        equal: On which both are equally far.
        p_value: Of the sign test, two-sided: how probable a split at least as uneven is if neither is better.
        thresholds: The same at each distance.
    """

    photos: int
    better: int
    worse: int
    equal: int
    p_value: float
    thresholds: tuple[ThresholdComparison, ...]


def compare_paired(
    first_km: ArrayLike, second_km: ArrayLike, thresholds_km: Sequence[float] = THRESHOLDS_KM
) -> PairedComparison:
    """Compare the errors of two methods on the same photos.

    The sign test (Dixon and Mood, "The statistical sign test", JASA 41, 1946) asks whether better and worse
    are equally frequent; equal photos are left out. At each distance McNemar's test ("Note on the sampling
    error of the difference between correlated proportions or percentages", Psychometrika 12, 1947), in its
    exact form, asks the same of the photos that only one method has within it; Holm's correction ("A simple
    sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979) accounts for
    the several distances.

    Args:
        first_km: Errors of the first method in km, shape (N,).
        second_km: Errors of the second on the same photos, in the same order.
        thresholds_km: Distances to compare at.

    Raises:
        ValueError: The two differ in shape, or a distance is negative or not a number.
    """
    first = np.asarray(first_km, dtype=np.float64)
    second = np.asarray(second_km, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"{first.shape} and {second.shape} distances; give as many of each, in shape (N,)")
    if not (np.all(first >= 0) and np.all(second >= 0)):
        raise ValueError("a distance is negative or not a number")
    difference = second - first
    better, worse = int((difference < -SAME_KM).sum()), int((difference > SAME_KM).sum())
    counts = []
    for km in thresholds_km:
        in_first, in_second = first <= km, second <= km
        counts.append(
            (
                int((in_first & in_second).sum()),
                int((in_first & ~in_second).sum()),
                int((~in_first & in_second).sum()),
                int((~in_first & ~in_second).sum()),
            )
        )
    p_values = [even_split_p_value(first_only, second_only) for _, first_only, second_only, _ in counts]
    return PairedComparison(
        photos=len(first),
        better=better,
        worse=worse,
        equal=len(first) - better - worse,
        p_value=even_split_p_value(better, worse),
        thresholds=tuple(
            ThresholdComparison(float(km), *count, p_value=p_value, adjusted_p_value=adjusted)
            for km, count, p_value, adjusted in zip(
                thresholds_km, counts, p_values, holm(p_values), strict=True
            )
        ),
    )


def even_split_p_value(one: int, other: int) -> float:
    """Probability of a split at least as uneven as this if either side is equally likely; 1 if both are 0."""
    from scipy.stats import binomtest

    return float(binomtest(one, one + other, 0.5).pvalue) if one + other else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for being several by Holm's method, in the order given, at most 1."""
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = highest
    return adjusted


def matching_rows(
    first_ids: Sequence[str], second_ids: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of two tables that are about the same photo.

    Photos are the same when their ids are, or else when the file names that the ids end in are. An id that a
    table has more than once is left out, for it does not say which photo is meant.

    Returns:
        Row numbers in the first and in the second table, as many of each, in the first table's order.
    """
    rows = _unique_rows(first_ids, second_ids, lambda photo_id: photo_id)
    taken = set(rows.values())
    by_name = _unique_rows(first_ids, second_ids, lambda photo_id: photo_id.rsplit("/", 1)[-1])
    for row, partner in by_name.items():
        if row not in rows and partner not in taken:
            rows[row] = partner
    ordered = sorted(rows)
    return np.array(ordered, dtype=np.int64), np.array([rows[row] for row in ordered], dtype=np.int64)


def _unique_rows(
    first_ids: Sequence[str], second_ids: Sequence[str], key_of: Callable[[str], str]
) -> dict[int, int]:
    """Row of the first table to row of the second, where both have a key exactly once."""
    keys = [[key_of(photo_id) for photo_id in ids] for ids in (first_ids, second_ids)]
    counts = [Counter(side) for side in keys]
    places = {key: row for row, key in enumerate(keys[1]) if counts[1][key] == 1}
    return {row: places[key] for row, key in enumerate(keys[0]) if counts[0][key] == 1 and key in places}
