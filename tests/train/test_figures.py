import math

import numpy as np
import pytest
import torch

from geo_model.cells import LEVELS, Hierarchy, Partitioning
from geo_model.decoding import Decoder
from geo_model.evaluation import summarise_arrays
from geo_model.measurements import ANSWERS, measure
from train.config import Schedule
from train.figures import FIGURES, figures, figures_of_groups, higher_is_better, photo_figures
from train.module import learning_rate_factor


@pytest.fixture(scope="module")
def hierarchy(tiny_data) -> Hierarchy:
    return Hierarchy.build(*(Partitioning.read_csv(tiny_data / f"{level.value}.csv") for level in LEVELS))


@pytest.fixture(scope="module")
def measured(hierarchy):
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(40, 5, size, generator=generator) for size in hierarchy.sizes]
    decoded = Decoder(hierarchy).decode(logits)
    random = np.random.default_rng(0)
    truth = np.stack([random.uniform(-80, 80, 40), random.uniform(-180, 180, 40)], axis=1)
    classes = np.stack([hierarchy[level].classes_of(*truth.T) for level in LEVELS], axis=1)
    classes[:4, 2] = -1
    return decoded, truth, classes, photo_figures(decoded, hierarchy, truth, torch.from_numpy(classes))


def test_figures_are_those_of_an_evaluation(hierarchy, measured):
    decoded, truth, classes, photos = measured
    fine = hierarchy.fine
    points = np.stack([fine.latitudes[decoded.classes], fine.longitudes[decoded.classes]], axis=1)
    report = summarise_arrays(decoded.levels, decoded.product, points, truth, hierarchy)
    found = figures(photos)
    assert tuple(found) == FIGURES
    assert found["median_km"] == report.answer.median_km
    assert found["geoscore"] == report.answer.mean_geoscore
    assert [found[f"accuracy_{at.km:g}"] for at in report.answer.accuracies] == [
        at.share for at in report.answer.accuracies
    ]
    held = classes[:, 2] >= 0
    p = decoded.product.numpy()[np.flatnonzero(held), classes[held, 2]]
    assert found["nll"] == pytest.approx(-np.log(p).mean(), rel=1e-5)
    p = decoded.levels[0].numpy()[np.arange(40), classes[:, 0]]
    assert found["nll_coarse"] == pytest.approx(-np.log(p).mean(), rel=1e-5)
    assert math.isnan(found["loss"])  # no targets were given


def test_balanced_figures_count_kinds_alike(measured):
    photos = measured[3]
    kind_of = np.array([0] * 30 + [1] * 10)
    found = figures_of_groups(photos, ("a", "b", "none of this"), kind_of)
    a, b = figures(photos[kind_of == 0]), figures(photos[kind_of == 1])
    for name in ("nll", "geoscore", "median_km", "accuracy_2500"):
        assert found[f"a/{name}"] == a[name]
        assert found[f"balanced/{name}"] == pytest.approx((a[name] + b[name]) / 2)
    assert found["nll"] == figures(photos)["nll"]
    assert not any(name.startswith("none") for name in found)


def test_which_way_is_better():
    assert {name for name in FIGURES if not higher_is_better(f"street/{name}")} == {
        *("nll", "loss", "nll_coarse", "nll_middle", "nll_fine", "median_km"),
    }
    assert {"geoscore", "accuracy_1", "accuracy_2500_fine", "top5_hierarchy"} <= set(FIGURES)


def test_learning_rates_follow_their_schedule():
    cosine = Schedule("cosine", warmup_epochs=2, final_share=0.1)
    assert learning_rate_factor(cosine, 0, 12, 0.01) == pytest.approx(0.01 / 2.01)
    assert learning_rate_factor(cosine, 1, 12, 0.01) == pytest.approx(0.5, abs=0.01)
    assert learning_rate_factor(cosine, 2, 12, 0.01) == 1
    assert learning_rate_factor(cosine, 7, 12, 0.01) == pytest.approx(0.55)
    assert learning_rate_factor(cosine, 12, 12, 0.01) == pytest.approx(0.1)
    paper = Schedule("multistep", milestones=(4, 8, 12, 13, 14, 15), gamma=0.5)
    assert [learning_rate_factor(paper, epoch, 15, 0.01) for epoch in (0, 3.99, 4, 8, 14.5)] == [
        1,
        1,
        0.5,
        0.25,
        0.03125,
    ]
    assert learning_rate_factor(Schedule("constant"), 9, 10, 0.01) == 1


def test_top_k_counts_the_true_cell_among_the_most_probable(hierarchy, measured):
    decoded, _, _, photos = measured
    found = figures(photos)
    held = photos.measurements.ranks["fine"] > 0
    for answer, probabilities, column in (
        ("coarse", decoded.levels[0], 0),
        ("fine", decoded.levels[2], 2),
        ("hierarchy", decoded.product, 2),
    ):
        truth = hierarchy[LEVELS[column]].classes_of(*photos.measurements.truth.T)
        for k in (1, 5, 10):
            best = probabilities.topk(k, dim=1).indices.numpy()
            hits = (best == truth[:, None]).any(axis=1)
            assert found[f"top{k}_{answer}"] == pytest.approx(hits[truth >= 0].mean())
    assert held.sum() == (hierarchy.fine.classes_of(*photos.measurements.truth.T) >= 0).sum()
    assert 0 < found["top10_coarse"] < 1


def test_ranks_of_equal_cells_go_by_class_and_a_truth_outside_has_none(hierarchy):
    sizes = hierarchy.sizes
    levels = [torch.full((2, size), 1 / size) for size in sizes]
    truth = np.stack([hierarchy.fine.latitudes[[0, 7]], hierarchy.fine.longitudes[[0, 7]]], axis=1)
    found = measure(levels, levels[2], truth, truth, hierarchy)
    assert found.ranks["fine"].tolist() == [1, 8]
    cell = Partitioning("cell", hierarchy.fine.ids[:1], np.ones(1), [hierarchy.fine.latitudes[0]], [0.0])
    few = Hierarchy.build(cell, cell, cell)
    away = measure([torch.ones(1, 1)] * 3, torch.ones(1, 1), [[0.0, 0.0]], [[-80.0, 170.0]], few)
    assert {answer: ranks.tolist() for answer, ranks in away.ranks.items()} == {key: [0] for key in ANSWERS}
    assert math.isnan(away.top("fine", 5))
