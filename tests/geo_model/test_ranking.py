"""Cells in the order of their probability, of which credible regions are the beginning."""

import numpy as np
import pytest
import torch

from geo_model.ranking import credible_regions, most_probable, ranked_cells

# Ties and zeros, as sparse models have them.
PRODUCT = np.random.default_rng(0).integers(0, 6, (7, 50)).astype(np.float32)
PRODUCT /= PRODUCT.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_order_is_that_of_a_stable_sort(dtype):
    ranked = ranked_cells(torch.from_numpy(PRODUCT).to(dtype), (0.5, 1.0))
    np.testing.assert_array_equal(ranked.order, np.argsort(-PRODUCT, axis=1, kind="stable"))


def test_counts_probabilities_and_sums_are_those_of_the_regions():
    areas = np.arange(1.0, 51.0)
    ranked = ranked_cells(torch.from_numpy(PRODUCT), (0.3, 0.9))
    for column, share in enumerate(ranked.shares):
        regions = credible_regions(torch.from_numpy(PRODUCT), share).numpy()
        np.testing.assert_array_equal(ranked.counts[:, column], regions.sum(axis=1))
        held = np.where(regions, PRODUCT.astype(np.float64), 0).sum(axis=1)
        np.testing.assert_allclose(ranked.held[:, column], held)
        np.testing.assert_allclose(ranked.sums(areas)[:, column], regions @ areas)


def test_no_share_is_no_region_and_an_impossible_one_an_error():
    assert ranked_cells(torch.from_numpy(PRODUCT), ()).counts.shape == (7, 0)
    with pytest.raises(ValueError, match="share is 0"):
        ranked_cells(torch.from_numpy(PRODUCT), (0.5, 0))


@pytest.mark.parametrize("k", [-1, 0, 1, 5, 49, 50, 99])
def test_the_most_probable(k):
    for row in PRODUCT:
        np.testing.assert_array_equal(most_probable(row, k), np.argsort(-row, kind="stable")[: max(k, 0)])
