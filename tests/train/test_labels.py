import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_model.cells import LEVELS, Hierarchy, Partitioning
from geo_model.sphere import great_circle_km, unit_vectors
from train.config import Labels
from train.labels import Targets, distances_km, loss_of_levels, soft_labels

LATITUDES = st.floats(-90, 90)
LONGITUDES = st.floats(-180, 180)


def points(coordinates):
    latitudes, longitudes = zip(*coordinates, strict=True)
    return torch.from_numpy(unit_vectors(latitudes, longitudes).astype(np.float32))


@pytest.fixture(scope="module")
def hierarchy(tiny_data) -> Hierarchy:
    return Hierarchy.build(*(Partitioning.read_csv(tiny_data / f"{level.value}.csv") for level in LEVELS))


@settings(deadline=None)
@given(st.tuples(LATITUDES, LONGITUDES), st.tuples(LATITUDES, LONGITUDES))
def test_distances_are_great_circles(a, b):
    found = float(distances_km(points([a]), points([b]))[0, 0])
    # float32 coordinates are good to about a metre, but arcs near half the globe to some kilometres only
    truth = float(great_circle_km(*a, *b))
    assert found == pytest.approx(truth, abs=0.01 if truth < 15_000 else 6.0)


def test_distances_of_neighbours_are_good_to_metres():
    found = distances_km(points([(48.8584, 2.2945)]), points([(48.8606, 2.3376)]))
    assert float(found[0, 0]) == pytest.approx(
        float(great_circle_km(48.8584, 2.2945, 48.8606, 2.3376)), abs=0.003
    )


def test_soft_labels_follow_their_kernel():
    cells = points([(0, 0), (0, 3), (0, 90)])
    photo = points([(0, 0)])
    one_degree = math.pi * 6371 / 180
    exponential = soft_labels(photo, cells, "exp", 300.0)[0]
    assert float(exponential[1] / exponential[0]) == pytest.approx(math.exp(-3 * one_degree / 300), rel=1e-3)
    gaussian = soft_labels(photo, cells, "gaussian", 300.0)[0]
    assert float(gaussian[1] / gaussian[0]) == pytest.approx(
        math.exp(-((3 * one_degree / 300) ** 2) / 2), rel=1e-3
    )
    assert float(exponential.sum()) == pytest.approx(1, abs=1e-6)
    assert float(gaussian[2]) < 1e-12


def test_a_photo_far_from_every_cell_still_has_labels():
    labels = soft_labels(points([(-80, 0)]), points([(60, 10), (61, 10)]), "gaussian", 1.0)[0]
    assert torch.isfinite(labels).all()
    assert float(labels[0]) == pytest.approx(1)


def test_targets_have_a_kernel_for_each_level(hierarchy):
    targets = Targets(hierarchy, Labels(kind="soft", sigma_km=(1000, 300, 100)))
    shares = targets(points([(48.86, 2.35), (-33.9, 151.2)]), torch.full((2, 3), -1))
    assert [share.shape[1] for share in shares] == list(hierarchy.sizes)
    for share, sigma_km, level in zip(shares, (1000, 300, 100), LEVELS, strict=True):
        assert torch.allclose(share.sum(dim=1), torch.ones(2))
        cells = hierarchy[level]
        distances = great_circle_km(48.86, 2.35, cells.latitudes, cells.longitudes)
        expected = np.exp(-(distances - distances.min()) / sigma_km)
        assert np.allclose(share[0].numpy(), expected / expected.sum(), rtol=1e-2, atol=1e-6)


def test_hard_targets_are_one_cell_or_nothing(hierarchy):
    targets = Targets(hierarchy, Labels(kind="hard"))
    classes = torch.tensor([[3, 40, -1], [0, 1, 2]])
    shares = targets(torch.zeros(2, 3), classes)
    assert shares[0][0].nonzero().tolist() == [[3]]
    assert shares[2][0].sum() == 0
    assert shares[2][1].nonzero().tolist() == [[2]]


def test_the_loss_is_the_sum_of_three_cross_entropies_over_photos_that_have_a_label():
    generator = torch.Generator().manual_seed(0)
    logits = tuple(torch.randn(4, count, generator=generator) for count in (5, 7, 11))
    classes = torch.tensor([[0, 1, 2], [4, 6, -1], [1, 1, 10], [2, -1, -1]])
    targets = tuple(
        torch.nn.functional.one_hot(classes[:, i].clamp(min=0), part.shape[1]).float()
        * (classes[:, i, None] >= 0)
        for i, part in enumerate(logits)
    )
    expected = sum(
        torch.nn.functional.cross_entropy(part, classes[:, i], ignore_index=-1)
        for i, part in enumerate(logits)
    )
    assert float(loss_of_levels(logits, targets)) == pytest.approx(float(expected), rel=1e-6)
    nothing = tuple(torch.zeros_like(part) for part in logits)
    assert float(loss_of_levels(logits, nothing)) == 0.0
