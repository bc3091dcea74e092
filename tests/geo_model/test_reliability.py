"""Stated probabilities beside what came true."""

from __future__ import annotations

import math

import numpy as np
import pytest

from geo_model.reliability import expected_calibration_error, reliability_bins


def test_bins_hold_counts_means_and_shares():
    stated = [0.0, 0.1, 0.95, 0.85, 1.0, 0.9]
    first, middle, last = reliability_bins(stated, [False, True, True, True, True, False])
    assert [(entry.low, entry.high) for entry in (first, middle, last)] == [(0, 0.1), (0.8, 0.9), (0.9, 1)]
    assert [(entry.count, entry.hits) for entry in (first, middle, last)] == [(2, 1), (2, 1), (2, 2)]
    assert first.confidence == pytest.approx(0.05)
    assert middle.share == 0.5
    assert middle.share_low < 0.5 < middle.share_high


def test_an_upper_end_belongs_to_its_bin():
    (entry,) = reliability_bins([0.5], [True])
    assert (entry.low, entry.high) == (0.4, 0.5)


def test_the_calibration_error_of_a_known_case():
    # Eight answers at 0.75 of which six are right, and two at 0.55 of which none is.
    bins = reliability_bins([0.75] * 8 + [0.55] * 2, [True] * 6 + [False] * 4)
    assert expected_calibration_error(bins) == pytest.approx(0.2 * 0.55)
    assert math.isnan(expected_calibration_error(()))


def test_a_calibrated_forecast_lies_within_most_intervals():
    random = np.random.default_rng(0)
    stated = random.random(20_000)
    bins = reliability_bins(stated, random.random(20_000) < stated)
    assert len(bins) == 10
    assert sum(entry.share_low <= entry.confidence <= entry.share_high for entry in bins) >= 8
    assert expected_calibration_error(bins) < 0.02


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="outside"):
        reliability_bins([1.2], [True])
    with pytest.raises(ValueError, match="as many"):
        reliability_bins([0.2, 0.3], [True])
