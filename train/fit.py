"""One training run: `python -m train fit CONFIG.yaml`; train/run_folder.py says what it leaves."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from torch import Tensor
from torch.utils.data import DataLoader

from geo_model.errors import PhotoError
from train.calibrating_run import calibrate_run
from train.checkpoints import WholeFiles, WithinEpoch, within_epoch
from train.config import Config
from train.data import Crops, EpochBatches, EpochSampler, Labelled
from train.devices import choose_device, trainer_settings
from train.features import autocast
from train.figures import higher_is_better
from train.loaders import epoch_batches, make_loaders
from train.metrics_table import MetricsTable
from train.module import Geolocator
from train.photo_index import count_tars
from train.progress import progress_bar
from train.ranks import from_first, in_turn, join, leave, lost_connections_in_one_sentence, ranks
from train.run_folder import load_best, start_folder
from train.setup import Setup, prepare
from train.unreadable import UnreadablePhotos

_MEASURED_DRAWS = 2048
"""Views by which features are standardised."""


def fit(config: Config, *, resume: bool = True, console: Console | None = None) -> Path:
    """Train and calibrate.

    On one device, or as one of several processes that `torchrun` or the command `fit` has started.

    Args:
        config: What to do.
        resume: Go on from the run folder's last checkpoint, if there is one; otherwise start anew.
        console: For progress; standard error by default.

    Returns:
        The run folder.

    Raises:
        ConfigError: The configuration, what it names, or an earlier run in its folder is not as it must be.
        PhotoError: A photo in the tars cannot be decoded; it is named.
    """
    here = ranks()
    console = (console or Console(stderr=True)) if here.first else Console(quiet=True)
    device = choose_device(config)
    if config.hardware.threads:
        torch.set_num_threads(config.hardware.threads)
    join(device)

    def read() -> Setup:
        with progress_bar(console, "Reading tars", count_tars(config.data)) as advance:
            found = prepare(config, lambda _: advance(1))
        epoch_batches(found)  # whatever is wrong with it is said once, before the others come to it
        return found

    run = Path(config.run_folder)
    with lost_connections_in_one_sentence(), photo_errors_in_one_sentence():
        setup = in_turn(read)
        checkpoint = from_first(start_folder(run, setup, resume) if here.first else None)
        console.print(describe(setup), highlight=False, markup=False, soft_wrap=True)
        train_and_calibrate(setup, run, checkpoint, console)
    return run


def train_and_calibrate(setup: Setup, run: Path, checkpoint: Path | None, console: Console) -> None:
    """The run itself, once all is checked and its folder made; the first process calibrates alone."""
    config = setup.config
    train_loader, val_loader = make_loaders(setup, run, console)
    batches = train_loader.batch_sampler
    assert isinstance(batches, EpochBatches)
    module = make_module(setup, batches.steps)
    if checkpoint is not None:
        batches.resume(*within_epoch(checkpoint))
    elif config.head.standardise:
        if ranks().first:
            measure_features(module, setup, train_loader, console)
        module.feature_mean, module.feature_scale = from_first((module.feature_mean, module.feature_scale))
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with quiet_lightning():
        trainer = make_trainer(config, run, console)
        try:
            trainer.fit(
                module,
                train_loader,
                val_loader,
                ckpt_path=str(checkpoint) if checkpoint else None,
                weights_only=True,
            )
        except SystemExit as error:
            # Lightning turns Ctrl-C into an exit and leaves the signal ignored.
            if trainer.interrupted:
                for number, handler in kept.items():
                    signal.signal(number, handler)
                raise KeyboardInterrupt from error
            raise
    leave()
    if not ranks().first:
        return
    load_best(module, run)
    val_items = val_loader.dataset
    if config.validation.crops != "five":  # the exported model averages five, so its sureness is that of five
        val_items = Labelled(Crops(setup.val, setup.rule, True), setup.val, setup.val_classes)
    calibrate_run(setup, module, train_loader, val_items, run, choose_device(config), console)


def describe(setup: Setup) -> str:
    """What is about to be trained, in a few lines."""
    lines = []
    for name, index in (("Training", setup.train), ("Validation", setup.val)):
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in index.kind_counts().items())
        lines.append(f"{name} photos: {len(index):,} ({kinds})")
    sizes = " / ".join(f"{size:,}" for size in setup.hierarchy.sizes)
    learning = sum(p.numel() for p in setup.network.backbone.parameters() if p.requires_grad)
    total = sum(p.numel() for p in setup.network.backbone.parameters())
    lines.append(f"Cells: {sizes} (coarse / middle / fine)")
    lines.append(f"Backbone: {setup.config.backbone.name}, {learning:,} of {total:,} parameters learn")
    return "\n".join(lines)


def make_module(setup: Setup, steps_per_epoch: int) -> Geolocator:
    """The module to train, its weights drawn by the configuration's seed."""
    L.seed_everything(setup.config.seed, verbose=False)
    module = Geolocator(
        setup.config,
        setup.hierarchy,
        setup.network,
        setup.cut,
        setup.rule,
        steps_per_epoch,
        setup.val,
    )
    return module.to(memory_format=torch.channels_last) if setup.config.training.channels_last else module  # type: ignore[call-overload]


