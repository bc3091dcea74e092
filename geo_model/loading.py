"""Which device and precision a model is loaded with, and weights into a network, checked one by one."""

from __future__ import annotations

from typing import Literal

import torch

from geo_model.errors import DeviceError, ModelFolderError
from geo_model.model_folder import ModelFolder
from geo_model.network import GeoNetwork

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def device_of(device: str | torch.device) -> torch.device:
    """The device that a user names; raises DeviceError where this machine has none of that name."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        known = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        raise DeviceError(
            f"device {str(device)!r} is not on this machine; use auto or one of {', '.join(known)}."
        ) from error
    return chosen


def dtype_of(precision: str, device: torch.device) -> torch.dtype:
    """The precision that a user names; raises DeviceError where there is none, or not for this device."""
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if precision == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if precision not in known:
        raise DeviceError(f"precision {precision!r} is unknown; use auto, {', '.join(known)}.")
    if precision == "float16" and device.type == "cpu":
        raise DeviceError("precision 'float16' is not for the CPU; use float32 or bfloat16 there.")
    return known[precision]


def network_of(folder: ModelFolder) -> GeoNetwork:
    """The network of a model folder with its weights; raises ModelFolderError if they do not fit."""
    network = GeoNetwork(folder.spec.backbone, folder.spec.class_counts, len(folder.spec.photo_kinds))
    _check_crop_size(network, folder)
    _load_weights(network, folder)
    return network


def _check_crop_size(network: GeoNetwork, folder: ModelFolder) -> None:
    """Refuse crops that a network with a fixed input size, as most transformers are, would stop at later."""
    side_px = folder.spec.crop_rule.crop_px
    if not network.takes(side_px):
        raise ModelFolderError(
            f"{folder.path}: crop_px is {side_px} and backbone {folder.spec.backbone!r} takes only "
            f"{network.own_px}; get the model folder again."
        )


def _load_weights(network: GeoNetwork, folder: ModelFolder) -> None:
    expected = network.state_dict()
    for name, tensor in expected.items():
        if name not in folder.state_dict:
            raise ModelFolderError(
                f"{folder.path}: the weights lack {name}, which backbone {folder.spec.backbone!r} has; "
                "get the model folder again."
            )
        if folder.state_dict[name].shape != tensor.shape:
            raise ModelFolderError(
                f"{folder.path}: weight {name} has shape {tuple(folder.state_dict[name].shape)} and the "
                f"network needs {tuple(tensor.shape)}; get the model folder again."
            )
    if extra := sorted(set(folder.state_dict) - set(expected)):
        raise ModelFolderError(
            f"{folder.path}: the weights hold {extra[0]}, which backbone {folder.spec.backbone!r} has not; "
            "get the model folder again."
        )
    network.load_state_dict(folder.state_dict)
