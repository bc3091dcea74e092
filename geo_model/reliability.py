"""Whether stated probabilities come true: the reliability diagram and the expected calibration error.

Guo, Pleiss, Sun, Weinberger: "On Calibration of Modern Neural Networks", ICML 2017, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from geo_model.metrics import wilson_interval

BINS = 10
"""Bins of equal width from 0 to 1."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers whose stated probability lies in one range.

    Attributes:
        low: Lower end of the range; it does not belong to it, but for 0.
        high: Upper end; it does.
        count: Answers in it, at least one.
        confidence: Mean of their stated probabilities.
        hits: How many of them are right.
        share: hits / count.
        share_low: Low end of the 95% Wilson interval of `share`.
        share_high: High end.
    """

    low: float
    high: float
    count: int
    confidence: float
    hits: int
    share: float
    share_low: float
    share_high: float


def reliability_bins(
    confidences: ArrayLike, correct: ArrayLike, bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """How often answers of about the same stated probability are right.

    Args:
        confidences: Probability that each answer was given, in [0, 1], shape (N,).
        correct: Whether it was right, bool (N,).
        bins: How many bins of equal width.

    Returns:
        The bins that hold an answer, in ascending order; for a calibrated model share and confidence agree.

    Raises:
        ValueError: The two differ in shape, or a probability is outside [0, 1].
    """
    stated = np.asarray(confidences, dtype=np.float64)
    right = np.asarray(correct, dtype=bool)
    if stated.ndim != 1 or stated.shape != right.shape:
        raise ValueError(f"{stated.shape} probabilities and {right.shape} answers; give as many of each")
    if not np.all((stated >= 0) & (stated <= 1 + 1e-6)):
        raise ValueError("a probability is outside 0 to 1")
    places = np.clip(np.ceil(stated * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for place in np.unique(places):
        inside = places == place
        count, hits = int(inside.sum()), int(right[inside].sum())
        found.append(
            ReliabilityBin(
                place / bins,
                (place + 1) / bins,
                count,
                float(stated[inside].mean()),
                hits,
                hits / count,
                *wilson_interval(hits, count),
            )
        )
    return tuple(found)


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Mean gap between stated probability and share of right answers, weighted by answers (equation 3).

    Returns:
        In [0, 1]; NaN without bins.
    """
    total = sum(entry.count for entry in bins)
    if not total:
        return float("nan")
    return sum(entry.count * abs(entry.share - entry.confidence) for entry in bins) / total
