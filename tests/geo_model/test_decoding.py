"""The steps after the network, against the paper's equation worked out by hand and independent numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import geo_model.decoding as decoding_module
from geo_model.cells import Hierarchy, Partitioning
from geo_model.decoding import (
    Decoder,
    Decoding,
    Temperature,
    credible_regions,
    hierarchy_product,
    reduce_crops,
)
from geo_model.s2 import cell_ids
from geo_model.sphere import great_circle_km


def partitioning_of(name, points, level):
    latitudes, longitudes = np.array(points, dtype=float).T
    ids = cell_ids(latitudes, longitudes, level)
    ids, first, counts = np.unique(ids, return_index=True, return_counts=True)
    return Partitioning(name, ids, counts, latitudes[first], longitudes[first])


PLACES = [(48.86, 2.35), (50.85, 4.35), (52.52, 13.4), (40.71, -74.0), (42.36, -71.06), (-33.87, 151.2)]


@pytest.fixture(scope="module")
def hierarchy():
    return Hierarchy.build(
        partitioning_of("coarse", PLACES, 2),
        partitioning_of("middle", PLACES, 4),
        partitioning_of("fine", PLACES, 8),
    )


def test_mean_of_two_crops_by_hand():
    logits = (torch.tensor([[[0.0, np.log(3.0)], [np.log(3.0), 0.0]]]),) * 3
    for probabilities in reduce_crops(logits, Temperature()):
        torch.testing.assert_close(probabilities, torch.tensor([[0.5, 0.5]]))


def test_maximum_is_renormalised():
    logits = (torch.tensor([[[0.0, np.log(3.0)], [0.0, 0.0]]]),) * 3
    # Largest softmaxes are 1/2 and 3/4; together they make 5/4.
    for probabilities in reduce_crops(logits, Temperature(), "max"):
        torch.testing.assert_close(probabilities, torch.tensor([[0.4, 0.6]]))


def test_temperature_divides_the_logits_of_its_level():
    logits = (torch.tensor([[[0.0, np.log(9.0)]]]),) * 3
    coarse, middle, fine = reduce_crops(logits, Temperature(coarse=2.0))
    torch.testing.assert_close(coarse, torch.tensor([[0.25, 0.75]]))
    torch.testing.assert_close(middle, torch.tensor([[0.1, 0.9]]))
    torch.testing.assert_close(fine, middle)


def test_product_by_hand():
    ancestors = torch.tensor([[0, 0, 0], [0, 1, 1], [1, 2, 2]])
    levels = (
        torch.tensor([[0.8, 0.2]]),
        torch.tensor([[0.5, 0.25, 0.25]]),
        torch.tensor([[0.2, 0.4, 0.4]]),
    )
    # 0.8*0.5*0.2 = 0.08, 0.8*0.25*0.4 = 0.08, 0.2*0.25*0.4 = 0.02: of 0.18 together.
    expected = torch.tensor([[0.08, 0.08, 0.02]]) / 0.18
    torch.testing.assert_close(hierarchy_product(levels, ancestors), expected)
    root = expected.sqrt() / expected.sqrt().sum()
    torch.testing.assert_close(hierarchy_product(levels, ancestors, 2.0), root)


def test_product_survives_probabilities_that_underflow():
    ancestors = torch.tensor([[0, 0, 0], [1, 1, 1]])
    tiny = (torch.tensor([[1e-20, 1e-21]]),) * 3
    torch.testing.assert_close(hierarchy_product(tiny, ancestors), torch.tensor([[1000 / 1001, 1 / 1001]]))


@settings(deadline=None)
@given(
    arrays(np.float32, (3, 40), elements=st.floats(0, 1, width=32)).filter(
        lambda values: bool((values.sum(axis=1) > 1e-3).all())
    ),
    st.sampled_from([0.1, 0.5, 0.9]),
)
def test_credible_region_is_the_smallest(weights, share):
    product = torch.from_numpy(weights / weights.sum(axis=1, keepdims=True))
    regions = credible_regions(product, share)
    for probabilities, region in zip(product.double(), regions, strict=True):
        held = probabilities[region]
        assert held.sum() >= share - 1e-6
        # Without its least probable cell it no longer holds the share; every cell outside is no better.
        assert held.sum() - held.min() < share
        assert region.all() or probabilities[~region].max() <= held.min()


def test_whole_probability_and_impossible_shares():
    product = torch.tensor([[0.6, 0.4]])
    assert credible_regions(product, 1.0).all()
    for share in (0.0, -0.1, 1.1):
        with pytest.raises(ValueError, match="share"):
            credible_regions(product, share)


def test_mass_prefers_the_dense_neighbourhood(hierarchy):
    fine = hierarchy.fine
    sydney = fine.class_of(-33.87, 151.2)
    paris, brussels, berlin = (fine.class_of(*PLACES[i]) for i in range(3))
    product = torch.full((1, len(fine)), 0.01)
    product[0, sydney], product[0, paris], product[0, brussels], product[0, berlin] = 0.3, 0.25, 0.2, 0.2
    assert Decoder(hierarchy, decoding=Decoding("argmax")).classes(product).tolist() == [sydney]
    assert Decoder(hierarchy, decoding=Decoding("mass", 1500.0)).classes(product).tolist() == [paris]


def test_mass_equals_the_definition(hierarchy):
    fine, radius_km = hierarchy.fine, 900.0
    product = torch.rand(20, len(fine), generator=torch.Generator().manual_seed(3)).softmax(dim=-1)
    near = (
        great_circle_km(
            fine.latitudes[:, None], fine.longitudes[:, None], fine.latitudes[None], fine.longitudes[None]
        )
        <= radius_km
    )
    mass = product.numpy() @ near.T
    answered = Decoder(hierarchy, decoding=Decoding("mass", radius_km)).classes(product).numpy()
    assert np.allclose(mass[np.arange(20), answered], mass.max(axis=1), atol=2e-5)


def test_smoothing_equals_the_definition(hierarchy):
    fine, radius_km = hierarchy.fine, 700.0
    product = torch.rand(20, len(fine), generator=torch.Generator().manual_seed(4)).softmax(dim=-1)
    distances_km = great_circle_km(
        fine.latitudes[:, None], fine.longitudes[:, None], fine.latitudes[None], fine.longitudes[None]
    )
    kernel = np.exp(-((distances_km / radius_km) ** 2) / 2) * (distances_km <= 3 * radius_km)
    smoothed = product.numpy() @ kernel
    answered = Decoder(hierarchy, decoding=Decoding("smooth", radius_km)).classes(product).numpy()
    assert np.allclose(smoothed[np.arange(20), answered], smoothed.max(axis=1), atol=2e-5)


def test_decode_goes_all_the_way(hierarchy):
    logits = tuple(torch.randn(4, 5, count) for count in hierarchy.sizes)
    decoded = Decoder(hierarchy).decode(logits)
    for probabilities, count in zip((*decoded.levels, decoded.product), (*hierarchy.sizes, 6), strict=True):
        assert probabilities.shape == (4, count)
        torch.testing.assert_close(probabilities.sum(dim=-1), torch.ones(4))
    assert torch.equal(decoded.classes, decoded.product.argmax(dim=-1))


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_settings_are_refused(value):
    with pytest.raises(ValueError, match="temperature"):
        Temperature(fine=value)
    with pytest.raises(ValueError, match="radius_km"):
        Decoding("mass", value)
    with pytest.raises(ValueError, match="radius_km"):
        Decoding("smooth", value)
    with pytest.raises(ValueError, match="rule"):
        Decoding("median")


@pytest.mark.parametrize("decoding", [Decoding("mass", 900.0), Decoding("smooth", 700.0)])
def test_a_sparse_and_an_ordinary_matrix_of_neighbours_agree(decoding):
    generator = np.random.default_rng(0)
    latitudes = np.degrees(np.arcsin(generator.uniform(-1, 1, 700)))
    longitudes = generator.uniform(-180, 180, 700)
    sparse = decoding_module._neighbourhoods(latitudes, longitudes, decoding).toarray()
    dense = decoding_module._dense_neighbourhoods(latitudes, longitudes, decoding).numpy()
    assert 0.001 < (sparse > 0).mean() < 0.2
    np.testing.assert_allclose(dense, sparse, atol=1e-5)
    assert ((dense > 0) == (sparse > 0)).all()
