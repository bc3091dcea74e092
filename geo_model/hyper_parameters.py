"""The hparams.yaml that Lightning writes beside a checkpoint, as far as a model needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from geo_model.cells import LEVELS, Level
from geo_model.errors import CheckpointError, reason_of

ARCHITECTURES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
"""timm's networks of these names have the layers, and the names of the weights, of torchvision's."""


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
        raise CheckpointError(f"{path} cannot be read: {reason_of(error)}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else f"{path}"
        problem = " ".join(str(getattr(error, "problem", None) or error).split())[:200]
        raise CheckpointError(f"{where}: this is no plain YAML ({problem}); mend the line.") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: it holds no keys; give the hparams.yaml that Lightning wrote.")
    arch = values.get("arch")
    if arch not in ARCHITECTURES:
        problem = "the key 'arch' is missing" if arch is None else f"arch is {shown_value(arch)}"
        raise CheckpointError(f"{path}: {problem}; only {', '.join(ARCHITECTURES)} can be converted.")
    partitionings = values.get("partitionings")
    partitionings = partitionings if isinstance(partitionings, dict) else {}
    files: Any = partitionings.get("files")
    if not _is_list_of_three_texts(files):
        said = "missing" if files is None else shown_value(files)
        raise CheckpointError(
            f"{path}: partitionings.files is {said}; it must list three partition CSVs, coarse, middle, fine."
        )
    shortnames: Any = partitionings.get("shortnames")
    if shortnames is not None and not _is_list_of_three_texts(shortnames):
        raise CheckpointError(
            f"{path}: partitionings.shortnames is {shown_value(shortnames)}; it must list three names, one "
            "for each of partitionings.files."
        )
    by_name = {level.value: level for level in LEVELS}
    named = shortnames is not None and set(shortnames) == set(by_name)
    levels = tuple(by_name[name] for name in shortnames) if named else LEVELS
    # Whatever folder the file lay in, on whatever system: only its name counts.
    names = tuple(PureWindowsPath(file).name for file in files)
    return HyperParameters(path, arch, names, levels)


def _is_list_of_three_texts(value: object) -> bool:
    return isinstance(value, list) and len(value) == len(LEVELS) and all(isinstance(x, str) for x in value)


def shown_value(value: object) -> str:
    """A value from a file for a message, on one line and short."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
