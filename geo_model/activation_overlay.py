"""An activation map as a picture: the photo in grey, what mattered in colour, and a scale below.

Blue to orange, because people who do not tell red from green tell these apart.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from geo_model.activation_maps import ActivationMap

FOR, AGAINST = (235, 110, 10), (20, 100, 200)
"""Red, green and blue of what raised the logit (or was looked at), and of what lowered it."""

_OPACITY = 0.8
"""Of the largest value; the photo stays visible below."""

_UNSEEN = 0.35
"""Brightness of what no crop showed to the network."""


def colours(activation: ActivationMap) -> NDArray[np.uint8]:
    """The map as red, green, blue and opacity, 0 to 255, (H, W, 4), to lay over the upright photo.

    Opacity is in proportion to the value, the largest of them (by magnitude) being the most opaque. A rollout
    has no zero that means anything: its scale begins at its least value. Where no crop lies it is black.
    """
    strength = strengths(activation)
    seen = ~np.isnan(strength)
    strength = np.nan_to_num(strength)
    colour = np.where(strength[..., None] < 0, AGAINST, FOR) * seen[..., None]
    opacity = np.where(seen, _OPACITY * np.abs(strength), 1 - _UNSEEN)
    return np.rint(np.dstack([colour, 255 * opacity])).astype(np.uint8)


def strengths(activation: ActivationMap) -> NDArray[np.float64]:
    """The map between -1 and 1, as `colours` shows it: (H, W), NaN where no crop lies."""
    values = activation.map.astype(np.float64)
    if activation.logit is None:
        values = values - np.nanmin(values)
    largest = np.nanmax(np.abs(values))
    return values / largest if largest > 0 else values


def laid_over(activation: ActivationMap, photo: Image.Image, strength: float = 1.0) -> Image.Image:
    """The map over its photo in grey, RGB of the photo's size.

    Args:
        activation: Of this photo.
        photo: Upright, of any size and mode.
        strength: From 0, the photo alone in its own colours, to 1.
    """
    below = photo.convert("L").convert("RGBA")
    above = Image.fromarray(colours(activation), "RGBA").resize(photo.size, Image.Resampling.BILINEAR)
    laid = Image.alpha_composite(below, above).convert("RGB")
    return laid if strength == 1 else Image.blend(photo.convert("RGB"), laid, strength)


def overlay(activation: ActivationMap, photo: Image.Image) -> Image.Image:
    """The map over its photo, with a scale below.

    Args:
        activation: Of this photo.
        photo: Upright, of any size and mode.

    Returns:
        RGB, as wide as the photo and a little higher.
    """
    laid = laid_over(activation, photo)
    scale = _scale(activation, photo.width)
    whole = Image.new("RGB", (photo.width, photo.height + scale.height), "white")
    whole.paste(laid, (0, 0))
    whole.paste(scale, (0, photo.height))
    return whole


def overlay_png(activation: ActivationMap, photo: Image.Image) -> bytes:
    """`overlay` as the bytes of a PNG."""
    buffer = io.BytesIO()
    overlay(activation, photo).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _scale(activation: ActivationMap, width: int) -> Image.Image:
    """A strip that says what the colours mean."""
    text_px = int(np.clip(width / 40, 10, 28))
    font = ImageFont.load_default(text_px)
    values = activation.map[~np.isnan(activation.map)]
    if activation.logit is None:
        low, high = "looked at least", "most"
        shown = np.linspace(0, 1, width)
    else:
        largest = float(np.abs(values).max())
        low, high = f"against: {-largest:.3g}", f"for: +{largest:.3g}"
        shown = np.linspace(-1, 1, width)
    grey = 200  # of a photo of middling brightness
    opacity = _OPACITY * np.abs(shown)[:, None]
    bar = opacity * np.where(shown[:, None] < 0, AGAINST, FOR) + (1 - opacity) * grey
    strip = Image.new("RGB", (width, 2 * text_px + text_px // 2), "white")
    pixels = np.broadcast_to(np.rint(bar).astype(np.uint8), (text_px // 2, width, 3))
    strip.paste(Image.fromarray(np.ascontiguousarray(pixels)), (0, text_px // 4))
    draw = ImageDraw.Draw(strip)
    y = text_px
    draw.text((text_px // 4, y), low, fill="black", font=font)
    draw.text((width - text_px // 4, y), high, fill="black", font=font, anchor="ra")
    if activation.logit is not None:
        draw.text((width / 2, y), "0", fill="black", font=font, anchor="ma")
    return strip
