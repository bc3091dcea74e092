from itertools import pairwise

import numpy as np
import pytest

from geo_model.cell_facts import (
    ancestor_classes,
    cell_facts,
    child_classes,
    explain_product,
    fine_classes_within,
)
from geo_model.cells import LEVELS, Hierarchy, Level, Partitioning
from geo_model.model_folder import find_model, read_model_folder
from geo_model.predict import load


def cells(name: str, *tokens: str) -> Partitioning:
    ids = [int(token.ljust(16, "0"), 16) for token in tokens]
    count = len(ids)
    return Partitioning(name, np.array(ids, np.uint64), np.full(count, 5), np.zeros(count), np.zeros(count))


@pytest.fixture
def hierarchy() -> Hierarchy:
    # 1 is face 0; 04, 0c, 14 and 1c are its children; 01, 03, 05 and 07 those of 04.
    return Hierarchy.build(
        cells("coarse", "3", "1"), cells("middle", "04", "0c", "24"), cells("fine", "01", "03", "0c", "24")
    )


def test_facts_are_those_of_the_partitioning(hierarchy):
    facts = cell_facts(hierarchy, Level.FINE, 2)
    assert (facts.token, facts.s2_level, facts.photos) == ("0c", 1, 5)
    assert facts.area_km2 == pytest.approx(510_064_472 / 24, rel=0.001)  # the sphere's area; a 24th of it
    for wrong in (-1, 4):
        with pytest.raises(IndexError, match=r"class -?\d is not among the 4 cells of level fine"):
            cell_facts(hierarchy, Level.FINE, wrong)


def test_ancestors_and_children(hierarchy):
    assert ancestor_classes(hierarchy, Level.FINE, 1) == {Level.COARSE: 1, Level.MIDDLE: 0}
    assert ancestor_classes(hierarchy, Level.MIDDLE, 2) == {Level.COARSE: 0}
    assert ancestor_classes(hierarchy, Level.COARSE, 0) == {}
    assert child_classes(hierarchy, Level.COARSE, 1).tolist() == [0, 1]
    assert child_classes(hierarchy, Level.MIDDLE, 0).tolist() == [0, 1]
    assert child_classes(hierarchy, Level.MIDDLE, 1).tolist() == [2]  # itself, at the next level
    assert child_classes(hierarchy, Level.FINE, 0).tolist() == []
    assert fine_classes_within(hierarchy, Level.COARSE, 1).tolist() == [0, 1, 2]
    assert fine_classes_within(hierarchy, Level.FINE, 3).tolist() == [3]


def test_every_cell_of_the_bundled_model_is_a_child_of_its_ancestor():
    found = read_model_folder(find_model(None)).hierarchy
    for upper, lower in pairwise(LEVELS):
        for index in range(0, len(found[lower]), 97):
            parent = ancestor_classes(found, lower, index)[upper]
            assert index in child_classes(found, upper, parent)


def test_a_product_by_hand(hierarchy):
    levels = {
        Level.COARSE: np.array([0.2, 0.8], np.float32),
        Level.MIDDLE: np.array([0.5, 0.3, 0.2], np.float32),
        Level.FINE: np.array([0.1, 0.4, 0.3, 0.2], np.float32),
    }
    found = explain_product(hierarchy, levels, 1, hierarchy_temperature=2.0)
    assert found.classes == {Level.COARSE: 1, Level.MIDDLE: 0, Level.FINE: 1}
    assert list(found.factors.values()) == pytest.approx([0.8, 0.5, 0.4])
    assert found.product == pytest.approx(0.16)
    assert found.tempered == pytest.approx(0.4)
    assert found.total == pytest.approx(0.04**0.5 + 0.4 + 0.072**0.5 + 0.008**0.5)
    assert found.probability == pytest.approx(found.tempered / found.total)


def test_the_explanation_is_what_the_model_computed(tiny_model_folder, sample_photos):
    model = load(tiny_model_folder, device="cpu")
    (prediction,) = model.predict(sample_photos[0])
    for fine_class in (0, prediction.class_index, len(model.hierarchy.fine) - 1):
        found = explain_product(
            prediction.hierarchy, prediction.levels, fine_class, model.spec.temperature.hierarchy
        )
        assert found.probability == pytest.approx(float(prediction.product[fine_class]), rel=1e-4)
