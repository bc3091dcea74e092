"""From a run folder to a model folder: `python -m train export RUN_FOLDER MODEL_FOLDER`.

The heads' weights are written as they are used: the standardisation of features and the cells' log prior
join them, and evidence is scaled by its calibrated strength. The model card states what the written folder
reaches when it is evaluated.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from geo_model.cells import LEVELS, Hierarchy
from geo_model.crops import CropRule
from geo_model.errors import ConfigError, ModelFolderError
from geo_model.evaluation import Report, evaluate
from geo_model.model_folder import SPEC, ModelSpec, write_model_folder
from geo_model.network import GeoNetwork
from geo_model.photo_collection import PhotoCollections
from geo_model.predict import load
from geo_model.report_files import figures_record
from geo_model.truth import read_truth_csv
from train.calibrating_run import GATE
from train.calibration import Calibrated
from train.config import Config, read_config
from train.kind_gate import Gate
from train.model_card import DEFAULT_TEMPLATE, model_card
from train.setup import read_hierarchy
from train.tar_names import matching_tars

PRECISION: Literal["float32"] = "float32"
"""What a model is measured in: the same on every machine, unlike `auto`."""

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Opens a progress bar with a title and a total; gives a function that adds to the count."""


@dataclass(frozen=True)
class TestSet:
    """Photos that the exported model is measured on.

    Attributes:
        name: For the model card.
        photos: Folders, tars or files.
        truth: Truth CSV; None where the tars' JSON says where photos were taken.
        role: `validation`, which the model was chosen and calibrated on, or `test`, which it was not.
    """

    name: str
    photos: tuple[str, ...]
    truth: str | None = None
    role: str = "test"

    @classmethod
    def parse(cls, text: str) -> TestSet:
        """Read NAME=PHOTOS or NAME=PHOTOS,TRUTH.

        Raises:
            ConfigError: It is written otherwise, or a path is missing.
        """
        name, equals, paths = text.partition("=")
        photos, _, truth = paths.partition(",")
        if not (name.strip() and equals and photos):
            raise ConfigError(f"--test {text}: write it as NAME=PHOTOS or NAME=PHOTOS,TRUTH.csv.")
        for path in (photos, truth):
            if path and not Path(path).exists():
                raise ConfigError(f"--test {text}: there is no {path}; check the path.")
        return cls(name.strip(), (photos,), truth or None)

    def command(self, model: str) -> str:
        """The command that prints the figures."""
        photos = " ".join(f"--photos {path}" for path in self.photos)
        truth = f" --truth {self.truth}" if self.truth else ""
        return f"python -m geo_model evaluate {photos}{truth} --model {model} --precision {PRECISION}"


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run, read from its folder."""

    folder: Path
    config: Config
    facts: dict[str, Any]
    calibrated: Calibrated
    hierarchy: Hierarchy
    checkpoint: dict[str, Any]
    gate: Gate | None = None


def read_run(folder: Path) -> Run:
    """Read what `fit` left.

    Raises:
        ConfigError: It is no run folder, or the run is not finished.
    """
    if not (folder / "config.yaml").is_file() or not (folder / "run.json").is_file():
        raise ConfigError(f"{folder}: this is no run folder; give the run_folder of a configuration.")
    for name in ("checkpoints/best.ckpt", "calibration.json"):
        if not (folder / name).is_file():
            raise ConfigError(
                f"{folder}: {name} is missing, the run is not finished; run fit again to go on."
            )
    config = read_config(folder / "config.yaml")
    paths = {level.value: str(folder / f"{level.value}.csv") for level in LEVELS}
    hierarchy = read_hierarchy(replace(config, partitionings=replace(config.partitionings, **paths)))
    checkpoint = torch.load(folder / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    calibrated = Calibrated.read(folder / "calibration.json")
    gate = Gate.read(folder / GATE) if calibrated.away_strength is not None else None
    return Run(folder, config, facts, calibrated, hierarchy, checkpoint, gate)


def export(
    run_folder: Path,
    model_folder: Path,
    *,
    name: str | None = None,
    template: str = DEFAULT_TEMPLATE,
    tests: Sequence[TestSet] = (),
    measure_validation: bool = True,
    progress: Progress,
) -> ModelSpec:
    """Write a model folder and measure it.

    Args:
        run_folder: Of a finished run.
        model_folder: Where to; a model folder there is replaced.
        name: Of the model, by default the configuration's.
        template: Of the model card, see train/model_card.py.
        tests: Photos to measure on besides those of `data.val`.
        measure_validation: Measure on `data.val`, each entry by itself.
        progress: Shows how far each measurement is.

    Returns:
        What model.json holds.

    Raises:
        ConfigError: The run is not finished, the folder holds other things, or the template is wrong.
    """
    run = read_run(run_folder)
    if model_folder.is_dir() and any(model_folder.iterdir()) and not (model_folder / SPEC).is_file():
        raise ConfigError(f"{model_folder}: it holds other files; give a new folder or one of a model.")
    spec = ModelSpec(
        name=name or run.config.name,
        backbone=run.config.backbone.name,
        class_counts=run.hierarchy.sizes,
        crop_rule=CropRule.from_dict(run.facts["crop_rule"]),
        temperature=run.calibrated.temperature,
        decoding=run.calibrated.decoding,
        photo_kinds=photo_kinds(run),
        description=run.config.description,
        training=training_record(run),
    )
    weights = baked_weights(run.checkpoint["state_dict"], run.calibrated, run.gate)
    network = GeoNetwork(spec.backbone, spec.class_counts, len(spec.photo_kinds))
    network.load_state_dict(weights)  # all there, nothing else
    card = model_card(
        spec, template, str(model_folder)
    )  # before anything is written: the template may be wrong
    write_model_folder(model_folder, spec, run.hierarchy, weights, card)
    sets = [*(validation_sets(run.config) if measure_validation else ()), *tests]
    if sets:
        spec = replace(spec, accuracy=measured(model_folder, sets, progress))
        card = model_card(spec, template, str(model_folder))
        write_model_folder(model_folder, spec, run.hierarchy, weights, card)
    return spec


def baked_weights(
    state_dict: Mapping[str, Tensor], calibrated: Calibrated, gate: Gate | None = None
) -> dict[str, Tensor]:
    """Weights of `GeoNetwork` whose logits are those of `train.calibration.Evidence.logits`.

    Args:
        state_dict: Of `train.module.Geolocator`.
        calibrated: Its strengths count.
        gate: Goes with `calibrated.away_strength`.
    """
    prefix = "network."
    strength, away_strength = calibrated.evidence_strength, calibrated.away_strength
    mean, scale = state_dict["feature_mean"], state_dict["feature_scale"]
    weights = {key[len(prefix) :]: value for key, value in state_dict.items() if key.startswith(prefix)}
    for level in LEVELS:
        head, prior = f"heads.{level.value}", state_dict[f"{level.value}_prior"]
        weight, bias = weights[f"{head}.weight"], weights[f"{head}.bias"]
        raw = weight / scale
        at_zero = bias - raw @ mean
        if gate is None or away_strength is None:
            weights[f"{head}.weight"], weights[f"{head}.bias"] = strength * raw, prior + strength * at_zero
            continue
        beyond_centre = at_zero - (weight @ gate.centre + bias)
        weights[f"{head}.weight"], weights[f"{head}.bias"] = raw, prior
        weights[f"kinds.offsets.{level.value}"] = torch.stack(
            [strength * at_zero, away_strength * beyond_centre]
        )
    if gate is not None and away_strength is not None:
        weights["kinds.gate.weight"] = gate.weight / scale
        weights["kinds.gate.bias"] = gate.bias - (gate.weight / scale) @ mean
        weights["kinds.strengths"] = torch.tensor([strength, away_strength])
    return weights


def photo_kinds(run: Run) -> tuple[str, ...]:
    """Names of the groups of kinds that are weighed apart: those at home, those away; or none."""
    if run.gate is None or run.config.calibration.away is None:
        return ()
    away = run.config.calibration.away.kinds
    home = [kind for kind in run.facts["photos"]["train"]["kinds"] if kind not in away]
    return ", ".join(home), ", ".join(away)


def training_record(run: Run) -> dict[str, Any]:
    """How and on what a model was trained, for model.json."""
    config = run.config.to_mapping()
    with open(run.folder / "metrics.csv", newline="", encoding="utf-8") as file:
        epochs = list(csv.DictReader(file))
    return {
        "photos": run.facts["photos"],
        "weights_licence": run.facts["weights_licence"],
        "epochs": len(epochs),
        "best_epoch": int(run.checkpoint["epoch"]) + 1,
        "seconds": round(sum(float(row["seconds"]) for row in epochs)),
        "evidence_strength": run.calibrated.evidence_strength,
        "away_strength": run.calibrated.away_strength,
        "versions": run.facts["versions"],
        "config": config,
    }


def validation_sets(config: Config) -> list[TestSet]:
    """The entries of `data.val`, each by itself."""
    return [
        TestSet(source.title, tuple(matching_tars(source, f"data.val.{position}.tars")), None, "validation")
        for position, source in enumerate(config.data.val)
    ]


def measured(model_folder: Path, sets: Sequence[TestSet], progress: Progress) -> dict[str, Any]:
    """Load a model folder, evaluate it, and give its figures for model.json.

    Raises:
        ModelFolderError: Two sets have the same name.
    """
    model = load(model_folder, precision=PRECISION)
    figures: dict[str, Any] = {}
    for test in sets:
        if test.name in figures:
            raise ModelFolderError(
                f"{model_folder}: two test sets are called {test.name!r}; name them apart."
            )
        photos = PhotoCollections(test.photos)
        truths = read_truth_csv(test.truth) if test.truth else None
        with progress(f"Measuring on {test.name}", len(photos)) as advance:
            report = evaluate(model, photos, truths, progress=partial(advance, 1))
        figures[test.name] = accuracy_record(report, test, str(model_folder))
    return figures


def accuracy_record(report: Report, test: TestSet, model: str) -> dict[str, Any]:
    """What model.json says about one set of photos."""
    return {
        "role": test.role,
        "command": test.command(model),
        "kinds": {kind: part.count for kind, part in report.by_kind.items()},
        "unreadable": len(report.unreadable),
        **figures_record(report),
    }
