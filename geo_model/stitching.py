"""From maps of crops to one map of the photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stitched(
    crop_maps: NDArray[np.float32], boxes: NDArray[np.float64], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lay the crops' maps where they belong, with bilinear interpolation, and average where they overlap.

    A pixel is the mean of the interpolated map over its area, not its value at the pixel's middle. So nothing
    is lost: the mean of the result, weighed by coverage, is the mean of the crops' maps.

    Args:
        crop_maps: (V, h, w).
        boxes: (V, 4), left, top, right and bottom as shares of the photo's width and height, of one size.
        height: H, of the result in pixels.
        width: W.

    Returns:
        The map, float32 (H, W), NaN where no crop lies, and how many crops lie on each pixel, float32 (H, W).
    """
    total, coverage = np.zeros((height, width)), np.zeros((height, width))
    for crop_map, (left, top, right, bottom) in zip(crop_maps, boxes, strict=True):
        down = _interpolation(crop_map.shape[0], top * height, bottom * height, height)
        across = _interpolation(crop_map.shape[1], left * width, right * width, width)
        total += down @ crop_map.astype(np.float64) @ across.T
        coverage += np.outer(down.sum(axis=1), across.sum(axis=1))
    seen = coverage > 1e-6  # less is rounding at the edge of a crop
    whole = np.divide(total, coverage, out=np.full_like(total, np.nan), where=seen)
    return whole.astype(np.float32), np.where(seen, coverage, 0).astype(np.float32)


def _interpolation(cells: int, start: float, end: float, pixels: int) -> NDArray[np.float64]:
    """Linear interpolation of cells that fill [start, end], integrated over the pixels: (pixels, cells).

    Beyond the middle of the outermost cells the value stays theirs; outside [start, end] there is none. Each
    column sums to a cell's width, each row to the part of the pixel that lies in [start, end].
    """
    cell_px = (end - start) / cells
    edges = (np.clip(np.arange(pixels + 1), start, end) - start) / cell_px - 0.5
    # One cell more at either end, which repeats the outermost one.
    distance = np.clip(edges[:, None] - np.arange(-1, cells + 1), -1, 1)
    below = 0.5 + distance - distance * np.abs(distance) / 2  # integral of the triangle max(0, 1 - |x|)
    weights = np.diff(below, axis=0) * cell_px
    weights[:, 1] += weights[:, 0]
    weights[:, -2] += weights[:, -1]
    return weights[:, 1:-1]
