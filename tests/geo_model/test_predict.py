"""From photos to predictions: inputs, order, failures, and what a prediction answers."""

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


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return geo_model.load(tiny_model_folder, device="cpu")


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


def test_one_photo_alone(model, sample_photos):
    assert len(model.predict(sample_photos[0])) == 1
    assert len(model.predict(sample_photos[0].read_bytes())) == 1
    assert model.predict([]) == []


def test_answers_do_not_depend_on_the_batch(model, sample_photos):
    photos = [*sample_photos, *reversed(sample_photos)]
    alone = model.predict(photos, batch_size=1)
    together = model.predict(photos, batch_size=3)
    for one, other in zip(alone, together, strict=True):
        assert one.name == other.name
        np.testing.assert_allclose(one.product, other.product, atol=1e-5)


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


def test_maximum_of_the_crops_is_an_option(model, sample_photos):
    mean, largest = (model.predict(sample_photos[0], crops=crops)[0] for crops in ("mean", "max"))
    assert not np.allclose(mean.product, largest.product, atol=1e-7)
    assert largest.levels[Level.FINE].sum() == pytest.approx(1, abs=1e-4)


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
