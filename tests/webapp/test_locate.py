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

from geo_model.errors import ActivationMapError
from geo_model.predict import Model
from geo_model.sphere import great_circle_km
from webapp.globe_view import globe_is_drawn
from webapp.locate_wording import NO_GLOBE
from webapp.measure_wording import IN_SHORT
from webapp.wording import certainty

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
    return finished(at)


def finished(at: AppTest) -> AppTest:
    """The page when all photos are located: in a browser it asks for that itself."""
    assert not at.exception
    if run := at.session_state["locate"].run:
        run.wait()
        at.run()
        assert not at.exception
    return at


def press(at: AppTest, label: str) -> AppTest:
    next(button for button in at.button if button.label == label).click().run()
    return finished(at)


def spec(at: AppTest, number: int = -1) -> dict:
    """A chart's deck.gl JSON; the last is that of the photo on show."""
    return json.loads(at.get("deck_gl_json_chart")[number].proto.json)


def layer(at: AppTest, start: str) -> dict | None:
    """The layer whose id begins so."""
    return next((entry for entry in spec(at)["layers"] if entry["id"].startswith(start)), None)


def texts(at: AppTest) -> str:
    """Everything that the page says in words."""
    parts = [*at.markdown, *at.caption, *at.subheader, *at.error, *at.info, *at.warning, *at.text, *at.code]
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
    areas = [result.prediction.region(0.9).area_km2 for result in results]
    assert list(table["How sure"]) == [certainty(area_km2).in_short for area_km2 in areas]
    assert all(text in IN_SHORT for text in table["How sure"])
    places = [result.prediction.place.text for result in results]
    assert [place.lower() for place in table["Place"]] == [place.lower() for place in places]
    assert list(table[""]) == ["▶", "", ""]
    assert len(page.get("deck_gl_json_chart")) == 2
    everything = [entry for entry in spec(page, 0)["layers"] if entry["id"].startswith("all-")]
    (clicks,) = [entry for entry in everything if entry.get("pickable")]
    assert [row["name"] for row in clicks["data"]] == list(table["Name"])
    for row, result in zip(clicks["data"], page.session_state["locate"].results.values(), strict=True):
        expected = [result.prediction.longitude, result.prediction.latitude]
        assert row["position"] == pytest.approx(expected, abs=1e-4)


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


def test_a_sample_can_be_tried_put_away_and_brought_back(page):
    next(button for button in page.button if button.key == "try-summer-palace.jpg").click().run()
    finished(page)
    assert "where this sample was really taken" in texts(page)
    assert "CC BY 2.0" in texts(page)
    assert "carries the place" not in texts(page)
    press(page, "Put all photos away")
    assert "Add a photo to begin" in texts(page)
    press(page, "Undo")
    assert "where this sample was really taken" in texts(page)
    press(page, "Undo")
    assert "Add a photo to begin" in texts(page)
    assert not any(button.label == "Undo" for button in page.button)
    assert not page.session_state["locate"].results


def test_one_of_several_photos_is_put_away_and_the_next_is_shown(page, sample_photos):
    upload(page, *((f"{i}.jpg", photo.read_bytes()) for i, photo in enumerate(sample_photos)))
    press(page, "Put this photo away")
    assert page.text[0].value == "1.jpg"
    assert list(page.dataframe[0].value["Name"]) == ["1.jpg", "2.jpg"]
    press(page, "Undo")
    assert page.text[0].value == "0.jpg"


def test_photos_stay_while_another_page_is_open(page, sample_photos):
    upload(page, ("mine.jpg", sample_photos[0].read_bytes()))
    page.switch_page("app_pages/evaluation.py").run()
    assert "mine.jpg" not in texts(page)
    page.switch_page("app_pages/locate.py").run()
    assert not page.exception
    assert page.text[0].value == "mine.jpg"


