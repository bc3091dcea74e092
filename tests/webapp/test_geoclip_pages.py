"""GeoCLIP chosen on the page About answers on every page; CLIP is a small one with random weights."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit
from streamlit.testing.v1 import AppTest

pytest.importorskip("geoclip", reason="needs the optional package geoclip: pip install geoclip")

from geo_model import geoclip_parts
from geo_model.geoclip_parts import Package
from webapp import model_choice, model_gate

APP = Path(__file__).resolve().parents[2] / "webapp" / "app.py"


@pytest.fixture
def page(monkeypatch, tmp_path) -> Iterator[AppTest]:
    """The page About of an app whose machine has CLIP's weights, and a hundredth of the gallery."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = CLIPVisionConfig(patch_size=14, image_size=224, projection_dim=768, **sizes)
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "clip")
    real = geoclip_parts.the_package()
    folder = tmp_path / "model"
    (folder / "gps_gallery").mkdir(parents=True)
    (folder / "weights").symlink_to(real.folder / "weights")
    lines = real.gallery.read_text().splitlines()
    gallery = "\n".join([lines[0], *lines[1::100]]) + "\n"
    (folder / "gps_gallery" / "coordinates_100K.csv").write_text(gallery)
    monkeypatch.setattr(geoclip_parts, "installed_package", lambda: Package(real.version, folder))
    monkeypatch.setenv("GEOCLIP_CLIP_FOLDER", str(tmp_path / "clip"))
    monkeypatch.setenv("GEO_MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GEO_MODEL", raising=False)
    for module in (model_gate, model_choice):
        monkeypatch.setattr(module, "serves_this_machine_only", lambda: True)
    streamlit.cache_resource.clear()
    at = AppTest.from_file(str(APP), default_timeout=6000).run()
    yield go(at, "about")
    streamlit.cache_resource.clear()


def go(at: AppTest, name: str) -> AppTest:
    at.switch_page(f"app_pages/{name}.py").run()
    assert not at.exception
    return at


def said(at: AppTest) -> str:
    return "\n".join(one.value for one in (*at.markdown, *at.caption, *at.info, *at.success, *at.error))


def test_it_locates_shows_cells_and_is_evaluated(page, sample_photos, tmp_path):
    choice = next(radio for radio in page.radio if radio.label == "Model that answers")
    choice.set_value("geoclip").run()
    model_gate.preparation().wait(600)  # nothing is lacking, so the gallery is encoded without a question
    page.run()
    assert not page.exception
    assert not page.error
    assert "a photo is compared with a gallery of 1,000 places" in said(page).replace("\\", "")

    go(page, "locate")
    page.file_uploader[0].upload("mine.jpg", sample_photos[0].read_bytes(), "image/jpeg")
    page.run()
    run = page.session_state["locate"].run
    run.wait(600)
    page.run()
    assert not page.exception
    (result,) = run.results.values()
    assert result.prediction.answer is not None
    assert "Most probable cells" in said(page)
    levels = next(one for one in page.get("button_group") if one.proto.label == "Cells")
    assert "added up in the cells of each level" in levels.proto.help
    page.toggle(key="looked-at").set_value(True).run()
    assert "There is no such picture" in said(page)

    go(page, "cells")
    assert "GeoCLIP has no cells of its own" in said(page)
    photo = next(box for box in page.selectbox if box.label == "Show")
    assert len(photo.options) == 2
    page.session_state["cells"].photo = next(iter(run.results))
    page.run()
    assert not page.exception
    sliders = [slider.label for slider in page.select_slider]
    assert "Temperature of the product of the three levels" not in sliders  # nothing is multiplied
    assert "Temperature of the three levels, times the model's own" in sliders

    archive = tmp_path / "photos.tar"
    with tarfile.open(archive, "w") as tar:
        for name, data in (
            ("a.jpg", sample_photos[0].read_bytes()),
            ("a.json", json.dumps({"latitude": 40.0, "longitude": 116.3}).encode()),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    go(page, "evaluation")
    page.file_uploader(key="run-archive-0").upload("photos.tar", archive.read_bytes(), "application/x-tar")
    page.run()
    next(one for one in page.button if one.label == "Locate 1 photo").click().run()
    page.session_state["evaluation"].active_run.wait(600)
    page.run()
    assert not page.exception
    assert "1 of 1 photo located" in said(page)
