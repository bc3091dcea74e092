"""The globe and the flat map: deck.gl layers of land, cells and points.

This is the only place of the web app where longitude comes before latitude, as GeoJSON and deck.gl want it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydeck
from numpy.typing import NDArray
from pydeck.bindings.json_tools import default_serialize

from geo_model.cells import Level, Partitioning
from geo_model.places import nearest_places
from geo_model.predict import Prediction
from webapp.geometry import cell_outlines, great_circle
from webapp.language import tr
from webapp.palette import Colour, Palette, ProbabilityScale, css
from webapp.wording import capitalised, count, percent, place_text

LAND_FILE = Path(__file__).resolve().parent.parent / "assets" / "land.geojson"
SERVED_LAND = Path(__file__).resolve().parent / "static" / LAND_FILE.name
LAND_ADDRESS = "app/static/land.geojson"

MOST_CELLS = 2000
"""Most cells sent to the browser: half a megabyte, and seconds to draw without a graphics card."""

DRAWN_SHARE = 0.01
"""Cells with less than this share of the most probable cell's probability are not drawn."""

FARTHEST, NEAREST = 0.0, 9.0
"""Ends of deck.gl's zoom."""

MERCATOR_LIMIT = 85.0
"""Latitude in degrees where the flat map ends."""

ONE_SIDE_KM = 9_000
"""Points nearer than this to each other, with what lies around them, are well seen from between them."""

_ON_SURFACE = {"depthCompare": "always", "cullMode": "back"}
"""For fills on the sphere: paint in the order of the layers, and hide the far side."""

_UPRIGHT = {"cullMode": "none"}
"""For points and lines on the sphere, which face the viewer."""

_CELL_TOOLTIP = "<b>{place}</b><br>{share}<br>{cell}"

_LIFT_M = 20_000
"""Height of the line to the GPS tag, in metres: on the sphere itself it would flicker."""


class CompactDeck(pydeck.Deck):
    """A Deck whose JSON carries no indentation, which is a sixth of pydeck's own."""

    def to_json(self) -> str:
        """The Deck as JSON."""
        return json.dumps(self, sort_keys=True, default=default_serialize, separators=(",", ":"))


class CellBook:
    """What every drawing of a partitioning needs, computed once: outlines and the place of each cell."""

    def __init__(self, partitioning: Partitioning) -> None:
        self.partitioning = partitioning
        self.places = nearest_places(partitioning.latitudes, partitioning.longitudes)
        self.polygons = [
            _longitude_first(outline, digits=_digits(level))
            for outline, level in zip(cell_outlines(partitioning), partitioning.s2_levels, strict=True)
        ]

    def polygon(self, class_index: int, *, flat: bool) -> list[list[float]]:
        """The outline of a cell as deck.gl wants it; the flat map ends before the poles."""
        polygon = self.polygons[class_index]
        return _clipped(polygon) if flat else polygon

    def continents(self, probabilities: NDArray[np.float32]) -> list[tuple[str, float]]:
        """English name and probability of each continent, most probable first."""
        return _summed([place.continent for place in self.places], probabilities)

    def countries(self, probabilities: NDArray[np.float32]) -> list[tuple[str, float]]:
        """ISO 3166-1 alpha-2 code and probability of each country, most probable first."""
        return _summed([place.country_code for place in self.places], probabilities)


def _summed(names: list[str], probabilities: NDArray[np.float32]) -> list[tuple[str, float]]:
    known, index = np.unique(names, return_inverse=True)
    sums = np.bincount(index, weights=probabilities, minlength=len(known))
    return [(str(known[i]), float(sums[i])) for i in np.argsort(-sums, kind="stable")]


@dataclass(frozen=True, eq=False)
class CellsOnShow:
    """The cells of one level that are drawn.

    Attributes:
        level: The head that they belong to; None for fine cells by the product of all three.
        classes: Class indices, most probable first, int64.
        probabilities: Theirs, float32.
        scale: From probability to colour.
    """

    level: Level | None
    classes: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    scale: ProbabilityScale

    @property
    def held(self) -> float:
        """Probability that all drawn cells hold together."""
        return float(self.probabilities.sum(dtype=np.float64))


