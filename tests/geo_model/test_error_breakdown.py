"""The cumulative curve of errors, and figures by group."""

from __future__ import annotations

import numpy as np
import pytest

from geo_model.error_breakdown import (
    LARGEST_KM,
    SMALLEST_KM,
    continents_of,
    cumulative_curve,
    summaries_by_group,
)
from geo_model.metrics import THRESHOLDS_KM, accuracy_at


def test_the_curve_agrees_with_the_accuracies_and_ends_at_one():
    distances = np.array([0.0, 1.0, 25.0, 25.1, 3000.0, LARGEST_KM])
    km, share = cumulative_curve(distances)
    assert km[0] == SMALLEST_KM
    assert km[-1] == pytest.approx(LARGEST_KM)
    for threshold in THRESHOLDS_KM:
        assert share[km == threshold] == accuracy_at(distances, threshold).share
    assert share[0] == pytest.approx(1 / 6)
    assert share[-1] == 1
    assert np.all(np.diff(share) >= 0)
    assert np.all(np.diff(km) > 0)


def test_a_curve_of_nothing_is_refused():
    with pytest.raises(ValueError, match="one distance"):
        cumulative_curve([])


def test_continents_of_known_places():
    assert continents_of([(48.86, 2.35), (-1.29, 36.82), (35.68, 139.69), (-33.87, 151.21)]) == [
        "Europe",
        "Africa",
        "Asia",
        "Oceania",
    ]


def test_groups_come_with_the_largest_first():
    large, small = summaries_by_group(["Asia", "Europe", "Asia"], [10.0, 1.0, 30.0])
    assert (large.name, large.count, large.median_km) == ("Asia", 2, 20.0)
    assert (small.name, small.count, small.mean_km) == ("Europe", 1, 1.0)
    with pytest.raises(ValueError, match="as many"):
        summaries_by_group(["Asia"], [1.0, 2.0])
