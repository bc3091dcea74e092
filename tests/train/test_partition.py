"""Splitting the Earth by where the photos are."""

from __future__ import annotations

import numpy as np
import pytest
import s2sphere
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_model import s2
from geo_model.cells import Hierarchy, Partitioning
from geo_model.errors import GeoModelError, PartitioningError
from train.assign import assign
from train.partition import partition
from train.tables import read_coordinates


def clustered_photos(seed, count=3000):
    """Photos about a few towns of very different size, as photos are."""
    rng = np.random.default_rng(seed)
    towns = np.stack([rng.uniform(-75, 75, 12), rng.uniform(-180, 180, 12)], axis=1)
    town = rng.choice(12, count, p=(weights := 0.6 ** np.arange(12)) / weights.sum())
    spread = rng.choice([0.01, 0.3, 4.0], (count, 1))
    points = towns[town] + rng.normal(0, 1, (count, 2)) * spread
    return np.clip(points[:, 0], -90, 90), (points[:, 1] + 180) % 360 - 180


def partition_by_the_book(latitudes, longitudes, img_min, img_max, lvl_min=2, lvl_max=30):
    """The algorithm as it is described, one photo and one s2sphere cell at a time."""
    leaves = [
        s2sphere.CellId.from_lat_lng(s2sphere.LatLng.from_degrees(latitude, longitude))
        for latitude, longitude in zip(latitudes, longitudes, strict=True)
    ]
    cells = {}
    for photo, leaf in enumerate(leaves):
        cells.setdefault(leaf.parent(lvl_min), []).append(photo)
    cells = {cell: photos for cell, photos in cells.items() if len(photos) > img_min}
    for level in range(lvl_min, lvl_max):
        for cell in [cell for cell, photos in cells.items() if len(photos) > img_max]:
            for photo in cells.pop(cell):
                cells.setdefault(leaves[photo].parent(level + 1), []).append(photo)
    cells = {cell: photos for cell, photos in cells.items() if len(photos) > img_min}
    return {cell.to_token(): photos for cell, photos in sorted(cells.items(), key=lambda item: item[0].id())}


@pytest.mark.parametrize(
    ("img_min", "img_max", "lvl_min", "lvl_max"),
    [(5, 60, 2, 30), (0, 1, 2, 30), (5, 60, 2, 6), (50, 400, 0, 30), (0, 10, 5, 5), (20, 21, 1, 9)],
)
def test_equal_to_the_described_algorithm(img_min, img_max, lvl_min, lvl_max):
    latitudes, longitudes = clustered_photos(seed=img_max)
    expected = partition_by_the_book(latitudes, longitudes, img_min, img_max, lvl_min, lvl_max)
    made = partition(latitudes, longitudes, img_min, img_max, lvl_min, lvl_max, name="made")
    assert made.name == "made"
    assert made.tokens == list(expected)
    assert made.photo_counts.tolist() == [len(photos) for photos in expected.values()]
    np.testing.assert_allclose(made.latitudes, [latitudes[photos].mean() for photos in expected.values()])
    if lvl_min > 0:
        np.testing.assert_allclose(
            made.longitudes, [longitudes[photos].mean() for photos in expected.values()]
        )


def test_the_order_of_the_photos_does_not_matter():
    latitudes, longitudes = clustered_photos(seed=1)
    first = partition(latitudes, longitudes, 5, 60)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(latitudes))
        again = partition(latitudes[order], longitudes[order], 5, 60)
        for field in ("ids", "photo_counts", "latitudes", "longitudes"):
            np.testing.assert_array_equal(getattr(again, field), getattr(first, field))


# Coordinates that go wrong first: poles, the date line from both sides, corners of the cube's faces, zeros of
# both signs, and leaves so close to one another that several coordinates share one.
AWKWARD = st.sampled_from(
    [
        (90.0, 0.0),
        (90.0, -180.0),
        (-90.0, 77.7),
        (89.99999999, 135.0),
        (0.1, 180.0),
        (0.1, -180.0),
        (0.1, 179.99999999),
        (-0.0, -0.0),
        (0.0, 0.0),
        (35.264389682754654, 45.0),
        (48.8584, 2.2945),
        (48.85840000001, 2.2945),
        (48.858400000000003, 2.29450000000001),
    ]
)
ANYWHERE = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@given(
    st.lists(st.tuples(AWKWARD | ANYWHERE, st.integers(1, 6)), min_size=1, max_size=25),
    st.integers(0, 2),
    st.integers(1, 8),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=40)
def test_the_file_has_the_same_bytes_for_every_order_of_the_rows(
    tmp_path_factory, places, img_min, more, random
):
    rows = [point for point, times in places for _ in range(times)]  # one coordinate up to six times
    folder = tmp_path_factory.mktemp("orders")
    written, classes_of = [], []
    for number in range(3):
        latitudes, longitudes = np.array(rows).T
        try:
            made = partition(latitudes, longitudes, img_min, img_min + more)
        except PartitioningError:
            assert number == 0 or not written
            continue
        made.write_csv(folder / f"{number}.csv")
        written.append((folder / f"{number}.csv").read_bytes())
        # What is written is read back whole, and each photo's class does not depend on its row either.
        again = Partitioning.read_csv(folder / f"{number}.csv")
        classes = assign(latitudes, longitudes, Hierarchy.build(again, again, again))
        classes_of.append(dict(zip(map(repr, rows), classes.tolist(), strict=True)))
        random.shuffle(rows)
    assert not written or len(written) == 3
    assert len(set(written)) <= 1
    assert all(classes == classes_of[0] for classes in classes_of)