def test_locating_can_be_cancelled_and_gone_on_with(page, sample_photos):
    upload(page, ("first.jpg", sample_photos[0].read_bytes()))
    state = page.session_state["locate"]
    state.cancel()
    state.results.clear()
    page.run()
    assert "1 photo not located yet" in page.info[0].value
    press(page, "Go on")
    page.run()
    finished(page)
    assert not page.info
    assert page.text[0].value == "first.jpg"


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.5, "inside the 50% credible region"),
        (0.9, "outside the 50% credible region and inside the 90% region"),
        (None, "outside the 90% credible region"),
    ],
)
def test_a_gps_tag_says_which_region_holds_it(page, sample_photos, share, words):
    upload(page, ("plain.jpg", sample_photos[0].read_bytes()))
    (result,) = page.session_state["locate"].results.values()
    prediction = result.prediction
    half, most = (set(prediction.region(part).classes.tolist()) for part in (0.5, 0.9))
    cells = {0.5: half, 0.9: most - half, None: set(range(len(prediction.product))) - most}[share]
    fine, cell = prediction.hierarchy.fine, min(cells)
    place = float(fine.latitudes[cell]), float(fine.longitudes[cell])
    assert fine.class_of(*place) == cell
    upload(page, ("tagged.jpg", with_gps(sample_photos[0].read_bytes(), *place)))
    results = page.session_state["locate"].results
    tagged = results[page.session_state["locate"].photos[-1].key]
    if not np.array_equal(tagged.prediction.product, prediction.product):  # it was encoded once more
        half, most = (set(tagged.prediction.region(part).classes.tolist()) for part in (0.5, 0.9))
        share = 0.5 if cell in half else 0.9 if cell in most else None
        words = {0.5: "inside the 50%", 0.9: "and inside the 90%", None: "outside the 90%"}[share]
    assert tagged.truth.region == share
    assert words in texts(page)
    assert "carries the place where it was taken" in texts(page)


def test_what_the_model_looked_at_is_shown_for_each_top_place(page, sample_photos):
    upload(page, ("mine.jpg", sample_photos[0].read_bytes()))
    before = len(page.get("image"))
    page.toggle[0].set_value(True).run()
    assert not page.exception
    assert len(page.get("image")) == before + 1
    (maps,) = page.session_state["locate"].maps.values()
    (result,) = page.session_state["locate"].results.values()
    assert [one.class_index for one in maps] == [one.class_index for one in result.prediction.top(5)]
    choice = next(box for box in page.selectbox if box.label == "For the place")
    assert len(choice.options) == 5
    assert "Orange raised the score" in texts(page)


def test_a_model_without_such_a_map_says_so(page, sample_photos, monkeypatch):
    def none(*_args, **_kwargs):
        raise ActivationMapError("none")

    monkeypatch.setattr("webapp.activation_view.activation_maps", none)
    upload(page, ("mine.jpg", sample_photos[0].read_bytes()))
    page.toggle[0].set_value(True).run()
    assert "There is no such picture for the model loaded here" in page.info[0].value


def test_the_page_speaks_german(page, sample_photos):
    page.radio[0].set_value("de").run()
    assert "Beginnen Sie mit einem Foto" in texts(page)
    upload(page, ("mein.jpg", sample_photos[0].read_bytes()))
    (result,) = page.session_state["locate"].results.values()
    assert "Wahrscheinlichste Zellen" in texts(page)
    assert "Das 90-%-Gebiet umfasst" in texts(page)
    assert f"in {len(result.prediction.region(0.9).classes)} Zellen" in texts(page)
    for english in ("probability", "credible", "Most probable", "about ", "The answer"):
        assert english not in texts(page).replace("The model card", ""), english


def test_a_missing_model_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("GEO_MODEL", str(tmp_path / "nowhere"))
    at = AppTest.from_file(str(APP), default_timeout=600).run()
    assert not at.exception
    assert len(at.error) == 1
    assert "nowhere" in at.error[0].value


def test_the_model_card_is_there(page):
    assert "Random weights." in texts(page)
    assert "The model: tiny" in texts(page)
