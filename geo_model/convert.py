"""From a Lightning checkpoint of the course's and the paper's code to a model folder.

The checkpoint's `state_dict` holds torchvision's ResNet as a Sequential (`model.0` conv1, `model.1` bn1,
`model.4` to `model.7` layer1 to layer4) and a linear layer for each partitioning (`classifier.0`, ...);
`hparams.yaml` beside it says which ResNet (`arch`) and which partitionings (`partitionings`).
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from geo_model.cells import LEVELS, Hierarchy, Level, Partitioning
from geo_model.crops import CropRule
from geo_model.errors import CheckpointError, GeoModelError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from geo_model.lightning_checkpoint import LightningCheckpoint
    from geo_model.model_folder import ModelSpec

ARCHITECTURES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
"""timm's networks of these names have the layers, and the names of the weights, of torchvision's."""

CROP_RULE = CropRule(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""As the code cut and normalised photos: ImageNet's mean and standard deviation, bilinear."""

_PLACES = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
"""Where torchvision's modules are in the Sequential; 2, 3 and 8 (ReLU and the poolings) have no weights."""

_COUNTER = ".num_batches_tracked"
"""Of batch normalisation; only training needs it, and old releases of torch did not save it."""


@dataclass(frozen=True)
class HyperParameters:
    """What hparams.yaml says that a model needs.

    Attributes:
        path: The file, for messages.
        arch: One of `ARCHITECTURES`.
        files: File name (without folders) of the partitioning of each classifier.
        levels: Level of each classifier.
    """

    path: Path
    arch: str
    files: tuple[str, ...]
    levels: tuple[Level, ...]


def read_hyper_parameters(path: Path) -> HyperParameters:
    """Read hparams.yaml; plain YAML only, tags that would build Python objects are refused.

    Raises:
        CheckpointError: It is missing or damaged, or a value is missing or of the wrong kind.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else f"{path}"
        problem = " ".join(str(getattr(error, "problem", None) or error).split())[:200]
        raise CheckpointError(f"{where}: this is no plain YAML ({problem}); mend the line.") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: it holds no keys; give the hparams.yaml that Lightning wrote.")
    arch = values.get("arch")
    if arch not in ARCHITECTURES:
        problem = "the key 'arch' is missing" if arch is None else f"arch is {_shown(arch)}"
        raise CheckpointError(f"{path}: {problem}; only {', '.join(ARCHITECTURES)} can be converted.")
    partitionings = values.get("partitionings")
    partitionings = partitionings if isinstance(partitionings, dict) else {}
    files: Any = partitionings.get("files")
    if not _is_list_of_three_texts(files):
        raise CheckpointError(
            f"{path}: partitionings.files is {_shown(files)}; it must list three partition CSVs, coarse, "
            "middle, fine."
        )
    shortnames: Any = partitionings.get("shortnames")
    if shortnames is not None and not _is_list_of_three_texts(shortnames):
        raise CheckpointError(
            f"{path}: partitionings.shortnames is {_shown(shortnames)}; it must list three names, one for "
            "each of partitionings.files."
        )
    by_name = {level.value: level for level in LEVELS}
    named = shortnames is not None and set(shortnames) == set(by_name)
    levels = tuple(by_name[name] for name in shortnames) if named else LEVELS
    # Whatever folder the file lay in, on whatever system: only its name counts.
    names = tuple(PureWindowsPath(file).name for file in files)
    return HyperParameters(path, arch, names, levels)


def read_cells(hyper_parameters: HyperParameters, folder: Path) -> Hierarchy:
    """Read the partitionings from a folder: by their file names in hparams.yaml, else as coarse.csv, ...

    Raises:
        CheckpointError: A file is missing.
        GeoModelError: A file is damaged, or the three do not nest.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder; give the one with the partition CSVs.")
    by_level: dict[Level, Partitioning] = {}
    for name, level in zip(hyper_parameters.files, hyper_parameters.levels, strict=True):
        candidates = [folder / name] if name else []
        candidates.append(folder / f"{level.value}.csv")
        found = next((candidate for candidate in candidates if candidate.is_file()), None)
        if found is None:
            raise CheckpointError(
                f"{folder}: the {level.value} partitioning is missing; put {_shown(name)}, as "
                f"{hyper_parameters.path} calls it, or {level.value}.csv there."
            )
        by_level[level] = _sentence_of(Partitioning.read_csv, found)
    return _sentence_of(Hierarchy.build, *(by_level[level] for level in LEVELS))


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
            f"{path}: state_dict holds {_shown(min(left))}{more}, which {hyper_parameters.arch} with three "
            f"classifiers has not; check arch in {hyper_parameters.path}."
        )
    return weights


