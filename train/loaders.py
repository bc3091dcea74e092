"""Loaders of training draws and of validation photos, on the fly or from the cache."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch.utils.data import DataLoader, Dataset

from geo_model.errors import ConfigError
from train.config import Config
from train.data import (
    Crops,
    EpochBatches,
    EpochSampler,
    Labelled,
    Views,
    ViewSets,
    WithoutUnreadable,
    join_readable,
)
from train.devices import choose_device
from train.features import CachedCrops, CachedViews, cached_activations, weights_digest
from train.photo_index import PhotoIndex
from train.progress import progress_bar
from train.ranks import in_turn, ranks
from train.setup import Setup, cache_folder


def make_loaders(
    setup: Setup, run: Path, console: Console
) -> tuple[DataLoader[dict[str, Any]], DataLoader[dict[str, Any]]]:
    """Loaders of this process's training draws and validation photos; fills the cache if one is wanted."""
    config, rule = setup.config, setup.rule
    here = ranks()
    five = config.validation.crops == "five"
    train_items: Dataset[dict[str, Any]] = Views(setup.train, rule, config.augmentation)
    val_items: Dataset[dict[str, Any]] = Crops(setup.val, rule, five)
    if config.backbone.cached_views:
        count = config.backbone.cached_views
        views = ViewSets(setup.train, rule, config.augmentation, count, config.seed)
        made_by = {"augmentation": config.augmentation, "views": count, "seed": config.seed}
        crops = 5 if five else 1

        def cached() -> tuple[Any, Any]:
            return (
                _cached(setup, run, console, "training", setup.train, views, count, made_by),
                _cached(setup, run, console, "validation", setup.val, val_items, crops, {"crops": crops}),
            )

        train_activations, val_activations = in_turn(cached)
        train_items, val_items = CachedViews(train_activations), CachedCrops(val_activations)
    labelled: Dataset[dict[str, Any]] = Labelled(train_items, setup.train, setup.train_classes)
    if skips := config.data.unreadable_photos == "skip":
        labelled = WithoutUnreadable(labelled)
    train_loader = DataLoader(
        labelled,
        batch_sampler=epoch_batches(setup),
        collate_fn=join_readable if skips else None,
        **_reading(config),
    )
    val_loader = DataLoader(
        Labelled(val_items, setup.val, setup.val_classes),
        batch_size=config.validation.batch_size,
        sampler=range(here.rank, len(setup.val), here.world),  # type: ignore[arg-type] # no photo twice
        **_reading(config),
    )
    return train_loader, val_loader


def epoch_batches(setup: Setup) -> EpochBatches:
    """This process's batches of training draws.

    Raises:
        ConfigError: There are too few photos, or batches cannot be cut into equal parts.
    """
    config, here = setup.config, ranks()
    if len(setup.val) < here.world:
        raise ConfigError(
            f"data.val: {len(setup.val)} photos are too few for {here.world} devices; add some."
        )
    draws = EpochSampler(setup.train.weights, config.seed, setup.train.tar_of, config.data.tars_at_once)
    return EpochBatches(draws, config.training.batch_size, here.world, here.rank, config.training.accumulate)


def _reading(config: Config) -> dict[str, Any]:
    """How a loader reads."""
    settings: dict[str, Any] = {"pin_memory": torch.cuda.is_available()}
    if workers := config.hardware.num_workers:
        settings |= {
            "num_workers": workers,
            "persistent_workers": True,
            "prefetch_factor": config.hardware.prefetch,
            "worker_init_fn": _leave_ctrl_c_to_parent,
            # Forked processes share the index of photos; others would each get a copy.
            "multiprocessing_context": "fork" if sys.platform == "linux" else None,
        }
    return settings


def _leave_ctrl_c_to_parent(_: int) -> None:
    """The run goes on to the end of its step when it is interrupted, so it still needs photos."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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
    folder = cache_folder(config)
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
