"""From whatever holds a photo to its bytes, and to its header, with nothing decoded yet.

Photos come from strangers. So a short list of formats is read and no other decoder of Pillow is ever
reached, bytes are counted before they are read, and whatever is wrong becomes one `PhotoError` that says so.
Nothing here changes Pillow's global settings.
"""

from __future__ import annotations

import io
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

from geo_model.errors import PhotoError, reason_of

PhotoSource: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO
"""What holds an encoded photo: its bytes, the path of its file, or a stream opened in binary mode."""

PHOTO_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp", ".dib"}
    | {".gif", ".heic", ".heif", ".hif", ".avif"}
)
"""Lower-case file suffixes of the formats that are read."""

FORMATS_IN_WORDS = "JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF"

# What Pillow, its plugins, LittleCMS and libheif raise on damaged data; the fuzz tests hold this list.
DECODER_ERRORS: tuple[type[Exception], ...] = (
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


@dataclass(frozen=True)
class Limits:
    """What a photo may cost; checked before any pixel is decoded.

    Attributes:
        max_bytes: Most bytes of the encoded photo.
        max_pixels: Most pixels to decode in full.
        max_reduced_pixels: Most pixels of a baseline JPEG that is decoded at reduced size, which takes little
            memory. Phones make such photos of 200 million pixels.
    """

    max_bytes: int = 96 * 2**20
    max_pixels: int = 100_000_000
    max_reduced_pixels: int = 260_000_000


def photo_name(source: object, fallback: str = "photo") -> str:
    """Name of a photo for output: its path or its stream's name, with what could break a line replaced.

    Args:
        source: Anything that `read_bytes` takes, or a file name.
        fallback: The name of a source that has none, such as bytes.
    """
    name = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    if isinstance(name, os.PathLike):
        name = os.fspath(name)
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    if not isinstance(name, str) or not name:
        return fallback
    return _printable(name)


_TEXT_DIRECTIONS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def _printable(text: str) -> str:
    """Text without control characters, turns of text direction and lone surrogates."""
    if text.isascii() and text.isprintable():  # as most names are; the loop is slow
        return text
    return "".join(
        "\ufffd"
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
        or unicodedata.bidirectional(character) in _TEXT_DIRECTIONS
        else character
        for character in text
    )


def shown_name(source: object, name: str | None = None, longest: int = 80) -> str:
    """Name of a photo for a message: as `photo_name`, its end kept when it is long."""
    text = photo_name(name or source)
    return text if len(text) <= longest else "…" + text[-(longest - 1) :]


def reason(error: BaseException) -> str:
    """What a decoder complained of, on one line, printable and short."""
    return _printable(" ".join(str(error).split())[:100]) or type(error).__name__


def read_bytes(source: PhotoSource, *, name: str | None = None, limits: Limits | None = None) -> bytes:
    """Encoded bytes of a photo, at most `limits.max_bytes` of them.

    Args:
        source: Bytes, a path, or a binary stream. A stream that can seek is read from its start, and its
            position is put back afterwards.
        name: What to call the photo in an error; by default its path or its stream's name.
        limits: What the photo may cost; None means `Limits()`.

    Raises:
        PhotoError: There is no such file, it is a folder, empty or too large, or reading it failed.
        TypeError: The source is none of these.
    """
    limits = limits or Limits()
    shown = shown_name(source, name)
    if isinstance(source, bytes | bytearray | memoryview):
        _check_bytes(memoryview(source).nbytes, shown, limits)
        data = bytes(source)
    elif isinstance(source, str | os.PathLike):
        data = _read_file(source, shown, limits)
    elif hasattr(source, "read"):
        data = _read_stream(source, shown, limits)
    else:
        raise TypeError(f"a photo is bytes, a path or a binary stream, not {type(source).__name__}")
    _check_bytes(len(data), shown, limits)
    if not data:
        raise PhotoError(f"{shown}: the file is empty; give a photo.")
    return data


def _check_bytes(count: int, shown: str, limits: Limits) -> None:
    if count > limits.max_bytes:
        most = f"{limits.max_bytes / 2**20:,.4g} MiB"
        raise PhotoError(f"{shown}: the file is larger than {most}; give a smaller copy of the photo.")


def _read_file(path: str | os.PathLike[str], shown: str, limits: Limits) -> bytes:
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PhotoError(f"{shown}: this is not an ordinary file; give the path of a photo.")
            _check_bytes(status.st_size, shown, limits)
            return file.read(limits.max_bytes + 1)
    except FileNotFoundError:
        raise PhotoError(f"{shown}: there is no such file; check the path.") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        if isinstance(error, IsADirectoryError | PermissionError) and Path(path).is_dir():
            # Windows reports a folder as a lack of permission.
            raise PhotoError(f"{shown}: this is a folder; give the path of a photo.") from None
        why = reason_of(error)
        raise PhotoError(f"{shown}: the file cannot be read ({why}); check the path.") from None


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file so that a named pipe with no writer cannot block."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_stream(stream: BinaryIO, shown: str, limits: Limits) -> bytes:
    try:
        start = stream.tell() if stream.seekable() else None
        if start is not None:
            stream.seek(0)
        parts, wanted = [], limits.max_bytes + 1
        while wanted > 0 and (part := stream.read(wanted)):
            if isinstance(part, str):
                raise PhotoError(f"{shown}: the stream gives text, not bytes; open it in binary mode.")
            parts.append(part)
            wanted -= len(part)
        if start is not None:
            stream.seek(start)
    except (OSError, ValueError) as error:  # ValueError: the stream is closed, or text that is not UTF-8
        raise PhotoError(f"{shown}: reading it failed ({reason(error)}); give the photo as a file.") from None
    return b"".join(parts)


def open_photo(data: bytes, shown: str) -> ImageFile.ImageFile:
    """The photo with its header read and no pixel decoded.

    Args:
        data: The encoded photo.
        shown: What to call it in an error.

    Raises:
        PhotoError: The bytes are no photo in a known format, or their header is damaged.
    """
    opener = _opener(data)
    if opener is None:
        raise PhotoError(f"{shown}: this is not a photo in a known format; give {FORMATS_IN_WORDS}.")
    try:
        return opener(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise PhotoError(
            f"{shown}: the photo has too many pixels ({reason(error)}); give a smaller copy of the photo."
        ) from None
    except DECODER_ERRORS as error:
        raise PhotoError(
            f"{shown}: this is not a photo, or its header is damaged ({reason(error)}); "
            f"give {FORMATS_IN_WORDS}."
        ) from None


def _open_heif(file: BinaryIO) -> ImageFile.ImageFile:
    from pillow_heif import HeifImageFile

    return HeifImageFile(file)


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
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2"}
)


def _opener(data: bytes) -> Callable[[BinaryIO], ImageFile.ImageFile] | None:
    """The one decoder that the first bytes call for, whatever the file's name; None for other formats."""
    if data[4:8] == b"ftyp":  # ISO base media: the brands tell a photo from a film
        box_end = int.from_bytes(data[:4], "big")
        brands = {data[start : start + 4] for start in (8, *range(16, min(box_end, 256), 4))}
        if brands & _AVIF_BRANDS:
            return AvifImageFile
        return _open_heif if brands & _HEIF_BRANDS else None
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WebPImageFile
    return next((opener for magic, opener in _MAGIC.items() if data.startswith(magic)), None)
