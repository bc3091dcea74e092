"""The class of every photo in the three partitionings."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from geo_model.cells import Hierarchy, Partitioning
from geo_model.errors import GeoModelError
from train.assign import assign, write_assigned
from train.partition import partition
from train.tables import CoordinateTable, read_coordinates


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(4)
    return np.clip(rng.normal(45, 12, 4000), -90, 90), np.clip(rng.normal(8, 25, 4000), -180, 180)


@pytest.fixture(scope="module")
def hierarchy(photos):
    return Hierarchy.build(*(partition(*photos, img_min=5, img_max=most) for most in (300, 100, 20)))


def test_columns_follow_the_hierarchy(photos, hierarchy):
    classes = assign(*photos, hierarchy)
    assert classes.shape == (4000, 3)
    fine = classes[:, 2]
    held = fine >= 0
    assert 0 < held.sum() < 4000
    np.testing.assert_array_equal(hierarchy.ancestors[fine[held]], classes[held])


def test_what_is_written(tmp_path, photos, hierarchy):
    ids = ["45/77/3.jpg", "007", 'with "quotes", commas']
    table = CoordinateTable(ids, np.array([46.778991, -89.5, 40.445378999999996]), np.array([8.0, 0.1, 9.25]))
    path = tmp_path / "assigned.csv"
    write_assigned(path, table, np.array([[3, 5, 17], [-1, -1, -1], [0, 12, -1]]))
    assert path.read_bytes().decode() == (
        "IMG_ID,LAT,LON,coarse,middle,fine\n"
        "45/77/3.jpg,46.778991,8.0,3,5,17\n"
        "007,-89.5,0.1,,,\n"
        '"with ""quotes"", commas",40.445378999999996,9.25,0,12,\n'
    )
    again = read_coordinates(path)
    assert again.ids == ids
    np.testing.assert_array_equal(again.latitudes, table.latitudes)


def test_rows_without_an_id_get_their_number(tmp_path):
    table = CoordinateTable(None, np.zeros(3), np.zeros(3))
    path = tmp_path / "assigned.csv"
    write_assigned(path, table, np.zeros((3, 3), dtype=np.int64))
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["IMG_ID", "0", "1", "2"]


def test_more_rows_than_are_written_at_once(tmp_path):
    count = 120_001
    table = CoordinateTable(None, np.linspace(-90, 90, count), np.linspace(-180, 180, count))
    classes = np.arange(3 * count).reshape(count, 3)
    seen = []
    write_assigned(tmp_path / "a.csv", table, classes, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert [row[0] for row in rows] == [str(number) for number in range(count)]
    np.testing.assert_array_equal(np.array([row[3:] for row in rows]).astype(int), classes)


def test_a_failure_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "assigned.csv"
    path.write_text("as it was")
    table = CoordinateTable(None, np.zeros(200_000), np.zeros(200_000))

    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_assigned(path, table, np.zeros((200_000, 3), dtype=np.int64), stop)
    assert path.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path):
    table = CoordinateTable(None, np.zeros(1), np.zeros(1))
    with pytest.raises(GeoModelError, match="there is no folder"):
        write_assigned(tmp_path / "no" / "a.csv", table, np.zeros((1, 3), dtype=np.int64))


def test_the_published_classes_of_25600_photos(shared_data, tmp_path):
    published = shared_data / "yfcc25600" / "assigned_cells.csv"
    table = read_coordinates(published)
    paper = Hierarchy.build(
        *(
            Partitioning.read_csv(shared_data / "cells_paper" / f"cells_50_{most}.csv")
            for most in (5000, 2000, 1000)
        )
    )
    path = tmp_path / "assigned.csv"
    write_assigned(path, table, assign(table.latitudes, table.longitudes, paper))
    with path.open(newline="") as ours, published.open(newline="") as theirs:
        our_rows, their_rows = list(csv.DictReader(ours)), list(csv.DictReader(theirs))
    assert len(our_rows) == len(their_rows) == 25_600
    for column in ("IMG_ID", "coarse", "middle", "fine"):
        assert sum(o[column] == t[column] for o, t in zip(our_rows, their_rows, strict=True)) == 25_600
