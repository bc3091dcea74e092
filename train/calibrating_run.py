"""Calibrate the best epoch of a run on its validation photos and write calibration.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch.utils.data import DataLoader, Dataset, Subset

from geo_model.cells import LEVELS
from geo_model.measurements import REGION_SHARES
from train.calibration import Calibrated, Evidence, calibrate, decode, steps
from train.data import Crops
from train.features import autocast
from train.figures import figures, photo_figures
from train.kind_gate import AWAY, Gate, fit_gate
from train.metrics_table import group_line
from train.module import Geolocator
from train.priors import importance
from train.progress import progress_bar
from train.setup import Setup

GATE = "kind_gate.safetensors"
"""File in the run folder."""

_DENSITY_PHOTOS = 20_000
"""Most training photos that the density of a kind is measured by."""


def calibrate_run(
    setup: Setup,
    module: Geolocator,
    train_loader: DataLoader[dict[str, Any]],
    val_items: Dataset[dict[str, Any]],
    run: Path,
    device: torch.device,
    console: Console,
) -> Calibrated:
    """Calibrate a module with its best weights and write calibration.json.

    Args:
        setup: Of the run.
        module: Trained.
        train_loader: Of training views; only `calibration.away` needs them.
        val_items: Dataset of validation photos with all their crops, labelled.
        run: Folder.
        device: To compute on.
        console: For progress and the result.
    """
    settings = setup.config.calibration
    gate = None
    (run / GATE).unlink(missing_ok=True)
    if settings.away is not None:
        gate = fit_gate(*collect_features(setup, module, train_loader, device, console), settings.away.ridge)
        gate.save(run / GATE)
    evidence = collect_evidence(setup, module, gate, val_items, device, console)
    with progress_bar(console, "Calibrating", steps(settings)) as advance:
        calibrated = calibrate(evidence, setup.hierarchy, settings, lambda: advance(1))
    for note in calibrated.notes:
        console.print(note, markup=False)
    groups = measure_groups(evidence, setup, calibrated)
    content = {**calibrated.to_mapping(), "figures": groups}
    (run / "calibration.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    t = calibrated.temperature
    console.print(
        f"Calibrated: evidence strength {calibrated.evidence_strength:g}"
        + ("" if calibrated.away_strength is None else f", away {calibrated.away_strength:g}")
        + f", temperatures {t.coarse:.2f} / "
        f"{t.middle:.2f} / {t.fine:.2f}, product {t.hierarchy:.2f}, decoding {calibrated.decoding.rule}"
        + (f" {calibrated.decoding.radius_km:g} km" if calibrated.decoding.radius_km else ""),
        highlight=False,
    )
    for name, values in groups.items():
        console.print(group_line(name, values), highlight=False, markup=False, soft_wrap=True)
    return calibrated


def collect_features(
    setup: Setup,
    module: Geolocator,
    train_loader: DataLoader[dict[str, Any]],
    device: torch.device,
    console: Console,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Standardised features of training photos, float32 (N, D), and which are of a kind away, bool (N,).

    Of their centre crops, for the gate will see crops, not augmented views.
    """
    config = setup.config
    assert config.calibration.away is not None
    count = min(len(setup.train), config.calibration.away.photos)
    rows = np.linspace(0, len(setup.train) - 1, count).round().astype(int)
    items: Dataset[dict[str, Any]] = Crops(setup.train, setup.rule, False)
    wanted: list[Any] = rows.tolist()
    if config.backbone.cached_views:  # view 0 is the centre crop
        items, wanted = train_loader.dataset, [(row, 0) for row in rows.tolist()]
    loader = DataLoader(
        items,
        batch_size=config.validation.batch_size,
        sampler=wanted,
        num_workers=config.hardware.num_workers,
    )
    away = np.isin(np.array(setup.train.kinds), config.calibration.away.kinds)[setup.train.kind_of]
    module.to(device).eval()
    features = []
    with (
        progress_bar(console, "Looking at kinds of photo", count) as advance,
        torch.inference_mode(),
        autocast(device, config.training.precision),
    ):
        for batch in loader:
            inputs = batch["inputs"].to(device)
            crops = inputs.flatten(0, 1) if inputs.dtype == torch.uint8 else inputs
            features.append(module.features(crops).float().cpu())
            advance(len(inputs))
    return torch.cat(features).clone(), torch.from_numpy(away[rows])


