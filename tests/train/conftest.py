"""Tiny tars, partitionings and configurations: enough to train on in seconds."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from geo_model import cell_geometry, s2
from geo_model.cells import Partitioning

PLACES = {
    "cape-canaveral": (28.56, -80.58),
    "picos-de-europa": (43.19, -4.83),
    "summer-palace": (40.0, 116.27),
}


def add_file(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def write_tar(path: Path, photos: list[Path], per_photo: int, seed: int) -> Path:
    """Random crops of real photos, each with a coordinate near the photo's own."""
    random = np.random.default_rng(seed)
    with tarfile.open(path, "w") as tar:
        for number in range(per_photo):
            for photo in photos:
                image = Image.open(photo).convert("RGB")
                side = int(0.6 * min(image.size))
                left, top = (int(random.integers(0, size - side)) for size in image.size)
                crop = image.crop((left, top, left + side, top + side)).resize((96, 96))
                buffer = io.BytesIO()
                crop.save(buffer, "JPEG")
                latitude, longitude = PLACES[photo.stem] + random.normal(0, 0.5, 2)
                key = f"{photo.stem}-{number}"
                annotation = {
                    "latitude": float(latitude),
                    "longitude": float(longitude),
                    "kind": "wild" if photo.stem == "picos-de-europa" else "built",
                }
                add_file(tar, f"{key}.jpg", buffer.getvalue())
                add_file(tar, f"{key}.json", json.dumps(annotation).encode())
    return path


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory, sample_photos: list[Path]) -> Path:
    """Folder with train-0.tar (24 photos), train-1.tar (12), val.tar (9) and the three partition CSVs."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tar(folder / "train-0.tar", sample_photos, 8, seed=0)
    write_tar(folder / "train-1.tar", sample_photos, 4, seed=1)
    write_tar(folder / "val.tar", sample_photos, 3, seed=2)
    grid = np.stack(np.meshgrid(np.arange(-89, 90, 2.0), np.arange(-179, 180, 2.0)), axis=-1).reshape(-1, 2)
    for name, level in (("coarse", 1), ("middle", 2), ("fine", 3)):
        ids = np.unique(s2.cell_ids(grid[:, 0], grid[:, 1], level))
        latitudes, longitudes, _ = cell_geometry.centres(ids)
        counts = 5 + np.arange(len(ids)) % 7
        Partitioning(name, ids, counts, latitudes, longitudes).write_csv(folder / f"{name}.csv")
    return folder


ConfigWriter = Callable[..., Path]


@pytest.fixture
def write_config(tiny_data: Path, tmp_path: Path) -> ConfigWriter:
    """Write a configuration of the tiny data; arguments replace whole top-level keys."""

    def write(**changes: Any) -> Path:
        values = {
            "name": "tiny",
            "description": "A model for tests.",
            "run_folder": str(tmp_path / "run"),
            "data": {
                "train": [{"tars": str(tiny_data / "train-*.tar")}],
                "val": [{"tars": str(tiny_data / "val.tar")}],
            },
            "partitionings": {
                level: str(tiny_data / f"{level}.csv") for level in ("coarse", "middle", "fine")
            },
            "backbone": {"name": "test_efficientnet", "weights": "none", "trainable": "all"},
            "input": {"resize_short_px": 72, "crop_px": 64},
            "optimiser": {"lr_heads": 0.01, "lr_backbone": 0.001},
            "training": {"epochs": 2, "batch_size": 12},
            "validation": {"batch_size": 4},
            "hardware": {"accelerator": "cpu", "num_workers": 0},
            **changes,
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return path

    return write
