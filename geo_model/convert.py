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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geo_model.cells import LEVELS, Hierarchy, Level, Partitioning
from geo_model.converted_weights import converted_weights
from geo_model.crops import CropRule
from geo_model.errors import CheckpointError, GeoModelError, reason_of
from geo_model.hyper_parameters import HyperParameters, read_hyper_parameters, shown_value

if TYPE_CHECKING:
    import torch

    from geo_model.model_folder import ModelSpec

CROP_RULE = CropRule(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""As the code cut and normalised photos: ImageNet's mean and standard deviation, bilinear."""


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
                f"{folder}: the {level.value} partitioning is missing; put {shown_value(name)}, as "
                f"{hyper_parameters.path} calls it, or {level.value}.csv there."
            )
        by_level[level] = _sentence_of(Partitioning.read_csv, found)
    return _sentence_of(Hierarchy.build, *(by_level[level] for level in LEVELS))


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
        raise CheckpointError(f"{out} cannot be written: {reason_of(error)}.") from error
    try:
        write_model_folder(part / "model", spec, hierarchy, weights, model_card(spec, out), stored)
        if out.exists():
            out.rmdir()
        (part / "model").rename(out)
    except OSError as error:
        raise CheckpointError(f"{out} cannot be written: {reason_of(error)}.") from error
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


def _sentence_of(read: Any, *arguments: Any) -> Any:  # noqa: ANN401 - whatever is read
    """What a reader gives; its complaint gets a full stop."""
    try:
        return read(*arguments)
    except GeoModelError as error:
        raise CheckpointError(f"{str(error).rstrip('.')}.") from error


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
