"""Known distances, and geometry that must hold for any two points."""

import numpy as np
import pytest
from geopy.distance import great_circle
from hypothesis import given
from hypothesis import strategies as st

from geo_model.sphere import EARTH_RADIUS_KM, chord_of_km, great_circle_km, unit_vectors

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)


def test_published_im2gps_distance():
    # Photo 104123223 of the Im2GPS table published with ISN(M, f*, S3).
    assert great_circle_km(-16.663606, 145.563537, 48.088893, 11.548968) == pytest.approx(14583.29, abs=0.005)


def test_quarter_and_half_of_the_globe():
    quarter = np.pi * EARTH_RADIUS_KM / 2
    assert great_circle_km(0, 0, 0, 90) == pytest.approx(quarter)
    assert great_circle_km(90, 17, -90, -120) == pytest.approx(2 * quarter)


def test_short_way_across_the_date_line():
    assert great_circle_km(0, 179.5, 0, -179.5) == pytest.approx(EARTH_RADIUS_KM * np.radians(1))


@given(latitudes, longitudes, latitudes, longitudes)
def test_agrees_with_geopy(lat_1, lon_1, lat_2, lon_2):
    expected = great_circle((lat_1, lon_1), (lat_2, lon_2), radius=EARTH_RADIUS_KM).km
    # The haversine loses digits at the antipodes only; a centimetre elsewhere.
    assert great_circle_km(lat_1, lon_1, lat_2, lon_2) == pytest.approx(expected, abs=1e-3)


@given(latitudes, longitudes, latitudes, longitudes)
def test_chord_belongs_to_the_distance(lat_1, lon_1, lat_2, lon_2):
    points = unit_vectors([lat_1, lat_2], [lon_1, lon_2])
    distance_km = float(great_circle_km(lat_1, lon_1, lat_2, lon_2))
    assert np.linalg.norm(points, axis=1) == pytest.approx([1, 1])
    assert chord_of_km(distance_km) == pytest.approx(np.linalg.norm(points[0] - points[1]), abs=1e-9)


def test_broadcasts():
    assert great_circle_km([[0.0], [10.0]], 0.0, 0.0, [0.0, 1.0, 2.0]).shape == (2, 3)