def convert(
    checkpoint_path: Path,
    hparams_path: Path,
    cells: Path,
    out: Path,
    *,
    name: str | None = None,
    dtype: torch.dtype | None = None,
) -> ModelSpec:
    """Write the model folder of a checkpoint; nothing is left of it if a part does not fit.

    Args:
        checkpoint_path: The `.ckpt`.
        hparams_path: The `hparams.yaml` of the same run.
        cells: Folder of the three partition CSVs.
        out: A new or empty folder.
        name: Of the model, by default the name of `out`.
        dtype: Of the stored weights; float16 when it is None.

    Returns:
        What model.json holds.

    Raises:
        CheckpointError: A part is missing, damaged or does not fit the others, or `out` is not empty.
        GeoModelError: A partitioning is damaged, or the three do not nest.
    """
    import torch

    from geo_model.lightning_checkpoint import read_lightning_checkpoint
    from geo_model.model_folder import ModelSpec, write_model_folder

    out = Path(os.path.abspath(out))  # so that `.` has a name and a parent
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out}: there is something already; give a new or empty folder.")
    hyper_parameters = read_hyper_parameters(hparams_path)
    hierarchy = read_cells(hyper_parameters, cells)
    checkpoint = read_lightning_checkpoint(checkpoint_path)
    stored = dtype or torch.float16
    weights = converted_weights(checkpoint, hyper_parameters, hierarchy, checkpoint_path, stored)
    spec = ModelSpec(
        name=name or out.name,
        backbone=hyper_parameters.arch,
        class_counts=hierarchy.sizes,
        crop_rule=CROP_RULE,
        description=f"Converted from a checkpoint ({hyper_parameters.arch}); accuracy not measured.",
        training={
            "converted_from": _plain(checkpoint_path.name),
            "sha256": _sha256(checkpoint_path),
            **checkpoint.facts,
        },
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".converted-", dir=out.parent))
    except OSError as error:
        raise CheckpointError(
            f"{out} cannot be written: {(error.strerror or str(error)).lower()}."
        ) from error
    try:
        write_model_folder(part / "model", spec, hierarchy, weights, model_card(spec, out), stored)
        if out.exists():
            out.rmdir()
        (part / "model").rename(out)
    except OSError as error:
        raise CheckpointError(
            f"{out} cannot be written: {(error.strerror or str(error)).lower()}."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return spec


def model_card(spec: ModelSpec, out: Path) -> str:
    """The model card of a converted model: where it comes from, and what nobody has measured."""
    facts = spec.training
    coarse, middle, fine = (f"{count:,}" for count in spec.class_counts)
    trained = f" It was saved in epoch {facts['epoch'] + 1}." if "epoch" in facts else ""
    return f"""# {_plain(spec.name)}

Converted from the Lightning checkpoint `{facts["converted_from"]}`
(SHA-256 `{facts["sha256"]}`).{trained}
`{spec.backbone}` with one linear layer for each of {coarse} / {middle} / {fine} S2 cells
(coarse / middle / fine).

## What it reaches

**Nobody has measured it here.** A converted model gives the logits of the checkpoint that it comes from, but
whether its figures are those of a paper depends on the weights. Measure it on photos whose place is known:

    python -m geo_model evaluate --photos PHOTOS --truth TRUTH.csv --model {_plain(out.name)}

## How photos go in

Short side to {spec.crop_rule.resize_short_px} pixels, bilinear, five crops of {spec.crop_rule.crop_px},
mean and standard deviation of ImageNet. The crops' softmaxes are averaged, and the answer is the most
probable fine cell by the product of the three levels. The paper's code took the maximum over the crops:
`--crops max`.

## What is not known

- Probabilities are as the network gives them (temperature 1): the regions of 50% and 90% were not calibrated.
- The checkpoint does not say which photos it was trained on, nor under which licence its weights may be used.
"""


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


def _sentence_of(read: Any, *arguments: Any) -> Any:  # noqa: ANN401 - whatever is read
    """What a reader gives; its complaint gets a full stop."""
    try:
        return read(*arguments)
    except GeoModelError as error:
        raise CheckpointError(f"{str(error).rstrip('.')}.") from error


def _is_list_of_three_texts(value: object) -> bool:
    return isinstance(value, list) and len(value) == len(LEVELS) and all(isinstance(x, str) for x in value)


def _shown(value: object) -> str:
    """A value from a file for a message, on one line and short."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _plain(text: str) -> str:
    """A name that cannot be read as markup."""
    return re.sub(r"[^\w.+ -]", "_", text)


def _sha256(path: Path) -> str:
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
