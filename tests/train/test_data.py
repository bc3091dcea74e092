from pathlib import Path

import numpy as np
import pytest
import torch

from geo_model.crops import CropRule, center_crop
from train.config import Augmentation, Source
from train.data import Crops, EpochSampler, Labelled, Views, ViewSets
from train.photo_index import index_photos

RULE = CropRule(72, 64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def index(*tars: Path, **settings):
    return index_photos([Source(str(tar)) for tar in tars], "data.train", **settings)


@pytest.mark.parametrize("weights", [[1.0] * 50, [0.3] * 50, [2.5] * 10 + [0.25] * 40, [0.0] * 49 + [5.0]])
def test_an_epoch_draws_each_photo_floor_or_ceil_of_its_weight(weights):
    weights = np.array(weights)
    sampler = EpochSampler(weights, seed=3)
    totals = np.zeros(len(weights))
    for epoch in range(200):
        sampler.set_epoch(epoch)
        rows = np.array([row for row, _ in sampler])
        assert len(rows) == len(sampler) == round(weights.sum())
        counts = np.bincount(rows, minlength=len(weights))
        assert (np.abs(counts - weights) < 1 + 0.05 * weights).all()
        totals += counts
    assert np.allclose(totals / 200, weights * len(sampler) / weights.sum(), atol=0.15)


def test_draws_follow_from_seed_and_epoch_alone():
    def draws(seed, epoch):
        sampler = EpochSampler(np.ones(30), seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert draws(1, 4) == draws(1, 4)
    assert draws(1, 4) != draws(1, 5)
    assert draws(1, 4) != draws(2, 4)
    assert sorted(row for row, _ in draws(1, 4)) == list(range(30))
    assert len({seed for _, seed in draws(1, 4)}) == 30


def test_a_view_depends_on_photo_and_seed_alone(tiny_data):
    augmentation = Augmentation(
        scale=(0.3, 1), brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grey=0.2, blur=0.5, erase=0.5
    )
    views = Views(index(tiny_data / "train-0.tar"), RULE, augmentation)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = views[(3, 99)]["inputs"]
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(5)
    assert torch.equal(first, views[(3, 99)]["inputs"])
    assert not torch.equal(first, views[(3, 100)]["inputs"])
    assert first.shape == (3, 64, 64)
    assert first.dtype == torch.uint8


def test_view_sets_begin_with_the_centre_crop_and_differ(tiny_data):
    photos = index(tiny_data / "train-0.tar")
    item = ViewSets(photos, RULE, Augmentation(), 4, seed=1)[2]
    assert item["inputs"].shape == (4, 3, 64, 64)
    assert torch.equal(item["inputs"][0], center_crop(photos.image(2), RULE))
    assert len({view.numpy().tobytes() for view in item["inputs"]}) == 4
    again = ViewSets(photos, RULE, Augmentation(), 4, seed=1)[2]["inputs"]
    assert torch.equal(item["inputs"], again)


def test_crops_are_those_of_prediction_and_carry_their_labels(tiny_data):
    photos = index(tiny_data / "val.tar")
    classes = np.arange(27).reshape(9, 3)
    items = Labelled(Crops(photos, RULE, five=True), photos.points(), classes)
    assert len(items) == 9
    item = items[4]
    assert item["inputs"].shape == (5, 3, 64, 64)
    assert torch.equal(item["inputs"][0], center_crop(photos.image(4), RULE))
    assert np.array_equal(item["classes"], classes[4])
    assert np.array_equal(item["point"], photos.points()[4])
    assert Crops(photos, RULE, five=False)[4]["inputs"].shape == (1, 3, 64, 64)
