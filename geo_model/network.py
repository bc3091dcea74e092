"""The network: a timm backbone with global average pooling and one linear head per level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from geo_model.cells import LEVELS
from geo_model.errors import ModelFolderError


class KindGate(nn.Module):
    """Weighs what the features say by the kind of photo that they look like.

    For a photo whose share of kind k is q_k, softmax(gate(features)): the features count sum_k q_k strength_k
    times, and sum_k q_k offset_k is added to the logits. With kinds that the network knows well and others
    that it has seen little of, it can be sure of the former and careful with the latter.

    Args:
        feature_count: D.
        class_counts: Number of cells of the coarse, middle and fine partitioning.
        kinds: K.
    """

    strengths: Tensor

    def __init__(self, feature_count: int, class_counts: Sequence[int], kinds: int) -> None:
        super().__init__()
        self.gate = nn.Linear(feature_count, kinds)
        self.register_buffer("strengths", torch.ones(kinds))
        self.offsets = nn.ParameterDict(
            {
                level.value: nn.Parameter(torch.zeros(kinds, count))
                for level, count in zip(LEVELS, class_counts, strict=True)
            }
        )

    def shares(self, features: Tensor) -> Tensor:
        """How much a photo looks like each kind, (B, K), rows sum to 1, of pooled features (B, D)."""
        return torch.softmax(self.gate(features), dim=-1)


class GeoNetwork(nn.Module):
    """Logits over the cells of the three partitionings, from one pooled feature vector.

    After Müller-Budack et al., "Geolocation Estimation of Photos using a Hierarchical Model and Scene
    Classification", ECCV 2018, section 3.2: one shared backbone, one fully connected layer per partitioning.

    Args:
        backbone: Name of a timm model.
        class_counts: Number of cells of the coarse, middle and fine partitioning.
        kinds: Kinds of photo that are told apart, see `KindGate`; 0 weighs all photos alike.

    Attributes:
        feature_count: How many features the heads see.

    Raises:
        ModelFolderError: timm has no model of that name, or it cannot average over the photo.
    """

    def __init__(self, backbone: str, class_counts: Sequence[int], kinds: int = 0) -> None:
        super().__init__()
        self.backbone = _backbone(backbone)
        # Some networks have a layer between the pooling and the heads, as MobileNet's; timm names its width.
        width = getattr(self.backbone, "head_hidden_size", None) or self.backbone.num_features
        self.feature_count = feature_count = cast("int", width)
        self.heads = nn.ModuleDict(
            {
                level.value: nn.Linear(feature_count, count)
                for level, count in zip(LEVELS, class_counts, strict=True)
            }
        )
        self.kinds = KindGate(feature_count, class_counts, kinds) if kinds else None

    def takes(self, crop_px: int) -> bool:
        """Whether crops of this side in pixels go through; many transformers are made for one size only."""
        own_px = self.own_px
        if own_px is None or own_px == crop_px:
            return True
        was_training = self.backbone.training
        parameter = next(self.backbone.parameters())
        try:
            with torch.inference_mode():
                self.backbone.eval()(parameter.new_zeros(1, 3, crop_px, crop_px))
        except (AssertionError, RuntimeError, ValueError):
            return False
        finally:
            self.backbone.train(was_training)
        return True

    @property
    def own_px(self) -> int | None:
        """Side of the crops that the backbone is made for, if timm says that it takes no others."""
        settings = cast("dict[str, Any]", self.backbone.pretrained_cfg)
        return int(settings["input_size"][-1]) if settings.get("fixed_input_size") else None

    def features(self, crops: Tensor) -> Tensor:
        """Pooled features (B, D) of normalised crops (B, 3, S, S)."""
        return self.backbone(crops)

    def classify(self, features: Tensor) -> tuple[Tensor, ...]:
        """Coarse, middle and fine logits, each (B, cells of that level), of pooled features (B, D)."""
        if self.kinds is None:
            return tuple(self.heads[level.value](features) for level in LEVELS)
        shares = self.kinds.shares(features)
        weighed = features * (shares @ self.kinds.strengths)[:, None]
        return tuple(
            self.heads[level.value](weighed) + shares @ self.kinds.offsets[level.value] for level in LEVELS
        )

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Coarse, middle and fine logits, each (B, cells of that level), of normalised crops (B, 3, S, S)."""
        fine = cast("nn.Linear", self.heads[LEVELS[-1].value])
        return self.classify(self.features(crops).to(fine.weight.dtype))  # heads may be the finer ones


def _backbone(name: str) -> nn.Module:
    if not timm.is_model(name):
        raise ModelFolderError(
            f"backbone {name!r} is not a model of timm {timm.__version__}; "
            "check its spelling against timm.list_models() or install a newer timm."
        )
    try:
        return timm.create_model(name, pretrained=False, num_classes=0, global_pool="avg")
    except (AssertionError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise ModelFolderError(
            f"backbone {name!r} cannot give the average of its features, which the heads need ({reason}); "
            "choose one that can, as most of timm's do."
        ) from error
