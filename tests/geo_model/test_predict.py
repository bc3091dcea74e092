"""From photos to predictions: inputs, order, failures, and what a prediction answers."""

import dataclasses
import io
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

import geo_model
from geo_model import Level, PhotoFailure
from geo_model.crops import five_crop
from geo_model.errors import DeviceError, PhotoError
from geo_model.measured_choices import choices_for, multiplies_bfloat16


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return geo_model.load(tiny_model_folder, device="cpu", precision="float32")


def test_importing_does_no_work():
    code = "import sys, geo_model; print(sorted({'torch', 'timm', 'pandas', 'PIL'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_every_kind_of_source_gives_one_answer(model, sample_photos):
    path = sample_photos[0]
    data = path.read_bytes()
    predictions = model.predict(
        [path, str(path), data, io.BytesIO(data), ("named", data), ("opened", Image.open(path))]
    )
    assert [p.name for p in predictions[:2]] == [str(path), str(path)]
    assert [p.name for p in predictions[-2:]] == ["named", "opened"]
    for prediction in predictions[1:]:
        np.testing.assert_allclose(prediction.product, predictions[0].product, atol=1e-5)


def test_one_photo_with_a_name_or_in_memory(model, sample_photos):
    data = sample_photos[0].read_bytes()
    expected = model.predict(sample_photos[0])[0].class_index
    for one in (("holiday", data), bytearray(data), memoryview(data), ("holiday", io.BytesIO(data))):
        (prediction,) = model.predict(one)
        assert prediction.class_index == expected
        assert prediction.name == ("holiday" if isinstance(one, tuple) else "photo 1")
    assert len(model.predict((str(sample_photos[0]), str(sample_photos[1])))) == 2  # two paths


def test_one_photo_alone(model, sample_photos):
    assert len(model.predict(sample_photos[0])) == 1
    assert len(model.predict(sample_photos[0].read_bytes())) == 1
    assert model.predict([]) == []


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-3), ("auto", 2e-3)])
def test_answers_do_not_depend_on_the_batch(tiny_model_folder, sample_photos, precision, tolerance):
    model = geo_model.load(tiny_model_folder, device="cpu", precision=precision)
    photos = [*sample_photos, *reversed(sample_photos), sample_photos[0]]
    alone = [model.predict(path)[0] for path in photos]
    for batch_size in (2, 3, len(photos)):
        with_a_failure = [*photos[:2], ("broken", b"no photo"), *photos[2:]]
        together = list(model.stream(with_a_failure, batch_size=batch_size))
        assert isinstance(together.pop(2), PhotoFailure)
        for one, other in zip(alone, together, strict=True):
            assert one.name == other.name
            np.testing.assert_allclose(one.product, other.product, atol=tolerance)
            assert one.product.max() > 5 * tolerance
            if precision == "float32":
                assert one.class_index == other.class_index


def test_photos_may_go_through_the_network_together(model, sample_photos):
    crops = torch.stack([model.cut(Image.open(path).convert("RGB")) for path in sample_photos])
    one_by_one = model.logits(crops)
    chosen = model.choices
    try:
        model.choices = dataclasses.replace(chosen, photos_at_once=None)
        for one, other in zip(one_by_one, model.logits(crops), strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    finally:
        model.choices = chosen


def test_a_device_that_is_given_batches_ahead_gives_the_same_in_order(model, sample_photos):
    photos = [*sample_photos[:3], ("broken", b"no photo"), *sample_photos[:2]]
    expected = list(model.stream(photos, batch_size=2))
    chosen = model.choices
    try:
        model.choices = dataclasses.replace(chosen, batches_ahead=1)
        found = list(model.stream(photos, batch_size=2))
    finally:
        model.choices = chosen
    assert [result.name for result in found] == [result.name for result in expected]
    assert isinstance(found[3], PhotoFailure)
    assert [r.class_index for r in found if not isinstance(r, PhotoFailure)] == [
        r.class_index for r in expected if not isinstance(r, PhotoFailure)
    ]


def test_probabilities_are_the_network_s(model, sample_photos):
    crops = five_crop(Image.open(sample_photos[0]).convert("RGB"), model.spec.crop_rule)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.spec.crop_rule.mean, model.spec.crop_rule.std))
    with torch.inference_mode():
        expected = [
            logits.div(temperature).softmax(dim=-1).mean(dim=0)
            for logits, temperature in zip(
                model.network((crops.float() / 255 - mean) / std),
                model.spec.temperature.of_levels,
                strict=True,
            )
        ]
    prediction = model.predict(("same", Image.open(sample_photos[0])) for _ in range(1))[0]
    for level, probabilities in zip(Level, expected, strict=True):
        np.testing.assert_allclose(prediction.levels[level], probabilities.numpy(), atol=1e-5)


def test_unreadable_photos_fail_alone_and_in_place(model, sample_photos, tmp_path):
    (tmp_path / "text.jpg").write_text("not a photo")
    inputs = [
        sample_photos[0],
        tmp_path / "text.jpg",
        tmp_path / "gone.jpg",
        ("empty", b""),
        sample_photos[0],
    ]
    results = list(model.stream(inputs, batch_size=2))
    assert [isinstance(result, PhotoFailure) for result in results] == [False, True, True, True, False]
    text, gone = str(tmp_path / "text.jpg"), str(tmp_path / "gone.jpg")
    assert [result.name for result in results[1:4]] == [text, gone, "empty"]
    with pytest.raises(PhotoError, match=r"text\.jpg"):
        model.predict(inputs)


