"""From a file, bytes or a stream to an upright RGB image, and the photo's own GPS tag.

Photos come from strangers. So a short list of formats is read and no other decoder of Pillow is ever
reached, sizes are checked before anything is decoded, and whatever is wrong with a photo becomes one
`PhotoError` that says so. Nothing here changes Pillow's global settings.
"""

from __future__ import annotations

import io
import math
import os
import stat
import struct
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from PIL import Image, ImageCms, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from geo_model.errors import PhotoError

PhotoSource: TypeAlias = "bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO"
"""What holds an encoded photo: its bytes, the path of its file, or a stream opened in binary mode."""

PHOTO_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp", ".dib"]
    + [".gif", ".heic", ".heif", ".hif", ".avif"]
)
"""Lower-case file suffixes of the formats that `read_image` reads."""

_FORMATS_IN_WORDS = "JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF"

# What Pillow, its plugins and libheif have been seen to raise on damaged data; the fuzz tests hold this list.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    ImageCms.PyCMSError,
    Image.DecompressionBombError,
)

_MARGIN = 2
"""A reduced photo keeps at least this many times the pixels asked for, so that resizing it stays sharp."""

_ORIENTATION_TAG = 0x0112
_GPS_IFD = 0x8825
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


@dataclass(frozen=True)
class Limits:
    """What a photo may cost; checked before any pixel is decoded.

    Attributes:
        max_bytes: Most bytes of the encoded photo.
        max_pixels: Most pixels to decode in full.
        max_reduced_pixels: Most pixels of a baseline JPEG that is decoded at reduced size, which needs
            little memory. Phones make such photos of 200 million pixels.
    """

    max_bytes: int = 96 * 2**20
    max_pixels: int = 120_000_000
    max_reduced_pixels: int = 260_000_000


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


def photo_name(source: object, fallback: str = "photo") -> str:
    """Name of a photo for output: its path or its stream's name, what cannot be printed replaced.

    Args:
        source: Anything that `read_image` takes, or a file name.
        fallback: The name of a source that has none, such as bytes.
    """
    name = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    if isinstance(name, os.PathLike):
        name = os.fspath(name)
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    if not isinstance(name, str) or not name:
        return fallback
    return "".join("\ufffd" if _unprintable(character) else character for character in name)


def _unprintable(character: str) -> bool:
    """Whether a character could break a line of output: controls, text direction, lone surrogates."""
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _shown(source: object, name: str | None, longest: int = 80) -> str:
    """Name of a photo for a message: printable, its end kept when it is long."""
    text = photo_name(name or source)
    return text if len(text) <= longest else "…" + text[-(longest - 1) :]


def read_bytes(source: PhotoSource, *, name: str | None = None, limits: Limits | None = None) -> bytes:
    """Encoded bytes of a photo, at most `limits.max_bytes` of them.

    Args:
        source: Bytes, a path, or a binary stream. A stream that can seek is read from its start, and its
            position is put back afterwards.
        name: What to call the photo in an error; by default its path or its stream's name.
        limits: What the photo may cost; None means `Limits()`.

    Raises:
        PhotoError: There is no such file, it is a folder, empty or too large, or reading it failed.
    """
    limits = limits or Limits()
    shown = _shown(source, name)
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source) if len(source) <= limits.max_bytes else b"\0" * (limits.max_bytes + 1)
    elif isinstance(source, str | os.PathLike):
        data = _read_file(source, shown, limits)
    else:
        data = _read_stream(source, shown, limits)
    if len(data) > limits.max_bytes:
        raise _too_many_bytes(shown, limits)
    if not data:
        raise PhotoError(f"{shown}: the file is empty; give a photo.")
    return data


def _too_many_bytes(shown: str, limits: Limits) -> PhotoError:
    most = f"{limits.max_bytes / 2**20:,.4g} MiB"
    return PhotoError(f"{shown}: the file is larger than {most}; give a smaller copy of the photo.")


