"""One training run: `python -m train fit CONFIG.yaml`; train/run_folder.py says what it leaves."""

from __future__ import annotations

import itertools
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
from train.config import Config
from train.data import Crops, EpochSampler, Labelled
from train.features import autocast
from train.figures import higher_is_better
from train.loaders import choose_device, make_loaders
from train.metrics_table import MetricsTable
from train.module import Geolocator
from train.photo_index import count_tars
from train.progress import progress_bar
from train.run_folder import load_best, start_folder
from train.setup import Setup, prepare

_MEASURED_DRAWS = 2048
"""Views by which features are standardised."""


def fit(config: Config, *, resume: bool = True, console: Console | None = None) -> Path:
    """Train and calibrate.

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
    console = console or Console(stderr=True)
    if config.hardware.threads:
        torch.set_num_threads(config.hardware.threads)
    with progress_bar(console, "Reading tars", count_tars(config.data)) as advance:
        setup = prepare(config, lambda _: advance(1))
    run = Path(config.run_folder)
    checkpoint = start_folder(run, setup, resume)
    console.print(describe(setup), highlight=False, markup=False, soft_wrap=True)
    with photo_errors_in_one_sentence():
        train_and_calibrate(setup, run, checkpoint, console)
    return run


def train_and_calibrate(setup: Setup, run: Path, checkpoint: Path | None, console: Console) -> None:
    """The run itself, once all is checked and its folder made."""
    config = setup.config
    train_loader, val_loader = make_loaders(setup, run, console)
    module = make_module(setup, len(train_loader))
    if config.head.standardise and checkpoint is None:
        measure_features(module, setup, train_loader, console)
    ctrl_c = signal.getsignal(signal.SIGINT)
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
                signal.signal(signal.SIGINT, ctrl_c)
                raise KeyboardInterrupt from error
            raise
    load_best(module, run)
    val_items = val_loader.dataset
    if config.validation.crops != "five":  # the exported model averages five, so its sureness is that of five
        val_items = Labelled(Crops(setup.val, setup.rule, True), setup.val.points(), setup.val_classes)
    calibrate_run(setup, module, val_items, run, choose_device(config), console)


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
        setup.config, setup.hierarchy, setup.network, setup.cut, setup.rule, steps_per_epoch, setup.val
    )
    return module.to(memory_format=torch.channels_last) if setup.config.training.channels_last else module  # type: ignore[call-overload]


def measure_features(
    module: Geolocator, setup: Setup, train_loader: DataLoader[dict[str, Any]], console: Console
) -> None:
    """Standardise features by those of the first epoch's first draws."""
    config, device = setup.config, choose_device(setup.config)
    draws = list(itertools.islice(EpochSampler(setup.train.weights, config.seed), _MEASURED_DRAWS))
    loader = DataLoader(
        train_loader.dataset,
        batch_size=config.validation.batch_size,
        sampler=draws,
        num_workers=config.hardware.num_workers,
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
    """Lightning's trainer, on one device."""
    monitor = config.validation.monitor
    kept: dict[str, Any] = {
        "dirpath": run / "checkpoints",
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
    ]
    if console.is_terminal:
        callbacks.append(RichProgressBar(leave=False, console_kwargs={"stderr": True}))
    if config.training.ema_decay:
        callbacks.append(WeightAveraging(avg_fn=_moving_average(config.training.ema_decay)))
    return L.Trainer(
        accelerator=config.hardware.accelerator,
        devices=1,
        precision=config.training.precision,
        max_epochs=config.training.epochs,
        gradient_clip_val=config.optimiser.clip_norm or None,
        logger=TensorBoardLogger(run, name="tensorboard", version=""),
        callbacks=callbacks,
        enable_progress_bar=console.is_terminal,
        enable_model_summary=False,
        log_every_n_steps=10,
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

    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in (
                ".*does not have many workers.*",
                ".*exists and is not empty.*",
                ".*module.s. in eval mode.*",
                ".*smaller than the logging interval.*",
            ):
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        logger.setLevel(level)