def test_a_large_table_gives_the_same_bytes_for_every_order_of_the_rows(tmp_path):
    latitudes, longitudes = clustered_photos(seed=7, count=80_000)  # more than are computed in one piece
    latitudes, longitudes = latitudes.round(3), longitudes.round(3)  # so that many coordinates repeat
    assert len(np.unique(np.stack([latitudes, longitudes]), axis=1).T) < 65_000
    # A hundred leaves with 61 different coordinates in each, which sorting by cells leaves in any order.
    town, near = np.divmod(np.arange(6100), 61)
    latitudes[:6100] = 48.8584 + 0.001 * town + 5e-11 * near
    longitudes[:6100] = 2.2945 - 5e-11 * near
    _, counts = np.unique(s2.leaf_ids(latitudes[:6100], longitudes[:6100]), return_counts=True)
    assert (counts == 61).sum() > 80  # in the others an edge of a leaf lies between
    written = set()
    for seed in (None, 0):
        order = np.arange(80_000) if seed is None else np.random.default_rng(seed).permutation(80_000)
        partition(latitudes[order], longitudes[order], 5, 60).write_csv(tmp_path / "cells.csv")
        written.add((tmp_path / "cells.csv").read_bytes())
    assert len(written) == 1


def test_one_place_with_too_many_photos_ends_in_a_leaf():
    made = partition(np.full(100, 48.8584), np.full(100, 2.2945), img_min=5, img_max=10)
    assert made.s2_levels.tolist() == [30]
    assert made.photo_counts.tolist() == [100]
    assert (made.latitudes[0], made.longitudes[0]) == (48.8584, 2.2945)


@pytest.mark.parametrize("side", [1, -1])
def test_a_photo_on_the_date_line_does_not_move_the_mean_across_the_earth(side):
    # One of the two belongs to the cell on the other side by its sign alone.
    longitudes = np.array([180.0, -180.0, side * 179.9, side * 179.8, side * 179.9])
    latitudes = np.zeros(5) + 0.1
    made = partition(latitudes, longitudes, img_min=1, img_max=10, lvl_min=6)
    largest = int(np.argmax(made.photo_counts))
    assert made.photo_counts[largest] >= 3
    assert side * made.longitudes[largest] == pytest.approx(179.9, abs=0.1)
    assert (np.abs(made.longitudes) <= 180).all()


@given(
    st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=40),
    st.integers(0, 3),
    st.integers(1, 6),
)
@settings(deadline=None)
def test_counts_and_classes_agree(points, img_min, more):
    latitudes, longitudes = np.array(points).T
    expected = partition_by_the_book(latitudes, longitudes, img_min, img_min + more)
    if not expected:
        with pytest.raises(PartitioningError, match="no cell holds more"):
            partition(latitudes, longitudes, img_min, img_min + more)
        return
    made = partition(latitudes, longitudes, img_min, img_min + more)
    assert made.tokens == list(expected)
    assert (np.diff(made.ids.astype(object)) > 0).all()
    classes = made.classes_of(latitudes, longitudes)
    np.testing.assert_array_equal(np.bincount(classes[classes >= 0], minlength=len(made)), made.photo_counts)
    assert (made.photo_counts > img_min).all()
    assert ((made.photo_counts <= img_min + more) | (made.s2_levels == 30)).all()


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        ((-1, 10, 2, 30), "img_min must be 0 or more, not -1"),
        ((10, 10, 2, 30), r"img_max \(10\) must be larger than img_min \(10\)"),
        ((5, 10, 7, 6), r"lvl_min \(7\) and lvl_max \(6\)"),
        ((5, 10, 2, 31), r"lvl_max \(31\)"),
        ((5, 10, -1, 30), r"lvl_min \(-1\)"),
    ],
)
def test_contradicting_thresholds(thresholds, words):
    with pytest.raises(ValueError, match=words):
        partition(np.zeros(3), np.zeros(3), *thresholds)


def test_too_few_photos_and_no_coordinates():
    with pytest.raises(PartitioningError, match="no cell holds more than 5 of the 3 photos"):
        partition(np.zeros(3), np.zeros(3), 5, 10)
    with pytest.raises(PartitioningError, match="of the 0 photos"):
        partition(np.zeros(0), np.zeros(0), 5, 10)
    with pytest.raises(GeoModelError, match="beyond 90 degrees"):
        partition(np.full(3, 120.0), np.zeros(3), 0, 10)


def test_the_100000_coordinates_of_mp_16(shared_data, tmp_path):
    table = read_coordinates(shared_data / "mp16_sample" / "coordinates.csv")
    assert len(table) == 100_000
    made = [
        partition(table.latitudes, table.longitudes, img_min=5, img_max=most, name=name)
        for name, most in (("coarse", 321), ("middle", 150), ("fine", 41))
    ]
    assert [len(cells) for cells in made] == [1000, 2006, 5007]
    hierarchy = Hierarchy.build(*made)
    assert hierarchy.sizes == (1000, 2006, 5007)
    made[2].write_csv(tmp_path / "fine.csv")
    np.testing.assert_array_equal(Partitioning.read_csv(tmp_path / "fine.csv").latitudes, made[2].latitudes)
