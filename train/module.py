"""The network in training: loss, optimiser, schedule and what each epoch's validation measures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import dropout

from geo_model.cells import LEVELS, Hierarchy
from geo_model.crops import CropRule, normalise
from geo_model.decoding import Decoder
from geo_model.errors import ConfigError
from geo_model.network import GeoNetwork
from train.config import Config, Schedule
from train.figures import PhotoFigures, figures_of_groups, photo_figures
from train.labels import Targets, loss_of_levels
from train.photo_index import PhotoIndex
from train.priors import log_priors
from train.ranks import from_all
from train.stages import CutBackbone

_LOOK_EVERY = 100
"""Passes after which the loss is looked at; more often would make a GPU wait."""


class Geolocator(L.LightningModule):
    """A `GeoNetwork` that learns.

    The heads learn evidence: the logits are log prior + head(standardised features), the prior being each
    cell's share of the partitioning's photos. So weight decay pulls the answer towards the prior, and
    evidence can be weighed against it later; `baked_weights` in train/export.py joins all of it in the heads.

    Args:
        config: Of the run.
        hierarchy: The three partitionings.
        network: With its pretrained backbone.
        cut: Of the network's backbone.
        rule: Normalises crops.
        steps_per_epoch: For the schedule.
        val_photos: Where they were taken, and their kinds.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(
        self,
        config: Config,
        hierarchy: Hierarchy,
        network: GeoNetwork,
        cut: CutBackbone,
        rule: CropRule,
        steps_per_epoch: int,
        val_photos: PhotoIndex,
    ) -> None:
        super().__init__()
        self.network = network
        self.targets = Targets(hierarchy, config.labels)
        for level, prior in zip(LEVELS, log_priors(hierarchy, config.head.prior_bias), strict=True):
            self.register_buffer(f"{level.value}_prior", prior)
            head = network.heads[level.value]
            assert isinstance(head, nn.Linear)
            nn.init.zeros_(head.bias)
            if config.head.weights_at_zero:
                nn.init.zeros_(head.weight)
        feature_count = network.feature_count
        self.register_buffer("feature_mean", torch.zeros(feature_count))
        self.register_buffer("feature_scale", torch.ones(feature_count))
        self._config, self._cut, self._rule = config, cut, rule
        self._hierarchy, self._decoder = hierarchy, Decoder(hierarchy)
        self._steps_per_epoch = steps_per_epoch
        self._val_photos = val_photos
        self._validated: list[PhotoFigures] = []
        self._epoch_loss = torch.zeros(2, dtype=torch.float64)
        self._without_loss = torch.zeros((), dtype=torch.int64)

    def train(self, mode: bool = True) -> Geolocator:
        """As in torch; the frozen part of the backbone stays in evaluation mode."""
        super().train(mode)
        self._cut.train(mode)
        return self

    def activations(self, inputs: Tensor) -> Tensor:
        """What enters the trainable tail: of uint8 crops (B, 3, S, S), or cached activations as they are."""
        if inputs.dtype == torch.uint8:
            crops = normalise(inputs, self._rule)
            if self._config.training.channels_last:
                crops = crops.contiguous(memory_format=torch.channels_last)
            return self._cut.front(crops)
        inputs = inputs.float()
        if inputs.dim() == 4 and self._config.training.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Logits of each level, (B, cells), from uint8 crops (B, 3, S, S) or cached activations (B, ...)."""
        return self.with_prior(self.evidence(inputs))

    def evidence(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """What the heads say of each level before the prior is added."""
        features = self.features(inputs)
        return self.network.classify(dropout(features, self._config.head.dropout, self.training))

    def features(self, inputs: Tensor) -> Tensor:
        """Standardised pooled features, float32 (B, D), of inputs as `activations` takes them."""
        return (self._cut.tail(self.activations(inputs)).float() - self.feature_mean) / self.feature_scale

    @torch.no_grad()
    def measure_features(self, inputs: Iterable[Tensor]) -> None:
        """Set mean and scale of the pooled features from batches of inputs, as `activations` takes them.

        In training mode, for batch statistics are what the heads will learn from; the running ones are kept.
        """
        before = {name: value.clone() for name, value in self.network.backbone.named_buffers()}
        self.train()
        features = torch.cat([self._cut.tail(self.activations(batch)).float().cpu() for batch in inputs])
        for name, value in self.network.backbone.named_buffers():
            value.copy_(before[name])
        deviation = features.std(dim=0, unbiased=False)
        # A feature that hardly ever moves must not become a loud one.
        floor = max(0.1 * float(deviation.median()), 1e-6)
        self.feature_mean.copy_(features.mean(dim=0))
        self.feature_scale.copy_(deviation.clamp(min=floor))

    def with_prior(self, evidence: Sequence[Tensor], strength: float = 1.0) -> tuple[Tensor, ...]:
        """Logits: log prior + strength * evidence, float32 (..., cells) per level."""
        return tuple(
            getattr(self, f"{level.value}_prior") + strength * part.float()
            for level, part in zip(LEVELS, evidence, strict=True)
        )

    def on_fit_start(self) -> None:
        """Lightning leaves the mode as it finds it."""
        self.train()

    def on_train_epoch_start(self) -> None:
        """Forget the loss of the epoch before."""
        self._epoch_loss = torch.zeros_like(self._epoch_loss)

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        """The loss of one pass."""
        # Random numbers of its own for each pass: so a resumed run repeats what an unbroken one does.
        accumulate = self._config.training.accumulate
        part = batch_index % accumulate * self.trainer.world_size + self.trainer.global_rank
        seed = np.random.SeedSequence([self._config.seed, self.global_step, part]).generate_state(1)[0]
        torch.manual_seed(int(seed))
        loss = self.loss(batch)
        photos = len(batch["inputs"])
        self._add_loss(loss.detach(), photos)
        if (batch_index + 1) % _LOOK_EVERY == 0 or batch_index + 1 == self.trainer.num_training_batches:
            self._check_loss()
        self.log("step/loss", loss, prog_bar=True, batch_size=photos)
        return loss

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """The sum of the three levels' cross-entropies of a batch, mixed or not."""
        inputs = batch["inputs"]
        targets = self.targets(batch["point"], batch["classes"])
        if (alpha := self._config.training.mixup_alpha) > 0:
            # Zhang et al., "mixup", ICLR 2018, but on what enters the tail, so that cached views mix as well.
            share = float(torch.distributions.Beta(alpha, alpha).sample())
            partner = torch.randperm(len(inputs), device=inputs.device)
            features = self.activations(inputs)
            inputs = share * features + (1 - share) * features[partner]
            targets = tuple(share * part + (1 - share) * part[partner] for part in targets)
        return loss_of_levels(self(inputs), targets)

    def _add_loss(self, loss: Tensor, photos: int) -> None:
        """Keep the sum over the epoch's photos; Lightning's own mean would forget them when a run resumes."""
        exact = torch.float32 if loss.device.type == "mps" else torch.float64
        self._epoch_loss = self._epoch_loss.to(loss.device, exact)
        finite = torch.isfinite(loss)
        self._epoch_loss[0] += torch.where(finite, loss.to(exact) * photos, 0)
        self._epoch_loss[1] += torch.where(finite, photos, 0)
        self._without_loss = torch.where(finite, 0, self._without_loss.to(loss.device) + 1)

    def _check_loss(self) -> None:
        """Stop a run whose loss is no number.

        Raises:
            ConfigError: The last loss is not finite; with float16, whose scaling leaves such steps out until
                it fits, many in a row.
        """
        allowed = _LOOK_EVERY // 2 if self._config.training.precision == "16-mixed" else 0
        if int(self._without_loss) > allowed:
            raise ConfigError(
                f"optimiser: the loss is not a finite number in epoch {self.current_epoch + 1}; lower the "
                "learning rates, clip the gradient (optimiser.clip_norm) or use precision 32."
            )

    def gather_loss(self) -> float:
        """The mean loss of the epoch's photos so far; the first process then holds the sums of all."""
        sums = torch.stack([part.cpu().double() for part in from_all(self._epoch_loss.cpu())]).sum(dim=0)
        self._epoch_loss = sums if self.global_rank == 0 else torch.zeros_like(sums)
        return float(sums[0] / sums[1])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the epoch's loss so far."""
        checkpoint["epoch_loss"] = self._epoch_loss.cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it up again."""
        kept = checkpoint.get("epoch_loss", self._epoch_loss)
        self._epoch_loss = kept if self.global_rank == 0 else torch.zeros_like(kept)

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """Measure one batch of photos, each with its V crops."""
        inputs = batch["inputs"]
        logits = [part.unflatten(0, inputs.shape[:2]) for part in self(inputs.flatten(0, 1))]
        decoded = self._decoder.decode(logits)
        targets = self.targets(batch["point"], batch["classes"])
        truth = self._val_photos.coordinates[batch["row"].cpu().numpy()]
        self._validated.append(photo_figures(decoded, self._hierarchy, truth, batch["classes"], targets))

    def on_validation_epoch_start(self) -> None:
        """Forget what was measured before; all processes measure with the first one's batch statistics."""
        self._validated.clear()
        if self.trainer.world_size > 1:
            for value in self.network.backbone.buffers():
                torch.distributed.broadcast(value, 0)

    def on_validation_epoch_end(self) -> None:
        """Log the figures of all photos, of each kind, and of all kinds alike."""
        parts = from_all(PhotoFigures.joined(self._validated))
        # Process r of R has measured every R-th photo from the r-th on.
        rows = np.concatenate([np.arange(r, len(self._val_photos), len(parts)) for r in range(len(parts))])
        figures = PhotoFigures.joined(parts)[np.argsort(rows)]
        values = figures_of_groups(figures, self._val_photos.kinds, self._val_photos.kind_of)
        self.log_dict({f"val/{name}": value for name, value in values.items()})
        self.log("train/loss", self.gather_loss())

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Three groups: heads, backbone with weight decay, backbone without (biases and normalisation)."""
        settings = self._config.optimiser
        learning = [p for p in self.network.backbone.parameters() if p.requires_grad]
        groups = [
            {
                "name": "heads",
                "params": list(self.network.heads.parameters()),
                "lr": settings.lr_heads,
                "weight_decay": settings.weight_decay,
            }
        ]
        for name, decay, members in (
            ("backbone", settings.weight_decay_backbone, [p for p in learning if p.dim() > 1]),
            ("backbone_plain", 0.0, [p for p in learning if p.dim() <= 1]),
        ):
            if members:
                groups.append(
                    {"name": name, "params": members, "lr": settings.lr_backbone, "weight_decay": decay}
                )
        optimiser: torch.optim.Optimizer
        if settings.name == "sgd":
            optimiser = torch.optim.SGD(groups, lr=settings.lr_heads, momentum=settings.momentum)
        else:
            optimiser = torch.optim.AdamW(groups, lr=settings.lr_heads, betas=settings.betas)
        schedule = self._config.schedule

        def factor(step: int) -> float:
            return learning_rate_factor(
                schedule,
                step / self._steps_per_epoch,
                self._config.training.epochs,
                1 / self._steps_per_epoch,
            )

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def learning_rate_factor(schedule: Schedule, epoch: float, epochs: int, step_epochs: float) -> float:
    """Share of the full learning rate.

    Args:
        schedule: Which curve.
        epoch: Epochs done, with fractions.
        epochs: Of the whole run.
        step_epochs: Length of one step in epochs; the warm-up starts with one step's rise, not at 0.
    """
    if epoch < schedule.warmup_epochs:
        return (epoch + step_epochs) / (schedule.warmup_epochs + step_epochs)
    if schedule.name == "multistep":
        return schedule.gamma ** sum(epoch >= milestone for milestone in schedule.milestones)
    if schedule.name == "constant":
        return 1.0
    done = min(1.0, (epoch - schedule.warmup_epochs) / max(1e-9, epochs - schedule.warmup_epochs))
    return schedule.final_share + (1 - schedule.final_share) * (1 + math.cos(math.pi * done)) / 2
