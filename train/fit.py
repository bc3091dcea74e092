"""One training run: `python -m train fit CONFIG.yaml`.

A run folder holds

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
from torch.utils.data import DataLoader, Dataset

from geo_model.cells import LEVELS
from geo_model.errors import ConfigError, PhotoError
from train.calibrating_run import calibrate_run
from train.config import Config
from train.data import Crops, EpochSampler, Labelled, PhotoIndex, Views, ViewSets, count_tars
from train.features import CachedCrops, CachedViews, cached_activations, weights_digest
from train.figures import higher_is_better
from train.metrics_table import MetricsTable
from train.module import Geolocator
from train.pretrained import licence_of
from train.progress import progress_bar
from train.setup import Setup, prepare


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
    """
    console = console or Console(stderr=True)
    if config.hardware.threads:
        torch.set_num_threads(config.hardware.threads)
    with progress_bar(console, "Reading tars", count_tars(config.data)) as advance:
        setup = prepare(config, lambda _: advance(1))
    run = Path(config.run_folder)
    checkpoint = start_folder(run, setup, resume)
    console.print(describe(setup), highlight=False, markup=False, soft_wrap=True)
    train_loader, val_loader = make_loaders(setup, run, console)
    module = make_module(setup, len(train_loader))
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
        except PhotoError as error:
            # Loader processes hand on a traceback; its last line is the sentence.
            sentence = str(error).strip().splitlines()[-1].partition("PhotoError: ")
            raise PhotoError(sentence[2] or sentence[0]) from error
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
    return run


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


def make_module(setup: Setup, steps_per_epoch: int) -> Geolocator:
    """The module to train, its weights drawn by the configuration's seed."""
    L.seed_everything(setup.config.seed, verbose=False)
    module = Geolocator(
        setup.config, setup.hierarchy, setup.network, setup.cut, setup.rule, steps_per_epoch, setup.val
    )
    return module.to(memory_format=torch.channels_last) if setup.config.training.channels_last else module  # type: ignore[call-overload]


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


def load_best(module: Geolocator, run: Path) -> None:
    """Load the weights of the best epoch."""
    content = torch.load(run / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
    module.load_state_dict(content["state_dict"])


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


def _moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    def average(averaged: Tensor, current: Tensor, _: Tensor | int) -> Tensor:
        # lerp leaves what does not change exactly as it is: frozen weights must not drift.
        return torch.lerp(averaged, current, 1 - decay) if averaged.is_floating_point() else current

    return average


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