def cells_on_show(prediction: Prediction, level: Level | None) -> CellsOnShow:
    """The cells of a level whose probability can be seen, most probable first.

    The scale reaches down to the least probable of them, and always over a factor of ten or more, so that a
    flat distribution looks flat.
    """
    probabilities = prediction.probabilities(level)
    highest = float(probabilities.max())
    classes = np.argsort(-probabilities, kind="stable")[:MOST_CELLS]
    classes = classes[probabilities[classes] >= DRAWN_SHARE * highest]
    lowest = min(float(probabilities[classes[-1]]), 0.1 * highest)
    return CellsOnShow(level, classes, probabilities[classes], ProbabilityScale(lowest, highest))


@dataclass(frozen=True)
class Camera:
    """Where the viewer looks at first: degrees, and deck.gl's zoom."""

    latitude: float
    longitude: float
    zoom: float


def camera(point: tuple[float, float], flat: bool, narrow: bool) -> Camera:
    """A view around a point (latitude, longitude): of the whole globe, or of a part of the flat map."""
    latitude = float(np.clip(point[0], -55, 55))
    if flat:
        zoom = _map_zoom(narrow)
    else:
        # deck.gl enlarges the globe as Mercator's projection would at the latitude in the middle.
        zoom = (1.4 if narrow else 2.05) + float(np.log2(np.cos(np.radians(latitude))))
    return Camera(round(latitude, 4), round(point[1], 4), round(zoom, 3))


def map_camera(way: NDArray[np.float64], narrow: bool) -> Camera:
    """A view of the flat map with a whole way on it.

    Args:
        way: Latitude and unwrapped longitude in degrees, shape (N, 2), as `great_circle` gives it.
        narrow: For a phone.
    """
    latitudes = np.clip(way[:, 0], -MERCATOR_LIMIT, MERCATOR_LIMIT)
    heights = np.degrees(np.arctanh(np.sin(np.radians(latitudes))))  # Mercator's, in degrees of the equator
    spans = np.maximum(np.ptp(np.stack([way[:, 1], heights], axis=1), axis=0), 1e-6)
    size_px = np.array([300, 340] if narrow else [520, 440])  # the chart on most screens, less a margin
    fits = float(np.log2((size_px / spans).min() * 360 / 512))  # at zoom 0 the equator takes 512 pixels
    zoom = float(np.clip(fits, 0, _map_zoom(narrow)))
    latitude = float(np.degrees(np.arcsin(np.tanh(np.radians((heights.min() + heights.max()) / 2)))))
    longitude = float((way[:, 1].min() + way[:, 1].max()) / 2 + 180) % 360 - 180
    return Camera(round(latitude, 4), round(longitude, 4), round(zoom, 3))


def _map_zoom(narrow: bool) -> float:
    return 1.1 if narrow else 2.0


def draw(
    palette: Palette,
    view: Camera,
    *,
    flat: bool,
    land: str | dict[str, Any],
    cells: Sequence[pydeck.Layer] = (),
    marks: Sequence[pydeck.Layer] = (),
    tooltip: str | None = None,
    view_id: str | None = None,
) -> CompactDeck:
    """A globe, or a flat map, that asks no outside host for anything.

    Args:
        palette: Colours.
        view: Where to look.
        flat: A flat map instead of the globe.
        land: Address of land.geojson on this server, or its content.
        cells: Layers on the surface, above the land.
        marks: Layers of points and lines, above everything.
        tooltip: HTML of what is said of the thing pointed at, with {field} for a field of its data; None says
            it of cells.
        view_id: Another one than before has Streamlit take the camera whole; else it takes only those of its
            numbers that differ from the camera given before, wherever the viewer has turned the chart.
    """
    surface = {} if flat else {"parameters": _ON_SURFACE}
    edge = MERCATOR_LIMIT if flat else 90.0
    sea = [[-180, edge], [0, edge], [180, edge], [180, -edge], [0, -edge], [-180, -edge]]
    # Colours stand in _sub_layer_props, because a selection dims every layer that has its own colour.
    ocean = pydeck.Layer(
        "GeoJsonLayer",
        id="ocean",
        data={"type": "Polygon", "coordinates": [[*sea, sea[0]]]},
        stroked=False,
        **surface,
        _sub_layer_props={"polygons-fill": {"getFillColor": list(palette.ocean)}},
    )
    continents = pydeck.Layer(
        "GeoJsonLayer",
        id="land",
        data=land,
        stroked=False,
        line_width_units='"pixels"',
        get_line_width=1,
        **surface,
        _sub_layer_props={
            "polygons-fill": {"getFillColor": list(palette.land)},
            "linestrings": {"getColor": list(palette.border)},
        },
    )
    if flat:
        projection = pydeck.View(type="MapView", controller=True, repeat=True)
    else:
        projection = pydeck.View(type="_GlobeView", controller=True, resolution=2)
    if view_id:
        projection.id = view_id
    return CompactDeck(
        layers=[ocean, continents, *cells, *marks],
        views=[projection],
        initial_view_state=pydeck.ViewState(
            latitude=view.latitude,
            longitude=view.longitude,
            zoom=view.zoom,
            min_zoom=FARTHEST,
            max_zoom=NEAREST,
        ),
        map_provider=None,  # and no map_style: even None there would ask a map server for the theme's style
        tooltip=_tooltip(palette, tooltip or _CELL_TOOLTIP) if cells or tooltip else False,
    )


