"""From a file, bytes or a stream to an upright RGB image."""

from __future__ import annotations

import io

from PIL import Image, ImageCms
from PIL.ExifTags import Base
from PIL.JpegImagePlugin import JpegImageFile

from geo_model.errors import PhotoError
from geo_model.gps import GpsTag, read_gps
from geo_model.photo_files import (
    DECODER_ERRORS,
    PHOTO_SUFFIXES,
    Limits,
    PhotoSource,
    open_photo,
    photo_name,
    read_bytes,
    reason,
    shown_name,
)

__all__ = [
    "PHOTO_SUFFIXES",
    "GpsTag",
    "Limits",
    "PhotoSource",
    "photo_name",
    "read_bytes",
    "read_gps",
    "read_image",
    "shows_srgb",
    "turn_of",
    "upright_rgb",
]

_MARGIN = 2
"""A reduced photo keeps at least this many times the pixels asked for, so that resizing it stays sharp."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a photo with each EXIF orientation upright (EXIF 2.32, tag 274)."""


def read_image(
    source: PhotoSource,
    *,
    name: str | None = None,
    short_side_px: int | None = None,
    limits: Limits | None = None,
) -> Image.Image:
    """A photo's pixels: RGB, upright, in sRGB; of an animation the first frame; alpha is laid on white.

    Args:
        source: Bytes, a path or a binary stream holding JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF.
        name: What to call the photo in an error; by default its path or its stream's name.
        short_side_px: Short side in pixels that the caller will resize to. A photo whose short side is much
            larger comes back reduced, its short side still at least twice this. None keeps its full size.
        limits: What the photo may cost; None means `Limits()`.

    Returns:
        An image of mode RGB without metadata.

    Raises:
        PhotoError: The photo cannot be read, is too large, damaged, incomplete, or no photo at all.
    """
    limits = limits or Limits()
    shown = shown_name(source, name)
    image = open_photo(read_bytes(source, name=name, limits=limits), shown)
    if short_side_px is not None and isinstance(image, JpegImageFile):
        _draft(image, _MARGIN * short_side_px, shown, limits)
    _check_pixels(image.size, limits.max_pixels, shown)
    return upright_rgb(image, name=shown, short_side_px=short_side_px)


def _draft(image: JpegImageFile, kept_px: int, shown: str, limits: Limits) -> None:
    """Have a JPEG decoded at 1/2, 1/4 or 1/8 size, its short side no less than `kept_px`."""
    # A progressive JPEG keeps all its coefficients in memory, however small it is decoded.
    progressive = "progressive" in image.info
    _check_pixels(image.size, limits.max_pixels if progressive else limits.max_reduced_pixels, shown)
    image.draft(None, (kept_px, kept_px))


def _check_pixels(size: tuple[int, int], most: int, shown: str) -> None:
    width, height = size
    if width * height > most:
        raise PhotoError(
            f"{shown}: the photo has {width:,} × {height:,} pixels, more than the {most / 1e6:,.4g} million "
            "that are allowed; give a smaller copy of the photo."
        )


def upright_rgb(image: Image.Image, *, name: str = "photo", short_side_px: int | None = None) -> Image.Image:
    """A copy of an opened image as `read_image` gives it: RGB, upright, in sRGB, without metadata.

    Args:
        image: Any mode, decoded or not.
        name: What to call the photo in an error.
        short_side_px: As for `read_image`.

    Raises:
        PhotoError: The image is damaged or incomplete.
    """
    kept_px = None if short_side_px is None else _MARGIN * short_side_px
    try:
        image.load()
        rgb = _srgb(image, kept_px)
        turn = turn_of(image)
        upright = rgb if turn is None else rgb.transpose(turn)
    except MemoryError:
        raise PhotoError(
            f"{name}: there is not enough memory to decode it; give a smaller copy of the photo."
        ) from None
    except DECODER_ERRORS as error:
        raise PhotoError(
            f"{name}: the {image.format or 'image'} data is damaged or incomplete ({reason(error)}); "
            "get a fresh copy of the photo."
        ) from None
    upright.info = {}
    return upright


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """What turns a decoded photo upright, by its EXIF orientation; None for upright or when EXIF is junk."""
    try:
        # Image.Image: PNG's own method decodes the photo again, and the others are the same.
        return _UPRIGHT.get(Image.Image.getexif(image).get(Base.Orientation, 1))
    except DECODER_ERRORS:
        return None


def _srgb(image: Image.Image, kept_px: int | None) -> Image.Image:
    """A decoded image as a new 8-bit sRGB image, its short side reduced to no less than `kept_px`."""
    profile = image.info.get("icc_profile")
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return _reduced(_eight_bit(image).convert("RGB"), kept_px)
    if image.mode == "LAB":
        return _reduced(_convert(image, ImageCms.createProfile("LAB")), kept_px)
    if image.mode == "CMYK" and profile:
        # The profile knows what these four inks look like; Pillow's own conversion does not.
        return _reduced(_profile_to_srgb(image, profile).convert("RGB"), kept_px)
    rgb = _on_white(image) if image.has_transparency_data else image.convert("RGB")
    rgb = _reduced(rgb, kept_px)
    return _profile_to_srgb(rgb, profile) if profile else rgb


def _reduced(image: Image.Image, kept_px: int | None) -> Image.Image:
    """The image shrunk by a whole number, its short side no less than `kept_px`."""
    factor = 1 if kept_px is None else min(image.size) // max(kept_px, 1)
    return image.reduce(factor) if factor > 1 else image


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey levels of 16 or more bits scaled, not clipped, to 8 bits."""
    import numpy as np

    levels = np.asarray(image)
    if image.mode != "F" and levels.min() >= 0 and levels.max() <= 65535:
        return Image.fromarray(((levels.astype(np.uint32) + 128) // 257).astype(np.uint8))
    levels = np.nan_to_num(levels.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(levels.min()), float(levels.max())
    if low >= 0 and high <= 1:  # the usual range of floating-point photos
        low, high = 0.0, 1.0
    scaled = (levels - low) * (255 / (high - low) if high > low else 0.0)
    return Image.fromarray(scaled.round().astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


def shows_srgb(image: Image.Image) -> bool:
    """Whether an opened photo's red, green and blue are those of sRGB: no other profile is embedded in it."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image.mode == "RGB"
    try:
        return image.mode == "RGB" and _is_srgb(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except DECODER_ERRORS:
        return False


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    return "sRGB" in ImageCms.getProfileDescription(profile)


def _profile_to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Colours through an embedded ICC profile; one that is junk, or of another mode, changes nothing."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != image.mode:  # a grey photo's profile, now that it is RGB
            return image
        if _is_srgb(source):
            return image
        return _convert(image, source)
    except DECODER_ERRORS:
        return image


def _convert(image: Image.Image, source: ImageCms.ImageCmsProfile | ImageCms.core.CmsProfile) -> Image.Image:
    target = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    assert converted is not None  # None only when converting in place
    return converted
