"""The page You against the model without a browser: its grid, its scores, and a round from click to score."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from geo_model import cell_geometry, s2
from geo_model.errors import GeoModelError
from geo_model.sphere import great_circle_km
from webapp import guess_cells
from webapp.guess_game import Challenge, Game, score
from webapp.guess_photos import picture

APP = Path(__file__).resolve().parents[2] / "webapp" / "app.py"
PARIS, LONDON = (48.8567, 2.3510), (51.5072, -0.1275)


def challenge(key: str, truth=PARIS, answer=None) -> Challenge:
    return Challenge(key, f"{key}.jpg", bytes, truth, answer)


@pytest.fixture
def page(tiny_model_folder, monkeypatch) -> AppTest:
    monkeypatch.setenv("GEO_MODEL", str(tiny_model_folder))
    at = AppTest.from_file(str(APP), default_timeout=6000).run()
    at.switch_page("app_pages/against.py").run()
    assert not at.exception
    return at


def button(at: AppTest, label: str):
    return next(entry for entry in at.button if entry.label == label)


def texts(at: AppTest) -> str:
    return "\n".join(entry.value for entry in [*at.markdown, *at.caption, *at.info, *at.success, *at.error])


def test_the_grid_covers_the_earth_once_and_refines_a_clicked_cell():
    first = guess_cells.grid(None)
    assert len(first) == 6 * 4**4
    assert cell_geometry.areas_steradians(first).sum() == pytest.approx(4 * np.pi)
    cell = int(s2.cell_ids([PARIS[0]], [PARIS[1]], 4)[0])
    assert cell in first
    for level, reach in ((4, (200, 500)), (7, (25, 60)), (10, (3, 8))):
        assert guess_cells.level_of(cell) == level
        assert reach[0] < guess_cells.reach_km(cell) < reach[1]
        inside = guess_cells.cells_within(cell)
        if level < 10:
            assert (s2.parents(inside, level) == cell).all()
            assert len(set(inside.tolist())) == 64
            assert len(guess_cells.grid(cell)) == 64 + 6 * 4**4 - 1
            cell = int(s2.cell_ids([PARIS[0]], [PARIS[1]], level + 3)[0])
            assert cell in inside
        else:
            assert not len(inside)
    assert great_circle_km(*guess_cells.centre(cell), *PARIS) < 8


def test_scores_are_geoscores_of_great_circle_distances():
    found = score(LONDON, PARIS)
    assert found.distance_km == pytest.approx(343.6, abs=1)
    assert found.points == pytest.approx(5000 * np.exp(-found.distance_km / 1492.7))
    assert score(PARIS, PARIS).points == 5000


def test_a_game_goes_from_photo_to_photo_and_adds_up():
    photos = [challenge("a"), challenge("b", LONDON)]
    game = Game()
    assert game.follow(photos) is photos[0]
    with pytest.raises(ValueError, match="no guess"):
        game.settle(photos[0], LONDON)
    game.latitude, game.longitude = PARIS
    game.settle(photos[0], LONDON)
    assert game.follow(photos) is photos[0]  # the result stays until the next photo is asked for
    game.begin(None)
    assert game.guess is None
    assert game.follow(photos) is photos[1]
    game.failures["b"] = "b.jpg cannot be read."
    assert game.follow(photos) is None
    assert game.totals == (5000, score(LONDON, PARIS).points)


def test_the_picture_shown_carries_no_metadata(sample_photos):
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 24.0), 3: "E", 4: (2.0, 21.0, 3.0)}
    tagged = io.BytesIO()
    Image.open(sample_photos[0]).save(tagged, "JPEG", exif=exif, comment=b"Paris")
    shown = Image.open(io.BytesIO(picture(Challenge("a", "a.jpg", tagged.getvalue, PARIS))))
    assert not shown.getexif()
    assert "comment" not in shown.info

    def gone() -> bytes:
        raise KeyError("a.jpg")

    with pytest.raises(GeoModelError, match="add it again"):
        picture(Challenge("a", "a.jpg", gone, PARIS))


def test_samples_are_played_by_numbers_and_the_place_is_told_after_the_guess(page):
    assert "no photo yet whose place is known" in texts(page)
    button(page, "Play with the sample photos").click().run()
    assert not page.exception
    assert "Summer Palace" not in texts(page)
    assert "CC BY 2.0" in texts(page)
    (chart,) = page.get("deck_gl_json_chart")
    grid = next(layer for layer in json.loads(chart.proto.json)["layers"] if layer["id"] == "guess-all")
    assert grid["pickable"] is True
    assert len(grid["data"]) == 1536
    assert button(page, "That is my guess").disabled
    page.number_input[0].set_value(40.0).run()
    page.number_input[1].set_value(116.0).run()
    button(page, "That is my guess").click().run()
    assert not page.exception
    game = page.session_state["game"]
    (played,) = game.rounds.values()
    truth = (39.9996, 116.2747)
    km = float(great_circle_km(40.0, 116.0, *truth))
    assert played.visitor.distance_km == pytest.approx(km)
    assert f"{km:.0f} km" in texts(page)
    assert f"{played.visitor.points:,.0f}" in texts(page)
    assert "Summer Palace" in texts(page)
    assert [entry.value for entry in page.metric] == [f"{points:,.0f}" for points in game.totals]
    layers = {layer["id"] for layer in json.loads(page.get("deck_gl_json_chart")[0].proto.json)["layers"]}
    assert {"truth", "visitor-answer", "model-answer"} <= layers
    button(page, "Next photo").click().run()
    assert game.current != played.challenge.key
    assert page.number_input[0].value is None
