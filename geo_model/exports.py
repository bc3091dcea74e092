"""Predictions as JSON, CSV, GeoJSON, KML or a table for the terminal.

Each format is an iterator of text that takes predictions as they come, so that any number of photos can be
written in constant memory. Photos that could not be read are in all of them but KML, with the reason.

Coordinates are degrees, latitude before longitude, except inside GeoJSON and KML, which want longitude first.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias
from xml.sax.saxutils import escape

import numpy as np

from geo_model import cell_geometry
from geo_model.cells import Partitioning
from geo_model.images import photo_name
from geo_model.measurements import REGION_SHARES
from geo_model.predict import Candidate, PhotoFailure, Prediction, Region

Result: TypeAlias = Prediction | PhotoFailure

DRAWN_SHARE = 0.9
"""The credible region that GeoJSON and KML draw when they are asked to."""

_LOWEST_BIT_OF_FACES = 1 << 60
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def json_text(results: Iterable[Result], top_k: int = 5) -> Iterator[str]:
    """A JSON array with an object per photo, in the order of the photos.

    Keys: photo, latitude, longitude, probability, token, place, regions (area in km² and number of cells of
    the 50% and the 90% region), top (the k most probable fine cells from all levels), levels (the k most
    probable cells of each head). A photo that could not be read has the keys photo and error.
    """
    separator = "[\n"
    for result in results:
        item = _error_record(result) if isinstance(result, PhotoFailure) else _record(result, top_k)
        yield separator + json.dumps(item, ensure_ascii=False, allow_nan=False)
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def csv_text(results: Iterable[Result], top_k: int = 5) -> Iterator[str]:
    """A CSV table with a row per photo; the last column, error, is empty unless the photo could not be read.

    A name that a spreadsheet would take for a formula (it begins with = + - @) gets a ' in front.
    """
    yield csv_line([*flat_columns(top_k), "error"])
    for result in results:
        yield csv_row(result, top_k)


def csv_row(result: Result, top_k: int = 5) -> str:
    """The line of the CSV table for one result."""
    columns = flat_columns(top_k)
    if isinstance(result, PhotoFailure):
        return csv_line([photo_name(result.name), *[""] * (len(columns) - 1), result.reason])
    values = flat_values(result, top_k)
    return csv_line([*values, *[""] * (len(columns) - len(values)), ""])


def flat_columns(top_k: int = 5) -> list[str]:
    """Columns of a flat table of predictions."""
    columns = ["photo", "latitude", "longitude", "probability", "token", "place", "country_code"]
    columns += [f"region_{100 * share:.0f}_km2" for share in REGION_SHARES]
    for rank in range(1, top_k + 1):
        columns += [f"top_{rank}_{key}" for key in ("token", "probability", "latitude", "longitude", "place")]
    return columns


def flat_values(prediction: Prediction, top_k: int = 5) -> list[Any]:
    """A prediction in the order of `flat_columns`; shorter where the model has fewer than k cells."""
    record = _answer_record(prediction, top_k)
    cells = [record[key] for key in ("photo", "latitude", "longitude", "probability", "token")]
    cells += [record["place"]["text"], record["place"]["country_code"]]
    cells += [region["area_km2"] for region in record["regions"]]
    for top in record["top"]:
        cells += [top[key] for key in ("token", "probability", "latitude", "longitude", "place")]
    return cells


def geojson_lines(results: Iterable[Result], top_k: int = 5, draw_region: bool = False) -> Iterator[str]:
    """Newline-delimited GeoJSON: a feature of `geojson_text` on each line, without the RS of RFC 8142."""
    for result in results:
        yield "".join(
            json.dumps(feature, ensure_ascii=False, allow_nan=False) + "\n"
            for feature in _features(result, top_k, draw_region)
        )


def geojson_text(results: Iterable[Result], top_k: int = 5, draw_region: bool = False) -> Iterator[str]:
    """A GeoJSON feature collection (RFC 7946) with a point per photo.

    Args:
        results: Predictions and failures; a failure becomes a feature without geometry.
        top_k: How many of the most probable cells the properties name.
        draw_region: Whether each point is followed by the cells of its 90% region as a MultiPolygon.
    """
    separator = '{"type": "FeatureCollection", "features": [\n'
    for result in results:
        for feature in _features(result, top_k, draw_region):
            yield separator + json.dumps(feature, ensure_ascii=False, allow_nan=False)
            separator = ",\n"
    yield ("" if separator == ",\n" else separator) + "\n]}\n"


def kml_text(results: Iterable[Result], top_k: int = 5, draw_region: bool = False) -> Iterator[str]:
    """A KML 2.2 document with a placemark per photo; photos that could not be read are left out.

    Args:
        results: Predictions and failures.
        top_k: How many of the most probable cells the description names.
        draw_region: Whether each placemark is followed by the cells of its 90% region.
    """
    yield (
        '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2">\n<Document>\n'
        '<Style id="region"><LineStyle><color>ff3c5ae6</color><width>1</width></LineStyle>'
        "<PolyStyle><color>553c5ae6</color></PolyStyle></Style>\n"
    )
    for result in results:
        if isinstance(result, PhotoFailure):
            continue
        record = _answer_record(result, top_k)
        name = escape(record["photo"])
        lines = [f"{record['place']['text']}, probability {record['probability']:.1%}"]
        lines += [
            f"{region['share']:.0%} region: {region['area_km2']:,.0f} km²" for region in record["regions"]
        ]
        lines += [f"{top['rank']}. {top['place']} ({top['probability']:.1%})" for top in record["top"]]
        yield (
            f"<Placemark><name>{name}</name><description>{escape(chr(10).join(lines))}</description>"
            f"<Point><coordinates>{record['longitude']},{record['latitude']}</coordinates></Point></Placemark>\n"
        )
        if draw_region:
            polygons = "".join(
                "<Polygon><outerBoundaryIs><LinearRing><coordinates>"
                + " ".join(f"{longitude},{latitude}" for longitude, latitude in ring)
                + "</coordinates></LinearRing></outerBoundaryIs></Polygon>"
                for ring in _rings(result.hierarchy.fine, result.region(DRAWN_SHARE))
            )
            yield (
                f"<Placemark><name>{name}: {DRAWN_SHARE:.0%} region</name><styleUrl>#region</styleUrl>"
                f"<MultiGeometry>{polygons}</MultiGeometry></Placemark>\n"
            )
    yield "</Document>\n</kml>\n"


def exporter(file_format: str, draw_region: bool = False) -> Callable[[Iterable[Result], int], Iterator[str]]:
    """The function that writes a format: json, csv, geojson, geojsonl or kml.

    Raises:
        ValueError: There is no such format.
    """
    exporters: dict[str, Callable[..., Iterator[str]]] = {
        "json": json_text,
        "csv": csv_text,
        "geojson": partial(geojson_text, draw_region=draw_region),
        "geojsonl": partial(geojson_lines, draw_region=draw_region),
        "kml": partial(kml_text, draw_region=draw_region),
    }
    if file_format not in exporters:
        raise ValueError(f"format {file_format!r} is unknown; use {', '.join(exporters)}")
    return exporters[file_format]


def csv_line(cells: Sequence[Any]) -> str:
    """One line of a CSV table, in which no text can act as a spreadsheet formula; None is an empty cell."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(
        [spreadsheet_text(cell) if isinstance(cell, str) else cell for cell in cells]
    )
    return line.getvalue()


