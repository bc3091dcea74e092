"""Outlines and great circles, against the cells' own definition and the sphere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geo_model import s2
from geo_model.cells import Partitioning
from geo_model.sphere import great_circle_km
from webapp.geometry import cell_outlines, great_circle

LATITUDES = st.floats(-90, 90)
LONGITUDES = st.floats(-180, 180)
POINTS = st.tuples(LATITUDES, LONGITUDES)


def cells(tokens: list[str]) -> Partitioning:
    ids = s2.ids_from_tokens(tokens)
    return Partitioning("test", ids, np.ones(len(ids)), np.zeros(len(ids)), np.zeros(len(ids)))


@settings(deadline=None)
@given(LATITUDES, LONGITUDES, st.integers(1, 20))
def test_an_outline_lies_in_its_cell_and_never_jumps(latitude, longitude, level):
    partitioning = cells(s2.tokens(s2.cell_ids([latitude], [longitude], level)))
    (outline,) = cell_outlines(partitioning)
    wrapped = (outline[:, 1] + 180) % 360 - 180
    assert (partitioning.classes_of(outline[:, 0], wrapped) == 0).all()
    closed = np.vstack([outline, outline[:1]])
    assert np.abs(np.diff(closed[:, 1])).max() < 180


def test_the_faces_with_a_pole_run_on_along_it():
    outlines = dict(zip("13579b", cell_outlines(cells(list("13579b"))), strict=True))
    for face, pole in (("5", 90.0), ("b", -90.0)):
        outline = outlines[face]
        assert np.ptp(outline[:, 1]) == pytest.approx(360)
        assert (outline[-2:, 0] == pole).all()
    assert np.ptp(outlines["7"][:, 1]) < 90  # it lies across the date line, in one piece


@settings(deadline=None)
@given(POINTS, POINTS)
@example((0.0, -180.0), (0.0, 0.0))  # antipodes
def test_a_great_circle_is_the_shortest_way(start, end):
    way = great_circle(start, end)
    wrapped = (way[:, 1] + 180) % 360 - 180
    legs = great_circle_km(way[:-1, 0], wrapped[:-1], way[1:, 0], wrapped[1:])
    assert legs.sum() == pytest.approx(float(great_circle_km(*start, *end)), rel=1e-6, abs=1e-3)
    assert legs.max() <= 111.3  # a degree
    for (latitude, longitude), point in ((start, way[0]), (end, way[-1])):
        assert great_circle_km(latitude, longitude, point[0], point[1]) < 1e-3


def test_a_great_circle_crosses_the_date_line_without_a_jump():
    way = great_circle((35.7, 139.7), (37.8, -122.4))
    assert np.abs(np.diff(way[:, 1])).max() < 5
    assert way[-1, 1] == pytest.approx(237.6)
    assert way[:, 0].max() > 45  # Tokyo to San Francisco goes far north of both