def cells_layer_id(shown: CellsOnShow, photo_key: str) -> str:
    """A layer's name, one for each photo and level, so that a selection ends with what it was made on."""
    return f"cells-{shown.level.value if shown.level else 'combined'}-{photo_key[:12]}"


def cells_layer(
    layer_id: str, shown: CellsOnShow, book: CellBook, palette: Palette, *, flat: bool
) -> pydeck.Layer:
    """Cells coloured by probability; row i of the data is `shown.classes[i]`."""
    tokens, counts = book.partitioning.tokens, book.partitioning.photo_counts
    rows = [
        {
            "polygon": book.polygon(index, flat=flat),
            "colour": colour,
            "place": capitalised(place_text(book.places[index])),
            "share": tr("{share} of the probability", share=percent(probability)),
            "cell": tr(
                "Cell {token}, shaped by {photos}",
                token=tokens[index],
                photos=count(int(counts[index]), "photo"),
            ),
            "token": tokens[index],
        }
        for index, colour, probability in zip(
            shown.classes.tolist(),
            shown.scale.colours(shown.probabilities, palette).tolist(),
            shown.probabilities.tolist(),
            strict=True,
        )
    ]
    return polygons_layer(layer_id, rows, flat=flat)


def polygons_layer(layer_id: str, rows: list[dict[str, Any]], *, flat: bool) -> pydeck.Layer:
    """Rows with a polygon, longitude first, and a colour, to be pointed at and clicked."""
    return pydeck.Layer(
        "PolygonLayer",
        id=layer_id,
        data=rows,
        get_polygon="polygon",
        get_fill_color="colour",
        stroked=False,  # strokes cost ten times the time of a frame; the gaps between the cells are the grid
        pickable=True,
        auto_highlight=True,
        highlight_color=[255, 255, 255, 90],
        **({} if flat else {"parameters": _ON_SURFACE}),
    )


def outline_layer(class_index: int, book: CellBook, palette: Palette, *, flat: bool) -> pydeck.Layer:
    """The edge of one cell, to point it out where the chart's own selection does not."""
    polygon = book.polygon(class_index, flat=flat)
    line = {"type": "LineString", "coordinates": [*polygon, polygon[0]]}
    return marks_layer("chosen-cell", [line], palette, line_colour=palette.estimate, line_px=2, flat=flat)


def estimate_layer(point: tuple[float, float], palette: Palette, *, flat: bool) -> pydeck.Layer:
    """The predicted point (latitude, longitude)."""
    return marks_layer("estimate", [point_geometry(point)], palette, point_colour=palette.estimate, flat=flat)


def tag_layer(
    tag: tuple[float, float], estimate: tuple[float, float], palette: Palette, *, flat: bool
) -> pydeck.Layer:
    """The photo's own GPS tag (latitude, longitude) and the great circle from the predicted point to it."""
    way = great_circle(estimate, tag)
    return marks_layer(
        "gps-tag",
        [lifted_line(way), point_geometry(tag)],
        palette,
        point_colour=palette.tag,
        line_colour=palette.tag,
        line_px=3,
        flat=flat,
    )


