"""Plain JPEGs decoded, turned and cut on a CUDA GPU by nvJPEG, through torchvision.

Only photos that nvJPEG shows as Pillow does go this way: three colours, in sRGB, whole to the last byte, and
not too large. All others, and those that it cannot decode after all, are read as anywhere else.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor

from geo_model.crops import CropRule, five_crop_of_pixels, is_long
from geo_model.errors import PhotoError
from geo_model.images import shows_srgb, turn_of
from geo_model.photo_files import DECODER_ERRORS, open_photo

MAX_PIXELS = 50_000_000
"""Larger photos are left to the CPU, which decodes them at reduced size."""

_PIXELS_TOGETHER = 200_000_000
"""Photos of so many pixels are decoded at once: 600 MB on the GPU."""

_END_OF_IMAGE = b"\xff\xd9"

Decode: TypeAlias = Callable[[Sequence[bytes]], Sequence[Tensor]]
"""From JPEGs to pixels as they are stored, uint8 (3, H, W); raises RuntimeError if any cannot be decoded."""


@dataclass(frozen=True)
class PlainJpeg:
    """A photo for nvJPEG.

    Attributes:
        data: Its bytes.
        pixels: How many it has.
        turn: What turns it upright, None if it is.
    """

    data: bytes
    pixels: int
    turn: Image.Transpose | None


def available() -> bool:
    """Whether the installed torchvision (0.20 or newer, with CUDA) decodes lists of JPEGs on this machine."""
    if not torch.cuda.is_available():
        return False
    import torchvision.io

    return hasattr(torchvision.io, "decode_jpeg") and hasattr(torch.ops.image, "decode_jpegs_cuda")


def plain_jpeg(data: bytes) -> PlainJpeg | None:
    """The photo, by its header alone, if nvJPEG shows it as Pillow does; None for all others.

    Args:
        data: Bytes of whatever it is.
    """
    if not data.startswith(b"\xff\xd8\xff") or not data.endswith(_END_OF_IMAGE):
        return None
    try:
        image = open_photo(data, "photo")
        if not isinstance(image, JpegImageFile):
            return None
        pixels = image.width * image.height
        if pixels > MAX_PIXELS or is_long(image.size) or _stores_rgb(image):
            return None
        return PlainJpeg(data, pixels, turn_of(image)) if shows_srgb(image) else None
    except PhotoError:
        return None
    except DECODER_ERRORS:
        return None


def _stores_rgb(image: JpegImageFile) -> bool:
    """Whether red, green and blue are stored as they are, by Adobe's marker or the channels' names."""
    named = bytes(layer[0] for layer in image.layer) == b"RGB"
    return named or image.info.get("adobe_transform", 1) != 1


def nvjpeg(device: torch.device) -> Decode:
    """The decoder of a GPU. torchvision brings the bytes there through pinned memory of its own."""
    from torchvision.io import ImageReadMode, decode_jpeg

    def decode(jpegs: Sequence[bytes]) -> Sequence[Tensor]:
        # nvJPEG writes on a stream of its own into memory that this one has let go of, but may still use.
        torch.cuda.current_stream(device).synchronize()
        with warnings.catch_warnings():
            # The bytes are only read. torchvision names a successor, which decodes in the same way.
            warnings.simplefilter("ignore")
            encoded = [torch.frombuffer(jpeg, dtype=torch.uint8) for jpeg in jpegs]
            return decode_jpeg(encoded, ImageReadMode.RGB, device=device)

    return decode


def crops_of_jpegs(jpegs: Sequence[PlainJpeg], rule: CropRule, decode: Decode) -> list[Tensor | None]:
    """Crops of each photo where the decoder puts its pixels.

    Args:
        jpegs: Photos.
        rule: How to cut.
        decode: See there.

    Returns:
        uint8 (5, 3, S, S) for each photo; None for one that cannot be decoded, which spoils no other.
    """
    crops: list[Tensor | None] = []
    for together in _groups(jpegs):
        try:
            decoded: list[Tensor | None] = list(decode([jpeg.data for jpeg in together]))
        except RuntimeError:  # says not which photo
            decoded = [_alone(jpeg, decode) for jpeg in together]
        for jpeg, pixels in zip(together, decoded, strict=True):
            whole = pixels is not None and pixels.shape[0] == 3 and pixels[0].numel() == jpeg.pixels
            crops.append(five_crop_of_pixels(turned(pixels, jpeg.turn), rule) if whole else None)  # type: ignore[arg-type]
    return crops


def _groups(jpegs: Sequence[PlainJpeg]) -> Iterator[list[PlainJpeg]]:
    """The photos in order, so many at a time as fit into the memory."""
    together: list[PlainJpeg] = []
    for jpeg in jpegs:
        if together and sum(other.pixels for other in together) + jpeg.pixels > _PIXELS_TOGETHER:
            yield together
            together = []
        together.append(jpeg)
    if together:
        yield together


def _alone(jpeg: PlainJpeg, decode: Decode) -> Tensor | None:
    try:
        return decode([jpeg.data])[0]
    except RuntimeError:
        return None


def turned(pixels: Tensor, turn: Image.Transpose | None) -> Tensor:
    """Pixels (3, H, W) as Pillow's `Image.transpose` turns them."""
    turns = Image.Transpose
    if turn in (turns.TRANSPOSE, turns.TRANSVERSE, turns.ROTATE_90, turns.ROTATE_270):
        pixels = pixels.transpose(1, 2)
    if turn in (turns.FLIP_TOP_BOTTOM, turns.ROTATE_180, turns.TRANSVERSE, turns.ROTATE_90):
        pixels = pixels.flip(1)
    if turn in (turns.FLIP_LEFT_RIGHT, turns.ROTATE_180, turns.TRANSVERSE, turns.ROTATE_270):
        pixels = pixels.flip(2)
    return pixels
