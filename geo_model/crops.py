"""From an upright photo to the square crops that a network looks at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from PIL import Image

from geo_model.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

_LONGEST_RESIZED = 8
"""A photo longer than this many short sides is resized crop by crop, each from its box in the photo.

The pixels are the same, and a strip one pixel high, sixty thousand wide, does not fill the memory.
"""


@dataclass(frozen=True)
class CropRule:
    """How crops are cut and normalised; it travels with the weights that were trained on it.

    Attributes:
        resize_short_px: Short side in pixels that a photo is resized to first, keeping its aspect ratio.
        crop_px: Side of each square crop in pixels, at most `resize_short_px`.
        mean: Mean of red, green and blue, of pixels in [0, 1].
        std: Standard deviation of the same.
        interpolation: "bilinear" or "bicubic", both with antialiasing.

    Raises:
        ConfigError: A value is impossible.
    """

    resize_short_px: int
    crop_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        for key in ("resize_short_px", "crop_px"):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(
                    f"crop rule: {key} is {value!r}; give a whole number of pixels of at least 1."
                )
        if self.crop_px > self.resize_short_px:
            raise ConfigError(
                f"crop rule: crop_px is {self.crop_px}, more than resize_short_px ({self.resize_short_px}); "
                "crop at most what is left after resizing."
            )
        for key in ("mean", "std"):
            object.__setattr__(self, key, _three_numbers(key, getattr(self, key)))
        if min(self.std) <= 0:
            raise ConfigError(f"crop rule: std is {list(self.std)}; give three numbers above 0.")
        if not isinstance(self.interpolation, str) or self.interpolation not in _RESAMPLING:
            raise ConfigError(
                f"crop rule: interpolation is {self.interpolation!r}; give one of {', '.join(_RESAMPLING)}."
            )

    def to_dict(self) -> dict[str, Any]:
        """The rule as plain JSON values."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CropRule:
        """The rule from what `to_dict` gave.

        Raises:
            ConfigError: A key is unknown or missing, or a value is impossible.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"crop rule: it is {type(values).__name__}; give a mapping of keys to values.")
        known = [field.name for field in fields(cls)]
        unknown = sorted(str(key) for key in values if key not in known)
        missing = [key for key in known if key not in values and key != "interpolation"]
        if unknown or missing:
            problem = f"unknown key {unknown[0]!r}" if unknown else f"missing key {missing[0]!r}"
            raise ConfigError(f"crop rule: {problem}; the keys are {', '.join(known)}.")
        return cls(**values)


def _three_numbers(key: str, value: object) -> tuple[float, float, float]:
    numbers = tuple(value) if isinstance(value, tuple | list) else ()
    plain = all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers)
    if len(numbers) != 3 or not plain or not all(math.isfinite(number) for number in numbers):
        raise ConfigError(f"crop rule: {key} is {value!r}; give three numbers, for red, green and blue.")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


def five_crop(image: Image.Image, rule: CropRule) -> torch.Tensor:
    """Centre and corners of a photo.

    Args:
        image: An upright RGB image of any size and shape.
        rule: How to cut.

    Returns:
        uint8 of shape (5, 3, S, S), where S is `rule.crop_px`, in the order centre, top left, top right,
        bottom left, bottom right.
    """
    return _cut(image, rule, _corners(*_resized_size(image.size, rule), rule))


def five_crop_of_pixels(pixels: torch.Tensor, rule: CropRule) -> torch.Tensor:
    """What `five_crop` gives, of pixels that lie on any device, and made there.

    Rounding differs by a grey level or two.

    Args:
        pixels: Upright RGB, uint8 (3, H, W).
        rule: How to cut.

    Returns:
        uint8 of shape (5, 3, S, S) on the same device.
    """
    import torch

    width, height = _resized_size((pixels.shape[2], pixels.shape[1]), rule)
    resized = torch.nn.functional.interpolate(
        pixels[None].float(), (height, width), mode=rule.interpolation, antialias=True, align_corners=False
    )[0]
    resized, side = resized.round_().clamp_(0, 255).to(torch.uint8), rule.crop_px
    crops = [resized[:, top : top + side, left : left + side] for left, top in _corners(width, height, rule)]
    return torch.stack(crops)


def is_long(size: tuple[int, int]) -> bool:
    """Whether a photo of this width and height is too long to be resized as a whole."""
    return max(size) > _LONGEST_RESIZED * min(size)


def crop_boxes(size: tuple[int, int], rule: CropRule) -> NDArray[np.float64]:
    """Where on a photo of this width and height in pixels its five crops lie.

    Returns:
        Left, top, right and bottom of each crop as shares of the photo's width and height, in [0, 1]; float64
        (5, 4), in the order of `five_crop`.
    """
    import numpy as np

    width, height = _resized_size(size, rule)
    corners = np.array(_corners(width, height, rule), dtype=np.float64)
    return np.hstack([corners, corners + rule.crop_px]) / [width, height, width, height]


def center_crop(image: Image.Image, rule: CropRule) -> torch.Tensor:
    """Centre of a photo: uint8 of shape (3, S, S), the first of `five_crop`."""
    width, height = _resized_size(image.size, rule)
    return _cut(image, rule, [((width - rule.crop_px) // 2, (height - rule.crop_px) // 2)])[0]


def _corners(width: int, height: int, rule: CropRule) -> list[tuple[int, int]]:
    """Left and top of the five crops of a resized photo."""
    right, bottom = width - rule.crop_px, height - rule.crop_px
    return [(right // 2, bottom // 2), (0, 0), (right, 0), (0, bottom), (right, bottom)]


def _resized_size(size: tuple[int, int], rule: CropRule) -> tuple[int, int]:
    """Width and height in pixels of the photo once its short side is `rule.resize_short_px`."""
    scale = rule.resize_short_px / min(size)
    width, height = (max(rule.resize_short_px, round(side * scale)) for side in size)
    return width, height


def _cut(image: Image.Image, rule: CropRule, corners: list[tuple[int, int]]) -> torch.Tensor:
    """Crops whose left and top in the resized photo are given: uint8 (len(corners), 3, S, S)."""
    import numpy as np
    import torch

    image = image if image.mode == "RGB" else image.convert("RGB")
    resampling, side = _RESAMPLING[rule.interpolation], rule.crop_px
    width, height = _resized_size(image.size, rule)
    if not is_long((width, height)):
        resized = np.asarray(image.resize((width, height), resampling))
        crops = [resized[top : top + side, left : left + side] for left, top in corners]
    else:
        across, down = image.width / width, image.height / height
        boxes = [
            (
                left * across,
                top * down,
                min((left + side) * across, image.width),
                min((top + side) * down, image.height),
            )
            for left, top in corners
        ]
        crops = [np.asarray(image.resize((side, side), resampling, box=box)) for box in boxes]
    return torch.from_numpy(np.stack(crops)).movedim(-1, 1)


def normalise(crops: torch.Tensor, rule: CropRule, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Pixels as the network takes them: (x / 255 - mean) / std.

    Args:
        crops: uint8 of shape (..., 3, S, S), on any device.
        rule: Holds mean and std.
        dtype: Type of the result, by default float32. The arithmetic is in float32 either way.

    Returns:
        A tensor of the same shape on the same device.
    """
    import torch

    mean, std = (torch.tensor(values, dtype=torch.float64) for values in (rule.mean, rule.std))
    scale, shift = (values.float().to(crops.device) for values in (1 / (255 * std), -mean / std))
    rows = crops.movedim(-3, -1)
    if not rows.is_contiguous():
        pixels = crops.to(torch.float32)
        return torch.addcmul(shift.view(3, 1, 1), pixels, scale.view(3, 1, 1)).to(dtype or torch.float32)
    # Colours side by side: whole rows at once, for a colour at a time would be three numbers at a time.
    side = rows.shape[-2]
    pixels = rows.flatten(-2).to(torch.float32)
    pixels = torch.addcmul(shift.repeat(side), pixels, scale.repeat(side), out=pixels)
    return pixels.to(dtype or torch.float32).unflatten(-1, (side, 3)).movedim(-1, -3)
