"""Published figures: what single photos allow, and what the authors' own tables of predictions give."""

from __future__ import annotations

from pathlib import Path

import pytest

from geo_model.errors import GeoModelError
from geo_model.metrics import THRESHOLDS_KM
from geo_model.prediction_table import read_predictions
from geo_model.published import BENCHMARKS, PUBLISHED, benchmark, published_figures


def figures_of(method, key):
    (found,) = [figures for figures in published_figures(key) if figures.method == method]
    return found


@pytest.mark.parametrize(
    ("method", "key", "percents"),
    [
        ("base(M, f*), ResNet-101", "im2gps", (15.2, 40.9, 51.5, 65.4, 78.5)),
        ("ISN(M, f*, S3)", "im2gps", (16.9, 43.0, 51.9, 66.7, 80.2)),
        ("base(M, f*), ResNet-101", "im2gps3k", (9.7, 27.0, 35.6, 49.2, 66.0)),
        ("ISN(M, f*, S3)", "im2gps3k", (10.5, 28.0, 36.6, 49.7, 66.0)),
    ],
)
def test_the_paper_s_table(method, key, percents):
    assert figures_of(method, key).percents == percents


def test_rows_are_whole_and_in_order():
    for known in BENCHMARKS:
        rows = published_figures(known.key)
        assert len({figures.method for figures in rows}) == len(rows) > 5
        assert [figures.year for figures in rows] == sorted(figures.year for figures in rows)
    assert sum(len(published_figures(known.key)) for known in BENCHMARKS) == len(PUBLISHED)
    for figures in PUBLISHED:
        assert len(figures.percents) == len(THRESHOLDS_KM)
        assert list(figures.percents) == sorted(figures.percents)  # a larger circle holds no fewer photos
        assert figures.paper
        assert figures.taken_from


@pytest.mark.parametrize("figures", [figures for figures in PUBLISHED if figures.benchmark == "im2gps"])
def test_a_percentage_of_237_photos_is_a_number_of_them(figures):
    possible = {round(100 * hits / 237, 1) for hits in range(238)}
    impossible = [percent for percent in figures.percents if percent not in possible]
    assert impossible == ([19.9, 75.6, 86.7] if figures.method == "TransLocator" else [])
    for percent in impossible:
        assert str(percent) in figures.note


def test_an_interval_of_237_photos_is_about_six_points_either_way():
    (*_, (low, high), _, _) = figures_of("base(M, f*), ResNet-101", "im2gps").intervals
    assert (low, high) == pytest.approx((0.4514, 0.5776), abs=0.0001)  # 122 of 237


def test_an_unknown_benchmark_is_named():
    with pytest.raises(GeoModelError, match="'yfcc4k' is no benchmark; use im2gps or im2gps3k"):
        published_figures("yfcc4k")


@pytest.mark.parametrize(
    ("table", "method"),
    [
        ("im2gps/published_base_M_fstar.csv", "base(M, f*), ResNet-101"),
        ("im2gps/reference.csv", "ISN(M, f*, S3)"),
        ("im2gps3k/published_base_M_fstar.csv", "base(M, f*), ResNet-101"),
        ("im2gps3k/published_ISN_M_fstar_S3.csv", "ISN(M, f*, S3)"),
    ],
)
def test_the_authors_tables_of_predictions_give_the_published_figures(shared_data: Path, table, method):
    key = table.split("/")[0]
    predictions = read_predictions(shared_data / table)
    assert len(predictions) == benchmark(key).photos
    assert predictions.bad_rows == ()
    summary = predictions.summary()
    recomputed = tuple(round(100 * accuracy.share, 1) for accuracy in summary.accuracies)
    printed = figures_of(method, key)
    if (method, key) != ("base(M, f*), ResNet-101", "im2gps3k"):
        assert recomputed == printed.percents
        return
    # The paper prints 49.2 at 750 km where its table of predictions has 1,473 of 2,997 photos.
    assert recomputed == (9.7, 27.0, 35.6, 49.1, 66.0)
    assert summary.accuracies[3].hits == 1473
    assert "1,473 of 2,997" in printed.note
    # Neither another radius of the Earth nor < instead of <= makes it 49.2: no distance is near 750 km.
    distances = predictions.distances_km
    assert not ((distances > 744.2) & (distances < 757.6)).any()
