"""The network: a timm backbone with global average pooling and one linear head per level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import timm
from torch import Tensor, nn

from geo_model.cells import LEVELS
from geo_model.errors import ModelFolderError


class GeoNetwork(nn.Module):
    """Logits over the cells of the three partitionings, from one pooled feature vector.

    After Müller-Budack et al., "Geolocation Estimation of Photos using a Hierarchical Model and Scene
    Classification", ECCV 2018, section 3.2: one shared backbone, one fully connected layer per partitioning.

    Args:
        backbone: Name of a timm model.
        class_counts: Number of cells of the coarse, middle and fine partitioning.

    Raises:
        ModelFolderError: timm has no model of that name.
    """

    def __init__(self, backbone: str, class_counts: Sequence[int]) -> None:
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

    def features(self, crops: Tensor) -> Tensor:
        """Pooled features (B, D) of normalised crops (B, 3, S, S)."""
        return self.backbone(crops)

    def classify(self, features: Tensor) -> tuple[Tensor, ...]:
        """Coarse, middle and fine logits, each (B, cells of that level), of pooled features (B, D)."""
        return tuple(self.heads[level.value](features) for level in LEVELS)

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Coarse, middle and fine logits, each (B, cells of that level), of normalised crops (B, 3, S, S)."""
        return self.classify(self.features(crops))
