"""Cell ids in numpy against the s2sphere package, to the last bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import s2sphere

from geo_model import s2
from geo_model.errors import GeoModelError, PartitioningError


def reference_leaves(latitudes, longitudes):
    return [
        s2sphere.CellId.from_lat_lng(s2sphere.LatLng.from_degrees(latitude, longitude))
        for latitude, longitude in zip(latitudes.tolist(), longitudes.tolist(), strict=True)
    ]


def assert_equal_at_every_level(latitudes, longitudes):
    leaves = reference_leaves(latitudes, longitudes)
    ours = s2.leaf_ids(latitudes, longitudes)
    for level in range(31):
        expected = np.array([leaf.parent(level).id() for leaf in leaves], dtype=np.uint64)
        np.testing.assert_array_equal(s2.parents(ours, level), expected, err_msg=f"level {level}")


def test_100000_random_points_at_every_level():
    rng = np.random.default_rng(20180901)
    latitudes = np.degrees(np.arcsin(rng.uniform(-1, 1, 100_000)))
    longitudes = rng.uniform(-180, 180, 100_000)
    assert_equal_at_every_level(latitudes, longitudes)
    leaves = s2.leaf_ids(latitudes, longitudes)
    for level in (0, 2, 13, 29, 30):
        np.testing.assert_array_equal(s2.cell_ids(latitudes, longitudes, level), s2.parents(leaves, level))


CORNER_LATITUDE = 35.264389682754654  # of the cube: arctan(1 / sqrt 2)


def test_poles_date_line_face_edges_and_corners():
    exact_latitudes = [-90.0, -CORNER_LATITUDE, -45.0, -0.0, 0.0, 45.0, CORNER_LATITUDE, 90.0]
    exact_longitudes = [-180.0, -135.0, -90.0, -45.0, -0.0, 0.0, 45.0, 90.0, 135.0, 180.0]
    latitudes = [
        near
        for value in exact_latitudes
        for near in (value, np.nextafter(value, -91), np.nextafter(value, 91), value + 1e-13, value - 1e-9)
        if abs(near) <= 90
    ]
    longitudes = [
        near
        for value in exact_longitudes
        for near in (value, np.nextafter(value, -181), np.nextafter(value, 181), value + 1e-13, value - 1e-9)
    ]
    pairs = np.array(list(itertools.product(latitudes, longitudes)))
    assert_equal_at_every_level(pairs[:, 0], pairs[:, 1])


def test_points_along_the_edges_between_faces():
    edge_longitudes = np.repeat([-135.0, -45.0, 45.0, 135.0], 500)
    latitudes = np.tile(np.linspace(-90, 90, 500), 4)
    assert_equal_at_every_level(latitudes, edge_longitudes)
    # Where the side faces meet the polar ones: tan(latitude) = cos(longitude from the middle of the face).
    longitudes = np.linspace(-180, 180, 1999)
    from_middle = np.radians((longitudes + 45) % 90 - 45)
    for sign in (1, -1):
        assert_equal_at_every_level(sign * np.degrees(np.arctan(np.cos(from_middle))), longitudes)


def test_longitudes_beyond_180_go_round():
    longitudes = np.array([181.0, -190.0, 360.0, 540.0, -540.0, 725.25])
    assert_equal_at_every_level(np.full(6, 12.5), longitudes)


def test_a_scalar_longitude_is_spread_over_all_latitudes():
    np.testing.assert_array_equal(
        s2.cell_ids([10.0, 20.0], 30.0, 7), s2.cell_ids(np.array([10.0, 20.0]), np.array([30.0, 30.0]), 7)
    )


def test_no_points_give_no_ids():
    assert s2.cell_ids([], [], 5).shape == (0,)
    assert s2.tokens(s2.leaf_ids([], [])) == []


@pytest.mark.parametrize(
    ("latitude", "longitude", "words"),
    [
        (90.0001, 10.0, "position 1.*90.0001.*beyond 90 degrees.*swapped"),
        (-117.0, 35.0, "position 1.*-117.0.*beyond 90"),
        (np.nan, 0.0, "position 1.*not a coordinate"),
        (0.0, np.inf, "position 1.*not a coordinate"),
    ],
)
def test_what_is_no_coordinate_is_named_by_its_position(latitude, longitude, words):
    with pytest.raises(GeoModelError, match=words):
        s2.leaf_ids([48.8, latitude], [2.3, longitude])


@pytest.fixture(scope="module")
def cells_of_all_levels():
    rng = np.random.default_rng(7)
    leaves = s2.leaf_ids(np.degrees(np.arcsin(rng.uniform(-1, 1, 60))), rng.uniform(-180, 180, 60))
    return np.concatenate([s2.parents(leaves, level) for level in range(31)])


def test_levels_bounds_tokens_and_positions_equal_s2sphere(cells_of_all_levels):
    reference = [s2sphere.CellId(number) for number in cells_of_all_levels.tolist()]
    assert s2.levels(cells_of_all_levels).tolist() == [cell.level() for cell in reference]
    assert s2.tokens(cells_of_all_levels) == [cell.to_token() for cell in reference]
    first, last = s2.range_bounds(cells_of_all_levels)
    assert first.tolist() == [cell.range_min().id() for cell in reference]
    assert last.tolist() == [cell.range_max().id() for cell in reference]
    face, i, j, side = s2.face_ij(cells_of_all_levels)
    for index, cell in enumerate(reference):
        their_face, their_i, their_j, _ = cell.to_face_ij_orientation()
        size = cell.get_size_ij()
        assert (face[index], i[index], j[index], side[index]) == (
            their_face,
            their_i & -size,
            their_j & -size,
            size,
        )


def test_tokens_read_back(cells_of_all_levels):
    np.testing.assert_array_equal(s2.ids_from_tokens(s2.tokens(cells_of_all_levels)), cells_of_all_levels)


@pytest.mark.parametrize(
    ("latitude", "longitude", "token"),
    [
        (49.703498679, 11.770681595, "47a1cbd595522b39"),
        (55.685376759, 12.588490937, "46525318b63be0f9"),
        (45.486546517, -93.449700022, "52b30b71698e729d"),
        (34.364439040, 108.330699969, "3663f18a24cbe857"),
    ],
)
def test_leaf_tokens_that_the_tests_of_google_s2_list(latitude, longitude, token):
    # Nine decimals are finer than a leaf cell in most places, and these are among them.
    assert s2.tokens(s2.leaf_ids([latitude], [longitude])) == [token]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "X",
        "4.7E+06",
        "47E5",
        "470",
        "47e5 ",
        "0x47e5",
        "-47",
        "d4",
        "f",
        "47e6702",
        "47e5" * 5,
        "٤٧",
    ],
)
def test_what_is_no_token_is_refused(text):
    assert s2.id_from_token(text) is None
    with pytest.raises(PartitioningError, match="position 2"):
        s2.ids_from_tokens(["47e5", "364", text])


def test_validity_equals_s2sphere(cells_of_all_levels):
    rng = np.random.default_rng(3)
    numbers = np.concatenate(
        [
            rng.integers(1, 2**64 - 2, 2000, dtype=np.uint64),
            cells_of_all_levels,
            cells_of_all_levels << np.uint64(1),
        ]
    )
    expected = [number != 0 and s2sphere.CellId(number).is_valid() for number in numbers.tolist()]
    assert s2.is_valid(numbers).tolist() == expected
    assert not s2.is_valid(np.array([0], dtype=np.uint64))[0]


@pytest.mark.parametrize("level", [-1, 31])
def test_a_level_that_does_not_exist(level):
    with pytest.raises(ValueError, match="0 to 30"):
        s2.cell_ids([0.0], [0.0], level)
