"""Everything that a run needs before its first step, read and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import lightning as L
import numpy as np
from numpy.typing import NDArray

from geo_model.cells import LEVELS, Hierarchy, Partitioning
from geo_model.crops import CropRule
from geo_model.errors import ConfigError, ModelFolderError, PartitioningError
from geo_model.network import GeoNetwork
from train.config import Config, digest
from train.features import weights_digest
from train.figures import BALANCED, FIGURES, SCORES
from train.given_labels import check_said_classes, check_tables
from train.photo_index import PhotoIndex, Reading, read_indices
from train.pretrained import load_pretrained
from train.processors import processor_count
from train.stages import CutBackbone


@dataclass(frozen=True, eq=False)
class Setup:
    """What a configuration leads to.

    Attributes:
        config: The configuration.
        hierarchy: Its partitionings.
        train, val: Its photos.
        train_classes, val_classes: Their classes, int64 (N, 3), -1 for none.
        rule: How crops are cut.
        network: With pretrained weights and fresh heads.
        cut: Of the network's backbone.
    """

    config: Config
    hierarchy: Hierarchy
    train: PhotoIndex
    val: PhotoIndex
    train_classes: NDArray[np.int64]
    val_classes: NDArray[np.int64]
    rule: CropRule
    network: GeoNetwork
    cut: CutBackbone

    def identity(self) -> dict[str, object]:
        """Plain values that a run must share with another to be its continuation."""
        values = self.config.to_mapping()
        for key in ("name", "description", "run_folder", "hardware", "calibration"):
            del values[key]
        for section, key in CHANGES_NOTHING:
            del values[section][key]
        values["cells"] = [digest([level.value, *self.hierarchy[level].tokens]) for level in LEVELS]
        values["photos"] = [photos.digest() for photos in (self.train, self.val)]
        values["initial_weights"] = weights_digest(self.network.backbone)
        return values


CHANGES_NOTHING = (
    ("backbone", "cache_folder"),
    ("data", "labels"),
    ("data", "gaps"),
    ("data", "unreadable_photos"),
    ("training", "checkpoint_minutes"),
    ("training", "checkpoint_steps"),
)
"""Keys that may change when a run is resumed, besides whole sections."""

_MOST_READERS = 16


def prepare(config: Config, on_tar: Callable[[str], None] | None = None) -> Setup:
    """Read cells, photos and weights.

    Args:
        config: The configuration.
        on_tar: Called with the path of each tar once it was read, for progress.

    Raises:
        ConfigError: Something that the configuration names is missing, damaged or does not fit the rest.
    """
    hierarchy = read_hierarchy(config)
    reading = Reading(
        folder=cache_folder(config) / "tars",
        processes=min(_MOST_READERS, processor_count()),
        on_tar=on_tar,
        with_ids=config.data.labels is not None,
        allow_gaps=config.data.gaps == "allow",
    )
    train, val = read_indices(config.data, reading)
    _check_kinds(config, train, val)
    train_classes, val_classes = train.classes(hierarchy), val.classes(hierarchy)
    for photos, classes in ((train, train_classes), (val, val_classes)):
        check_said_classes(photos, classes, hierarchy)
    if (labels := config.data.labels) is not None:
        tables = (labels,) if isinstance(labels, str) else labels
        check_tables(tables, ((train, train_classes), (val, val_classes)), hierarchy)
    # Hundreds of megabytes for millions of photos, and not needed any more.
    train, val = (replace(photos, given_classes=None, ids=None) for photos in (train, val))
    if config.labels.kind == "hard":
        for column, level in enumerate(LEVELS):
            if not (train_classes[train.weights > 0, column] >= 0).any():
                raise ConfigError(
                    f"labels.kind: no training photo lies in a {level.value} cell, so hard labels teach "
                    "nothing; use cells made from photos of the same places, or soft labels."
                )
    L.seed_everything(config.seed, verbose=False)
    try:
        network = GeoNetwork(config.backbone.name, hierarchy.sizes)
    except ModelFolderError as error:
        raise ConfigError(f"backbone.name: {error}") from error
    if not network.takes(config.input.crop_px):
        raise ConfigError(
            f"input.crop_px is {config.input.crop_px} and backbone {config.backbone.name} takes only "
            f"{network.own_px}; write crop_px: {network.own_px} and a resize_short_px of that or more."
        )
    load_pretrained(network.backbone, config.backbone.name, config.backbone.weights)
    rule = crop_rule(config, network)
    cut = CutBackbone(
        network.backbone, config.backbone.trainable, config.backbone.freeze_batch_norm, rule.crop_px
    )
    return Setup(config, hierarchy, train, val, train_classes, val_classes, rule, network, cut)


def cache_folder(config: Config) -> Path:
    """Where to keep what takes long to compute."""
    return Path(config.backbone.cache_folder or Path(config.run_folder) / "cache")


def read_hierarchy(config: Config) -> Hierarchy:
    """The three partitionings of a configuration.

    Raises:
        ConfigError: One cannot be read or has fewer than two cells, or their hierarchy is incomplete.
    """
    partitionings = []
    for level in LEVELS:
        path = getattr(config.partitionings, level.value)
        if not Path(path).is_file():
            raise ConfigError(
                f"partitionings.{level.value}: there is no file {path} (looked from {Path.cwd()}); "
                "make it with `python -m train partition`."
            )
        try:
            partitioning = Partitioning.read_csv(path)
        except PartitioningError as error:
            raise ConfigError(f"partitionings.{level.value}: {error}") from error
        if len(partitioning) < 2:
            raise ConfigError(f"partitionings.{level.value}: {path} has one cell; there is nothing to learn.")
        partitionings.append(partitioning)
    try:
        return Hierarchy.build(*partitionings)
    except PartitioningError as error:
        raise ConfigError(f"partitionings: {error}") from error


def crop_rule(config: Config, network: GeoNetwork) -> CropRule:
    """The crop rule of a configuration; mean and std are the backbone's own where it names none."""
    own = getattr(network.backbone, "pretrained_cfg", None) or {}
    return CropRule(
        resize_short_px=config.input.resize_short_px,
        crop_px=config.input.crop_px,
        mean=config.input.mean or tuple(own.get("mean", (0.485, 0.456, 0.406))),
        std=config.input.std or tuple(own.get("std", (0.229, 0.224, 0.225))),
        interpolation=config.input.interpolation,
    )


