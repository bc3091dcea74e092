"""The weights of a Lightning checkpoint under the names that `GeoNetwork` has for them, each one checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from geo_model.cells import Hierarchy, Level
from geo_model.errors import CheckpointError
from geo_model.hyper_parameters import HyperParameters, shown_value

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from geo_model.lightning_checkpoint import LightningCheckpoint

_PLACES = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
"""Where torchvision's modules are in the Sequential; 2, 3 and 8 (ReLU and the poolings) have no weights."""

_COUNTER = ".num_batches_tracked"
"""Of batch normalisation; only training needs it, and old releases of torch did not save it."""


def converted_weights(
    checkpoint: LightningCheckpoint,
    hyper_parameters: HyperParameters,
    hierarchy: Hierarchy,
    path: Path,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """Weights of `GeoNetwork` from a checkpoint, each one checked.

    Args:
        checkpoint: Read from `path`.
        hyper_parameters: Of the same run.
        hierarchy: Its sizes must be those of the classifiers.
        path: For messages.
        dtype: That the weights will be stored in.

    Raises:
        CheckpointError: A weight is missing, not known, of another shape or kind, or not finite in `dtype`.
    """
    import torch

    from geo_model.network import GeoNetwork

    with torch.device("meta"):  # names and shapes alone
        expected = GeoNetwork(hyper_parameters.arch, hierarchy.sizes).state_dict()
    left = dict(checkpoint.state_dict)
    sources = {name: _source_name(name, hyper_parameters) for name in expected}
    weights = {}
    for name, wanted in expected.items():
        source = sources[name]
        tensor = left.pop(source, None)
        if tensor is None and name.endswith(_COUNTER):
            tensor = torch.zeros((), dtype=torch.int64)
        if tensor is None:
            raise CheckpointError(
                f"{path}: state_dict lacks {source}, which {hyper_parameters.arch} with classifiers has; "
                f"check arch in {hyper_parameters.path}."
            )
        if tensor.shape != wanted.shape:
            raise CheckpointError(_other_shape(path, source, tensor, wanted, hyper_parameters, hierarchy))
        weights[name] = _checked(tensor, wanted, f"{path}: {source}", dtype)
    if left:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise CheckpointError(
            f"{path}: state_dict holds {shown_value(min(left))}{more}, which {hyper_parameters.arch} with "
            f"three classifiers has not; check arch in {hyper_parameters.path}."
        )
    return weights


def _source_name(name: str, hyper_parameters: HyperParameters) -> str:
    """What the checkpoint calls a weight of `GeoNetwork`."""
    part, module, rest = name.split(".", 2)
    if part == "backbone":
        return f"model.{_PLACES[module]}.{rest}"
    return f"classifier.{hyper_parameters.levels.index(Level(module))}.{rest}"


def _other_shape(
    path: Path,
    source: str,
    tensor: Tensor,
    wanted: Tensor,
    hyper_parameters: HyperParameters,
    hierarchy: Hierarchy,
) -> str:
    if source.startswith("classifier.") and tensor.shape[1:] == wanted.shape[1:] and tensor.ndim:
        position = int(source.split(".")[1])
        level = hyper_parameters.levels[position]
        return (
            f"{path}: {source} is for {tensor.shape[0]:,} classes and the {level.value} partitioning "
            f"{hierarchy[level].name} has {wanted.shape[0]:,} cells; give the partitionings that it was "
            "trained on."
        )
    return (
        f"{path}: {source} has shape {tuple(tensor.shape)} and {hyper_parameters.arch} needs "
        f"{tuple(wanted.shape)}; check arch in {hyper_parameters.path}."
    )


def _checked(tensor: Tensor, wanted: Tensor, where: str, dtype: torch.dtype) -> Tensor:
    import torch

    if (
        tensor.layout != torch.strided
        or tensor.device.type != "cpu"
        or tensor.is_quantized
        or tensor.is_floating_point() != wanted.is_floating_point()
        or tensor.is_complex()
    ):
        raise CheckpointError(
            f"{where} is a tensor of another kind ({tensor.dtype}); get the checkpoint again."
        )
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        raise CheckpointError(f"{where} holds values that are no numbers; the training went wrong there.")
    if tensor.is_floating_point() and not torch.isfinite(tensor.to(dtype)).all():
        raise CheckpointError(
            f"{where} holds values beyond what {dtype} can; store float32 (--weights float32)."
        )
    return tensor.detach()
