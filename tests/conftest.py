"""What every test may ask for: the optional check data and the sample photos of the repository."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What `tune` found on the tester's machine must not change what a test sees.
os.environ["GEO_MODEL_TUNED_CHOICES"] = ""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The optional check data beside the checkout; a test that needs it is skipped, by name, without it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the optional check data in ../shared/data, which is not part of the repository")
    return folder


@pytest.fixture(scope="session")
def sample_photos() -> list[Path]:
    """The real photos that the repository carries."""
    photos = sorted((ROOT / "assets" / "samples").glob("*.jpg"))
    assert photos, "assets/samples holds no photo"
    return photos


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights: 320 fine cells (S2 level 3), none in the far south.

    Tests take from it how things work; how well photos are located only a trained model can say.
    """
    import numpy as np
    import torch

    from geo_model import cell_geometry, s2
    from geo_model.cells import Hierarchy, Partitioning
    from geo_model.crops import CropRule
    from geo_model.decoding import Decoding, Temperature
    from geo_model.model_folder import ModelSpec, write_model_folder
    from geo_model.network import GeoNetwork

    def partitioning(name: str, level: int) -> Partitioning:
        points = np.stack(np.meshgrid(np.arange(-89, 90, 1.0), np.arange(-179.5, 180, 1.0)), axis=-1).reshape(
            -1, 2
        )
        ids = np.unique(s2.cell_ids(points[:, 0], points[:, 1], level))
        south = cell_geometry.centres(s2.parents(ids, 1))[0] < -50
        ids = ids[~south]
        latitudes, longitudes, _ = cell_geometry.centres(ids)
        return Partitioning(name, ids, np.full(len(ids), 9), latitudes, longitudes)

    hierarchy = Hierarchy.build(*(partitioning(f"tiny-{level}", level) for level in (1, 2, 3)))
    spec = ModelSpec(
        name="tiny",
        backbone="test_efficientnet",
        class_counts=hierarchy.sizes,
        crop_rule=CropRule(112, 96, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        temperature=Temperature(coarse=1.1, middle=1.2, fine=1.3, hierarchy=1.5),
        decoding=Decoding("mass", 1500.0),
        description="Random weights, for tests.",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = GeoNetwork(spec.backbone, spec.class_counts)
        # Batch statistics of blurred noise, so that the answer depends on the photo.
        noise = torch.nn.functional.interpolate(torch.rand(32, 3, 6, 6), size=(96, 96), mode="bicubic")
        network.backbone.train()
        for _ in range(20):
            network.features(2 * noise - 1)
        for head in network.heads.values():
            torch.nn.init.normal_(head.weight, std=0.3)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return write_model_folder(folder, spec, hierarchy, network.state_dict(), "# Tiny\n\nRandom weights.\n")


@pytest.fixture(scope="session")
def write_tar() -> Callable[..., Path]:
    """A function that writes a tar of members by name: bytes as they are, mappings as JSON."""

    def write(path: Path, members: dict[str, bytes | dict], mode: str = "w") -> Path:
        with tarfile.open(path, mode) as archive:
            for name, content in members.items():
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        return path

    return write
