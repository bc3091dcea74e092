"""Photo geolocalization: from a photo's pixels to probabilities over S2 cells and a place on Earth."""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "ActivationMap": "activation_maps",
    "Candidate": "predict",
    "CropRule": "crops",
    "GeoModelError": "errors",
    "Hierarchy": "cells",
    "Level": "cells",
    "Model": "predict",
    "Partitioning": "cells",
    "PhotoError": "errors",
    "PhotoFailure": "predict",
    "Prediction": "predict",
    "Region": "predict",
    "activation_map": "activation_maps",
    "evaluate": "evaluation",
    "five_crop": "crops",
    "great_circle_km": "sphere",
    "load": "predict",
    "nearest_places": "places",
    "read_gps": "images",
    "read_image": "images",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import on first use, so that `import geo_model` loads neither torch nor a model."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'geo_model' has no attribute {name!r}")
    return getattr(importlib.import_module(f"geo_model.{_EXPORTS[name]}"), name)


def __dir__() -> list[str]:
    return __all__