def measure_features(
    module: Geolocator, setup: Setup, train_loader: DataLoader[dict[str, Any]], console: Console
) -> None:
    """Standardise features by those of the first epoch's first draws."""
    config, device = setup.config, choose_device(setup.config)
    rows, seeds = (part[:_MEASURED_DRAWS] for part in EpochSampler(setup.train.weights, config.seed).draws())
    draws = list(zip(rows.tolist(), seeds.tolist(), strict=True))
    loader = DataLoader(
        train_loader.dataset,
        batch_size=config.validation.batch_size,
        sampler=draws,
        num_workers=config.hardware.num_workers,
        collate_fn=train_loader.collate_fn,
    )
    module.to(device)
    with (
        progress_bar(console, "Measuring features", len(draws)) as advance,
        autocast(device, config.training.precision),
    ):

        def inputs() -> Iterator[Tensor]:
            for batch in loader:
                yield batch["inputs"].to(device)
                advance(len(batch["inputs"]))

        module.measure_features(inputs())
    module.cpu()


def make_trainer(config: Config, run: Path, console: Console) -> L.Trainer:
    """Lightning's trainer, in one of the run's processes."""
    monitor, folder = config.validation.monitor, run / "checkpoints"
    kept: dict[str, Any] = {
        "dirpath": folder,
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
        "auto_insert_metric_name": False,
    }
    callbacks: list[L.Callback] = [
        MetricsTable(run / "metrics.csv", console),
        ModelCheckpoint(
            filename="best",
            monitor=f"val/{monitor}",
            mode="max" if higher_is_better(monitor) else "min",
            **kept,
        ),
        # Not `save_last` of the above, which saves nothing in an epoch that is not the best.
        ModelCheckpoint(filename="last", **kept),
        WithinEpoch(
            folder / "last.ckpt",
            config.training.checkpoint_minutes,
            config.training.checkpoint_steps,
            console,
        ),
    ]
    shows_progress = console.is_terminal and ranks().first
    if shows_progress:
        callbacks.append(RichProgressBar(refresh_rate=10, leave=False, console_kwargs={"stderr": True}))
    if config.training.ema_decay:
        callbacks.append(WeightAveraging(avg_fn=_moving_average(config.training.ema_decay)))
    if config.data.unreadable_photos == "skip":
        callbacks.append(UnreadablePhotos(run / "unreadable_photos.txt", console))
    settings = trainer_settings(config)
    return L.Trainer(
        **{**settings, "plugins": [*settings["plugins"], WholeFiles()]},
        precision=config.training.precision,
        max_epochs=config.training.epochs,
        accumulate_grad_batches=config.training.accumulate,
        gradient_clip_val=config.optimiser.clip_norm or None,
        logger=TensorBoardLogger(run, name="tensorboard", version=""),
        callbacks=callbacks,
        enable_progress_bar=shows_progress,
        enable_model_summary=False,
        log_every_n_steps=50,
        num_sanity_val_steps=0,
        default_root_dir=run,
    )


def _moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    def average(averaged: Tensor, current: Tensor, _: Tensor | int) -> Tensor:
        # lerp leaves what does not change exactly as it is: frozen weights must not drift.
        return torch.lerp(averaged, current, 1 - decay) if averaged.is_floating_point() else current

    return average


@contextmanager
def photo_errors_in_one_sentence() -> Iterator[None]:
    """Loader processes hand on a photo's error with a traceback, whose last line is the sentence."""
    try:
        yield
    except PhotoError as error:
        line = str(error).strip().splitlines()[-1]
        raise PhotoError(line.partition("PhotoError: ")[2] or line) from error


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advice about loaders and folders off the screen; errors still show."""
    import logging

    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in (
                ".*does not have many workers.*",
                ".*exists and is not empty.*",
                ".*module.s. in eval mode.*",
                ".*smaller than the logging interval.*",
                ".*your dataloader is not resumable.*",  # its batches are, see `EpochBatches.resume`
                ".*isinstance.treespec, LeafSpec.*",
                ".*sync_dist=True.*",  # what is logged is gathered from all processes before
            ):
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
