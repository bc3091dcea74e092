"""What a prediction would be under other temperatures.

- With the crops' logits (`Model.stream(..., keep_logits=True)`) it is exactly what the decoder makes of them.
- Without them it is made of the probabilities. The temperature of the product is exact then too, for the
  product is made of the heads' probabilities. The temperatures of the heads are exact where a head saw one
  crop, for a softmax raised to a power and renormalised is the softmax of the scaled logits; of several crops
  only the reduced probabilities are there, and the mean of powers is not the power of the mean, so it is an
  approximation. So it is for a model that sums one distribution up in cells: its places are not there.

Temperature scaling: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from geo_model.cells import LEVELS, Level
from geo_model.decoding import CropReduction, Temperature, hierarchy_product, reduce_crops
from geo_model.predict import Prediction


def sharpened(probabilities: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    """Probabilities (C,) raised to a power above 0 and renormalised; float32 (C,)."""
    if power == 1:
        return probabilities
    logs = np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float32).tiny)) * power
    weights = np.exp(logs - logs.max())
    return (weights / weights.sum()).astype(np.float32)


def multiplies_levels(prediction: Prediction) -> bool:
    """Whether the combined probabilities are a product, not simply those of the fine cells (as GeoCLIP's)."""
    # Sums in another order, as of a limited level, differ in the last bits.
    return not np.allclose(prediction.product, prediction.levels[Level.FINE], rtol=1e-4, atol=1e-7)


def retempered(
    prediction: Prediction, made_with: Temperature, wanted: Temperature, crops: CropReduction = "mean"
) -> Prediction:
    """The prediction under another temperature; its answer stays what the model answered.

    Args:
        prediction: What the model said.
        made_with: The temperature that it was made with, `Model.spec.temperature`.
        wanted: The other temperature.
        crops: How the crops were reduced, `Model.spec.crops`; counts only with the crops' logits.

    Returns:
        A prediction with new `levels` and `product`; see the head of this module for how exact they are.
    """
    if wanted == made_with:
        return prediction
    if prediction.logits is None:
        levels = {
            level: sharpened(prediction.levels[level], old / new)
            for level, old, new in zip(LEVELS, made_with.of_levels, wanted.of_levels, strict=True)
        }
    else:
        logits = [torch.from_numpy(level)[None] for level in prediction.logits]
        reduced = reduce_crops(logits, wanted, crops)
        levels = {level: found[0].numpy() for level, found in zip(LEVELS, reduced, strict=True)}
    if not multiplies_levels(prediction):
        return replace(prediction, levels=levels, product=levels[Level.FINE])
    rows = [torch.from_numpy(levels[level])[None] for level in LEVELS]
    ancestors = torch.from_numpy(np.array(prediction.hierarchy.ancestors))
    product = hierarchy_product(rows, ancestors, wanted.hierarchy)[0].numpy()
    return replace(prediction, levels=levels, product=product)
