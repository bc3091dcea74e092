"""Layers of the globe, and the scale of its colours."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_model.predict import load
from webapp import globe
from webapp.geometry import great_circle
from webapp.palette import DARK, LIGHT, ProbabilityScale


@pytest.fixture(scope="module")
def prediction(tiny_model_folder, sample_photos):
    return load(tiny_model_folder, device="cpu").predict(sample_photos[0])[0]


@pytest.fixture(scope="module")
def fine_book(prediction):
    return globe.CellBook(prediction.hierarchy.fine)


@settings(deadline=None)
@given(st.floats(1e-6, 1), st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_a_higher_probability_is_never_further_down_the_scale(highest, first, second):
    scale = ProbabilityScale(0.01 * highest, highest)
    low, high = scale.positions(sorted((first, second)))
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_the_ends_of_the_scale_have_the_ends_of_the_ramp(palette):
    colours = ProbabilityScale(0.001, 0.1).colours([0.0, 0.001, 0.01, 0.1], palette)
    assert tuple(colours[1][:3]) == palette.ramp[0]
    assert tuple(colours[2][:3]) == palette.ramp[len(palette.ramp) // 2]
    assert tuple(colours[3][:3]) == palette.ramp[-1]
    assert (colours[0] == colours[1]).all()


def test_a_flat_distribution_draws_no_more_than_the_most_cells(prediction, monkeypatch):
    monkeypatch.setattr(globe, "MOST_CELLS", 50)
    uniform = np.full_like(prediction.product, 1 / len(prediction.product))
    monkeypatch.setitem(prediction.__dict__, "product", uniform)
    shown = globe.cells_on_show(prediction, None)
    assert len(shown.classes) == 50
    assert shown.held == pytest.approx(50 / len(uniform), rel=1e-5)


def test_rows_follow_the_classes_and_put_longitude_first(prediction, fine_book):
    shown = globe.cells_on_show(prediction, None)
    rows = globe.cells_layer("cells", shown, fine_book, LIGHT, flat=False).data
    assert [row["token"] for row in rows] == [fine_book.partitioning.tokens[i] for i in shown.classes]
    for row, index in zip(rows, shown.classes, strict=True):
        polygon = np.array(row["polygon"])
        wrapped = (polygon[:, 0] + 180) % 360 - 180
        assert (fine_book.partitioning.classes_of(polygon[:, 1], wrapped) == index).all()


def test_the_flat_map_ends_before_the_poles(prediction, fine_book):
    shown = globe.cells_on_show(prediction, None)
    rows = globe.cells_layer("cells", shown, fine_book, LIGHT, flat=True).data
    assert max(abs(latitude) for row in rows for _, latitude in row["polygon"]) <= globe.MERCATOR_LIMIT


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ((50.7, 5.6), (39.9, 116.4)),  # Belgium, Beijing: the way bulges northwards
        ((51.5, -0.1), (-33.9, 18.4)),  # London, Cape Town: tall
        ((-36.8, 174.8), (34.1, -118.2)),  # Auckland, Los Angeles: over the date line
        ((60.0, 0.0), (60.0, 179.0)),  # by the pole
        ((48.1, 11.6), (48.2, 11.5)),  # next to each other
    ],
)
@pytest.mark.parametrize(("narrow", "width_px", "height_px"), [(False, 700, 540), (True, 340, 400)])
def test_the_flat_map_begins_with_both_ends_of_the_way_on_it(start, end, narrow, width_px, height_px):
    view = globe.map_camera(great_circle(start, end), narrow)
    pixels = 512 * 2**view.zoom  # of the equator
    for latitude, longitude in (start, end):
        right = (longitude - view.longitude + 180) % 360 - 180
        up = math.asinh(math.tan(math.radians(latitude))) - math.asinh(math.tan(math.radians(view.latitude)))
        assert abs(right / 360 * pixels) < width_px / 2 - 10
        assert abs(up / math.tau * pixels) < height_px / 2 - 10
    assert view.zoom <= globe.camera(start, True, narrow).zoom


def test_continents_share_all_the_probability(prediction, fine_book):
    parts = fine_book.continents(prediction.product)
    assert sum(share for _, share in parts) == pytest.approx(1, abs=1e-4)
    assert [share for _, share in parts] == sorted((share for _, share in parts), reverse=True)
    asia = [i for i, place in enumerate(fine_book.places) if place.continent == "Asia"]
    assert dict(parts)["Asia"] == pytest.approx(float(prediction.product[asia].sum()), abs=1e-5)


def test_the_json_is_compact(prediction):
    deck = globe.draw(LIGHT, globe.camera((0, 0), False, False), flat=False, land="app/static/land.geojson")
    text = deck.to_json()
    assert json.loads(text)["initialViewState"]["latitude"] == 0
    assert "\n" not in text


def test_the_land_is_sent_where_it_cannot_be_served():
    assert globe.land_source(static_serving=True) == "app/static/land.geojson"
    inline = globe.land_source(static_serving=False)
    assert isinstance(inline, dict)
    assert inline["type"] == "FeatureCollection"
