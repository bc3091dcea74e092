"""What every test may ask for: the optional check data and the sample photos of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


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
