from dataclasses import replace

import numpy as np
import pytest
import torch

from geo_model.cells import LEVELS, Level
from geo_model.decoding import Decoder, Temperature
from geo_model.images import read_image
from geo_model.level_limit import limited
from geo_model.predict import Prediction, load
from geo_model.retempering import multiplies_levels, retempered, sharpened


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return load(tiny_model_folder, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def logits(model, sample_photos):
    """Of the five crops of a photo, (1, 5, cells) each."""
    return model.logits(model.cut(read_image(sample_photos[0]))[None])


def decoded(model, logits, temperature: Temperature) -> Prediction:
    """What the decoder makes of logits: the exact answer."""
    found = Decoder(model.hierarchy, temperature, model.spec.decoding).decode(logits)
    levels = {level: found.levels[column][0].numpy() for column, level in enumerate(LEVELS)}
    return Prediction("photo", int(found.classes[0]), levels, found.product[0].numpy(), model.hierarchy)


def distance(first: Prediction, second: Prediction, level: Level | None = None) -> float:
    """Total variation: the probability that must be moved to make one of the other."""
    return float(np.abs(first.probabilities(level) - second.probabilities(level)).sum() / 2)


def test_a_power_by_hand():
    assert sharpened(np.array([0.2, 0.4, 0.4], np.float32), 2) == pytest.approx([1 / 9, 4 / 9, 4 / 9])
    assert sharpened(np.array([0, 1e-30, 1], np.float32), 0.5).sum() == pytest.approx(1)


def test_the_temperature_of_the_product_is_exact_with_five_crops(model, logits):
    made_with = model.spec.temperature
    given = decoded(model, logits, made_with)
    for wanted in (replace(made_with, hierarchy=0.3), replace(made_with, hierarchy=4.0)):
        exact = decoded(model, logits, wanted)
        assert distance(given, exact) > 0.01
        assert distance(retempered(given, made_with, wanted), exact) < 1e-5


def test_the_temperatures_of_the_heads_are_exact_with_one_crop(model, logits):
    one_crop = [level[:, :1] for level in logits]
    made_with, wanted = model.spec.temperature, Temperature(0.4, 2.5, 0.8, 3.0)
    given, exact = decoded(model, one_crop, made_with), decoded(model, one_crop, wanted)
    found = retempered(given, made_with, wanted)
    for level in (*LEVELS, None):
        assert distance(given, exact, level) > 0.01
        assert distance(found, exact, level) < 1e-5


def test_the_temperatures_of_the_heads_are_approximate_with_five_crops(model, logits):
    made_with = model.spec.temperature
    wanted = Temperature(*(3 * value for value in made_with.of_levels), made_with.hierarchy)
    given, exact = decoded(model, logits, made_with), decoded(model, logits, wanted)
    found = retempered(given, made_with, wanted)
    for level in LEVELS:
        assert 1e-5 < distance(found, exact, level) < distance(given, exact, level)


@pytest.mark.parametrize("crops", ["mean", "max"])
def test_with_the_logits_of_five_crops_every_temperature_is_exact(model, sample_photos, crops):
    (given,) = model.stream([sample_photos[0]], crops=crops, keep_logits=True)
    assert [level.shape for level in given.logits] == [(5, size) for size in model.hierarchy.sizes]
    logits = [torch.from_numpy(level)[None] for level in given.logits]
    for wanted in (Temperature(0.4, 2.5, 0.8, 3.0), Temperature(3, 3, 3, 0.3)):
        exact = Decoder(model.hierarchy, wanted).decode(logits, crops)
        found = retempered(given, model.spec.temperature, wanted, crops)
        for column, level in enumerate(LEVELS):
            assert np.array_equal(found.levels[level], exact.levels[column][0].numpy())
            assert distance(found, given, level) > 0.01
        assert np.array_equal(found.product, exact.product[0].numpy())


def test_logits_are_kept_only_where_they_are_asked_for(model, sample_photos):
    (without,) = model.stream([sample_photos[0]])
    (kept,) = model.stream([sample_photos[0]], keep_logits=True)
    (limited_to_middle,) = limited(model, Level.MIDDLE).stream([sample_photos[0]], keep_logits=True)
    assert without.logits is None
    assert limited_to_middle.logits is None
    assert np.array_equal(kept.product, without.product)
    assert kept.class_index == without.class_index


def test_the_same_temperature_changes_nothing_and_the_answer_stays(model, logits):
    made_with = model.spec.temperature
    given = decoded(model, logits, made_with)
    same = retempered(given, made_with, made_with)
    assert distance(same, given) < 1e-6
    assert retempered(given, made_with, Temperature(1, 1, 1, 9)).class_index == given.class_index


def test_a_model_that_multiplies_nothing_stays_so(model, logits):
    given = decoded(model, logits, model.spec.temperature)
    assert multiplies_levels(given)
    sums = replace(given, product=given.levels[Level.FINE])
    assert not multiplies_levels(sums)
    found = retempered(sums, Temperature(), Temperature(2, 2, 2, 5))
    assert found.product == pytest.approx(sharpened(sums.product, 0.5))
    assert torch.from_numpy(found.product).sum() == pytest.approx(1)
