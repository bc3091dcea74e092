"""Photos for nvJPEG: which go that way, and that their crops are Pillow's, which stands in for the GPU."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import geo_model
from geo_model import PhotoFailure, five_crop, gpu_jpeg, read_image
from geo_model.crops import CropRule, five_crop_of_pixels
from geo_model.gpu_jpeg import crops_of_jpegs, plain_jpeg, turned
from geo_model.photo_crops import PhotoCrops

RULE = CropRule(292, 260, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def pixels_of(image):
    return torch.from_numpy(np.array(image.convert("RGB"))).movedim(-1, 0)


def decode(jpegs):
    """As nvJPEG does: pixels as stored, all of the photos or none."""
    try:
        return [pixels_of(Image.open(io.BytesIO(jpeg))) for jpeg in jpegs]
    except OSError as error:
        raise RuntimeError("one of them cannot be decoded") from error


def saved(image, form="JPEG", **more):
    file = io.BytesIO()
    image.save(file, form, **more)
    return file.getvalue()


@pytest.fixture(scope="module")
def photo(sample_photos):
    return read_image(sample_photos[0])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crops_of_pixels_are_those_of_pillow(sample_photos, interpolation):
    rule = CropRule(292, 260, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), interpolation)
    for path in sample_photos:
        image = Image.open(path).convert("RGB")
        difference = (five_crop_of_pixels(pixels_of(image), rule).int() - five_crop(image, rule).int()).abs()
        assert difference.float().mean() < 0.5
        assert difference.max() <= 5


def test_the_bundled_model_answers_alike(sample_photos):
    model = geo_model.load(device="cpu", precision="float32")
    jpegs = [plain_jpeg(path.read_bytes()) for path in sample_photos]
    assert None not in jpegs
    crops = crops_of_jpegs(jpegs, model.spec.crop_rule, decode)
    found = model.decode(torch.stack(crops)).classes.tolist()
    assert found == [prediction.class_index for prediction in model.predict(sample_photos)]


@pytest.mark.parametrize("turn", [None, *Image.Transpose])
def test_turned_as_pillow_turns(photo, turn):
    small = photo.resize((7, 5))
    expected = small if turn is None else small.transpose(turn)
    assert torch.equal(turned(pixels_of(small), turn), pixels_of(expected))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(photo, exif=exif, quality=95)
    [crops] = crops_of_jpegs([plain_jpeg(data)], RULE, decode)
    expected = five_crop(read_image(data), RULE)
    assert (crops.int() - expected.int()).abs().float().mean() < 0.5


def other_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@pytest.mark.parametrize(
    ("what", "plain"),
    [
        ("baseline", True),
        ("progressive", True),
        ("in sRGB", True),
        ("CMYK", False),
        ("grey", False),
        ("of another profile", False),
        ("with a damaged profile", False),
        ("with RGB stored as it is", False),
        ("cut off", False),
        ("too large", False),
        ("very long", False),
        ("PNG", False),
        ("no photo", False),
        ("header only", False),
    ],
)
def test_only_what_both_show_alike_goes_to_nvjpeg(photo, what, plain, monkeypatch):
    if what == "too large":
        monkeypatch.setattr(gpu_jpeg, "MAX_PIXELS", photo.width * photo.height - 1)
    data = {
        "progressive": lambda: saved(photo, progressive=True),
        "in sRGB": lambda: saved(
            photo, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        ),
        "CMYK": lambda: saved(photo.convert("CMYK")),
        "grey": lambda: saved(photo.convert("L")),
        "of another profile": lambda: saved(photo, icc_profile=other_profile()),
        "with a damaged profile": lambda: saved(photo, icc_profile=b"junk" * 40),
        "with RGB stored as it is": lambda: saved(photo, keep_rgb=True),
        "cut off": lambda: saved(photo)[:-5000],
        "very long": lambda: saved(photo.resize((900, 100))),
        "PNG": lambda: saved(photo, "PNG"),
        "no photo": lambda: b"no photo",
        "header only": lambda: b"\xff\xd8\xff\xff\xd9",
    }.get(what, lambda: saved(photo))()
    assert (plain_jpeg(data) is not None) == plain


def test_one_that_cannot_be_decoded_spoils_no_other(photo, monkeypatch):
    data = saved(photo)
    damaged = gpu_jpeg.PlainJpeg(data[: len(data) // 2], photo.width * photo.height, None)
    monkeypatch.setattr(gpu_jpeg, "_PIXELS_TOGETHER", 2 * photo.width * photo.height)
    crops = crops_of_jpegs([plain_jpeg(data), damaged, plain_jpeg(data), plain_jpeg(data)], RULE, decode)
    assert [crop is None for crop in crops] == [False, True, False, False]
    assert torch.equal(crops[0], crops[3])


def test_a_stream_gives_the_same_photos_and_failures(tiny_model_folder, sample_photos, photo, monkeypatch):
    model = geo_model.load(tiny_model_folder, device="cpu", precision="float32")
    data = saved(photo)
    photos = [
        *sample_photos,
        ("cut off", data[: len(data) // 2]),
        ("cut off with an end", data[: len(data) // 3] + b"\xff\xd9"),
        ("empty", b""),
        ("opened", Image.open(sample_photos[0])),
        ("grey", saved(photo.convert("L"))),
        ("gone", "no-such-file.jpg"),
    ]
    expected = list(model.stream(photos, batch_size=4))
    monkeypatch.setattr(model, "_jpeg_decoder", lambda: decode)
    found = list(model.stream(photos, batch_size=4))
    assert [result.name for result in found] == [result.name for result in expected]
    for one, other in zip(expected, found, strict=True):
        assert isinstance(one, PhotoFailure) == isinstance(other, PhotoFailure)
        if isinstance(one, PhotoFailure):
            assert one.reason == other.reason
        else:
            np.testing.assert_allclose(one.product, other.product, atol=2e-3)
    assert sum(isinstance(result, PhotoFailure) for result in found) >= 3


def test_jpegs_are_only_looked_at_before_the_batch(sample_photos):
    reader = PhotoCrops(lambda image: five_crop(image, RULE), RULE, decode)
    name, jpeg = reader.read(sample_photos[0], 1)
    assert name == str(sample_photos[0])
    assert isinstance(jpeg, gpu_jpeg.PlainJpeg)


@pytest.mark.skipif(not gpu_jpeg.available(), reason="needs a CUDA GPU and nvJPEG in torchvision")
def test_nvjpeg_shows_what_pillow_shows(sample_photos):
    jpegs = [plain_jpeg(path.read_bytes()) for path in sample_photos]
    found = crops_of_jpegs(jpegs, RULE, gpu_jpeg.nvjpeg(torch.device("cuda")))
    for crops, expected in zip(found, crops_of_jpegs(jpegs, RULE, decode), strict=True):
        assert crops.is_cuda
        assert (crops.cpu().int() - expected.int()).abs().float().mean() < 2
