"""A copy of a photo without metadata: no EXIF, XMP, IPTC, comments, previews or GPS tag.

An upright JPEG keeps its compressed pixels: every other segment but the colour profile is cut out (ITU T.81,
annex B, names the segments). Any other photo is written again as PNG, pixel for pixel.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image
from PIL.ExifTags import Base
from PIL.JpegImagePlugin import JpegImageFile

from geo_model.images import read_image
from geo_model.photo_files import DECODER_ERRORS, Limits, PhotoSource, open_photo, read_bytes, shown_name

_START_OF_SCAN, _END_OF_IMAGE, _COMMENT = 0xDA, 0xD9, 0xFE
_APPLICATION = range(0xE0, 0xF0)
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length: TEM, restart markers and the start of the image."""

_COLOUR_PROFILE = b"ICC_PROFILE\0"
_INKS = b"Adobe"
"""Segments that the pixels cannot be understood without: colour profile, and what the channels mean."""


@dataclass(frozen=True)
class CleanCopy:
    """A photo without metadata.

    Attributes:
        data: The encoded photo.
        suffix: Of its file: ".jpg" or ".png".
        media_type: Such as "image/png".
        lossless_cut: The compressed pixels are those of the original; else the photo was written again.
    """

    data: bytes
    suffix: str
    media_type: str
    lossless_cut: bool


def can_be_cut(source: PhotoSource, *, name: str | None = None, limits: Limits | None = None) -> bool:
    """Whether `without_metadata` keeps the compressed pixels: the photo is an upright JPEG. Decodes nothing.

    Raises:
        PhotoError: The file cannot be read, or holds no photo.
    """
    data = read_bytes(source, name=name, limits=limits)
    image = open_photo(data, shown_name(source, name))
    return isinstance(image, JpegImageFile) and _orientation(image) == 1 and _cut(data) is not None


def without_metadata(
    source: PhotoSource, *, name: str | None = None, limits: Limits | None = None
) -> CleanCopy:
    """A copy of a photo that shows the same and tells nothing else.

    The pixels of the copy, read by `read_image`, are those of the photo. A photo that is not an upright JPEG
    becomes a PNG in sRGB of its first frame, turned upright, with transparency laid on white.

    Args:
        source: Bytes, a path or a binary stream, as for `read_image`.
        name: What to call the photo in an error.
        limits: What the photo may cost; None means `Limits()`.

    Raises:
        PhotoError: The photo cannot be read, is too large, damaged, incomplete, or no photo at all.
    """
    data = read_bytes(source, name=name, limits=limits)
    shown = shown_name(source, name)
    if can_be_cut(data, name=shown, limits=limits):
        cut = _cut(data)
        assert cut is not None
        return CleanCopy(cut, ".jpg", "image/jpeg", lossless_cut=True)
    buffer = io.BytesIO()
    read_image(data, name=shown, limits=limits).save(buffer, "PNG")
    return CleanCopy(buffer.getvalue(), ".png", "image/png", lossless_cut=False)


def _orientation(image: JpegImageFile) -> int:
    try:
        return Image.Image.getexif(image).get(Base.Orientation, 1)
    except DECODER_ERRORS:  # junk; `read_image` takes such a photo for upright too
        return 1


def _cut(data: bytes) -> bytes | None:
    """A JPEG with what decoding needs, up to the end of its image; None if its segments make no sense."""
    kept = [data[:2]]
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
        elif marker == _END_OF_IMAGE:
            return b"".join([*kept, data[position : position + 2]])
        elif marker in _ALONE:
            kept.append(data[position : position + 2])
            position += 2
        else:
            end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
            if end < position + 4 or end > len(data):
                return None
            if marker == _START_OF_SCAN:
                end = _end_of_scan(data, end)
            if _is_kept(marker, data[position + 4 : end]):
                kept.append(data[position:end])
            position = end
    if data[position : position + 2] == bytes([0xFF, _END_OF_IMAGE]):
        return b"".join([*kept, data[position : position + 2]])
    return None


def _end_of_scan(data: bytes, position: int) -> int:
    """Where the entropy-coded pixels end: at a marker that is neither a stuffed byte nor a restart."""
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            return len(data)
        if data[position + 1] != 0 and not 0xD0 <= data[position + 1] <= 0xD7:
            return position
        position += 2


def _is_kept(marker: int, content: bytes) -> bool:
    if marker == _COMMENT:
        return False
    if marker not in _APPLICATION:
        return True
    return (
        content.startswith(_COLOUR_PROFILE)
        if marker == 0xE2
        else marker == 0xEE and content.startswith(_INKS)
    )