def _check_kinds(config: Config, train: PhotoIndex, val: PhotoIndex) -> None:
    group, _, figure = config.validation.monitor.rpartition("/")
    if figure not in FIGURES or (group and group not in (BALANCED, *val.kinds)):
        raise ConfigError(
            f"validation.monitor: {config.validation.monitor!r} is not measured; allowed: "
            f"{', '.join(FIGURES)}, also after {', '.join(f'{name}/' for name in (BALANCED, *val.kinds))}."
        )
    if (away := config.calibration.away) is not None:
        for position, kind in enumerate(away.kinds):
            for split, counts in (("training", train.kind_counts()), ("validation", val.kind_counts())):
                if kind not in counts:
                    raise ConfigError(
                        f"calibration.away.kinds.{position}: no {split} photo is of kind {kind!r}; the "
                        f"kinds are {', '.join(counts)}."
                    )
        if not set(train.kind_counts()) - set(away.kinds):
            raise ConfigError("calibration.away.kinds: these are all kinds; leave one out, or the key.")
    shares = config.calibration.kind_shares
    for kind in shares:
        if kind not in val.kinds:
            raise ConfigError(
                f"calibration.kind_shares.{kind}: no validation photo is of this kind; the kinds are "
                f"{', '.join(val.kinds)}."
            )
    if shares and sum(shares.values()) <= 0:
        raise ConfigError("calibration.kind_shares: all shares are 0; give one kind a share above 0.")
    for metric in config.calibration.metrics:
        if metric not in ("nll", *SCORES):
            raise ConfigError(
                f"calibration.metrics: {metric!r} is unknown; allowed: nll, {', '.join(SCORES)}."
            )
