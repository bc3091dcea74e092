"""Calibrate the best epoch of a run on its validation photos and write calibration.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch.utils.data import DataLoader, Dataset, Subset

from geo_model.cells import LEVELS
from geo_model.measurements import REGION_SHARES
from train.calibration import Calibrated, Evidence, calibrate, decode, steps
from train.features import autocast
from train.figures import figures, photo_figures
from train.metrics_table import group_line
from train.module import Geolocator
from train.progress import progress_bar
from train.setup import Setup


def calibrate_run(
    setup: Setup,
    module: Geolocator,
    val_items: Dataset[dict[str, Any]],
    run: Path,
    device: torch.device,
    console: Console,
) -> Calibrated:
    """Calibrate a module with its best weights and write calibration.json.

    Args:
        setup: Of the run.
        module: Trained.
        val_items: Dataset of validation photos with all their crops, labelled.
        run: Folder.
        device: To compute on.
        console: For progress and the result.
    """
    settings = setup.config.calibration
    evidence = collect_evidence(setup, module, val_items, device, console)
    with progress_bar(console, "Calibrating", steps(settings)) as advance:
        calibrated = calibrate(evidence, setup.hierarchy, settings, lambda: advance(1))
    for note in calibrated.notes:
        console.print(note, markup=False)
    groups = measure_groups(evidence, setup, calibrated)
    content = {**calibrated.to_mapping(), "figures": groups}
    (run / "calibration.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    t = calibrated.temperature
    console.print(
        f"Calibrated: evidence strength {calibrated.evidence_strength:g}, temperatures {t.coarse:.2f} / "
        f"{t.middle:.2f} / {t.fine:.2f}, product {t.hierarchy:.2f}, decoding {calibrated.decoding.rule}"
        + (f" {calibrated.decoding.radius_km:g} km" if calibrated.decoding.radius_km else ""),
        highlight=False,
    )
    for name, values in groups.items():
        console.print(group_line(name, values), highlight=False, markup=False, soft_wrap=True)
    return calibrated


def collect_evidence(
    setup: Setup,
    module: Geolocator,
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
    with (
        progress_bar(console, "Measuring the best epoch", count) as advance,
        torch.inference_mode(),
        autocast(device, config.training.precision),
    ):
        for batch in loader:
            inputs = batch["inputs"].to(device)
            evidence = module.evidence(inputs.flatten(0, 1))
            parts.append(tuple(part.float().cpu().unflatten(0, inputs.shape[:2]) for part in evidence))
            advance(len(inputs))
    return Evidence(
        levels=tuple(torch.cat(column) for column in zip(*parts, strict=True)),
        priors=tuple(getattr(module, f"{level.value}_prior").cpu() for level in LEVELS),
        classes=torch.from_numpy(setup.val_classes[rows]),
        coordinates=setup.val.coordinates[rows],
        kinds=np.array(setup.val.kinds)[setup.val.kind_of[rows]],
    )


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
