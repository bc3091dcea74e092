"""GeoCLIP in the app: what it lacks is shown on every page, fetched when asked, and then it answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit
from streamlit.testing.v1 import AppTest

from geo_model import geoclip_download, geoclip_gallery, geoclip_parts
from geo_model.errors import GeoModelError
from webapp import model_gate
from webapp.model_notes import CARD

APP = Path(__file__).resolve().parents[2] / "webapp" / "app.py"
PAGES = ("locate", "cells", "evaluation", "about")
TOTAL = 1_711_000_000


class Fetching:
    """Stands in for the hub: half of the weights are here at once, the rest when it is let go on."""

    def __init__(self, weights: Path) -> None:
        self.calls = 0
        self.half, self.go_on = threading.Event(), threading.Event()
        self.error: str | None = None
        self._weights = weights

    def __call__(self, progress: Callable[[int, int], None]) -> Path:
        self.calls += 1
        progress(TOTAL // 2, TOTAL)
        self.half.set()
        assert self.go_on.wait(60)
        progress(TOTAL // 2 + 1, TOTAL)
        if self.error:
            raise GeoModelError(self.error)
        (self._weights / "here").touch()
        return self._weights


@pytest.fixture
def fetching(monkeypatch, tmp_path) -> Iterator[Fetching]:
    """A machine without CLIP's weights, and a hub."""
    pytest.importorskip("geoclip", reason="needs the optional package geoclip: pip install geoclip")
    for name in ("GEOCLIP_CLIP_FOLDER", "GEO_MODEL_ALLOW_DOWNLOAD", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GEO_MODEL", "geoclip")
    monkeypatch.setenv("GEO_MODEL_CACHE", str(tmp_path / "cache"))
    stands_in = Fetching(tmp_path)
    here = tmp_path / "here"
    monkeypatch.setattr(geoclip_parts, "local_clip", lambda: tmp_path if here.exists() else None)
    monkeypatch.setattr(geoclip_download, "fetch_clip", stands_in)
    monkeypatch.setattr(geoclip_download, "partial_bytes", lambda: TOTAL // 2 if stands_in.calls else 0)
    monkeypatch.setattr(model_gate, "serves_this_machine_only", lambda: True)
    streamlit.cache_resource.clear()
    yield stands_in
    stands_in.go_on.set()
    streamlit.cache_resource.clear()


def open_page(name: str = "locate") -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=6000).run()
    if name != "locate":
        page.switch_page(f"app_pages/{name}.py").run()
    assert not page.exception
    return page


def button(page: AppTest, label: str):
    return next((one for one in page.button if one.label.startswith(label)), None)


def progress_texts(page: AppTest) -> list[str]:
    return [bar.proto.text for bar in page.get("progress")]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_names_the_size_and_the_host_and_asks(fetching, name):
    page = open_page(name)
    assert not page.error
    (said,) = [entry.value.replace("\\", "") for entry in page.warning]
    assert "openai/clip-vit-large-patch14, about 1.7 GB" in said
    assert "Nothing is fetched unless you click" in said
    assert button(page, "Download").label == "Download 1.7 GB from huggingface.co"
    assert fetching.calls == 0


def test_it_can_be_watched_stopped_and_taken_up_again(fetching, monkeypatch):
    encoded: list[object] = []

    def load_gallery(*_: object) -> None:
        encoded.append(geoclip_parts.local_clip())
        raise GeoModelError("geoclip: the gallery is not encoded in this test")

    monkeypatch.setattr(geoclip_gallery, "load_gallery", load_gallery)
    page = open_page()
    button(page, "Download").click().run()
    assert fetching.half.wait(60)
    page.switch_page("app_pages/cells.py").run()  # it goes on while one looks at another page
    (text,) = progress_texts(page)
    assert text == "Downloading CLIP's weights: 856 MB of 1.71 GB"
    button(page, "Stop").click().run()
    fetching.go_on.set()
    model_gate.preparation().wait(60)
    page.run()
    assert not page.exception
    assert not page.error
    assert "what is here is kept" in page.info[0].value
    again = button(page, "Go on")
    assert again.label == "Go on: 856 MB of 1.7 GB are here, the rest comes from huggingface.co"
    again.click().run()
    model_gate.preparation().wait(60)
    page.run()
    assert fetching.calls == 2
    assert len(encoded) == 1
    assert "not encoded in this test" in page.error[0].value
    assert button(page, "Encode the gallery")
    assert not button(page, "Download")


def test_a_failure_is_one_sentence_and_can_be_tried_again(fetching):
    fetching.error = "geoclip: CLIP's weights could not be fetched from huggingface.co (no network)"
    fetching.go_on.set()
    page = open_page("evaluation")
    button(page, "Download").click().run()
    model_gate.preparation().wait(60)
    page.run()
    assert not page.exception
    assert "no network" in page.error[0].value
    assert button(page, "Go on")


@pytest.mark.parametrize("allowed", ["", "1"])
def test_an_app_that_others_reach_downloads_nothing(fetching, monkeypatch, allowed):
    page = open_page()
    click = button(page, "Download").click()
    monkeypatch.setattr(model_gate, "serves_this_machine_only", lambda: False)
    monkeypatch.setenv("GEO_MODEL_ALLOW_DOWNLOAD", allowed)
    click.run()  # a button that was drawn, or made up, does not count either
    assert not page.exception
    assert not button(page, "Download")
    assert "python -m geo_model download geoclip" in [entry.value for entry in page.code]
    assert fetching.calls == 0


def test_the_card_that_the_app_shows_is_there():
    card = (geoclip_parts.CARD_FOLDER / CARD).read_text(encoding="utf-8")
    for word in ("MIT", "MP-16", "huggingface.co", "not calibrated", "Responsible use"):
        assert word in card
