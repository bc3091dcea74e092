"""Loaders of training draws and of validation photos, on the fly or from the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch.utils.data import DataLoader, Dataset

from geo_model.errors import ConfigError
from train.config import Config
from train.data import Crops, EpochSampler, Labelled, Views, ViewSets
from train.features import CachedCrops, CachedViews, cached_activations, weights_digest
from train.photo_index import PhotoIndex
from train.progress import progress_bar
from train.setup import Setup


def make_loaders(
    setup: Setup, run: Path, console: Console
) -> tuple[DataLoader[dict[str, Any]], DataLoader[dict[str, Any]]]:
    """Loaders of training draws and of validation photos; fills the cache if the configuration wants one."""
    config, rule = setup.config, setup.rule
    five = config.validation.crops == "five"
    train_items: Dataset[dict[str, Any]] = Views(setup.train, rule, config.augmentation)
    val_items: Dataset[dict[str, Any]] = Crops(setup.val, rule, five)
    workers = config.hardware.num_workers
    if config.backbone.cached_views:
        count = config.backbone.cached_views
        views = ViewSets(setup.train, rule, config.augmentation, count, config.seed)
        made_by = {"augmentation": config.augmentation, "views": count, "seed": config.seed}
        train_items = CachedViews(
            _cached(setup, run, console, "training", setup.train, views, count, made_by)
        )
        crops = 5 if five else 1
        val_items = CachedCrops(
            _cached(setup, run, console, "validation", setup.val, val_items, crops, {"crops": crops})
        )
    sampler = EpochSampler(setup.train.weights, config.seed)
    batch_size = config.training.batch_size
    common: dict[str, Any] = {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "pin_memory": torch.cuda.is_available(),
    }
    train_loader = DataLoader(
        Labelled(train_items, setup.train.points(), setup.train_classes),
        batch_size=batch_size,
        sampler=sampler,
        drop_last=len(sampler) >= batch_size,  # a last batch of one photo has no batch statistics
        **common,
    )
    val_loader = DataLoader(
        Labelled(val_items, setup.val.points(), setup.val_classes),
        batch_size=config.validation.batch_size,
        **common,
    )
    return train_loader, val_loader


def _cached(
    setup: Setup,
    run: Path,
    console: Console,
    title: str,
    photos: PhotoIndex,
    dataset: Dataset[dict[str, Any]],
    views: int,
    made_by: dict[str, object],
) -> Any:  # noqa: ANN401 - a memory map
    config = setup.config
    device = choose_device(config)
    backbone = setup.network.backbone.to(device)
    if config.training.channels_last:
        backbone = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    setup.cut.train(False)
    depends_on = {
        "backbone": config.backbone.name,
        "weights": weights_digest(backbone),
        "trainable": config.backbone.trainable,
        "rule": setup.rule.to_dict(),
        "precision": config.training.precision,
        **made_by,
    }
    folder = Path(config.backbone.cache_folder) if config.backbone.cache_folder else run / "cache"
    with progress_bar(console, f"Caching {title} views", len(photos)) as advance:
        done = 0

        def on_photos(now: int, total: int) -> None:
            nonlocal done
            advance(now - done)
            done = now

        activations = cached_activations(
            folder,
            photos,
            dataset,
            setup.cut.front,
            setup.rule,
            depends_on,
            views=views,
            device=device,
            precision=config.training.precision,
            batch_size=config.validation.batch_size,
            num_workers=config.hardware.num_workers,
            on_photos=on_photos,
        )
    backbone.cpu()
    return activations


def choose_device(config: Config) -> torch.device:
    """The device of `hardware.accelerator`.

    Raises:
        ConfigError: This machine has none.
    """
    wanted = config.hardware.accelerator
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        wanted = next(name for name in ("cuda", "mps", "cpu") if available[name])  # type: ignore[assignment]
    elif not available[wanted]:
        raise ConfigError(f"hardware.accelerator: this machine has no {wanted}; use auto.")
    return torch.device(wanted)