def collect_evidence(
    setup: Setup,
    module: Geolocator,
    gate: Gate | None,
    val_items: Dataset[dict[str, Any]],
    device: torch.device,
    console: Console,
) -> Evidence:
    """The heads' evidence on the validation photos, at most `calibration.max_photos`, evenly spread."""
    config = setup.config
    count = min(len(setup.val), config.calibration.max_photos)
    rows = np.linspace(0, len(setup.val) - 1, count).round().astype(int)
    loader = DataLoader(
        Subset(val_items, rows.tolist()),
        batch_size=config.validation.batch_size,
        num_workers=config.hardware.num_workers,
    )
    module.to(device).eval()
    parts: list[tuple[torch.Tensor, ...]] = []
    away: list[torch.Tensor] = []
    with (
        progress_bar(console, "Measuring the best epoch", count) as advance,
        torch.inference_mode(),
        autocast(device, config.training.precision),
    ):
        for batch in loader:
            inputs = batch["inputs"].to(device)
            features = module.features(inputs.flatten(0, 1))
            evidence = module.network.classify(features)
            parts.append(tuple(part.float().cpu().unflatten(0, inputs.shape[:2]) for part in evidence))
            if gate is not None:
                away.append(gate.shares(features.float().cpu())[:, AWAY].unflatten(0, inputs.shape[:2]))
            advance(len(inputs))
        centres = module.network.classify(gate.centre.to(device)[None]) if gate is not None else ()
    coordinates = setup.val.coordinates[rows]
    kinds = np.array(setup.val.kinds)[setup.val.kind_of[rows]]
    return Evidence(
        levels=tuple(torch.cat(column) for column in zip(*parts, strict=True)),
        priors=tuple(getattr(module, f"{level.value}_prior").cpu() for level in LEVELS),
        classes=torch.from_numpy(setup.val_classes[rows]),
        coordinates=coordinates,
        kinds=kinds,
        importance=_importance(setup, coordinates, kinds),
        away=torch.cat(away) if gate is not None else None,
        centres=tuple(centre[0].float().cpu() for centre in centres),
    )


def _importance(
    setup: Setup, coordinates: NDArray[np.float64], kinds: NDArray[np.str_]
) -> NDArray[np.float64] | None:
    """How much validation photos count: those of kinds away by where the world's photos are."""
    away = setup.config.calibration.away
    if away is None:
        return None
    weights = np.ones(len(kinds))
    of_train = np.array(setup.train.kinds)[setup.train.kind_of]
    for kind in away.kinds:
        weights[kinds == kind] = importance(
            coordinates[kinds == kind],
            setup.train.coordinates[of_train == kind][:_DENSITY_PHOTOS],
            setup.hierarchy.fine,
            away.density_km,
        )
    return weights


def measure_groups(evidence: Evidence, setup: Setup, calibrated: Calibrated) -> dict[str, dict[str, float]]:
    """Figures and coverage of the calibrated model on all photos and on each kind."""
    decoded = decode(evidence, setup.hierarchy, calibrated)
    photos = photo_figures(decoded, setup.hierarchy, evidence.coordinates, evidence.classes)
    groups = {"all": np.ones(len(evidence.kinds), bool)}
    groups |= {str(kind): evidence.kinds == kind for kind in np.unique(evidence.kinds)}
    return {
        name: {
            "photos": int(rows.sum()),
            **{key: value for key, value in figures(photos[rows]).items() if value == value},
            **{
                f"coverage_{share:g}": photos[rows].measurements.coverage(share).share
                for share in REGION_SHARES
            },
        }
        for name, rows in groups.items()
    }
