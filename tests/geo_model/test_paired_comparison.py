"""Two methods on the same photos."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from geo_model.paired_comparison import compare_paired, even_split_p_value, holm, matching_rows


def test_better_worse_and_equal_are_counted():
    comparison = compare_paired([5.0, 100.0, 300.0, 20.0], [0.5, 100.0, 10.0, 30.0])
    assert (comparison.photos, comparison.better, comparison.worse, comparison.equal) == (4, 2, 1, 1)
    at_25 = comparison.thresholds[1]
    assert at_25.km == 25
    assert (at_25.both, at_25.first_only, at_25.second_only, at_25.neither) == (1, 1, 1, 1)
    assert at_25.p_value == 1


def test_the_sign_test_is_twice_the_binomial_tail():
    assert even_split_p_value(3, 12) == pytest.approx(2 * binom.cdf(3, 15, 0.5))
    assert even_split_p_value(3, 12) == pytest.approx(0.03515625)  # 1152 of 32768, as tables print it
    assert even_split_p_value(0, 0) == 1


def test_holm_multiplies_by_what_is_left_and_never_falls():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_equal_methods_differ_by_chance_about_as_often_as_said():
    random = np.random.default_rng(1)
    found = [
        compare_paired(random.exponential(500, 200), random.exponential(500, 200)).p_value < 0.05
        for _ in range(300)
    ]
    assert 0.01 < np.mean(found) < 0.08


def test_distances_that_are_none_are_refused():
    with pytest.raises(ValueError, match="as many"):
        compare_paired([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="negative"):
        compare_paired([1.0], [-1.0])


def test_photos_are_matched_by_id_and_then_by_file_name():
    first, second = matching_rows(["a.jpg", "b.jpg", "c.jpg"], ["x/c.jpg", "a.jpg", "y/a.jpg", "d.jpg"])
    assert first.tolist() == [0, 2]
    assert second.tolist() == [1, 0]


def test_an_id_that_comes_twice_is_not_matched():
    first, second = matching_rows(["a.jpg", "a.jpg", "b.jpg"], ["a.jpg", "x/b.jpg", "y/b.jpg"])
    assert not len(first)
    assert not len(second)


def test_the_published_tables_of_two_models(shared_data):
    from geo_model.prediction_table import read_predictions

    tables = [
        read_predictions(shared_data / "im2gps3k" / f"published_{name}.csv")
        for name in ("base_M_fstar", "ISN_M_fstar_S3")
    ]
    rows = matching_rows(*(table.photo_ids for table in tables))
    assert len(rows[0]) == 2997
    comparison = compare_paired(*(table.distances_km[row] for table, row in zip(tables, rows, strict=True)))
    at_25 = comparison.thresholds[1]
    gained = (at_25.second_only - at_25.first_only) / 2997
    assert 100 * gained == pytest.approx(28.0 - 27.0, abs=0.1)  # what the paper prints
