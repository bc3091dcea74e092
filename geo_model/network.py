"""The network: a timm backbone with global average pooling and one linear head per level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

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

    Raises:
        ModelFolderError: timm has no model of that name.
    """

    def __init__(self, backbone: str, class_counts: Sequence[int], kinds: int = 0) -> None:
        super().__init__()
        if not timm.is_model(backbone):
            raise ModelFolderError(
                f"backbone {backbone!r} is not a model of timm {timm.__version__}; "
                "check its spelling against timm.list_models() or install a newer timm."
            )
        self.backbone = timm.create_model(backbone, pretrained=False, num_classes=0, global_pool="avg")
        feature_count = cast("int", self.backbone.num_features)
        self.heads = nn.ModuleDict(
            {
                level.value: nn.Linear(feature_count, count)
                for level, count in zip(LEVELS, class_counts, strict=True)
            }
        )
        self.kinds = KindGate(feature_count, class_counts, kinds) if kinds else None

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
