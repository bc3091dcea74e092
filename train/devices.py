"""What a run computes on."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from geo_model.errors import ConfigError
from geo_model.huge_pages import ask_for_huge_pages
from train.config import Config
from train.ranks import ranks


def processes_wanted(config: Config) -> int:
    """How many processes a run on this machine alone needs: one for each of its devices.

    Raises:
        ConfigError: See `choose_device`.
    """
    return len(_indices(config))


def choose_device(config: Config) -> torch.device:
    """The device that this process computes on.

    Raises:
        ConfigError: This machine has none of the kind, fewer than `hardware.devices`, or cannot compute in
            `training.precision`.
    """
    ask_for_huge_pages()
    kind = _kind(config)
    precision = config.training.precision
    if precision == "16-mixed" and kind == "cpu":
        raise ConfigError("training.precision: 16-mixed needs a GPU and there is none; use bf16-mixed or 32.")
    if precision == "bf16-mixed" and kind == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError("training.precision: this GPU cannot compute in bf16-mixed; use 16-mixed or 32.")
    indices, here = _indices(config), ranks()
    if here.world > 1 and len(indices) != here.local_world:
        raise ConfigError(
            f"hardware.devices: it names {len(indices)} and {here.local_world} processes were started on "
            "this machine; use auto."
        )
    return torch.device(kind, indices[here.local_rank]) if kind == "cuda" else torch.device(kind)


def trainer_settings(config: Config) -> dict[str, Any]:
    """What Lightning's trainer has to know about devices and processes."""
    from lightning.pytorch.plugins.environments import LightningEnvironment, TorchElasticEnvironment
    from lightning.pytorch.strategies import DDPStrategy
    from torch.nn.parallel import DistributedDataParallel

    here, kind = ranks(), _kind(config)
    settings: dict[str, Any] = {"accelerator": kind, "devices": 1, "plugins": [LightningEnvironment()]}
    if kind == "cuda":
        settings |= {"devices": [choose_device(config).index], "benchmark": True}
    if here.world > 1:
        settings["plugins"] = [TorchElasticEnvironment()]
        settings["devices"] = _indices(config) if kind == "cuda" else here.local_world
        settings["num_nodes"] = here.world // here.local_world
        settings["use_distributed_sampler"] = False  # `EpochBatches` cuts batches itself
        # Statistics of batch normalisation are made alike before validation, not at every step.
        known = inspect.signature(DistributedDataParallel).parameters
        at_every_step = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        settings["strategy"] = DDPStrategy(
            find_unused_parameters=config.hardware.find_unused_parameters,
            gradient_as_bucket_view=True,
            **{at_every_step: False},  # type: ignore[arg-type]
        )
    return settings


def _kind(config: Config) -> str:
    wanted = config.hardware.accelerator
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if not available[wanted]:
        raise ConfigError(f"hardware.accelerator: this machine has no {wanted}; use auto.")
    return wanted


def _indices(config: Config) -> list[int]:
    """Numbers of the devices to use on this machine; on the CPU any numbers, one a process."""
    kind, wanted, here = _kind(config), config.hardware.devices, ranks()
    present = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind)
    count = wanted.count or (here.local_world if here.world > 1 else present or 1)
    indices = list(wanted.numbers) or list(range(count))
    if present is not None and (beyond := [index for index in indices if index >= present]):
        raise ConfigError(
            f"hardware.devices: this machine has {present} of kind {kind}, counted from 0, and no number "
            f"{beyond[0]}; use auto."
        )
    return indices
