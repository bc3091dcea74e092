"""The page Locate without a browser: what it says, and what it hands to deck.gl."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import streamlit
from PIL import Image
from streamlit.testing.v1 import AppTest

from geo_model.predict import Model
from geo_model.sphere import great_circle_km
from webapp.globe_view import NO_GLOBE, globe_is_drawn

APP = Path(__file__).resolve().parents[2] / "webapp" / "app.py"


@pytest.fixture
def page(tiny_model_folder, monkeypatch) -> AppTest:
    monkeypatch.setenv("GEO_MODEL", str(tiny_model_folder))
    at = AppTest.from_file(str(APP), default_timeout=6000).run()
    assert not at.exception
    return at


def upload(at: AppTest, *files: tuple[str, bytes]) -> AppTest:
    for name, data in files:
        at.file_uploader[0].upload(name, data, "image/jpeg")
    at.run()
    assert not at.exception
    return at


def spec(at: AppTest) -> dict:
    """The only chart's deck.gl JSON."""
    (chart,) = at.get("deck_gl_json_chart")
    return json.loads(chart.proto.json)


def layer(at: AppTest, start: str) -> dict | None:
    """The layer whose id begins so."""
    return next((entry for entry in spec(at)["layers"] if entry["id"].startswith(start)), None)


def texts(at: AppTest) -> str:
    """Everything that the page says in words."""
    parts = [*at.markdown, *at.caption, *at.subheader, *at.error, *at.info, *at.text, *at.code]
    return "\n".join([*(part.value for part in parts), *(entry.proto.body for entry in at.get("html"))])


def choose(at: AppTest, label: str, option: str) -> AppTest:
    control = next(control for control in at.button_group if control.label == label)
    control.set_value(option)
    at.run()
    assert not at.exception
    return at


def with_gps(photo: bytes, latitude: float, longitude: float) -> bytes:
    """The photo with a GPS tag; degrees."""
    exif = Image.Exif()

    def parts(value: float) -> tuple[float, float, float]:
        minutes = (value - int(value)) * 60
        return float(int(value)), float(int(minutes)), (minutes - int(minutes)) * 60

    exif[0x8825] = {
        1: "N" if latitude >= 0 else "S",
        2: parts(abs(latitude)),
        3: "E" if longitude >= 0 else "W",
        4: parts(abs(longitude)),
    }
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_an_empty_page_says_what_to_do(page):
    assert "Add a photo to begin" in texts(page)
    assert "not stored, logged or sent anywhere" in texts(page)
    assert "Do not use this to find, follow or harass" in texts(page)
    assert {"ocean", "land"} == {entry["id"] for entry in spec(page)["layers"]}


def test_a_photo_is_located_with_place_coordinates_and_region(page, sample_photos):
    upload(page, ("mine.jpg", sample_photos[0].read_bytes()))
    (result,) = page.session_state["locate"].results.values()
    prediction = result.prediction
    region = prediction.region(0.9)
    assert page.code[0].value == f"{prediction.latitude:.4f}, {prediction.longitude:.4f}"
    assert page.subheader[0].value.lower() == prediction.place.text.lower()
    assert f"in {len(region.classes)} cells" in texts(page)
    assert "million km²" in texts(page)
    for candidate in prediction.top(5):
        assert candidate.token in texts(page)
    assert page.text[0].value == "mine.jpg"


def test_each_level_draws_its_own_cells_and_runs_no_network(page, sample_photos, monkeypatch):
    upload(page, ("mine.jpg", sample_photos[0].read_bytes()))
    (result,) = page.session_state["locate"].results.values()

    def refuse(*_args, **_kwargs):
        raise AssertionError("the network ran again")

    monkeypatch.setattr(Model, "stream", refuse)
    hierarchy = result.prediction.hierarchy
    seen = set()
    for name, partitioning, probabilities in (
        ("Coarse", hierarchy.coarse, result.prediction.levels["coarse"]),
        ("Middle", hierarchy.middle, result.prediction.levels["middle"]),
        ("Fine", hierarchy.fine, result.prediction.levels["fine"]),
        ("Combined", hierarchy.fine, result.prediction.product),
    ):
        choose(page, "Cells", name)
        cells = layer(page, f"cells-{name.lower()}-")
        assert cells is not None
        tokens = [row["token"] for row in cells["data"]]
        visible = probabilities >= 0.01 * probabilities.max()
        assert set(tokens) == {partitioning.tokens[i] for i in np.flatnonzero(visible)}
        assert tokens[0] == partitioning.tokens[int(probabilities.argmax())]
        seen.add(cells["id"])
    assert len(seen) == 4


def test_the_point_is_drawn_longitude_first(page, sample_photos):
    upload(page, ("mine.jpg", sample_photos[0].read_bytes()))
    (result,) = page.session_state["locate"].results.values()
    ((feature),) = layer(page, "estimate")["data"]["features"]
    expected = [result.prediction.longitude, result.prediction.latitude]
    assert feature["geometry"]["coordinates"] == pytest.approx(expected, abs=1e-4)
    assert layer(page, "gps-tag") is None


def test_a_gps_tag_is_shown_with_the_line_and_the_distance(page, sample_photos):
    upload(page, ("tagged.jpg", with_gps(sample_photos[0].read_bytes(), -33.8568, 151.2153)))
    (result,) = page.session_state["locate"].results.values()
    prediction = result.prediction
    km = great_circle_km(prediction.latitude, prediction.longitude, -33.8568, 151.2153)
    assert result.truth.distance_km == pytest.approx(float(km), rel=1e-6)
    assert "from the photo's own GPS tag" in texts(page)
    line, point = (feature["geometry"] for feature in layer(page, "gps-tag")["data"]["features"])
    assert point["coordinates"] == pytest.approx([151.2153, -33.8568], abs=1e-4)
    ends = [line["coordinates"][0][:2], line["coordinates"][-1][:2]]
    assert ends[0] == pytest.approx([prediction.longitude, prediction.latitude], abs=1e-3)
    assert [(ends[1][0] + 180) % 360 - 180, ends[1][1]] == pytest.approx([151.2153, -33.8568], abs=1e-3)


