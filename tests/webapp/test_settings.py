"""Streamlit's settings: no outside host, and the limit that the library has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from geo_model.photo_files import Limits

WEBAPP = Path(__file__).resolve().parents[2] / "webapp"


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    lines = (WEBAPP / ".streamlit" / "config.toml").read_text(encoding="utf-8").splitlines()
    found = (re.match(r"(\w+) = (.+?)(?: #.*)?$", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def test_no_setting_asks_an_outside_host(settings):
    assert settings["gatherUsageStats"] == "false"
    assert settings["address"] == '"localhost"'
    assert settings["showErrorLinks"] == "false"


def test_uploads_may_be_as_large_as_photos(settings):
    assert int(settings["maxUploadSize"]) * 2**20 == Limits().max_bytes


def test_the_land_is_served(settings):
    assert settings["enableStaticServing"] == "true"
    assert (WEBAPP / "static" / "land.geojson").is_file()
