"""The page Cells without a browser."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from geo_model.cells import LEVELS, Level
from geo_model.decoding import Decoder, Temperature
from geo_model.level_limit import FINEST_LEVEL_VARIABLE, limited
from geo_model.predict import load
from webapp import downloads
from webapp.camera_buttons import stepped
from webapp.cell_table import table_csv
from webapp.cells_globe import CellValues
from webapp.cells_state import CellsState, CellsView
from webapp.globe import Camera, CellBook
from webapp.photos import Located

APP = Path(__file__).resolve().parents[2] / "webapp" / "app.py"
PAGE = "app_pages/cells.py"


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return load(tiny_model_folder, device="cpu")


@pytest.fixture(scope="module")
def prediction(model, sample_photos):
    return next(model.stream([sample_photos[0]], keep_logits=True))


def open_page(tiny_model_folder, monkeypatch, **query: str) -> AppTest:
    monkeypatch.setenv("GEO_MODEL", str(tiny_model_folder))
    at = AppTest.from_file(str(APP), default_timeout=6000)
    at.switch_page(PAGE)
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception
    return at


def spec(at: AppTest) -> dict:
    (chart,) = at.get("deck_gl_json_chart")
    return json.loads(chart.proto.json)


def layer(at: AppTest, start: str) -> dict | None:
    return next((entry for entry in spec(at)["layers"] if entry["id"].startswith(start)), None)


def texts(at: AppTest) -> str:
    return "\n".join(part.value for part in (*at.markdown, *at.caption, *at.subheader, *at.info, *at.warning))


def test_the_partitioning_itself_is_shown_without_a_photo(tiny_model_folder, monkeypatch):
    at = open_page(tiny_model_folder, monkeypatch)
    assert len(layer(at, "cells-coarse-training")["data"]) == len(at.dataframe[0].value)
    assert "Training photos" in at.dataframe[0].value.columns
    assert "http" not in at.get("deck_gl_json_chart")[0].proto.json


def test_an_address_opens_the_same_view_in_a_fresh_session(tiny_model_folder, monkeypatch):
    first = open_page(tiny_model_folder, monkeypatch, level="middle")
    token = first.dataframe[0].value["Token"][3]
    query = {"level": "middle", "cell": token, "at": "10.5000,-20.2500,3.00", "colour": "linear"}
    second = open_page(tiny_model_folder, monkeypatch, **query)
    camera = spec(second)["initialViewState"]
    assert (camera["latitude"], camera["longitude"], camera["zoom"]) == (10.5, -20.25, 3)
    assert layer(second, "chosen-cell") is not None
    assert f"`{token}`" in texts(second)
    assert dict(second.query_params) == query


def test_a_class_is_followed_from_coarse_to_fine_and_back(tiny_model_folder, monkeypatch):
    at = open_page(tiny_model_folder, monkeypatch, level="coarse")
    at = open_page(tiny_model_folder, monkeypatch, level="coarse", cell=at.dataframe[0].value["Token"][0])
    for level in ("middle", "fine"):
        next(button for button in at.button if (button.key or "").startswith(f"cell-{level}-")).click().run()
        assert not at.exception
        assert at.query_params["level"] == level
    next(button for button in at.button if (button.key or "").startswith("cell-coarse-")).click().run()
    assert at.query_params["level"] == "coarse"


def test_another_level_and_linear_colours_go_into_the_address(tiny_model_folder, monkeypatch):
    at = open_page(tiny_model_folder, monkeypatch, level="coarse")
    before = len(layer(at, "cells-coarse-")["data"])
    at.button_group(key="cells-level").set_value("middle").run()
    assert not at.exception
    assert len(layer(at, "cells-middle-")["data"]) > before
    at.toggle(key="cells-linear").set_value(True).run()
    assert (at.query_params["level"], at.query_params["colour"]) == ("middle", "linear")


def test_the_search_finds_tokens_and_a_strange_one_is_said(tiny_model_folder, monkeypatch):
    at = open_page(tiny_model_folder, monkeypatch, level="fine", cell="ffff")
    assert "has no cell ffff" in texts(at)
    token = at.dataframe[0].value["Token"][7]
    at.text_input(key="cells-search").set_value(token).run()
    assert list(at.dataframe[0].value["Token"]) == [token]
    at.text_input(key="cells-search").set_value("no such place").run()
    assert not at.dataframe
    assert "No cell of this level" in texts(at)


def test_what_the_address_says_is_never_trusted():
    strange = {"level": "x", "cell": "<b>", "at": "nan,1,2", "region": "7"}
    assert CellsView.from_address(strange) == CellsView()
    assert CellsView.from_address({"at": "99,190,40"}).camera == Camera(90.0, -170.0, 9.0)
    view = CellsView("combined", "47e5", Camera(1.5, 2.5, 3.0), flat=True, linear=True, region=0.9)
    assert CellsView.from_address(view.address()) == view
    state = CellsState(view)
    state.written.add(frozenset(view.address().items()))
    assert not state.open(view.address())
    assert state.open({"level": "fine"})


def test_a_click_on_a_chart_goes_to_its_level_and_counts_for_that_chart():
    state = CellsState(CellsView("combined", three=True))
    state.click("fine", "fine-0", "47e5")
    assert (state.view.level, state.view.cell, state.clicks) == ("combined", "47e5", {"fine": 1})
    state.click("coarse", "coarse-0", "47")
    state.click("fine", "fine-1", None)  # the page drew another layer, and the browser says so a run later
    assert (state.view.level, state.view.cell, state.clicks) == ("coarse", "47", {"fine": 1, "coarse": 1})
    state.click("coarse", "coarse-0", None)  # the viewer clicked it again
    assert (state.view.level, state.view.cell) == ("coarse", None)


def page_with_photo(tiny_model_folder, monkeypatch, prediction, level="combined", three=False) -> AppTest:
    """The page with a photo and, chosen, the most probable of its finest cells."""
    token = prediction.hierarchy.fine.tokens[int(prediction.product.argmax())]
    monkeypatch.setenv("GEO_MODEL", str(tiny_model_folder))
    view = {"level": level, "token": token, "three": three}
    at = AppTest.from_function(_page_with_photo, default_timeout=6000, kwargs=view)
    at.session_state["photo"] = Located(prediction, b"", (1, 1), "", None)
    at.run()
    assert not at.exception
    return at


def test_a_photo_shows_its_product_region_and_temperature(tiny_model_folder, monkeypatch, prediction):
    at = page_with_photo(tiny_model_folder, monkeypatch, prediction)
    said = texts(at)
    assert "How the combined probability came about" in said
    assert layer(at, "region") is not None
    before = at.dataframe[0].value["Probability, %"].max()
    assert before == pytest.approx(100 * float(prediction.product.max()), rel=1e-4)
    at.select_slider(key="cells-temperature").set_value(8.0).run()
    after = at.dataframe[0].value["Probability, %"].max()
    assert after < before
    power = np.power(prediction.product.astype(float), 1.5 / 8)
    assert after == pytest.approx(100 * (power / power.sum()).max(), rel=1e-3)


def test_the_temperature_of_the_heads_is_exact(tiny_model_folder, monkeypatch, prediction, model):
    at = page_with_photo(tiny_model_folder, monkeypatch, prediction, level="middle")
    at.select_slider(key="cells-heads").set_value(3.0).run()
    own = model.spec.temperature
    wanted = Temperature(*(3 * value for value in own.of_levels), own.hierarchy)
    logits = [torch.from_numpy(level)[None] for level in prediction.logits]
    exact = Decoder(model.hierarchy, wanted).decode(logits, model.spec.crops)
    shown = at.dataframe[0].value["Probability, %"].to_numpy()
    assert shown == pytest.approx(100 * np.sort(exact.levels[1][0].numpy())[::-1], rel=1e-6)
    assert "Exact" in texts(at)


def test_three_levels_stand_side_by_side_under_one_camera(tiny_model_folder, monkeypatch, prediction):
    at = page_with_photo(tiny_model_folder, monkeypatch, prediction, level="fine", three=True)
    charts = [json.loads(chart.proto.json) for chart in at.get("deck_gl_json_chart")]
    assert len(charts) == 3
    assert charts[0]["initialViewState"] == charts[1]["initialViewState"] == charts[2]["initialViewState"]
    for chart, level in zip(charts, LEVELS, strict=True):
        ids = [layer["id"] for layer in chart["layers"]]
        assert any(name.startswith(f"cells-{level.value}-") for name in ids)
        assert {"chosen-cell", "region", "estimate"} <= set(ids)
    assert at.query_params["view"] == "levels"
    before = charts[0]
    at.button(key="camera-zoom_in").click().run()
    after = [json.loads(chart.proto.json) for chart in at.get("deck_gl_json_chart")]
    assert after[2]["initialViewState"]["zoom"] == pytest.approx(before["initialViewState"]["zoom"] + 0.75)
    assert after[2]["views"][0]["id"] != before["views"][0]["id"]
    at.button(key="camera-restart_alt").click().run()
    (back, *_) = [json.loads(chart.proto.json) for chart in at.get("deck_gl_json_chart")]
    assert back["initialViewState"] == before["initialViewState"]
    assert back["views"][0]["id"] not in (before["views"][0]["id"], after[0]["views"][0]["id"])


def test_a_step_of_the_camera_goes_round_the_world_and_ends_at_its_edges():
    assert stepped(Camera(10, 170, 1), east=1) == Camera(10, -160, 1)
    assert stepped(Camera(80, 0, 3), north=1) == Camera(85, 0, 3)
    assert stepped(Camera(0, 0, 3), north=-1) == Camera(-10, 0, 3)
    assert stepped(Camera(0, 0, 0.5), nearer=-1) == Camera(0, 0, 0)
    assert stepped(Camera(0, 0, 8.5), nearer=1) == Camera(0, 0, 9)


def test_the_table_as_csv_holds_all_cells_in_their_order(prediction):
    fine = prediction.hierarchy.fine
    shown = CellValues(prediction.product.astype(float), photos=False)
    order = np.argsort(-prediction.product, kind="stable")
    rows = list(csv.DictReader(io.StringIO(table_csv(shown, CellBook(fine), order).decode("utf-8"))))
    assert [row["token"] for row in rows] == [fine.tokens[index] for index in order]
    assert [int(row["rank"]) for row in rows] == list(range(1, len(fine) + 1))
    assert [float(row["latitude"]) for row in rows] == pytest.approx(fine.latitudes[order], abs=1e-6)
    assert sum(float(row["probability"]) for row in rows) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("finest", [Level.COARSE, Level.MIDDLE])
def test_nothing_finer_than_the_limit_is_anywhere(
    tiny_model_folder, monkeypatch, model, prediction, sample_photos, finest
):
    monkeypatch.setenv(FINEST_LEVEL_VARIABLE, finest.value)
    kept = next(limited(model, finest).stream([sample_photos[0]], keep_logits=True))
    allowed = LEVELS[: LEVELS.index(finest) + 1]
    finer = {token for level in LEVELS if level not in allowed for token in model.hierarchy[level].tokens}
    finer -= {token for level in allowed for token in model.hierarchy[level].tokens}
    names = {level.value for level in LEVELS if level not in allowed}
    for level in ("combined", finest.value, "fine"):
        at = page_with_photo(tiny_model_folder, monkeypatch, kept, level=level, three=level == "fine")
        options = [option for group in at.button_group for option in group.options]
        said = "\n".join([texts(at), *(button.label for button in at.button), *options])
        charts = [chart.proto.json for chart in at.get("deck_gl_json_chart")]
        assert charts
        assert not names & set(re.findall(r"[a-z]+", said.replace("at three levels", "").lower()))
        for text in (said, *charts):
            assert not finer & set(re.findall(r'(?:`|"token":"|Cell )([0-9a-f]+)', text))
        assert not finer & set(at.dataframe[0].value["Token"])
        assert not at.select_slider
        assert at.query_params["level"] not in names
    at = open_page(tiny_model_folder, monkeypatch, level="fine", cell=min(finer))
    assert "fine" not in str(at.query_params["level"])
    assert "cell" not in at.query_params
    for file_format in ("json", "csv", "geojson", "kml"):
        written = downloads._export(file_format, lambda: [kept]).decode("utf-8")
        assert finest.value in written or file_format in ("csv", "kml")
        assert not names & set(re.findall(r"[a-z]+", written.lower()))
        assert not finer & set(re.findall(r'(?<=")[0-9a-f]+(?=")|(?<=,)[0-9a-f]+(?=,)', written))
    assert '"fine"' in _all_levels_written(monkeypatch, prediction)  # without a limit they are there


def test_the_photo_on_show_on_the_page_locate_is_shown_until_another_choice_is_made(
    tiny_model_folder, monkeypatch, sample_photos
):
    monkeypatch.setenv("GEO_MODEL", str(tiny_model_folder))
    at = AppTest.from_file(str(APP), default_timeout=6000).run()
    for photo in sample_photos[:2]:
        at.file_uploader[0].upload(photo.name, photo.read_bytes(), "image/jpeg")
    at.run()
    state = at.session_state["locate"]
    state.run.wait()
    at.run()
    at.switch_page(PAGE).run()
    assert not at.exception
    assert at.selectbox[0].value == state.photos[0].key
    assert at.session_state["cells"].view.level == "combined"
    at.selectbox[0].set_value("").run()
    assert "Training photos" in at.dataframe[0].value.columns
    assert "Probability, %" not in at.dataframe[0].value.columns
    at.switch_page("app_pages/locate.py").run()
    at.switch_page(PAGE).run()
    assert at.selectbox[0].value == ""  # what was chosen here stays
    state.chosen = state.photos[1].key
    at.query_params["level"] = "middle"  # an address that was opened goes before
    at.run()
    assert (at.selectbox[0].value, at.session_state["cells"].view.level) == ("", "middle")
    state.chosen = state.photos[0].key
    at.run()
    state.chosen = state.photos[1].key
    at.run()
    assert at.selectbox[0].value == state.photos[1].key
    assert not at.exception


def test_photos_of_one_name_are_told_apart(tiny_model_folder, monkeypatch, sample_photos):
    monkeypatch.setenv("GEO_MODEL", str(tiny_model_folder))
    at = AppTest.from_file(str(APP), default_timeout=6000).run()
    for photo in sample_photos[:2]:
        at.file_uploader[0].upload("image.jpg", photo.read_bytes(), "image/jpeg")
    at.run()
    state = at.session_state["locate"]
    state.run.wait()
    at.run()
    at.switch_page(PAGE).run()
    assert at.selectbox[0].options[1:] == ["image.jpg", "image.jpg (2)"]
    assert at.selectbox[0].value == state.photos[0].key
    state.remove("no such photo")  # as a second click on its button does
    assert len(state.photos) == 2
    before = state.run
    state.go_on(load(tiny_model_folder, device="cpu"))  # the same model, loaded again
    assert state.run is before
    at.run()
    assert at.selectbox[0].value == state.photos[0].key


def _all_levels_written(monkeypatch, prediction) -> str:
    monkeypatch.delenv(FINEST_LEVEL_VARIABLE)
    return downloads._export("json", lambda: [prediction]).decode("utf-8")


def _page_with_photo(level, token, three):
    """The page as a script, with a photo in the session before it runs."""
    import runpy
    from dataclasses import replace
    from pathlib import Path
    from types import SimpleNamespace

    import streamlit as st

    import webapp.app_pages
    import webapp.session as kept
    from webapp.cells_state import CellsState, CellsView

    located = st.session_state["photo"]
    prediction = replace(located.prediction, hierarchy=kept.the_model().hierarchy)
    found = SimpleNamespace(results={"photo": replace(located, prediction=prediction)}, shown=None)
    if "cells" not in st.session_state:
        st.session_state["cells"] = CellsState(
            CellsView(level, token, three=three, region=0.9), photo="photo"
        )
    before, kept.session = kept.session, lambda: found
    try:
        runpy.run_path(str(Path(next(iter(webapp.app_pages.__path__))) / "cells.py"))
    finally:
        kept.session = before