def test_a_bad_photo_gets_its_own_message_and_the_others_go_on(page, sample_photos):
    good = sample_photos[0].read_bytes()
    upload(page, ("words.jpg", b"only words"), ("good.jpg", good), ("empty.jpg", b""))
    (message,) = page.error
    assert "2 photos could not be read" in message.value
    assert message.value.count("words.jpg") == 1
    assert message.value.count("empty.jpg") == 1
    assert page.text[0].value == "good.jpg"


def test_several_photos_make_a_table(page, sample_photos):
    upload(page, *((f"{i}.jpg", photo.read_bytes()) for i, photo in enumerate(sample_photos)))
    table = page.dataframe[0].value
    assert list(table["Name"]) == [f"{i}.jpg" for i in range(len(sample_photos))]
    results = page.session_state["locate"].results.values()
    places = [result.prediction.place.text for result in results]
    assert [place.lower() for place in table["Place"]] == [place.lower() for place in places]
    assert list(table[""]) == ["▶", "", ""]
    assert len(page.get("deck_gl_json_chart")) == 1


def test_file_names_are_never_markup(page, sample_photos):
    name = "<script>alert(1)</script> **b** :red[x] $y$ `z` ![](http://h/p.png).jpg"
    upload(page, (name, sample_photos[0].read_bytes()), ("`" + name, b"not a photo"))
    assert "<script>" not in "".join(entry.proto.body for entry in page.get("html"))
    assert all("<script>" not in entry.value for entry in (*page.markdown, *page.caption))
    assert "- `` …" in page.error[0].value  # a code span, whose fence is longer than what it holds


@pytest.mark.parametrize(
    ("version", "drawn"),
    [
        ("1.65.0", False),
        ("1.66.3", False),
        ("1.67.0", True),
        ("1.100.0", True),
        ("1.67.1.dev20261201", True),
        ("2.0.0", True),
    ],
)
def test_the_version_of_streamlit_says_whether_it_draws_a_globe(monkeypatch, version, drawn):
    monkeypatch.setattr(streamlit, "__version__", version)
    assert globe_is_drawn() == drawn


def test_an_older_streamlit_gets_only_the_flat_map(page, sample_photos, monkeypatch):
    monkeypatch.setattr(streamlit, "__version__", "1.65.0")
    page.run()
    assert "Move the map" in texts(page)
    assert "Turn the globe" not in texts(page)
    assert [view["@@type"] for view in spec(page)["views"]] == ["MapView"]

    upload(page, ("mine.jpg", sample_photos[0].read_bytes()))
    assert NO_GLOBE in texts(page)
    assert "Python 3.11" in NO_GLOBE
    assert [control.label for control in page.button_group if control.label == "View"] == []
    assert [view["@@type"] for view in spec(page)["views"]] == ["MapView"]
    tokens = [row["token"] for row in layer(page, "cells-combined-")["data"]]
    choose(page, "Cells", "Coarse")
    assert [row["token"] for row in layer(page, "cells-coarse-")["data"]] != tokens
    assert "http" not in page.get("deck_gl_json_chart")[0].proto.json


def test_nothing_drawn_names_an_outside_host(page, sample_photos, monkeypatch):
    # What is handed to deck.gl is the same on every Streamlit; whether it draws a globe is another matter.
    monkeypatch.setattr(streamlit, "__version__", "1.67.0")
    upload(page, ("mine.jpg", sample_photos[0].read_bytes()))
    assert NO_GLOBE not in texts(page)
    for view, kind in (("Flat map", "MapView"), ("Globe", "_GlobeView")):
        choose(page, "View", view)
        (drawn,) = spec(page)["views"]
        assert drawn["@@type"] == kind
        text = page.get("deck_gl_json_chart")[0].proto.json
        assert "http" not in text
        assert spec(page).get("mapStyle") == "__MAP_STYLE__"  # unset: any other value asks a map server
        assert spec(page).get("mapProvider") is None


def test_a_sample_can_be_tried_and_put_away(page):
    next(button for button in page.button if button.key == "try-summer-palace.jpg").click().run()
    assert not page.exception
    assert "where this sample was really taken" in texts(page)
    assert "CC BY 2.0" in texts(page)
    next(button for button in page.button if button.label == "Put all photos away").click().run()
    assert "Add a photo to begin" in texts(page)
    assert not page.session_state["locate"].results


def test_locating_can_be_cancelled_and_gone_on_with(page, sample_photos):
    upload(page, ("first.jpg", sample_photos[0].read_bytes()))
    page.session_state["locate"].cancelled = True
    page.session_state["locate"].results.clear()
    page.run()
    assert "1 photo not located yet" in page.info[0].value
    next(button for button in page.button if button.label == "Go on").click().run()
    assert not page.info
    assert page.text[0].value == "first.jpg"


def test_a_missing_model_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("GEO_MODEL", str(tmp_path / "nowhere"))
    at = AppTest.from_file(str(APP), default_timeout=600).run()
    assert not at.exception
    assert len(at.error) == 1
    assert "nowhere" in at.error[0].value


def test_the_model_card_is_there(page):
    assert "Random weights." in texts(page)
    assert "The model: tiny" in texts(page)
