"""Five crops and their normalisation."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geo_model.crops import CropRule, center_crop, crop_boxes, five_crop, normalise
from geo_model.errors import ConfigError
from geo_model.images import read_image

PAPER = CropRule(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def pixels(tensor):
    """uint8 (3, S, S) as rows of RGB."""
    return tensor.permute(1, 2, 0).numpy()


def test_the_order_is_centre_then_corners():
    colours = {"white": None, "red": (0, 0), "lime": (200, 0), "blue": (0, 200), "yellow": (200, 200)}
    image = Image.new("RGB", (300, 300), "white")
    for colour, corner in colours.items():
        if corner:
            image.paste(colour, (*corner, corner[0] + 100, corner[1] + 100))
    crops = five_crop(image, CropRule(300, 100, (0,) * 3, (1,) * 3))
    assert crops.shape == (5, 3, 100, 100)
    assert crops.dtype == torch.uint8
    for crop, colour in zip(crops, colours, strict=True):
        assert (pixels(crop) == Image.new("RGB", (1, 1), colour).getpixel((0, 0))).all(), colour


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crops_are_those_of_resizing_the_whole_photo(sample_photos, interpolation):
    image = read_image(sample_photos[0])
    assert image.size == (640, 427)
    rule = CropRule(256, 224, (0,) * 3, (1,) * 3, interpolation)
    resampling = getattr(Image.Resampling, interpolation.upper())
    whole = np.asarray(image.resize((384, 256), resampling))  # 640 * 256 / 427 = 383.7
    tops_and_lefts = [(16, 80), (0, 0), (0, 160), (32, 0), (32, 160)]
    for crop, (top, left) in zip(five_crop(image, rule), tops_and_lefts, strict=True):
        assert (pixels(crop) == whole[top : top + 224, left : left + 224]).all()


def test_crop_boxes_are_where_the_crops_come_from(sample_photos):
    rule = CropRule(256, 224, (0,) * 3, (1,) * 3)
    whole = read_image(sample_photos[0]).resize((384, 256))
    boxes = crop_boxes(whole.size, rule)
    assert boxes.shape == (5, 4)
    for crop, box in zip(five_crop(whole, rule), boxes, strict=True):
        left, top, right, bottom = np.rint(box * [384, 256, 384, 256]).astype(int)
        assert (pixels(crop) == np.asarray(whole)[top:bottom, left:right]).all()
    assert crop_boxes((3840, 2560), rule) == pytest.approx(boxes)  # shares, whatever the photo's size
    assert (boxes.min(), boxes.max()) == (0, 1)


@pytest.mark.parametrize("size", [(5000, 200), (200, 5000)])
def test_long_strips_give_the_pixels_of_resizing_the_whole(sample_photos, size):
    image = read_image(sample_photos[0]).resize(size)
    long_px = round(5000 * 256 / 200)
    width, height = (long_px, 256) if size[0] > size[1] else (256, long_px)
    whole = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)).astype(int)
    right, bottom = width - 224, height - 224
    lefts_and_tops = [(right // 2, bottom // 2), (0, 0), (right, 0), (0, bottom), (right, bottom)]
    for crop, (left, top) in zip(five_crop(image, PAPER), lefts_and_tops, strict=True):
        assert np.abs(pixels(crop) - whole[top : top + 224, left : left + 224]).max() <= 1


@settings(max_examples=60, deadline=None)
@given(width=st.integers(1, 700), height=st.integers(1, 700))
def test_any_size_gives_crops_of_exactly_the_side(width, height):
    image = Image.new("RGB", (width, height), (1, 2, 3))
    rule = CropRule(40, 33, (0,) * 3, (1,) * 3)
    crops = five_crop(image, rule)
    assert crops.shape == (5, 3, 33, 33)
    assert (crops == torch.tensor([1, 2, 3], dtype=torch.uint8).view(3, 1, 1)).all()


@pytest.mark.parametrize("size", [(65_000, 1), (1, 65_000), (60_000, 30), (1, 1)])
def test_extreme_shapes_need_no_extreme_memory(size):
    # Resized whole, 65,000 × 1 would be 256 × 16,640,000 pixels.
    assert five_crop(Image.new("RGB", size, "red"), PAPER).shape == (5, 3, 224, 224)


def test_the_centre_crop_is_the_first_of_five(sample_photos):
    for path in sample_photos:
        image = read_image(path)
        assert torch.equal(center_crop(image, PAPER), five_crop(image, PAPER)[0])


def test_crops_own_their_memory_and_other_modes_are_converted(sample_photos):
    image = read_image(sample_photos[0]).convert("L")
    crop = center_crop(image, PAPER)
    assert crop.movedim(0, -1).is_contiguous()  # colours innermost, as the network and the photo have them
    assert crop.untyped_storage().nbytes() == crop.numel()
    assert torch.equal(crop[0], crop[2])


def test_a_side_equal_to_the_short_side_gives_three_different_crops(sample_photos):
    crops = five_crop(read_image(sample_photos[0]), CropRule(224, 224, (0,) * 3, (1,) * 3))
    assert torch.equal(crops[1], crops[3])  # top left is bottom left in a landscape
    assert not torch.equal(crops[1], crops[2])


def test_normalise_is_the_formula():
    crops = torch.randint(
        0, 256, (2, 5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    result = normalise(crops, PAPER)
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (PAPER.mean, PAPER.std))
    assert result.dtype == torch.float32
    assert result.shape == crops.shape
    np.testing.assert_allclose(result.numpy(), (crops.numpy() / 255 - mean) / std, atol=1e-6)


def test_normalise_rounds_only_the_result_to_half_precision():
    crops = torch.arange(256, dtype=torch.uint8).repeat(3, 1).view(3, 16, 16)
    half = normalise(crops, PAPER, torch.float16)
    assert half.dtype == torch.float16
    assert torch.equal(half, normalise(crops, PAPER).half())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_normalise_on_a_gpu():
    crops = torch.full((1, 3, 4, 4), 200, dtype=torch.uint8)
    result = normalise(crops.cuda(), PAPER)
    assert result.is_cuda
    torch.testing.assert_close(result.cpu(), normalise(crops, PAPER))


def test_a_rule_survives_json():
    rule = CropRule(274, 260, (0.5, 0.5, 0.5), (0.25, 0.5, 1), "bicubic")
    assert CropRule.from_dict(json.loads(json.dumps(rule.to_dict()))) == rule
    hash(rule)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_px": 300}, "crop_px is 300, more than resize_short_px"),
        ({"crop_px": 0}, "crop_px is 0"),
        ({"resize_short_px": 256.0}, "resize_short_px is 256.0"),
        ({"crop_px": True}, "crop_px is True"),
        ({"mean": [0.5, 0.5]}, "mean is"),
        ({"mean": "red"}, "mean is 'red'"),
        ({"std": [1, 1, float("nan")]}, "std is"),
        ({"std": [1, 0, 1]}, "three numbers above 0"),
        ({"interpolation": "nearest"}, "interpolation is 'nearest'; give one of bilinear, bicubic"),
        ({"interpolation": ["bilinear"]}, "interpolation is"),
        ({"antialias": True}, "unknown key 'antialias'"),
    ],
)
def test_an_impossible_rule_is_one_sentence(changes, message):
    with pytest.raises(ConfigError, match=message):
        CropRule.from_dict({**PAPER.to_dict(), **changes})


def test_a_missing_key_and_no_mapping():
    values = PAPER.to_dict()
    del values["std"]
    with pytest.raises(ConfigError, match="missing key 'std'"):
        CropRule.from_dict(values)
    with pytest.raises(ConfigError, match="it is list"):
        CropRule.from_dict([1, 2])
