from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from geo_model.crops import CropRule, center_crop
from geo_model.errors import ConfigError, PhotoError
from train.config import Augmentation, Source
from train.data import (
    Crops,
    EpochBatches,
    EpochSampler,
    Labelled,
    Views,
    ViewSets,
    WithoutUnreadable,
    join_readable,
)
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
    items = Labelled(Crops(photos, RULE, five=True), photos, classes)
    assert len(items) == 9
    item = items[4]
    assert item["inputs"].shape == (5, 3, 64, 64)
    assert torch.equal(item["inputs"][0], center_crop(photos.image(4), RULE))
    assert np.array_equal(item["classes"], classes[4])
    assert np.array_equal(item["point"], photos.points()[4])
    assert Crops(photos, RULE, five=False)[4]["inputs"].shape == (1, 3, 64, 64)


@pytest.mark.parametrize("photos", [48, 53])
@pytest.mark.parametrize(("processes", "accumulate"), [(1, 1), (2, 1), (1, 3), (2, 3), (4, 1)])
def test_all_processes_together_take_each_draw_once_and_the_same_batches(photos, processes, accumulate):
    def batches(count, passes):
        every = [
            EpochBatches(EpochSampler(np.ones(photos), seed=7), 12, count, rank, passes)
            for rank in range(count)
        ]
        for one in every:
            one.sampler.set_epoch(3)
            assert len(list(one)) == len(one) == 4 * passes
            assert one.photos == 48
        # A step of the optimiser: the parts of all processes at all of its passes.
        of_processes = [list(one) for one in every]
        return [
            [draw for k in range(passes) for taken in of_processes for draw in taken[step * passes + k]]
            for step in range(4)
        ]

    parts = batches(processes, accumulate)
    assert parts == batches(1, 1)
    rows = [row for batch in parts for row, _ in batch]
    assert len(rows) == len(set(rows)) == 48


def test_an_epoch_goes_on_where_it_was_left():
    def draws(epoch, resumed=None):
        batches = EpochBatches(EpochSampler(np.ones(50), seed=1), 8, 2, 1, 2)
        if resumed:
            batches.resume(*resumed)
        batches.sampler.set_epoch(epoch)
        return list(batches)

    assert draws(2, (2, 5)) == draws(2)[5:]
    assert draws(3, (2, 5)) == draws(3)
    assert draws(3, (3, 0)) == draws(3)


def test_a_batch_that_cannot_be_cut_is_refused_and_a_small_epoch_is_one_batch():
    with pytest.raises(ConfigError, match=r"training\.batch_size: 10 .* 4 devices .*a multiple of 4"):
        EpochBatches(EpochSampler(np.ones(50), seed=1), 10, 4)
    with pytest.raises(ConfigError, match=r"data\.train: an epoch draws 3 photos"):
        EpochBatches(EpochSampler(np.ones(3), seed=1), 8, 4)
    small = EpochBatches(EpochSampler(np.ones(7), seed=1), 128, 2)
    assert [len(batch) for batch in small] == [3]


def test_few_tars_at_a_time_in_another_order_each_epoch():
    tar_of = np.repeat(np.arange(10), 5).astype(np.int32)
    sampler = EpochSampler(np.ones(50), 1, tar_of, tars_at_once=2)
    orders = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        rows = np.array([row for row, _ in sampler])
        assert sorted(rows.tolist()) == list(range(50))
        groups = [tar_of[rows[start : start + 10]] for start in range(0, 50, 10)]
        assert all(len(set(group.tolist())) == 2 for group in groups)
        assert any((np.diff(group) != 0).sum() > 1 for group in groups)  # shuffled, not tar by tar
        orders.append([frozenset(group.tolist()) for group in groups])
    assert orders[0] != orders[1]


def test_unreadable_photos_are_left_out_of_a_batch_and_named(tiny_data):
    class Some(Dataset):
        def __getitem__(self, row):
            if row % 2:
                raise PhotoError(f"photo {row} is damaged")
            return {"row": row}

    items = WithoutUnreadable(Some())
    batch = join_readable([items[row] for row in range(5)])
    assert batch["row"].tolist() == [0, 2, 4]
    assert batch["unreadable"] == ["photo 1 is damaged", "photo 3 is damaged"]
    with pytest.raises(PhotoError, match="not one photo of a batch can be read; the first: photo 1 is"):
        join_readable([items[1], items[3]])
