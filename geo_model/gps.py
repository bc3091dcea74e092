"""Where a photo's own EXIF block says it was taken.

It is there to compare predictions with, and never reaches a network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image
from PIL.ExifTags import GPS, IFD
from PIL.PngImagePlugin import PngImageFile

from geo_model.photo_files import DECODER_ERRORS, Limits, PhotoSource, open_photo, read_bytes, shown_name


@dataclass(frozen=True)
class GpsTag:
    """Where a photo says it was taken.

    Attributes:
        latitude: Degrees, north positive.
        longitude: Degrees, east positive.
        altitude_m: Metres above sea level, or None when the tag has none.
    """

    latitude: float
    longitude: float
    altitude_m: float | None = None


def read_gps(source: PhotoSource, *, name: str | None = None, limits: Limits | None = None) -> GpsTag | None:
    """The GPS tag of a photo (EXIF 2.32, section 4.6.6). No pixel is decoded.

    Args:
        source: Bytes, a path or a binary stream, as for `read_image`.
        name: What to call the photo in an error.
        limits: What the photo may cost; None means `Limits()`.

    Returns:
        None when the photo has no tag or an impossible one: out of range, 0/0, without a hemisphere (its sign
        would be a guess), or exactly 0° N 0° E, which devices write when they have no fix. Junk never raises.

    Raises:
        PhotoError: The file cannot be read, or holds no photo.
    """
    data = read_bytes(source, name=name, limits=limits)
    image = open_photo(data, shown_name(source, name))
    try:
        if isinstance(image, PngImageFile) and "exif" not in image.info:
            # PNG's EXIF chunk may follow the pixels, which are not decoded here.
            image.info["exif"] = _png_exif(data)
        # Image.Image: PNG's own method would decode the photo.
        tags = Image.Image.getexif(image).get_ifd(IFD.GPSInfo)
        latitude = _degrees(tags.get(GPS.GPSLatitude), tags.get(GPS.GPSLatitudeRef), "NS", most=90)
        longitude = _degrees(tags.get(GPS.GPSLongitude), tags.get(GPS.GPSLongitudeRef), "EW", most=180)
        if latitude is None or longitude is None or latitude == longitude == 0:
            return None
        altitude_m = _altitude_m(tags.get(GPS.GPSAltitude), tags.get(GPS.GPSAltitudeRef))
        return GpsTag(latitude, longitude, altitude_m)
    except DECODER_ERRORS:
        return None


def _png_exif(data: bytes) -> bytes | None:
    """Content of a PNG's eXIf chunk, found by stepping from chunk to chunk."""
    position = 8
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == b"eXIf":
            return data[position + 8 : position + 8 + length]
        position += 12 + length
    return None


def _degrees(value: object, hemisphere: object, letters: str, *, most: int) -> float | None:
    """Signed degrees from degrees, minutes and seconds; None when they are missing or impossible.

    Args:
        value: One to three numbers.
        hemisphere: Begins with one of `letters`.
        letters: The positive and the negative hemisphere.
        most: Largest possible number of degrees.
    """
    if isinstance(hemisphere, bytes):
        hemisphere = hemisphere.decode("ascii", "replace")
    letter = hemisphere.strip("\0 ")[:1].upper() if isinstance(hemisphere, str) else ""
    if value is None or letter == "" or letter not in letters:
        return None
    parts = [float(part) for part in (value if isinstance(value, tuple | list) else (value,))]
    if not 1 <= len(parts) <= 3 or not all(math.isfinite(part) and part >= 0 for part in parts):
        return None
    whole, minutes, seconds = (*parts, 0.0, 0.0)[:3]
    degrees = whole + minutes / 60 + seconds / 3600
    if minutes > 60 or seconds > 60 or degrees > most:  # 60 itself is a rounding of 59.99…
        return None
    return degrees if letter == letters[0] else -degrees


def _altitude_m(value: object, reference: object) -> float | None:
    """Metres above sea level; reference 1 means below it."""
    try:
        altitude_m = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError):
        return None
    below = reference in (1, b"\x01", "\x01")
    return (-altitude_m if below else altitude_m) if math.isfinite(altitude_m) else None
