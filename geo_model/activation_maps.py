"""What in a photo spoke for a cell: class-activation maps, and attention rollout.

Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, section 2: where the heads
see the mean of the last feature map, a logit is the mean over positions of (head weights · features there),
plus a bias; the values at the positions are the map. It says which positions raised the logit by how much,
and nothing about why: each position has seen a good part of the photo around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geo_model.attention_rollout import attention_rollout, has_attention_rollout
from geo_model.cells import LEVELS, Level
from geo_model.crops import crop_boxes, normalise
from geo_model.errors import ActivationMapError
from geo_model.network import GeoNetwork
from geo_model.photo_crops import name_and_source, upright_photo
from geo_model.position_features import position_features
from geo_model.stitching import stitched

if TYPE_CHECKING:
    from geo_model.predict import Model, PhotoInput

Method = Literal["auto", "cam", "rollout"]
CLASS_ACTIVATION, ATTENTION_ROLLOUT = "class-activation map", "attention rollout"

_LONGEST_SIDE = 512
"""Pixels of a stitched map; the maps of the crops have some tens of positions each."""


@dataclass(frozen=True, eq=False)
class ActivationMap:
    """Where on a photo the evidence for one cell was, or, by attention rollout, where the network looked.

    Attributes:
        name: Of the photo.
        method: `CLASS_ACTIVATION` or `ATTENTION_ROLLOUT`.
        map: float32 (H, W). It lies over the whole upright photo, row 0 at its top; where crops overlap it is
            their mean, and where none of them lies (long photos have such strips) it is NaN. Of a
            class-activation map, positive values raised the logit, negative ones lowered it.
        coverage: float32 (H, W), how many crops lie there, 0 to 5.
        crop_maps: float32 (5, h, w), the map of each crop at the network's own resolution.
        crop_boxes: float64 (5, 4), where they lie: left, top, right and bottom as shares of the photo's width
            and height.
        level: Whose head the class is of; None for a fine class along the hierarchy.
        class_index: The class; None for a rollout, which is the same for all classes.
        logit: Mean of the class's logit over the crops. Along the hierarchy it is
            Σ_l logit_l / (temperature_l · temperature_hierarchy) over the levels, the logarithm of equation 3
            of the ECCV 2018 paper for one crop, but for a constant. None for a rollout.
        bias: What of the logit belongs to no position: `mean` + bias = logit. None for a rollout.
        crop_logits: float32 (5,), the logit of each crop; None for a rollout. A model that takes the maximum
            over the crops has a level's probability from one of them, and that crop's map is exact by itself:
            its mean + its bias = its logit.
        crop_biases: float32 (5,), likewise.
    """

    name: str
    method: str
    map: NDArray[np.float32]
    coverage: NDArray[np.float32]
    crop_maps: NDArray[np.float32]
    crop_boxes: NDArray[np.float64]
    level: Level | None = None
    class_index: int | None = None
    logit: float | None = None
    bias: float | None = None
    crop_logits: NDArray[np.float32] | None = None
    crop_biases: NDArray[np.float32] | None = None

    @property
    def mean(self) -> float:
        """Mean of the map, where each place counts as often as crops lie there."""
        seen = self.coverage > 0
        return float(np.average(self.map[seen].astype(np.float64), weights=self.coverage[seen]))


def activation_map(
    model: Model,
    photo: PhotoInput,
    class_index: int | None = None,
    level: Level | None = None,
    method: Method = "auto",
) -> ActivationMap:
    """What in a photo spoke for a cell, on the five crops that the model answers from.

    The class-activation map is exact: its mean and the bias add up to the logit, over all crops and for each
    crop alone. Two things are held at what
    they are for the crop, though they depend on it: the variance in a layer norm after the pooling, and how
    much a `geo_model.network.KindGate` takes the photo for each kind.

    Args:
        model: As `geo_model.load` gives it.
        photo: Whatever `Model.predict` takes.
        class_index: Of a cell of `level`; None is the cell answered.
        level: Whose head to explain; None explains a fine class along the hierarchy.
        method: `cam`, `rollout`, or `auto`: the first of them that the network has.

    Raises:
        PhotoError: The photo cannot be read.
        ActivationMapError: The network has no such map.
        ValueError: There is no class of that index.
    """
    return activation_maps(model, photo, [class_index], level, method)[0]


@torch.inference_mode()
def activation_maps(
    model: Model,
    photo: PhotoInput,
    class_indices: Sequence[int | None],
    level: Level | None = None,
    method: Method = "auto",
) -> list[ActivationMap]:
    """As `activation_map`, for several classes of a level in one pass through the network."""
    _check_classes(model, class_indices, level)
    network = getattr(model, "network", None)
    if not isinstance(network, GeoNetwork):
        raise no_map_without_heads(model.spec.name)
    name, source = name_and_source(photo, "the photo")
    image = upright_photo(source, name, model.spec.crop_rule)
    pixels = normalise(model.cut(image).to(model.device), model.spec.crop_rule, model.dtype).contiguous(
        memory_format=torch.channels_last
    )
    boxes = crop_boxes(image.size, model.spec.crop_rule)
    scale = min(1.0, _LONGEST_SIDE / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    features = None if method == "rollout" else position_features(network.backbone, pixels)
    if features is None:
        rolled = _rollout(model, network, pixels, method)
        whole, coverage = stitched(rolled, boxes, height, width)
        return [ActivationMap(name, ATTENTION_ROLLOUT, whole, coverage, rolled, boxes)] * len(class_indices)
    pooled = features.pooled
    maps = []
    for given in class_indices:
        chosen = _answered(model, network, pooled, level) if given is None else given
        weights, bias = _terms(model, network, pooled, chosen, level)
        crop_maps = torch.einsum("vhwd,vd->vhw", features.positions, weights).cpu().numpy()
        crop_biases = bias + weights @ features.shift
        whole, coverage = stitched(crop_maps, boxes, height, width)
        logits = (weights * pooled).sum(dim=1) + bias
        maps.append(
            ActivationMap(
                name=name,
                method=CLASS_ACTIVATION,
                map=whole,
                coverage=coverage,
                crop_maps=crop_maps,
                crop_boxes=boxes,
                level=level,
                class_index=chosen,
                logit=float(logits.mean()),
                bias=float(crop_biases.mean()),
                crop_logits=logits.cpu().numpy(),
                crop_biases=crop_biases.cpu().numpy(),
            )
        )
    return maps


def no_map_without_heads(name: str) -> ActivationMapError:
    """What is said of a model that compares photos with places, as GeoCLIP does."""
    return ActivationMapError(
        f"model {name!r}: there is no map of what mattered, for it has no heads over cells; "
        "choose a model with them."
    )


def _check_classes(model: Model, class_indices: Sequence[int | None], level: Level | None) -> None:
    cells = len(model.hierarchy[level or Level.FINE])
    for index in class_indices:
        if index is not None and not 0 <= index < cells:
            raise ValueError(f"class_index is {index}; this level's classes are 0 to {cells - 1}")


def _rollout(model: Model, network: GeoNetwork, pixels: Tensor, method: Method) -> NDArray[np.float32]:
    """Attention rollout of each crop, or the sentence why there is no map."""
    if method != "cam" and has_attention_rollout(network.backbone):
        return attention_rollout(network.backbone, pixels).cpu().numpy()
    reason = {
        "cam": "its heads do not see the mean of its last feature map",
        "rollout": "it is not a plain vision transformer",
        "auto": "its heads do not see the mean of its last feature map, and it is not a plain vision "
        "transformer",
    }[method]
    known = {"cam": CLASS_ACTIVATION, "rollout": ATTENTION_ROLLOUT, "auto": "map of what mattered"}[method]
    raise ActivationMapError(
        f"backbone {model.spec.backbone!r} of model {model.spec.name!r} has no {known}: {reason}; "
        f"choose another {'model' if method == 'auto' else 'method or model'}."
    )


def _answered(model: Model, network: GeoNetwork, pooled: Tensor, level: Level | None) -> int:
    """The fine class answered for the crops (None), or the most probable class of a level."""
    logits = [output.float()[None] for output in network.classify(pooled.to(model.dtype))]
    decoded = model.decoder.decode(logits, model.spec.crops)
    return int(decoded.classes[0] if level is None else decoded.levels[LEVELS.index(level)][0].argmax())


def _terms(
    model: Model, network: GeoNetwork, pooled: Tensor, class_index: int, level: Level | None
) -> tuple[Tensor, Tensor]:
    """Weights (V, D) and bias (V,), float32: weights · features + bias is what `GeoNetwork.classify` gives.

    Along the hierarchy they are the sum over the levels, divided by the temperatures.
    """
    if level is None:
        temperature = model.spec.temperature
        classes = model.hierarchy.ancestors[class_index].tolist()
        factors = [1 / (own * temperature.hierarchy) for own in temperature.of_levels]
        parts = list(zip(LEVELS, classes, factors, strict=True))
    else:
        parts = [(level, class_index, 1.0)]
    kinds = network.kinds
    weights, bias = torch.zeros_like(pooled), pooled.new_zeros(len(pooled))
    if kinds is not None:
        shares = torch.softmax(pooled @ kinds.gate.weight.float().T + kinds.gate.bias.float(), dim=-1)
    for part, index, factor in parts:
        head = network.heads[part.value]
        assert isinstance(head, torch.nn.Linear)
        row, offset = head.weight[index].float().expand_as(pooled), head.bias[index].float()
        if kinds is not None:
            row = row * (shares @ kinds.strengths.float())[:, None]
            offset = offset + shares @ kinds.offsets[part.value][:, index].float()
        weights, bias = weights + factor * row, bias + factor * offset
    return weights, bias
