"""Make assets/land.geojson, the land and the country borders that the globe draws.

    npm pack world-atlas@2.0.2
    python assets/make_land.py world-atlas-2.0.2.tgz

Input: the npm package world-atlas (ISC licence; made from Natural Earth 4.1, public domain), whose
`countries-110m.json` is a TopoJSON topology: quantised, delta-encoded arcs that rings refer to by index, `~i`
for arc i backwards. The format is described at https://github.com/topojson/topojson-specification.

Output: GeoJSON (RFC 7946), longitude first, degrees with two decimals (about 1 km): one MultiPolygon `land`
and one MultiLineString `borders`, the arcs that two countries share. Rings that cross the date line are cut
there and Antarctica is closed at the pole, because a map draws an edge from 179.9° to -179.9° the long way
round. Outer rings run counter-clockwise and holes clockwise.
"""

from __future__ import annotations

import json
import sys
import tarfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

Point = tuple[float, float]
"""Longitude, latitude in degrees."""
Ring = list[Point]
"""A closed line; the first point is not repeated at the end."""

MEMBER = "package/countries-110m.json"
LAND_GEOJSON = Path(__file__).with_name("land.geojson")


def decode_arcs(topology: dict) -> list[Ring]:
    """Turn a topology's quantised delta-encoded arcs into degrees."""
    scale, translate = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for deltas in topology["arcs"]:
        x = y = 0
        arc = []
        for dx, dy in deltas:
            x, y = x + dx, y + dy
            arc.append((x * scale[0] + translate[0], y * scale[1] + translate[1]))
        arcs.append(arc)
    return arcs


def polygons_of(geometry: dict, arcs: list[Ring]) -> list[list[Ring]]:
    """Polygons of a TopoJSON geometry, each its outer ring followed by its holes."""
    if geometry["type"] == "GeometryCollection":
        return [polygon for part in geometry["geometries"] for polygon in polygons_of(part, arcs)]
    polygons = [geometry["arcs"]] if geometry["type"] == "Polygon" else geometry["arcs"]
    return [[_join(indices, arcs) for indices in polygon] for polygon in polygons]


def _join(indices: list[int], arcs: list[Ring]) -> Ring:
    ring: Ring = []
    for index in indices:
        arc = arcs[index] if index >= 0 else arcs[~index][::-1]
        ring.extend(arc[:-1])  # the last point is the next arc's first
    return ring


def shared_arcs(countries: dict) -> list[int]:
    """Indices of the arcs that bound two countries: the borders without the coasts."""
    uses: Counter[int] = Counter()
    for country in countries["geometries"]:
        polygons = [country["arcs"]] if country["type"] == "Polygon" else country["arcs"]
        uses.update({i if i >= 0 else ~i for polygon in polygons for ring in polygon for i in ring})
    return sorted(index for index, count in uses.items() if count > 1)


def signed_area(ring: Ring) -> float:
    """Area in square degrees of the plane, positive for a counter-clockwise ring."""
    following = [*ring[1:], ring[0]]
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(ring, following, strict=True)) / 2


def holds(ring: Ring, point: Point) -> bool:
    """Whether a point lies inside a ring of the plane, by counting edges to its east."""
    x, y = point
    inside = False
    for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            inside = not inside
    return inside


def unwrap(ring: Ring) -> Ring:
    """Let longitudes run on past ±180 so that no edge is longer than half a turn.

    A ring that goes once around a pole is closed along that pole.
    """
    unwrapped = [ring[0]]
    for longitude, latitude in [*ring[1:], ring[0]]:
        before = unwrapped[-1][0]
        unwrapped.append((longitude - 360 * round((longitude - before) / 360), latitude))
    end = unwrapped.pop()
    if abs(end[0] - ring[0][0]) < 180:
        return unwrapped
    pole = 90.0 if sum(latitude for _, latitude in ring) > 0 else -90.0
    return [*unwrapped, end, (end[0], pole), (ring[0][0], pole)]


