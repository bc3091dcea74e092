"""One map of a photo from the maps of its crops."""

import numpy as np
import pytest

from geo_model.crops import CropRule, crop_boxes
from geo_model.stitching import stitched

RULE = CropRule(297, 260, (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize("size", [(512, 341), (233, 233), (97, 512), (512, 12)])
@pytest.mark.parametrize("cells", [(9, 9), (1, 1), (7, 14)])
def test_nothing_is_lost_or_added(size, cells):
    width, height = size
    maps = np.random.default_rng(0).normal(3, 1, (5, *cells)).astype(np.float32)
    whole, coverage = stitched(maps, crop_boxes(size, RULE), height, width)
    assert whole.shape == coverage.shape == (height, width)
    seen = coverage > 0
    assert np.isnan(whole).tolist() == (~seen).tolist()
    assert np.average(whole[seen], weights=coverage[seen]) == pytest.approx(maps.mean(), rel=1e-5)
    assert maps.min() - 1e-5 <= np.nanmin(whole) <= np.nanmax(whole) <= maps.max() + 1e-5
    assert coverage.max() <= 5 + 1e-5


def test_values_stay_where_they_are():
    """One crop, in the photo's right half, whose map is the horizontal position within it."""
    ramp = np.broadcast_to((np.arange(8) + 0.5) / 8, (4, 8)).astype(np.float32)
    whole, coverage = stitched(ramp[None], np.array([[0.5, 0, 1, 1]]), 10, 160)
    assert np.isnan(whole[:, :80]).all()
    assert coverage[:, 80:] == pytest.approx(1)
    assert not coverage[:, :80].any()
    expected = (np.arange(80) + 0.5) / 80
    between = slice(5, 75)  # between the middles of the first and the last cell
    assert whole[0, 80:][between] == pytest.approx(expected[between], abs=1e-6)
    assert whole[0, 80:85] == pytest.approx(1 / 16, abs=1e-6)
    assert (whole == whole[0]).all(where=~np.isnan(whole))


def test_where_crops_overlap_it_is_their_mean():
    maps = np.stack([np.zeros((2, 2)), np.ones((2, 2))]).astype(np.float32)
    whole, coverage = stitched(maps, np.array([[0, 0, 0.6, 1], [0.4, 0, 1, 1]]), 1, 10)
    assert whole[0] == pytest.approx([0] * 4 + [0.5] * 2 + [1] * 4)
    assert coverage[0] == pytest.approx([1] * 4 + [2] * 2 + [1] * 4)
