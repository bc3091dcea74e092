"""Photos on their way to the network: read in threads, cut, and put together as a batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from PIL import Image
from torch import Tensor

from geo_model import gpu_jpeg
from geo_model.crops import CropRule
from geo_model.errors import GeoModelError, PhotoError
from geo_model.gpu_jpeg import PlainJpeg
from geo_model.images import PhotoSource, photo_name, read_bytes, read_image, upright_rgb
from geo_model.prediction import PhotoFailure

Source: TypeAlias = PhotoSource | Image.Image
PhotoInput: TypeAlias = Source | tuple[str, Source]
"""A photo: path, encoded bytes, binary file or PIL image, alone or as (name, source)."""

Named: TypeAlias = "tuple[str, Tensor | PlainJpeg | PhotoFailure]"
"""A photo's name with its crops, uint8 (V, 3, S, S), or what they will be made of, or why there are none."""


def name_and_source(photo: PhotoInput, otherwise: str) -> tuple[str, Source]:
    """A photo's name, given or of its file, else the one that it shall have; and the photo."""
    name, source = photo if isinstance(photo, tuple) else (None, photo)
    return name or photo_name(source, otherwise), source


def upright_photo(source: Source, name: str, rule: CropRule) -> Image.Image:
    """A photo in upright RGB, no larger than a crop rule needs; raises PhotoError if it cannot be read."""
    if isinstance(source, Image.Image):
        return upright_rgb(source, name=name, short_side_px=rule.resize_short_px)
    return read_image(source, name=name, short_side_px=rule.resize_short_px)


class PhotoCrops:
    """From photos to batches of crops.

    Args:
        cut: From an upright RGB photo to its crops.
        rule: How they are cut.
        decode: Decodes plain JPEGs, of which five crops are cut, see `gpu_jpeg`; None leaves all to Pillow.
    """

    def __init__(
        self, cut: Callable[[Image.Image], Tensor], rule: CropRule, decode: gpu_jpeg.Decode | None = None
    ) -> None:
        self.cut, self.rule, self.decode = cut, rule, decode

    def read(self, photo: PhotoInput, number: int) -> Named:
        """One photo, in any thread; `number` names those that have no name."""
        name, source = name_and_source(photo, f"photo {number}")
        try:
            if self.decode is not None and not isinstance(source, Image.Image):
                source = read_bytes(source, name=name)
                if (jpeg := gpu_jpeg.plain_jpeg(source)) is not None:
                    return name, jpeg
            return name, self._read_with_pillow(source, name)
        except GeoModelError as error:  # a source may have a sentence of its own
            return name, PhotoFailure(name, str(error))

    def _read_with_pillow(self, source: Source, name: str) -> Tensor:
        return self.cut(upright_photo(source, name, self.rule))

    def together(self, batch: Sequence[Named]) -> tuple[list[tuple[str, PhotoFailure | None]], Tensor | None]:
        """The names of a batch's photos in order, with a failure for those that have no crops, and the crops.

        Returns:
            The names, and uint8 (N, V, 3, S, S) of those without a failure; None if there are none.
        """
        batch = self._decoded(batch)
        names = [(name, content if isinstance(content, PhotoFailure) else None) for name, content in batch]
        crops = [content for _, content in batch if isinstance(content, Tensor)]
        if not crops:
            return names, None
        if any(crop.is_cuda for crop in crops):
            device = next(crop.device for crop in crops if crop.is_cuda)
            return names, torch.stack([crop.to(device, non_blocking=True) for crop in crops])
        # Stacked as they lie in memory, colours innermost: no pixel is moved twice.
        return names, torch.stack([crop.movedim(1, -1) for crop in crops]).movedim(-1, 2)

    def _decoded(self, batch: Sequence[Named]) -> Sequence[Named]:
        """The batch with crops in the place of JPEGs, or the failures that Pillow finds in them."""
        jpegs = [content for _, content in batch if isinstance(content, PlainJpeg)]
        if not jpegs or self.decode is None:
            return batch
        crops = iter(gpu_jpeg.crops_of_jpegs(jpegs, self.rule, self.decode))
        decoded: list[Named] = []
        for name, content in batch:
            if isinstance(content, PlainJpeg):
                try:
                    found = next(crops)
                    content = self._read_with_pillow(content.data, name) if found is None else found
                except PhotoError as error:
                    content = PhotoFailure(name, str(error))
            decoded.append((name, content))
        return decoded


def is_one_photo(photos: object) -> bool:
    """Whether this is a photo rather than many of them; two texts are two paths."""
    if isinstance(photos, tuple) and len(photos) == 2 and isinstance(photos[0], str):
        return not isinstance(photos[1], str | os.PathLike | tuple) and is_one_photo(photos[1])
    encoded = isinstance(photos, bytes | bytearray | memoryview)
    return encoded or isinstance(photos, str | os.PathLike | Image.Image) or hasattr(photos, "read")