def spreadsheet_text(text: str) -> str:
    """Text that a spreadsheet shows and does not run: a ' goes before a leading = + - @, tab or return."""
    return "'" + text if text.startswith(_FORMULA_STARTS) else text


def _error_record(failure: PhotoFailure) -> dict[str, Any]:
    return {"photo": photo_name(failure.name), "error": failure.reason}


def _record(prediction: Prediction, top_k: int) -> dict[str, Any]:
    """A prediction in plain JSON values, with what each head alone says."""
    levels = {
        level.value: [_candidate(candidate) for candidate in prediction.top(top_k, level)]
        for level in prediction.levels
    }
    return {**_answer_record(prediction, top_k), "levels": levels}


def _answer_record(prediction: Prediction, top_k: int) -> dict[str, Any]:
    """The same without the heads, whose cells and places take most of the time."""
    place = prediction.place
    regions = [prediction.region(share) for share in REGION_SHARES]
    return {
        "photo": photo_name(prediction.name),
        "latitude": round(prediction.latitude, 6),
        "longitude": round(prediction.longitude, 6),
        "probability": _probability(prediction.probability),
        "token": prediction.hierarchy.fine.tokens[prediction.class_index],
        "place": {
            "text": place.text,
            "name": place.name,
            "country": place.country,
            "country_code": place.country_code,
            "continent": place.continent,
            "distance_km": round(place.distance_km, 1),
        },
        "regions": [
            {"share": region.share, "cells": len(region.classes), "area_km2": round(region.area_km2, 3)}
            for region in regions
        ],
        "top": [_candidate(candidate) for candidate in prediction.top(top_k)],
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "rank": candidate.rank,
        "token": candidate.token,
        "probability": _probability(candidate.probability),
        "latitude": round(candidate.latitude, 6),
        "longitude": round(candidate.longitude, 6),
        "place": candidate.place.text,
    }


def _probability(value: float) -> float:
    return float(f"{value:.6g}")  # float32 holds no more digits


def _features(result: Result, top_k: int, draw_region: bool) -> Iterator[dict[str, Any]]:
    if isinstance(result, PhotoFailure):
        yield {"type": "Feature", "geometry": None, "properties": _error_record(result)}
        return
    properties = _record(result, top_k)
    point = {"type": "Point", "coordinates": [properties.pop("longitude"), properties.pop("latitude")]}
    yield {"type": "Feature", "geometry": point, "properties": properties}
    if draw_region:
        region = result.region(DRAWN_SHARE)
        polygons = [[ring] for ring in _rings(result.hierarchy.fine, region)]
        yield {
            "type": "Feature",
            "geometry": {"type": "MultiPolygon", "coordinates": polygons},
            "properties": {
                "photo": properties["photo"],
                "region": region.share,
                "area_km2": round(region.area_km2, 3),
            },
        }


def _rings(partitioning: Partitioning, region: Region) -> list[list[list[float]]]:
    """Closed rings of the region's cells: longitude, latitude in degrees, counter-clockwise."""
    # A level 0 cell may cross the date line or hold a pole, where RFC 7946 wants a cut: draw its quarters.
    parts = [
        part
        for cell_id in partitioning.ids[region.classes].tolist()
        for part in (_quarters(cell_id) if cell_id & -cell_id == _LOWEST_BIT_OF_FACES else [cell_id])
    ]
    rings = [
        ring.round(6)[:, ::-1].tolist() for ring in cell_geometry.rings(np.array(parts, dtype=np.uint64))
    ]
    return [[*ring, ring[0]] for ring in rings]


def _quarters(cell_id: int) -> list[int]:
    """The four children of a cell, by the bits of its id."""
    lowest = cell_id & -cell_id
    return [cell_id - lowest + (2 * child + 1) * (lowest >> 2) for child in range(4)]
