"""The model folder: everything that a model is, in files that hold no code.

model.safetensors   weights of GeoNetwork, float16 or float32
model.json          ModelSpec: backbone, crop rule, temperature, decoding, class counts, training, accuracy
coarse.csv, middle.csv, fine.csv   the partitionings
MODEL_CARD.md       for people
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geo_model.cells import LEVELS, Hierarchy, Partitioning
from geo_model.crops import CropRule
from geo_model.decoding import CropReduction, Decoding, Temperature
from geo_model.errors import GeoModelError, ModelFolderError

if TYPE_CHECKING:
    import torch

WEIGHTS, SPEC, CARD = "model.safetensors", "model.json", "MODEL_CARD.md"
FORMAT = 1
"""Version of the layout; a folder with a higher one is refused rather than misread."""

DEFAULT_MODEL = "street-travel-lite2"
MODEL_PATH_VARIABLE = "GEO_MODEL_PATH"
"""Environment variable: folders (separated as in PATH) whose subfolders are model folders."""


@dataclass(frozen=True)
class ModelSpec:
    """What model.json says.

    Attributes:
        name: Short name, as `--model` takes it.
        backbone: Name of a timm model.
        class_counts: Cells of the coarse, middle and fine partitioning.
        crop_rule: How a photo becomes five normalised crops.
        temperature: Calibration of the heads and of their product.
        decoding: How the answer is chosen.
        crops: How the crops' softmaxes are joined unless the caller says otherwise.
        photo_kinds: Kinds of photo that `geo_model.network.KindGate` tells apart; none weighs all alike.
        description: One sentence for lists of models.
        training: How and on what it was trained.
        accuracy: Measured figures, one entry per test set.
    """

    name: str
    backbone: str
    class_counts: tuple[int, int, int]
    crop_rule: CropRule
    temperature: Temperature = field(default_factory=Temperature)
    decoding: Decoding = field(default_factory=Decoding)
    crops: CropReduction = "mean"
    photo_kinds: tuple[str, ...] = ()
    description: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    accuracy: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text of model.json."""
        content = {"format": FORMAT, **asdict(self), "crop_rule": self.crop_rule.to_dict()}
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read the text of model.json.

        Raises:
            ValueError: It is not JSON, or a key is missing, unknown or has an impossible value.
        """
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
        version = content.pop("format", None)
        if version != FORMAT:
            raise ValueError(f"its format is {version!r} and this version reads {FORMAT}")
        known = {entry.name for entry in fields(cls)}
        required = ("name", "backbone", "class_counts", "crop_rule")
        if missing := [key for key in required if key not in content]:
            raise ValueError(f"the key {missing[0]!r} is missing")
        if unknown := sorted(set(content) - known):
            raise ValueError(f"the key {unknown[0]!r} is unknown")
        counts = content["class_counts"]
        if not (
            isinstance(counts, list)
            and len(counts) == len(LEVELS)
            and all(isinstance(count, int) and count > 0 for count in counts)
        ):
            raise ValueError(f"class_counts is {counts!r} and must be three whole numbers above 0")
        if content.get("crops", "mean") not in ("mean", "max"):
            raise ValueError(f"crops is {content['crops']!r} and must be 'mean' or 'max'")
        kinds = content.get("photo_kinds", [])
        if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
            raise ValueError(f"photo_kinds is {kinds!r} and must be a list of names")
        try:
            return cls(
                **{
                    **content,
                    "class_counts": tuple(counts),
                    "photo_kinds": tuple(kinds),
                    "crop_rule": CropRule.from_dict(content["crop_rule"]),
                    "temperature": Temperature(**content.get("temperature", {})),
                    "decoding": Decoding(**content.get("decoding", {})),
                }
            )
        except (TypeError, KeyError) as error:
            raise ValueError(f"a part of it has the wrong shape ({error})") from error


@dataclass(frozen=True, eq=False)
class ModelFolder:
    """A model folder that was read and checked: its settings, cells and weights."""

    path: Path
    spec: ModelSpec
    hierarchy: Hierarchy
    state_dict: dict[str, torch.Tensor]


def read_spec(folder: str | os.PathLike[str]) -> ModelSpec:
    """Read only model.json, without torch or the weights.

    Raises:
        ModelFolderError: The folder or the file is missing or damaged.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ModelFolderError(f"{path}: there is no such model folder; check the path.")
    try:
        return ModelSpec.from_json(_existing(path, SPEC).read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelFolderError(f"{path / SPEC}: {_one_line(error)}; get the model folder again.") from error


def read_hierarchy(folder: str | os.PathLike[str], spec: ModelSpec) -> Hierarchy:
    """Read the three partitionings of a model folder.

    Raises:
        ModelFolderError: One is missing, damaged, of another size than model.json says, or does not nest.
    """
    path = Path(folder)
    partitionings = []
    for level, count in zip(LEVELS, spec.class_counts, strict=True):
        file = _existing(path, f"{level.value}.csv")
        try:
            partitioning = Partitioning.read_csv(file)
        except GeoModelError as error:
            raise ModelFolderError(f"{_one_line(error)}.") from error
        if len(partitioning) != count:
            raise ModelFolderError(
                f"{file}: it has {len(partitioning)} cells and {SPEC} says {count}; "
                "the two are not of one model, get the model folder again."
            )
        partitionings.append(partitioning)
    try:
        return Hierarchy.build(*partitionings)
    except GeoModelError as error:
        raise ModelFolderError(f"{path}: {_one_line(error)}.") from error


def read_model_folder(folder: str | os.PathLike[str]) -> ModelFolder:
    """Read a model folder and check that its parts belong together.

    Raises:
        ModelFolderError: A part is missing, damaged or does not match the others.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(folder)
    spec = read_spec(path)
    _existing(path, CARD)
    weights = _existing(path, WEIGHTS)
    hierarchy = read_hierarchy(path, spec)
    try:
        state_dict = load_file(weights)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFolderError(
            f"{weights}: the weights are damaged ({_one_line(error)}); get the model folder again."
        ) from error
    return ModelFolder(path, spec, hierarchy, state_dict)


def write_model_folder(
    folder: str | os.PathLike[str],
    spec: ModelSpec,
    hierarchy: Hierarchy,
    state_dict: Mapping[str, torch.Tensor],
    model_card: str,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write a model folder, over one of the same path if there is one.

    Args:
        folder: Where to; its parents are made.
        spec: Goes to model.json.
        hierarchy: Goes to the three partition CSVs.
        state_dict: Weights of `GeoNetwork`.
        model_card: Markdown.
        dtype: Of the stored floating-point weights; float16 when it is None.

    Raises:
        ModelFolderError: The class counts of `spec` are not those of `hierarchy`, or a weight is not finite
            in `dtype`.
    """
    import torch
    from safetensors.torch import save_file

    if tuple(spec.class_counts) != tuple(hierarchy.sizes):
        raise ModelFolderError(
            f"{folder}: class_counts {tuple(spec.class_counts)} are not the partitionings' "
            f"{tuple(hierarchy.sizes)}; export with the partitionings that the model was trained on."
        )
    stored = {}
    for name, tensor in state_dict.items():
        kept = tensor.detach().cpu()
        if kept.is_floating_point():
            kept = kept.to(dtype or torch.float16)
            if not torch.isfinite(kept).all():
                raise ModelFolderError(
                    f"{folder}: weight {name} is not finite as {kept.dtype}; train longer or store float32."
                )
        stored[name] = kept.contiguous()
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    (path / SPEC).write_text(spec.to_json(), encoding="utf-8")
    for level in LEVELS:
        hierarchy[level].write_csv(path / f"{level.value}.csv")
    save_file(stored, path / WEIGHTS, metadata={"format": "pt"})
    (path / CARD).write_text(model_card, encoding="utf-8")
    return path


def bundled_models() -> list[Path]:
    """The model folders that come with the package."""
    return _model_folders_in(Path(__file__).parent / "models")


def available_models() -> list[Path]:
    """The bundled model folders, then those below the folders that GEO_MODEL_PATH names."""
    extra = [Path(entry) for entry in os.environ.get(MODEL_PATH_VARIABLE, "").split(os.pathsep) if entry]
    return [*bundled_models(), *(folder for parent in extra for folder in _model_folders_in(parent))]


def find_model(name_or_folder: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a model.

    Args:
        name_or_folder: A folder, or the folder name of a model that `available_models` lists; None is the
            bundled default.

    Raises:
        ModelFolderError: There is none of that name.
    """
    wanted = DEFAULT_MODEL if name_or_folder is None else os.fspath(name_or_folder)
    known = {folder.name: folder for folder in reversed(available_models())}
    if name_or_folder is not None and Path(wanted).is_dir():
        return Path(wanted)
    if wanted in known:
        return known[wanted]
    names = ", ".join(sorted(known)) or "none"
    raise ModelFolderError(
        f"{wanted}: there is no model folder and no model of that name (known: {names}); "
        f"give a folder, or set {MODEL_PATH_VARIABLE} to the folder that holds it."
    )


def _model_folders_in(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(entry for entry in parent.iterdir() if entry.is_dir() and (entry / SPEC).is_file())


def _existing(folder: Path, name: str) -> Path:
    file = folder / name
    if not file.is_file():
        raise ModelFolderError(f"{folder}: {name} is missing; get the model folder again.")
    return file


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
