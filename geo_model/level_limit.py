"""A model that answers at the coarse or the middle level at most, for public deployments.

What it gives holds no cell, probability or point of a finer level, so nothing made of it can tell more.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

from geo_model.cells import LEVELS, Hierarchy, Level
from geo_model.decoding import CropReduction, Decoded, Decoder, Decoding
from geo_model.errors import GeoModelError
from geo_model.network import GeoNetwork
from geo_model.predict import Model

Part = TypeVar("Part", bound=nn.Module)

FINEST_LEVEL_VARIABLE = "GEO_MODEL_FINEST_LEVEL"
"""Environment variable: the finest level that the web app answers at, `coarse`, `middle` or `fine`."""


def finest_level(environment: Mapping[str, str] | None = None) -> Level:
    """The finest level that the environment allows; without the variable it is the fine one.

    Raises:
        GeoModelError: The variable holds anything else than a level.
    """
    wanted = (os.environ if environment is None else environment).get(FINEST_LEVEL_VARIABLE, "").strip()
    if not wanted:
        return Level.FINE
    if wanted.lower() not in [level.value for level in LEVELS]:
        raise GeoModelError(
            f"The environment variable {FINEST_LEVEL_VARIABLE} is {wanted!r}; "
            "set it to coarse, middle or fine."
        )
    return Level(wanted.lower())


def levels_up_to(finest: Level) -> tuple[Level, ...]:
    """The levels that may be shown, coarse first."""
    return LEVELS[: LEVELS.index(finest) + 1]


def limited(model: Model, finest: Level) -> Model:
    """The model with its answers limited to a level; the model itself where that is the fine one.

    Raises:
        PartitioningError: A middle cell of the model lies in no coarse one.
    """
    return model if finest is Level.FINE else LimitedModel(model, finest)


class LimitedModel(Model):
    """A model of which only the levels up to a limit are given.

    The limit's cells stand in the place of those of every finer level. Their combined probabilities are the
    model's own, of fine cells by all three levels, summed up in them: the answer draws on everything the
    network knows, and is the mean coordinate of the most probable of these cells.

    Args:
        model: The model.
        finest: The limit, coarse or middle.
    """

    made_of_logits = False

    def __init__(self, model: Model, finest: Level) -> None:
        column = LEVELS.index(finest)
        self._model = model
        self._columns = [min(number, column) for number in range(len(LEVELS))]
        self._parents = torch.tensor(model.hierarchy.ancestors[:, column])
        self.finest = finest
        self.path = model.path
        self.hierarchy = Hierarchy.build(*(model.hierarchy[LEVELS[number]] for number in self._columns))
        self.spec = replace(model.spec, class_counts=self.hierarchy.sizes, decoding=Decoding())
        self.device, self.dtype, self.choices = model.device, model.dtype, model.choices
        self.decoder = Decoder(self.hierarchy, self.spec.temperature, self.spec.decoding)
        self.network = _limited_network(model.network, self._columns)
        self.fast_network = _limited_network(model.fast_network, self._columns)

    def cut(self, image: Image.Image) -> Tensor:
        """As the model's own."""
        return self._model.cut(image)

    def logits(self, crops: Tensor) -> tuple[Tensor, ...]:
        """The model's own, those of the limit in the place of finer ones."""
        logits = self._model.logits(crops)
        return tuple(logits[number] for number in self._columns)

    @torch.inference_mode()
    def decode(self, crops: Tensor, reduction: CropReduction | None = None) -> Decoded:
        """Probabilities and answers at the limit's level."""
        full = self._model.decode(crops, reduction)
        levels = tuple(full.levels[number] for number in self._columns)
        parents = self._parents.to(full.product.device)
        product = torch.zeros_like(levels[-1]).index_add_(1, parents, full.product)
        return Decoded(levels, product, product.argmax(dim=-1))


def _limited_network(network: nn.Module, columns: list[int]) -> nn.Module:
    """The same weights with the limit's head in the place of finer ones; other networks as they are."""
    if not isinstance(network, GeoNetwork):
        return network
    view = _shallow(network)
    view.heads = nn.ModuleDict(
        {
            level.value: network.heads[LEVELS[number].value]
            for level, number in zip(LEVELS, columns, strict=True)
        }
    )
    if network.kinds is not None:
        view.kinds = _shallow(network.kinds)
        view.kinds.offsets = nn.ParameterDict(
            {
                level.value: network.kinds.offsets[LEVELS[number].value]
                for level, number in zip(LEVELS, columns, strict=True)
            }
        )
    return view


def _shallow(part: Part) -> Part:
    """A copy whose parts can be exchanged without changing the original; the weights are shared."""
    view = copy.copy(part)
    view.__dict__["_modules"] = dict(part.__dict__["_modules"])
    return view
