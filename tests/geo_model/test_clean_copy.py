"""Copies without metadata: what is gone, and that the pixels are the same."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from geo_model.clean_copy import can_be_cut, without_metadata
from geo_model.errors import PhotoError
from geo_model.images import read_gps, read_image

SECRETS = (b"Canon EOS", b"secret comment", b"secret xmp", b"secret iptc", b"secret tail")
XMP = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>secret xmp</x:xmpmeta>"
IPTC = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\x10\x1c\x02\x05\0\x0bsecret iptc"


def exif(orientation=1):
    tags = Image.Exif()
    tags[0x0110], tags[0x0112] = "Canon EOS", orientation
    tags[0x8825] = {1: "S", 2: (33.0, 51.0, 24.0), 3: "E", 4: (151.0, 12.0, 55.0)}
    return tags


def segment(marker, content):
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def full_of_secrets(photo, orientation=1, **options):
    """A JPEG of the photo with EXIF, XMP, IPTC, a comment, and something behind its end."""
    buffer = io.BytesIO()
    image = Image.open(photo).convert("RGB").reduce(3)
    image.save(buffer, "JPEG", exif=exif(orientation), comment=b"secret comment", **options)
    data = buffer.getvalue()
    return data[:2] + segment(0xE1, XMP) + segment(0xED, IPTC) + data[2:] + b"secret tail"


def same_pixels(first, second):
    return np.array_equal(np.asarray(read_image(first)), np.asarray(read_image(second)))


def tells_nothing(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    told = set(image.info) - {"icc_profile", "adobe", "adobe_transform", "progressive", "progression"}
    return not told and not image.getexif() and not any(secret in data for secret in SECRETS)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"quality": 30}]
)
def test_an_upright_jpeg_keeps_its_compressed_pixels(sample_photos, options):
    data = full_of_secrets(sample_photos[0], **options)
    assert all(secret in data for secret in SECRETS)
    assert read_gps(data) is not None
    assert can_be_cut(data)
    copy = without_metadata(data)
    assert copy.lossless_cut
    assert copy.suffix == ".jpg"
    assert read_gps(copy.data) is None
    assert tells_nothing(copy.data)
    assert same_pixels(copy.data, data)


@pytest.mark.parametrize("orientation", [2, 6])
def test_a_turned_jpeg_is_written_upright_with_the_same_pixels(sample_photos, orientation):
    data = full_of_secrets(sample_photos[0], orientation)
    assert not can_be_cut(data)
    copy = without_metadata(data)
    assert (copy.lossless_cut, copy.suffix, copy.media_type) == (False, ".png", "image/png")
    assert read_gps(copy.data) is None
    assert tells_nothing(copy.data)
    assert same_pixels(copy.data, data)


def test_a_colour_profile_stays_for_the_colours_depend_on_it(sample_photos):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    copy = without_metadata(full_of_secrets(sample_photos[0], icc_profile=profile))
    assert Image.open(io.BytesIO(copy.data)).info["icc_profile"] == profile


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_other_formats_become_a_png_of_the_same_pixels(sample_photos, file_format):
    text = PngInfo()
    text.add_text("Comment", "secret comment")
    options = {"PNG": {"exif": exif(6), "pnginfo": text}, "WEBP": {"exif": exif(6)}, "TIFF": {}}[file_format]
    buffer = io.BytesIO()
    image = Image.open(sample_photos[0]).convert("RGB").reduce(4)
    image.save(buffer, file_format, **options)
    copy = without_metadata(buffer.getvalue())
    assert copy.suffix == ".png"
    assert tells_nothing(copy.data)
    assert same_pixels(copy.data, buffer.getvalue())


def test_what_is_no_photo_is_refused_by_name():
    with pytest.raises(PhotoError, match=r"words\.jpg"):
        without_metadata(b"only words", name="words.jpg")