def test_a_stream_reads_only_a_little_ahead(model, sample_photos):
    taken = 0

    def photos():
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield sample_photos[0]

    stream = model.stream(photos(), batch_size=2)
    next(stream)
    stream.close()
    assert taken <= 4


def test_rankings_and_points(model, sample_photos):
    prediction = model.predict(sample_photos[0])[0]
    top = prediction.top(5)
    assert [candidate.rank for candidate in top] == [1, 2, 3, 4, 5]
    assert top[0].probability == prediction.product.max()
    assert all(a.probability >= b.probability for a, b in pairwise(top))
    fine = model.hierarchy.fine
    for level in Level:
        first = prediction.top(1, level)[0]
        assert first.level is level
        assert first.token == model.hierarchy[level].tokens[first.class_index]
        assert prediction.point(level) == (first.latitude, first.longitude)
    assert prediction.point() == (prediction.latitude, prediction.longitude)
    assert prediction.latitude == fine.latitudes[prediction.class_index]
    assert prediction.place.country
    assert prediction.top(0) == []
    assert len(prediction.top(10**6)) == len(fine)


def test_region(model, sample_photos):
    prediction = model.predict(sample_photos[0])[0]
    half, most = prediction.region(0.5), prediction.region(0.9)
    assert set(half.classes) <= set(most.classes)
    assert 0.5 <= half.probability < 0.9 <= most.probability
    assert 0 < half.area_km2 < most.area_km2 <= model.hierarchy.fine.areas_km2.sum()
    assert prediction.region(1.0).area_km2 == pytest.approx(model.hierarchy.fine.areas_km2.sum())


def test_regions_and_places_of_a_batch_are_those_of_its_photos(model, sample_photos):
    photos = [sample_photos[0], ("broken", b"no photo"), *sample_photos[1:]]
    one_by_one = list(model.stream(photos))
    together = list(model.stream(photos, regions=(0.5, 0.9)))
    assert isinstance(together.pop(1), PhotoFailure)
    del one_by_one[1]
    for one, other in zip(one_by_one, together, strict=True):
        assert one.place == other.place
        for share in (0.5, 0.75, 0.9):  # 0.75 was not asked for
            assert one.region(share).share == other.region(share).share == share
            np.testing.assert_array_equal(one.region(share).classes, other.region(share).classes)
            assert one.region(share).probability == other.region(share).probability
            assert one.region(share).area_km2 == other.region(share).area_km2
        changed = dataclasses.replace(other, product=np.roll(other.product, 1))
        assert set(changed.region(0.9).classes) != set(other.region(0.9).classes)
    with pytest.raises(ValueError, match="share is 2"):
        model.predict(sample_photos[0], regions=(2,))


def test_an_answer_finer_than_its_cell_has_the_place_of_the_answer(model, sample_photos):
    prediction = dataclasses.replace(model.predict(sample_photos[0])[0], answer=(48.857, 2.352))
    assert prediction.place.name == "Paris"


def test_maximum_of_the_crops_is_an_option(model, sample_photos):
    mean, largest = (model.predict(sample_photos[0], crops=crops)[0] for crops in ("mean", "max"))
    assert not np.allclose(mean.product, largest.product, atol=1e-7)
    assert largest.levels[Level.FINE].sum() == pytest.approx(1, abs=1e-4)


def test_auto_takes_the_measured_choice(tiny_model_folder):
    auto = geo_model.load(tiny_model_folder, device="cpu")
    assert auto.dtype is choices_for(auto.device).dtype
    assert auto.dtype is (torch.bfloat16 if multiplies_bfloat16() else torch.float32)
    assert geo_model.load(tiny_model_folder, device="cpu", precision="float32").dtype is torch.float32


def test_devices_and_precisions(tiny_model_folder):
    for wrong in ("cuda:77", "teapot"):
        with pytest.raises(DeviceError, match=wrong):
            geo_model.load(tiny_model_folder, device=wrong)
    with pytest.raises(DeviceError, match="float16"):
        geo_model.load(tiny_model_folder, device="cpu", precision="float16")
    with pytest.raises(DeviceError, match="int4"):
        geo_model.load(tiny_model_folder, device="cpu", precision="int4")


def test_bfloat16_stays_close(tiny_model_folder, model, sample_photos):
    half = geo_model.load(tiny_model_folder, device="cpu", precision="bfloat16").predict(sample_photos)
    for one, other in zip(half, model.predict(sample_photos), strict=True):
        assert np.abs(one.product - other.product).sum() < 0.1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_cuda_agrees_with_the_cpu(tiny_model_folder, model, sample_photos):
    gpu = geo_model.load(tiny_model_folder, device="cuda", precision="float32")
    for one, other in zip(gpu.predict(sample_photos), model.predict(sample_photos), strict=True):
        np.testing.assert_allclose(one.product, other.product, atol=1e-4)
