"""The page Cells without a browser."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from geo_model.predict import load
from webapp.cells_state import CellsState, CellsView
from webapp.globe import Camera
from webapp.photos import Located

APP = Path(__file__).resolve().parents[2] / "webapp" / "app.py"
PAGE = "app_pages/cells.py"


@pytest.fixture(scope="module")
def prediction(tiny_model_folder, sample_photos):
    return load(tiny_model_folder, device="cpu").predict(sample_photos[0])[0]


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


def test_a_photo_shows_its_product_region_and_temperature(tiny_model_folder, monkeypatch, prediction):
    token = prediction.hierarchy.fine.tokens[int(prediction.product.argmax())]
    monkeypatch.setenv("GEO_MODEL", str(tiny_model_folder))
    at = AppTest.from_function(_page_with_photo, default_timeout=6000, kwargs={"token": token})
    at.session_state["photo"] = Located(prediction, b"", (1, 1), "", None)
    at.run()
    assert not at.exception
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


def _page_with_photo(token):
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
    found = SimpleNamespace(results={"photo": replace(located, prediction=prediction)})
    if "cells" not in st.session_state:
        st.session_state["cells"] = CellsState(CellsView("combined", token, region=0.9), photo="photo")
    before, kept.session = kept.session, lambda: found
    try:
        runpy.run_path(str(Path(next(iter(webapp.app_pages.__path__))) / "cells.py"))
    finally:
        kept.session = before
