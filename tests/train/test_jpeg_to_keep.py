"""Which photos are kept, and how large."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from train.jpeg_to_keep import jpeg_to_keep


def encoded(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, options.pop("format", "JPEG"), **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def photo(sample_photos):
    return Image.open(sample_photos[0]).convert("RGB")


def test_a_small_photo_stays_as_it_is(photo):
    for size in ((320, 480), (1000, 320), (64, 64)):
        data = encoded(photo.resize(size), quality=60)
        assert jpeg_to_keep(data) == data


@pytest.mark.parametrize(
    ("size", "kept"), [((640, 480), (427, 320)), ((321, 900), (320, 897)), ((2000, 2000), (320, 320))]
)
def test_a_large_one_is_reduced(photo, size, kept):
    reduced = jpeg_to_keep(encoded(photo.resize(size)))
    image = Image.open(io.BytesIO(reduced))
    assert (image.format, image.size) == ("JPEG", kept)
    expected = photo.resize(kept)
    difference = sum(abs(a - b) for a, b in zip(image.tobytes(), expected.tobytes(), strict=True))
    assert difference / len(expected.tobytes()) < 4


def test_a_reduced_one_is_upright(photo):
    exif = Image.Exif()
    exif[274] = 6
    image = Image.open(io.BytesIO(jpeg_to_keep(encoded(photo.resize((800, 600)), exif=exif))))
    assert image.size == (320, 427)
    assert not image.getexif()


def test_what_is_not_kept(photo):
    assert jpeg_to_keep(b"") == "not a JPEG"
    assert jpeg_to_keep(encoded(photo, format="PNG")) == "not a JPEG"
    data = encoded(photo)
    for damaged in (data[: len(data) // 2], data[:20], b"\xff\xd8\xff" + bytes(1000)):
        assert jpeg_to_keep(damaged).startswith("a JPEG that cannot be decoded: ")
