"""The land outline: how TopoJSON is decoded and cut, and what lies in assets/land.geojson."""

from __future__ import annotations

import importlib.util
import json
import math
from itertools import pairwise
from pathlib import Path

import pytest

ASSETS = Path(__file__).resolve().parents[2] / "assets"


@pytest.fixture(scope="module")
def make_land():
    spec = importlib.util.spec_from_file_location("make_land", ASSETS / "make_land.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def land():
    features = json.loads((ASSETS / "land.geojson").read_text())["features"]
    return {feature["id"]: feature["geometry"] for feature in features}


def area_km2(ring: list[list[float]]) -> float:
    """Area of a closed ring on the sphere, positive when counter-clockwise, by the line integral of sin."""
    total = 0.0
    for (x1, y1), (x2, y2) in pairwise(ring):
        total -= math.radians(x2 - x1) * (2 + math.sin(math.radians(y1)) + math.sin(math.radians(y2)))
    return total * 6371**2 / 2


def test_arcs_are_deltas_of_a_quantised_grid(make_land):
    topology = {
        "transform": {"scale": [0.5, 0.25], "translate": [-180, -90]},
        "arcs": [[[0, 0], [10, 4], [-2, 8]]],
    }
    assert make_land.decode_arcs(topology) == [[(-180.0, -90.0), (-175.0, -89.0), (-176.0, -87.0)]]


def test_a_negative_index_is_an_arc_backwards(make_land):
    arcs = [[(0, 0), (1, 0), (1, 1)], [(0, 0), (0, 1), (1, 1)]]
    geometry = {"type": "Polygon", "arcs": [[0, ~1]]}
    assert make_land.polygons_of(geometry, arcs) == [[[(0, 0), (1, 0), (1, 1), (0, 1)]]]


def test_a_ring_over_the_date_line_becomes_two(make_land):
    ring = [(170, 0), (-170, 0), (-170, 10), (170, 10)]
    parts = make_land.cut(ring)
    assert sorted(sorted(part) for part in parts) == [
        [(-180, 0), (-180, 10), (-170, 0), (-170, 10)],
        [(170, 0), (170, 10), (180, 0), (180, 10)],
    ]


def test_a_comb_over_the_date_line_becomes_one_back_and_three_teeth(make_land):
    teeth = [(-179, 0), (-179, 1), (179, 1), (179, 2), (-179, 2), (-179, 3), (179, 3), (179, 4), (-179, 4)]
    ring = [*teeth, (-179, 5), (170, 5), (170, 0)]
    parts = make_land.cut(ring)
    assert len(parts) == 4
    total = sum(abs(make_land.signed_area(part)) for part in parts)
    assert total == pytest.approx(abs(make_land.signed_area(make_land.unwrap(ring))))


def test_a_ring_around_the_pole_is_closed_there(make_land):
    ring = [(-120, -70), (0, -70), (120, -70)]
    parts = make_land.cut(ring)
    assert sum(abs(make_land.signed_area(part)) for part in parts) == pytest.approx(360 * 20)
    at_pole = {longitude for part in parts for longitude, latitude in part if latitude == -90}
    assert {min(at_pole), max(at_pole)} == {-180, 180}


def test_holes_go_with_the_piece_that_holds_them(make_land):
    outer = [(170, 0), (-170, 0), (-170, 10), (170, 10)]
    hole = [(-178, 4), (-178, 6), (-176, 6), (-176, 4)]
    pieces = make_land.cut_polygon([outer, hole])
    east = next(piece for piece in pieces if piece[0][0][0] > 0)
    west = next(piece for piece in pieces if piece[0][0][0] < 0)
    assert len(east) == 1
    assert len(west) == 2
    assert make_land.signed_area(west[0]) > 0 > make_land.signed_area(west[1])


def test_the_land_has_the_size_of_the_earths_land(land):
    # Natural Earth at 1:110m, small islands left out; the Earth's land is 148.9 million km².
    total = sum(area_km2(ring) for polygon in land["land"]["coordinates"] for ring in polygon)
    assert total == pytest.approx(148.9e6, rel=0.02)


def test_no_edge_of_the_land_goes_the_long_way_round(land):
    for polygon in land["land"]["coordinates"]:
        for position, ring in enumerate(polygon):
            assert ring[0] == ring[-1]
            assert (area_km2(ring) > 0) == (position == 0)
            for (x1, y1), (x2, y2) in pairwise(ring):
                assert -180 <= x1 <= 180
                assert abs(x2 - x1) < 180 or y1 == y2 == -90
    for line in land["borders"]["coordinates"]:
        assert all(abs(a[0] - b[0]) < 10 for a, b in pairwise(line))


@pytest.mark.parametrize(
    ("longitude", "latitude", "on_land"),
    [
        (2.35, 48.86, True),
        (-100, 40, True),
        (0, -85, True),
        (170, 66.5, True),
        (-175, 66.5, True),
        (-30, 30, False),
    ],
)
def test_known_points_lie_where_they_should(make_land, land, longitude, latitude, on_land):
    polygons = land["land"]["coordinates"]
    assert any(make_land.holds(polygon[0][:-1], (longitude, latitude)) for polygon in polygons) == on_land