def keep_east_of(ring: Ring, meridian: float) -> list[Ring]:
    """The parts of a ring with longitude > meridian, each closed along the meridian."""
    east = [longitude > meridian for longitude, _ in ring]
    if all(east):
        return [ring]
    if not any(east):
        return []
    first = east.index(False)
    points = ring[first:] + ring[: first + 1]
    chains: list[Ring] = []
    for before, after in pairwise(points):
        if (before[0] > meridian) != (after[0] > meridian):
            share = (meridian - before[0]) / (after[0] - before[0])
            crossing = (meridian, before[1] + share * (after[1] - before[1]))
            if after[0] > meridian:
                chains.append([crossing])
            else:
                chains[-1].append(crossing)
        if after[0] > meridian:
            chains[-1].append(after)
    # Along the meridian the polygon's inside alternates with its outside, so neighbours by latitude belong
    # together: a chain's last point is joined to the first point of the chain beside it.
    ends = sorted(
        [(chain[0][1], i, True) for i, chain in enumerate(chains)]
        + [(chain[-1][1], i, False) for i, chain in enumerate(chains)]
    )
    next_chain: dict[int, int] = {}
    for (_, i, i_starts), (_, j, _) in zip(ends[::2], ends[1::2], strict=True):
        if i_starts:
            next_chain[j] = i
        else:
            next_chain[i] = j
    rings = []
    unused = set(range(len(chains)))
    while unused:
        i = min(unused)
        joined: Ring = []
        while i in unused:
            unused.remove(i)
            joined.extend(chains[i])
            i = next_chain[i]
        rings.append(joined)
    return rings


def keep_west_of(ring: Ring, meridian: float) -> list[Ring]:
    """The parts of a ring with longitude < meridian, each closed along the meridian."""
    mirrored = [(-longitude, latitude) for longitude, latitude in ring]
    return [
        [(-longitude, latitude) for longitude, latitude in part] for part in keep_east_of(mirrored, -meridian)
    ]


def cut(ring: Ring) -> list[Ring]:
    """Cut a ring at the date line into rings within -180 to 180 degrees of longitude."""
    ring = unwrap(ring)
    longitudes = [longitude for longitude, _ in ring]
    first_turn = int((min(longitudes) + 180) // 360)
    last_turn = int((max(longitudes) + 180) // 360)
    parts = []
    for turn in range(first_turn, last_turn + 1):
        for eastern in keep_east_of(ring, 360 * turn - 180):
            for part in keep_west_of(eastern, 360 * turn + 180):
                parts.append([(longitude - 360 * turn, latitude) for longitude, latitude in part])
    return parts


def cut_polygon(polygon: list[Ring]) -> list[list[Ring]]:
    """Cut a polygon at the date line; outer rings counter-clockwise, holes clockwise with their piece."""
    outers = [part if signed_area(part) > 0 else part[::-1] for part in cut(polygon[0])]
    pieces = [[outer] for outer in outers]
    for hole in polygon[1:]:
        for part in cut(hole):
            owner = next(piece for piece in pieces if holds(piece[0], part[0]))
            owner.append(part if signed_area(part) < 0 else part[::-1])
    return pieces


def _rounded(line: Ring, closed: bool) -> list[list[float]]:
    points = [[round(longitude, 2), round(latitude, 2)] for longitude, latitude in line]
    points = [point for i, point in enumerate(points) if i == 0 or point != points[i - 1]]
    if closed:
        while points[-1] == points[0]:
            points.pop()
        points.append(points[0])
    return points


def make_land(topology: dict) -> dict:
    """GeoJSON FeatureCollection of `land` and `borders` from a world-atlas countries topology."""
    arcs = decode_arcs(topology)
    pieces = [
        piece for polygon in polygons_of(topology["objects"]["land"], arcs) for piece in cut_polygon(polygon)
    ]
    borders = [_rounded(arcs[i], closed=False) for i in shared_arcs(topology["objects"]["countries"])]
    geometries = {
        "land": {
            "type": "MultiPolygon",
            "coordinates": [[_rounded(ring, closed=True) for ring in piece] for piece in pieces],
        },
        "borders": {"type": "MultiLineString", "coordinates": borders},
    }
    return {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "id": name, "properties": {}, "geometry": geometry}
            for name, geometry in geometries.items()
        ],
    }


def main(package: str) -> None:
    """Read the npm package's .tgz and write assets/land.geojson."""
    with tarfile.open(package) as archive:
        member = archive.extractfile(MEMBER)
        if member is None:
            raise SystemExit(f"{package} holds no {MEMBER}; pass world-atlas-2.0.2.tgz.")
        topology = json.load(member)
    text = json.dumps(make_land(topology), separators=(",", ":"))
    LAND_GEOJSON.write_text(text + "\n", encoding="utf-8", newline="\n")
    print(f"Wrote {LAND_GEOJSON} ({len(text) / 1000:.0f} kB).")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("Usage: python assets/make_land.py world-atlas-2.0.2.tgz")
    main(sys.argv[1])
