"""Predictions in every format, read back by other programs' rules; hostile names stay text."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import geo_model
from geo_model import PhotoFailure, Prediction, s2
from geo_model.cells import LEVELS, Hierarchy, Partitioning
from geo_model.exports import (
    csv_line,
    csv_text,
    exporter,
    geojson_text,
    json_text,
    kml_text,
    spreadsheet_text,
)

HOSTILE = '=cmd|"/c calc"!A1 <b>&]]>\x1b[31m\udcff\n.jpg'
FAILURE = PhotoFailure("broken.jpg", "broken.jpg: the file is empty; give a photo.")
KML = "{http://www.opengis.net/kml/2.2}"


@pytest.fixture(scope="module")
def predictions(tiny_model_folder, sample_photos):
    return geo_model.load(tiny_model_folder, device="cpu").predict(sample_photos)


@pytest.fixture(scope="module")
def results(predictions):
    hostile = Prediction(
        HOSTILE,
        predictions[1].class_index,
        predictions[1].levels,
        predictions[1].product,
        predictions[1].hierarchy,
    )
    return [predictions[0], FAILURE, hostile]


def text(chunks):
    whole = "".join(chunks)
    whole.encode("utf-8")  # no half characters
    assert "\r" not in whole
    assert "\x1b" not in whole
    return whole


def test_json(results):
    first, failed, hostile = json.loads(text(json_text(results, top_k=3)))
    prediction = results[0]
    assert first["photo"] == prediction.name
    assert first["latitude"] == pytest.approx(prediction.latitude, abs=1e-6)
    assert first["longitude"] == pytest.approx(prediction.longitude, abs=1e-6)
    assert first["probability"] == pytest.approx(prediction.probability, rel=1e-5)
    assert first["place"]["country"] == prediction.place.country
    assert first["token"] == prediction.hierarchy.fine.tokens[prediction.class_index]
    for region in first["regions"]:
        expected = prediction.region(region["share"])
        assert region["area_km2"] == pytest.approx(expected.area_km2)
        assert region["cells"] == len(expected.classes)
    assert [top["token"] for top in first["top"]] == [candidate.token for candidate in prediction.top(3)]
    assert list(first["levels"]) == ["coarse", "middle", "fine"]
    for level in LEVELS:
        tokens = [entry["token"] for entry in first["levels"][level.value]]
        assert tokens == [candidate.token for candidate in prediction.top(3, level)]
    assert failed == {"photo": "broken.jpg", "error": FAILURE.reason}
    assert hostile["photo"] == '=cmd|"/c calc"!A1 <b>&]]>\ufffd[31m\ufffd\ufffd.jpg'


def test_csv(results):
    rows = list(csv.DictReader(io.StringIO(text(csv_text(results, top_k=2)))))
    assert [row["photo"][:6] for row in rows] == [results[0].name[:6], "broken", "'=cmd|"]
    assert float(rows[0]["latitude"]) == pytest.approx(results[0].latitude, abs=1e-6)
    assert float(rows[0]["region_90_km2"]) == pytest.approx(results[0].region(0.9).area_km2)
    assert rows[0]["top_2_token"] == results[0].top(2)[1].token
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert rows[1]["latitude"] == ""
    assert None not in rows[0]
    assert None not in rows[0].values()


def test_csv_with_more_ranks_than_cells(predictions):
    rows = list(csv.reader(io.StringIO(text(csv_text(predictions[:1], top_k=400)))))
    assert len(rows[0]) == len(rows[1])


@pytest.mark.parametrize("dangerous", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_text_cannot_become_a_formula(dangerous):
    assert spreadsheet_text(dangerous) == "'" + dangerous
    assert csv_line([dangerous, -1.5, None, "plain"]).startswith(("'", "\"'"))
    assert csv_line([-1.5, None, "plain"]) == "-1.5,,plain\n"


def test_geojson_has_longitude_first(results):
    collection = json.loads(text(geojson_text(results)))
    assert collection["type"] == "FeatureCollection"
    first, failed, _ = collection["features"]
    assert first["geometry"]["type"] == "Point"
    assert first["geometry"]["coordinates"] == [
        pytest.approx(results[0].longitude, abs=1e-6),
        pytest.approx(results[0].latitude, abs=1e-6),
    ]
    assert first["properties"]["photo"] == results[0].name
    assert failed["geometry"] is None
    assert failed["properties"]["error"] == FAILURE.reason


def assert_rings_are_sound(rings, longitude_latitude_inside):
    for ring, inside in zip(rings, longitude_latitude_inside, strict=True):
        ring = np.array(ring)
        assert (ring[0] == ring[-1]).all()
        assert np.abs(ring[:, 0]).max() <= 180
        assert np.abs(ring[:, 1]).max() <= 90
        x, y = ring.T
        assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0  # counter-clockwise (RFC 7946, 3.1.6)
        # A cut at the date line would show as an edge across the map; only a pole's own edge may be long.
        long = np.abs(np.diff(x)) > 20
        assert (np.abs(y[:-1][long]) == 90).all()
        assert crossings(ring, *inside) % 2 == 1


def crossings(ring, x, y):
    count = 0
    for (x1, y1), (x2, y2) in itertools.pairwise(ring):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            count += 1
    return count


def test_geojson_draws_the_cells_of_the_region(predictions):
    prediction = predictions[0]
    features = json.loads(text(geojson_text([prediction], draw_region=True)))["features"]
    assert [feature["geometry"]["type"] for feature in features] == ["Point", "MultiPolygon"]
    region = prediction.region(0.9)
    assert features[1]["properties"]["area_km2"] == pytest.approx(region.area_km2)
    polygons = features[1]["geometry"]["coordinates"]
    assert all(len(polygon) == 1 for polygon in polygons)
    fine = prediction.hierarchy.fine
    inside = zip(fine.longitudes[region.classes], fine.latitudes[region.classes], strict=True)
    assert_rings_are_sound([polygon[0] for polygon in polygons], inside)


def test_cells_of_a_whole_face_are_cut_at_the_date_line_and_the_poles():
    ids = np.unique(s2.cell_ids([0, 0, 0, 0, 90, -90], [0, 90, 180, -90, 0, 0], 0))
    faces = Partitioning("faces", ids, np.full(6, 9), np.array([0.0] * 6), np.array([0.0] * 6))
    even = np.full(6, 1 / 6, dtype=np.float32)
    whole = Prediction("all", 0, dict.fromkeys(LEVELS, even), even, Hierarchy.build(faces, faces, faces))
    features = json.loads(text(geojson_text([whole], draw_region=True)))["features"]
    rings = [polygon[0] for polygon in features[1]["geometry"]["coordinates"]]
    assert len(rings) == 24
    middle = [np.array(ring)[:-1].mean(axis=0) for ring in rings]
    assert_rings_are_sound(rings, middle)


def test_kml(results):
    document = ElementTree.fromstring(text(kml_text(results, draw_region=True)))
    places = document.findall(f".//{KML}Placemark")
    points = [place for place in places if place.find(f"{KML}Point") is not None]
    assert [place.findtext(f"{KML}name")[:5] for place in points] == [results[0].name[:5], "=cmd|"]
    longitude, latitude = points[0].findtext(f".//{KML}coordinates").split(",")
    assert float(longitude) == pytest.approx(results[0].longitude, abs=1e-6)
    assert float(latitude) == pytest.approx(results[0].latitude, abs=1e-6)
    assert results[0].place.text in points[0].findtext(f"{KML}description")
    drawn = places[1].findall(f".//{KML}Polygon")
    assert len(drawn) == len(results[0].region(0.9).classes)
    assert "broken" not in text(kml_text(results))


def test_programs_of_others_read_the_tables_the_shapes_and_the_placemarks(results):
    import pandas as pd
    from fastkml import KML as KmlReader
    from fastkml.features import Placemark
    from fastkml.utils import find_all
    from shapely.geometry import Point, shape

    expected = (results[0].longitude, results[0].latitude)

    table = pd.read_csv(io.StringIO(text(csv_text(results, top_k=2))))
    assert table["photo"].tolist()[:2] == [results[0].name, "broken.jpg"]
    assert (table["longitude"][0], table["latitude"][0]) == pytest.approx(expected, abs=1e-6)
    assert table["error"].isna().tolist() == [True, False, True]

    features = json.loads(text(geojson_text(results, draw_region=True)))["features"]
    point, region, *_ = [shape(feature["geometry"]) for feature in features if feature["geometry"]]
    assert (point.x, point.y) == pytest.approx(expected, abs=1e-6)
    best = results[0].top(1)[0]
    assert all(cell.is_valid for cell in region.geoms)  # the whole is not: neighbours share an edge
    assert any(cell.buffer(1e-6).contains(Point(best.longitude, best.latitude)) for cell in region.geoms)

    document = KmlReader.from_string(text(kml_text(results)).partition("?>")[2])
    placemarks = list(find_all(document, of_type=Placemark))
    assert [place.name[:5] for place in placemarks] == [results[0].name[:5], "=cmd|"]
    assert (placemarks[0].geometry.x, placemarks[0].geometry.y) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("file_format", ["json", "csv", "geojson", "kml"])
def test_no_photo_at_all_is_a_valid_document(file_format):
    whole = text(exporter(file_format)([], 5))
    if "json" in file_format:
        json.loads(whole)
    elif file_format == "kml":
        ElementTree.fromstring(whole)
    else:
        assert whole.count("\n") == 1


@pytest.mark.parametrize("file_format", ["json", "csv", "geojson", "kml"])
def test_text_comes_while_photos_still_come(file_format, predictions):
    taken = []

    def slowly():
        for number in range(5):
            taken.append(number)
            yield predictions[0]

    chunks = exporter(file_format)(slowly(), 1)
    while "assets" not in next(chunks):
        pass
    assert taken == [0]


def test_an_unknown_format_is_refused():
    with pytest.raises(
        ValueError, match=re.escape("'gpx' is unknown; use json, csv, geojson, geojsonl, kml")
    ):
        exporter("gpx")


@given(st.text(max_size=30))
def test_any_name_is_written_safely(name):
    failures = [PhotoFailure(name, "some reason")]
    assert json.loads(text(json_text(failures)))[0]["error"] == "some reason"
    row = list(csv.reader(io.StringIO(text(csv_text(failures)))))[1]
    assert not row[0].startswith(("=", "+", "-", "@"))
