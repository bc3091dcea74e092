"""The page Locate with a model of which a part must be downloaded first."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit
from streamlit.testing.v1 import AppTest

from geo_model import geoclip_parts
from geo_model.errors import GeoModelError
from webapp.model_notes import CARD

APP = Path(__file__).resolve().parents[2] / "webapp" / "app.py"


def test_a_button_names_the_host_and_the_size(monkeypatch):
    pytest.importorskip("geoclip", reason="needs the optional package geoclip: pip install geoclip")
    fetched: list[str] = []

    def fetch() -> Path:
        fetched.append(geoclip_parts.clip_download().host)
        raise GeoModelError("geoclip: no network in this test")

    for name in ("GEOCLIP_CLIP_FOLDER", "GEO_MODEL_ALLOW_DOWNLOAD", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GEO_MODEL", "geoclip")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(geoclip_parts, "fetch_clip", fetch)
    streamlit.cache_resource.clear()
    page = AppTest.from_file(str(APP), default_timeout=6000).run()
    assert not page.exception
    assert not page.error
    said = page.warning[0].value.replace("\\", "")
    assert "openai/clip-vit-large-patch14, about 1.7 GB" in said
    (button,) = [button for button in page.button if button.label.startswith("Download")]
    assert button.label == "Download 1.7 GB from huggingface.co"
    assert fetched == []
    button.click().run()
    assert not page.exception
    assert fetched == ["huggingface.co"]
    assert "no network in this test" in page.error[0].value
    streamlit.cache_resource.clear()  # the agreement ends with this test


def test_the_card_that_the_app_shows_is_there():
    card = (geoclip_parts.CARD_FOLDER / CARD).read_text(encoding="utf-8")
    for word in ("MIT", "MP-16", "huggingface.co", "not calibrated", "Responsible use"):
        assert word in card