def _read_file(path: str | os.PathLike[str], shown: str, limits: Limits) -> bytes:
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PhotoError(f"{shown}: this is not an ordinary file; give the path of a photo.")
            if status.st_size > limits.max_bytes:
                raise _too_many_bytes(shown, limits)
            return file.read(limits.max_bytes + 1)
    except FileNotFoundError:
        raise PhotoError(f"{shown}: there is no such file; check the path.") from None
    except (IsADirectoryError, PermissionError) as error:
        # Windows reports a folder as a lack of permission.
        if Path(path).is_dir():
            raise PhotoError(f"{shown}: this is a folder; give the path of a photo.") from None
        raise PhotoError(
            f"{shown}: the file cannot be read ({error.strerror}); check its permissions."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise PhotoError(f"{shown}: the file cannot be read ({reason}); check the path.") from None


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file so that a named pipe with no writer cannot block."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_stream(stream: BinaryIO, shown: str, limits: Limits) -> bytes:
    if not hasattr(stream, "read"):
        raise TypeError(f"a photo is bytes, a path or a binary stream, not {type(stream).__name__}")
    try:
        start = stream.tell() if stream.seekable() else None
        if start is not None:
            stream.seek(0)
        parts, wanted = [], limits.max_bytes + 1
        while wanted > 0 and (part := stream.read(wanted)):
            if not isinstance(part, bytes | bytearray | memoryview):
                raise PhotoError(f"{shown}: the stream gives text, not bytes; open it in binary mode.")
            parts.append(bytes(part))
            wanted -= len(part)
        if start is not None:
            stream.seek(start)
    except (OSError, ValueError, UnicodeError) as error:  # ValueError: the stream is closed, or is text
        raise PhotoError(f"{shown}: reading it failed ({error}); give the photo as a file.") from None
    return b"".join(parts)


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
    shown = _shown(source, name)
    image = _open(read_bytes(source, name=name, limits=limits), shown)
    kept_px = None if short_side_px is None else _MARGIN * short_side_px
    if kept_px is not None and isinstance(image, JpegImageFile) and not image.info.get("progressive"):
        _check_pixels(image.size, limits.max_reduced_pixels, shown)
        image.draft(None, (kept_px, kept_px))
    _check_pixels(image.size, limits.max_pixels, shown)
    try:
        image.load()
        return upright_rgb(image, kept_px)
    except MemoryError:
        raise PhotoError(f"{shown}: there is not enough memory to decode it; give a smaller copy.") from None
    except _DECODER_ERRORS as error:
        raise PhotoError(
            f"{shown}: the {image.format} data is damaged or incomplete ({_reason(error)}); "
            "get a fresh copy of the photo."
        ) from None


def upright_rgb(image: Image.Image, kept_px: int | None = None) -> Image.Image:
    """A decoded image as `read_image` gives it: RGB, upright, in sRGB, without metadata.

    Args:
        image: Any mode.
        kept_px: An image whose short side is at least twice this is reduced, but not below it; None keeps
            its size.
    """
    rgb = _srgb(image, kept_px)
    turn = _upright_turn(image)
    upright = rgb.copy() if turn is None else rgb.transpose(turn)
    upright.info = {}
    return upright


def _reason(error: BaseException) -> str:
    """First line of a decoder's complaint, printable and short."""
    text = " ".join(str(error).split())[:100]
    return (
        "".join(" " if _unprintable(character) else character for character in text) or type(error).__name__
    )


def _check_pixels(size: tuple[int, int], most: int, shown: str) -> None:
    width, height = size
    if width * height > most:
        raise PhotoError(
            f"{shown}: the photo has {width:,} × {height:,} pixels, more than the {most / 1e6:,.4g} million "
            "that are allowed; give a smaller copy of the photo."
        )


def _open(data: bytes, shown: str) -> ImageFile.ImageFile:
    """The photo with its header read and no pixel decoded."""
    opener = _opener(data)
    if opener is None:
        raise PhotoError(f"{shown}: this is not a photo in a known format; give {_FORMATS_IN_WORDS}.")
    try:
        return opener(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise PhotoError(
            f"{shown}: the photo has too many pixels ({_reason(error)}); give a smaller copy."
        ) from None
    except _DECODER_ERRORS as error:
        raise PhotoError(
            f"{shown}: this is not a photo, or its header is damaged ({_reason(error)}); "
            f"give {_FORMATS_IN_WORDS}."
        ) from None


def _opener(data: bytes) -> Callable[[BinaryIO], ImageFile.ImageFile] | None:
    """The one decoder that the first bytes call for, whatever the file's name; None for other formats."""
    if data[4:8] == b"ftyp":
        box_end = int.from_bytes(data[:4], "big")
        brands = {data[start : start + 4] for start in (8, *range(16, min(box_end, 256), 4))}
        return AvifImageFile if brands & {b"avif", b"avis"} else _open_heif
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WebPImageFile
    for magic, opener in _MAGIC.items():
        if data.startswith(magic):
            return opener
    return None


_MAGIC: dict[bytes, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    b"\xff\xd8\xff": JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"GIF87a": GifImageFile,
    b"GIF89a": GifImageFile,
    b"BM": BmpImageFile,
    b"II*\0": TiffImageFile,
    b"MM\0*": TiffImageFile,
    b"II+\0": TiffImageFile,
    b"MM\0+": TiffImageFile,
}


def _open_heif(file: BinaryIO) -> ImageFile.ImageFile:
    from pillow_heif import HeifImageFile

    return HeifImageFile(file)


def _upright_turn(image: Image.Image) -> Image.Transpose | None:
    """What turns a decoded photo upright, by its EXIF orientation; None for upright or when EXIF is junk."""
    try:
        # Image.Image: PNG's own method decodes the photo again, and the others are the same.
        return _UPRIGHT.get(Image.Image.getexif(image).get(_ORIENTATION_TAG, 1))
    except _DECODER_ERRORS:
        return None


def _srgb(image: Image.Image, kept_px: int | None) -> Image.Image:
    """A decoded image as 8-bit sRGB, its short side reduced to no less than `kept_px`."""
    profile = image.info.get("icc_profile")
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        image = _eight_bit(image)
    elif image.has_transparency_data:
        image = _on_white(image)
    elif image.mode == "CMYK" and profile:
        # The profile turns these four inks into RGB better than Pillow's own formula can.
        return _reduced(_profile_to_srgb(image, profile).convert("RGB"), kept_px)
    elif image.mode == "LAB":
        return _reduced(_from_lab(image), kept_px)
    image = _reduced(image.convert("RGB"), kept_px)
    return _profile_to_srgb(image, profile) if profile else image


def _reduced(image: Image.Image, kept_px: int | None) -> Image.Image:
    """The image shrunk by a whole number, its short side no less than `kept_px`."""
    factor = 1 if kept_px is None else min(image.size) // max(kept_px, 1)
    return image.reduce(factor) if factor > 1 else image


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey levels of 16 or more bits scaled, not clipped, to 8 bits."""
    import numpy as np

    levels = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(levels.min()), float(levels.max())
    if image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif image.mode != "F" and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    levels = (levels - low) * (255 / (high - low) if high > low else 0.0)
    return Image.fromarray(np.clip(levels.round(), 0, 255).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image


def _profile_to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Colours through an embedded ICC profile; one that is junk, or of another mode, changes nothing."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != image.mode:  # a grey profile, say, after conversion to RGB
            return image
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except _DECODER_ERRORS:
        return image
    return converted if converted is not None else image


def read_gps(source: PhotoSource, *, name: str | None = None, limits: Limits | None = None) -> GpsTag | None:
    """Where a photo's own EXIF block says it was taken. No pixel is decoded.

    Args:
        source: As for `read_image`.
        name: What to call the photo in an error.
        limits: What the photo may cost; None means `Limits()`.

    Returns:
        None when the photo has no tag or an impossible one: out of range, 0/0, without a hemisphere (its sign
        would be a guess), or exactly 0° N 0° E, which devices write when they have no fix. Junk never raises.

    Raises:
        PhotoError: The file cannot be read, or holds no photo.
    """
    data = read_bytes(source, name=name, limits=limits)
    image = _open(data, _shown(source, name))
    try:
        if isinstance(image, PngImageFile) and "exif" not in image.info:
            # PNG's EXIF chunk may follow the pixels, which are not decoded here.
            image.info["exif"] = _png_exif(data)
        gps = Image.Image.getexif(image).get_ifd(_GPS_IFD)
        latitude = _signed_degrees(gps.get(2), gps.get(1), positive="N", negative="S", most=90)
        longitude = _signed_degrees(gps.get(4), gps.get(3), positive="E", negative="W", most=180)
        if latitude is None or longitude is None or latitude == longitude == 0:
            return None
        return GpsTag(latitude, longitude, _altitude_m(gps.get(6), gps.get(5)))
    except _DECODER_ERRORS:
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


def _signed_degrees(
    value: object, hemisphere: object, *, positive: str, negative: str, most: int
) -> float | None:
    """Degrees from EXIF's degrees, minutes and seconds; None when they are missing or impossible."""
    if isinstance(hemisphere, bytes):
        hemisphere = hemisphere.decode("ascii", "replace")
    letter = hemisphere.strip("\0 ")[:1].upper() if isinstance(hemisphere, str) else ""
    if letter not in {positive, negative} or value is None:
        return None
    parts = [float(part) for part in (value if isinstance(value, tuple | list) else (value,))]
    if not 1 <= len(parts) <= 3 or not all(math.isfinite(part) and part >= 0 for part in parts):
        return None
    degrees, minutes, seconds = (*parts, 0.0, 0.0)[:3]
    total = degrees + minutes / 60 + seconds / 3600
    if minutes > 60 or seconds > 60 or total > most:  # 60 itself is a rounding of 59.99…
        return None
    return total if letter == positive else -total


def _altitude_m(value: object, reference: object) -> float | None:
    try:
        altitude_m = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError):
        return None
    below_sea_level = reference in (1, b"\x01", "\x01")
    return (-altitude_m if below_sea_level else altitude_m) if math.isfinite(altitude_m) else None
