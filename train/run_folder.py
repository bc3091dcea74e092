"""The folder of a run: what is in it, and whether a run in it may go on.

config.yaml           every key of the configuration with its value
run.json              what the run depends on and what it was trained on
coarse.csv, middle.csv, fine.csv   the partitionings
cache/                cached views, see train/features.py
                      and what was read of tars, see train/tar_index.py
checkpoints/          best.ckpt (by validation.monitor) and last.ckpt, which a later start resumes from
metrics.csv           one row an epoch
unreadable_photos.txt training photos that were left out, if data.unreadable_photos is skip
tensorboard/          the same for TensorBoard
calibration.json      temperatures, evidence strength, decoding; see train/calibration.py
kind_gate.safetensors which photos' evidence is weighed apart, with `calibration.away`; see train/kind_gate.py
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
from train.checkpoints import remove_parts
from train.config import Config, Data, Partitionings, Source
from train.devices import choose_device
from train.module import Geolocator
from train.pretrained import licence_of
from train.setup import CHANGES_NOTHING, Setup


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
        earlier = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        changed = _differences(_with_defaults(earlier.get("identity", {})), json.loads(json.dumps(identity)))
        if "photos" in changed:
            _check_tars_are_there(run, earlier, setup)
        if changed:
            raise ConfigError(
                f"run_folder: {run} holds a run that differs in {', '.join(changed[:4])}; give this run "
                "another folder, or start it anew with --no-resume, which discards the other."
            )
    else:
        for name in ("checkpoints", "tensorboard"):
            shutil.rmtree(run / name, ignore_errors=True)
        for name in ("metrics.csv", "calibration.json", "unreadable_photos.txt"):
            (run / name).unlink(missing_ok=True)
    remove_parts(run / "checkpoints")
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


def _with_defaults(earlier: dict[str, Any]) -> dict[str, Any]:
    """What an earlier version of this program noted, with the keys that it did not know at their defaults."""
    unknown = Config("", "", Data((Source(""),), (Source(""),)), Partitionings("", "", "")).to_mapping()
    merged = dict(earlier)
    for section, values in earlier.items():
        if isinstance(values, dict) and isinstance(unknown.get(section), dict):
            merged[section] = {**unknown[section], **values}
    for section, key in CHANGES_NOTHING:
        if isinstance(merged.get(section), dict):
            merged[section].pop(key, None)
    return merged


def _check_tars_are_there(run: Path, earlier: dict[str, Any], setup: Setup) -> None:
    """Say so, if tars are missing that the run in the folder was trained on."""
    for split, index in (("train", setup.train), ("val", setup.val)):
        names = {Path(tar).name for tar in index.tars}
        before = earlier.get("photos", {}).get(split, {}).get("tars", ())
        gone = [tar for tar in before if Path(tar).name not in names]
        if gone:
            raise ConfigError(
                f"data.{split}: {len(gone):,} tars are missing that the run in {run} was trained on, the "
                f"first is {gone[0]}; put them back to go on, or start anew with --no-resume."
            )


def load_best(module: Geolocator, run: Path) -> None:
    """Load the weights of the best epoch."""
    content = torch.load(run / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
    module.load_state_dict(content["state_dict"])