def land_source(static_serving: bool) -> str | dict[str, Any]:
    """The land as an address on this server, or, where that cannot be served, its content.

    `webapp/static` is a symbolic link to `assets`, and Windows may check it out as a text file.
    """
    if static_serving and SERVED_LAND.is_file():
        return LAND_ADDRESS
    return _land()


@cache
def _land() -> dict[str, Any]:
    return json.loads(LAND_FILE.read_text(encoding="utf-8"))


def on_surface(flat: bool) -> dict[str, Any]:
    """Settings of a layer of fills."""
    return {} if flat else {"parameters": _ON_SURFACE}


def upright(flat: bool) -> dict[str, Any]:
    """Settings of a layer of points or lines."""
    return {} if flat else {"parameters": _UPRIGHT}


def marks_layer(
    layer_id: str,
    geometries: list[dict[str, Any]],
    palette: Palette,
    *,
    flat: bool,
    point_colour: Colour = (0, 0, 0),
    line_colour: Colour = (0, 0, 0),
    line_px: int = 1,
    point_px: int = 8,
    halo_px: int = 3,
) -> pydeck.Layer:
    """Points and lines that take no clicks and keep their colours when a cell is selected."""
    return pydeck.Layer(
        "GeoJsonLayer",
        id=layer_id,
        data={
            "type": "FeatureCollection",
            "features": [{"type": "Feature", "properties": {}, "geometry": part} for part in geometries],
        },
        pickable=False,
        stroked=True,
        point_type='"circle"',
        point_billboard=True,
        point_radius_units='"pixels"',
        get_point_radius=point_px,
        line_width_units='"pixels"',
        get_line_width=line_px,
        **upright(flat),
        _sub_layer_props={
            "points-circle": {
                "getFillColor": list(point_colour),
                "getLineColor": list(palette.halo),
                "getLineWidth": halo_px,
            },
            "linestrings": {"getColor": list(line_colour)},
        },
    )


def lines_geometry(ways: Sequence[NDArray[np.float64]], *, flat: bool) -> dict[str, Any]:
    """Lines of latitude and unwrapped longitude, (N, 2) each, as one geometry; lifted on the globe."""
    lines = [_longitude_first(way, 3) for way in ways]
    if flat:
        lines = [_clipped(line) for line in lines]
    else:
        lines = [[[*point, _LIFT_M] for point in line] for line in lines]
    return {"type": "MultiLineString", "coordinates": lines}


def lifted_line(way: NDArray[np.float64]) -> dict[str, Any]:
    """A line a little above the sphere, as GeoJSON, from latitude and unwrapped longitude, (N, 2)."""
    return {"type": "LineString", "coordinates": [[*point, _LIFT_M] for point in _longitude_first(way)]}


def point_geometry(point: tuple[float, float]) -> dict[str, Any]:
    """A point (latitude, longitude) as GeoJSON."""
    return {"type": "Point", "coordinates": [round(point[1], 5), round(point[0], 5)]}


def _longitude_first(points: NDArray[np.float64], digits: int = 4) -> list[list[float]]:
    return np.round(points[:, ::-1], digits).tolist()


def _digits(s2_level: int) -> int:
    """Decimals of a degree that draw a cell well: a hundredth of its side or finer."""
    return int(np.clip(np.ceil(np.log10(2.0**s2_level / 90)) + 2, 2, 9))


def _clipped(polygon: list[list[float]]) -> list[list[float]]:
    return [
        [longitude, min(max(latitude, -MERCATOR_LIMIT), MERCATOR_LIMIT)] for longitude, latitude in polygon
    ]


def _tooltip(palette: Palette, text: str) -> dict[str, Any]:
    # Streamlit escapes what it puts in for a {field}.
    return {
        "html": text,
        "style": {
            "backgroundColor": css(palette.panel),
            "color": css(palette.text),
            "fontSize": "13px",
            "lineHeight": "1.45",
            "borderRadius": "8px",
            "padding": "8px 12px",
            "boxShadow": "0 2px 12px rgba(0, 0, 0, 0.25)",
            "maxWidth": "280px",
        },
    }
