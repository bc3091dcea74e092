import numpy as np
import pytest

from geo_model import cell_geometry, s2
from geo_model.cells import Partitioning
from geo_model.region_outline import region_outline
from geo_model.sphere import EARTH_RADIUS_KM, great_circle_km


def cells(*tokens: str) -> Partitioning:
    ids = s2.ids_from_tokens(tokens)
    latitudes, longitudes, _ = cell_geometry.centres(ids)
    return Partitioning("cells", ids, np.full(len(ids), 1), latitudes, longitudes)


def length_km(lines) -> float:
    return sum(float(great_circle_km(*line[:-1].T, *line[1:].T).sum()) for line in lines)


def level_3() -> Partitioning:
    points = np.stack(np.meshgrid(np.arange(-89, 90, 1.0), np.arange(-179.5, 180, 1.0)), -1).reshape(-1, 2)
    ids = np.unique(s2.cell_ids(points[:, 0], points[:, 1], 3))
    assert len(ids) == 6 * 4**3
    return Partitioning("level 3", ids, np.ones(len(ids)), np.zeros(len(ids)), np.zeros(len(ids)))


def test_a_face_of_the_cube_has_four_quarters_of_great_circles_at_70_degrees():
    # Neighbouring corners of the cube are arccos(1/3) apart.
    expected = 4 * EARTH_RADIUS_KM * np.arccos(1 / 3)
    assert length_km(region_outline(cells("1", "3"), [0])) == pytest.approx(expected, rel=1e-6)


def test_lines_between_cells_of_the_set_are_gone():
    four = cells("04", "0c", "14", "1c")  # all of face 0
    whole = length_km(region_outline(cells("1"), [0]))
    assert length_km(region_outline(four, [0, 1, 2, 3])) == pytest.approx(whole, rel=1e-6)
    alone = [length_km(region_outline(four, [index])) for index in range(2)]
    quarter_way = EARTH_RADIUS_KM * np.pi / 4  # from the face's centre to the middle of its side
    assert length_km(region_outline(four, [0, 1])) == pytest.approx(sum(alone) - 2 * quarter_way, rel=1e-6)


def test_cells_of_different_sizes_share_part_of_an_edge():
    # 0c beside all four children of 04, and 04's children alone: the big cell's edge is cut where they end.
    mixed = cells("01", "03", "05", "07", "0c")
    big = cells("04", "0c")
    assert length_km(region_outline(mixed, range(5))) == pytest.approx(
        length_km(region_outline(big, [0, 1])), rel=1e-6
    )


def test_the_whole_earth_has_no_edge_and_neither_has_nothing():
    world = level_3()
    assert region_outline(world, np.arange(len(world))) == []
    assert region_outline(world, []) == []


def test_what_a_partitioning_leaves_out_is_outside():
    (line,) = region_outline(cells("1"), [0])
    assert line[0] == pytest.approx(line[-1])


def test_longitudes_do_not_jump_at_the_date_line():
    world = level_3()
    near = [world.class_of(latitude, longitude) for latitude in (10, -10) for longitude in (179, -179)]
    lines = region_outline(world, [index for index in near if index is not None])
    assert lines
    assert max(float(np.abs(np.diff(line[:, 1])).max()) for line in lines) < 30
