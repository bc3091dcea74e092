"""The folder of a run: what is in it, and whether a run in it may go on.

config.yaml           every key of the configuration with its value
run.json              what the run depends on and what it was trained on
coarse.csv, middle.csv, fine.csv   the partitionings
cache/                cached views, see train/features.py
checkpoints/          best.ckpt (by validation.monitor) and last.ckpt, which a later start resumes from
metrics.csv           one row an epoch
tensorboard/          the same for TensorBoard
calibration.json      temperatures, evidence strength, decoding; see train/calibration.py
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import lightning as L
import torch

from geo_model.cells import LEVELS
from geo_model.errors import ConfigError
from train.loaders import choose_device
from train.module import Geolocator
from train.pretrained import licence_of
from train.setup import Setup


def start_folder(run: Path, setup: Setup, resume: bool) -> Path | None:
    """Make the run folder, or check that the run in it is the same.

    Returns:
        The checkpoint to resume from, None to start anew.

    Raises:
        ConfigError: The folder holds a run of another configuration.
    """
    import yaml

    last, record = run / "checkpoints" / "last.ckpt", run / "run.json"
    identity = setup.identity()
    if resume and last.is_file():
        earlier = json.loads(record.read_text(encoding="utf-8"))["identity"] if record.is_file() else {}
        if changed := _differences(earlier, json.loads(json.dumps(identity))):
            raise ConfigError(
                f"run_folder: {run} holds a run that differs in {', '.join(changed[:4])}; give this run "
                "another folder, or start it anew with --no-resume, which discards the other."
            )
    else:
        for name in ("checkpoints", "tensorboard"):
            shutil.rmtree(run / name, ignore_errors=True)
        for name in ("metrics.csv", "calibration.json"):
            (run / name).unlink(missing_ok=True)
    run.mkdir(parents=True, exist_ok=True)
    for level in LEVELS:
        setup.hierarchy[level].write_csv(run / f"{level.value}.csv")
    (run / "config.yaml").write_text(
        yaml.safe_dump(setup.config.to_mapping(), sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    photos = {
        split: {"photos": len(index), "kinds": index.kind_counts(), "tars": list(index.tars)}
        for split, index in (("train", setup.train), ("val", setup.val))
    }
    facts = {
        "identity": identity,
        "photos": photos,
        "crop_rule": setup.rule.to_dict(),
        "weights_licence": licence_of(setup.config.backbone.weights),
        "versions": versions(choose_device(setup.config)),
    }
    record.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return last if last.is_file() else None


def versions(device: torch.device) -> dict[str, str]:
    """What a result depends on besides the configuration."""
    import platform

    import timm

    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.machine() + " " + device.type
    )
    return {
        "device": name,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "lightning": L.__version__,
    }


def _differences(earlier: dict[str, Any], now: dict[str, Any], key: str = "") -> list[str]:
    """Dotted keys whose values differ."""
    changed = []
    for name in sorted({*earlier, *now}):
        a, b = earlier.get(name), now.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            changed += _differences(a, b, f"{key}{name}.")
        elif a != b:
            changed.append(key + name)
    return changed


def load_best(module: Geolocator, run: Path) -> None:
    """Load the weights of the best epoch."""
    content = torch.load(run / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
    module.load_state_dict(content["state_dict"])
