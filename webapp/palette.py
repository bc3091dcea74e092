"""Colours of the globe in the light and the dark theme, and the scale from probability to colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """Red, green and blue, 0 to 255, of everything on the globe.

    Attributes:
        ocean: Of the sea.
        land: Of the land.
        border: Between countries.
        ramp: Of cells, from the least to the most probable one shown.
        estimate: Of the predicted point.
        tag: Of the photo's own GPS tag and of the line to it.
        halo: Around both points.
        panel: Of the tooltip.
        text: In the tooltip.
    """

    ocean: Colour
    land: Colour
    border: Colour
    ramp: tuple[Colour, ...]
    estimate: Colour
    tag: Colour
    halo: Colour
    panel: Colour
    text: Colour


LIGHT = Palette(
    ocean=(213, 226, 236),
    land=(247, 245, 240),
    border=(186, 182, 172),
    ramp=((252, 206, 96), (253, 160, 68), (240, 88, 50), (196, 22, 56), (110, 0, 60)),
    estimate=(15, 23, 42),
    tag=(0, 116, 166),
    halo=(255, 255, 255),
    panel=(255, 255, 255),
    text=(15, 23, 42),
)
DARK = Palette(
    ocean=(23, 37, 55),
    land=(56, 71, 90),
    border=(100, 116, 136),
    ramp=((92, 34, 112), (160, 44, 104), (221, 74, 66), (249, 142, 38), (252, 230, 126)),
    estimate=(255, 255, 255),
    tag=(76, 201, 240),
    halo=(10, 16, 26),
    panel=(26, 36, 51),
    text=(233, 238, 245),
)


@dataclass(frozen=True)
class ProbabilityScale:
    """A scale from the least value that is drawn to the highest: probabilities, or numbers of photos.

    Attributes:
        lowest: Value of the first colour of the ramp; cells below it are not drawn.
        highest: Value of the last colour.
        linear: Equal steps of colour for equal differences, rather than for equal ratios.
    """

    lowest: float
    highest: float
    linear: bool = False

    def positions(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Where probabilities lie on the ramp, 0 to 1."""
        if self.linear:
            span = max(self.highest - self.lowest, 1e-30)
            return np.clip((np.asarray(probabilities, dtype=np.float64) - self.lowest) / span, 0, 1)
        clipped = np.clip(np.asarray(probabilities, dtype=np.float64), self.lowest, self.highest)
        return np.log(clipped / self.lowest) / max(np.log(self.highest / self.lowest), 1e-9)

    def colours(self, probabilities: ArrayLike, palette: Palette) -> NDArray[np.int64]:
        """Red, green, blue and opacity, 0 to 255, shape (N, 4); the improbable is more transparent."""
        positions = self.positions(probabilities)
        stops = np.linspace(0.0, 1.0, len(palette.ramp))
        channels = [np.interp(positions, stops, column) for column in np.array(palette.ramp, dtype=float).T]
        return np.rint(np.stack([*channels, 120 + 85 * positions], axis=1)).astype(np.int64)


def css(colour: Colour) -> str:
    """A colour as CSS."""
    return f"rgb({colour[0]}, {colour[1]}, {colour[2]})"
