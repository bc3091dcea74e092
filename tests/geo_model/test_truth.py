"""Truth tables: what is read, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_model.errors import TableError
from geo_model.truth import read_truth_csv


@pytest.mark.parametrize(
    "content",
    [
        b"IMG_ID,LAT,LON\na.jpg,48.5,2.25\nb.jpg,-33.0,151\n",
        b"\xef\xbb\xbfIMG_ID,LAT,LON\r\na.jpg,48.5,2.25\r\nb.jpg,-33.0,151\r\n",
        b"licence,lon,img_id,lat\nCC0, 2.25 ,a.jpg,48.5\n,151,b.jpg,-33.0\n\n",
        b'img_id,gt_lat,predicted_lat,gt_long\n"a.jpg",48.5,nonsense,2.25\nb.jpg,-33.0,,151,more,cells\n',
    ],
    ids=["plain", "bom-crlf", "shuffled-lower-case", "im2gps"],
)
def test_truth_layouts(tmp_path: Path, content):
    table = tmp_path / "truth.csv"
    table.write_bytes(content)
    assert read_truth_csv(table) == {"a.jpg": (48.5, 2.25), "b.jpg": (-33.0, 151.0)}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["line 1", "IMG_ID,LAT,LON or img_id,gt_lat,gt_long", "nothing"]),
        (b"IMG_ID,LATITUDE,LON\na,1,2\n", ["line 1", "LATITUDE"]),
        (b"IMG_ID,LAT,LON\n", ["no line below"]),
        (b"IMG_ID,LAT,LON\na,1,2\nb,151.2,-33\n", ["line 3", "column LAT", "151.2", "swapped"]),
        (b"IMG_ID,LAT,LON\na,1,200\n", ["line 2", "column LON", "200", "-180 to 180"]),
        (b"img_id,gt_lat,gt_long\na,one,2\n", ["line 2", "column gt_lat", "'one' is not a number"]),
        (b"IMG_ID,LAT,LON\na,nan,2\n", ["line 2", "column LAT", "not finite"]),
        (b"IMG_ID,LAT,LON\na,1_0,2\n", ["line 2", "column LAT", "'1_0'"]),
        (b"IMG_ID,LAT,LON\na,1,\n", ["line 2", "column LON", "'' is not a number"]),
        (b"IMG_ID,LAT,LON\na,1\n", ["line 2", "2 cells"]),
        (b"IMG_ID,LAT,LON\n ,1,2\n", ["line 2", "column IMG_ID", "empty"]),
        (b"IMG_ID,LAT,LON\na,1,2\nb,1,2\na,1,2\n", ["line 4", "'a'", "already in line 2"]),
        (b"IMG_ID,LAT,LON\n\n\na,x,2\n", ["line 4", "column LAT"]),
        (b"IMG_ID,LAT,LON\n\xff\xfe,1,2\n", ["not UTF-8"]),
        pytest.param(b"IMG_ID,LAT,LON\n" + b"a" * 200_000 + b",1,2\n", ["line 2", "not CSV"], id="long cell"),
    ],
)
def test_a_truth_table_that_cannot_be_used_is_named_by_line_and_column(tmp_path: Path, content, words):
    table = tmp_path / "truth.csv"
    table.write_bytes(content)
    with pytest.raises(TableError) as caught:
        read_truth_csv(table)
    sentence = str(caught.value)
    assert "\n" not in sentence
    for word in ["truth.csv", *words]:
        assert word in sentence


def test_a_missing_truth_table_and_a_folder_are_refused(tmp_path: Path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(TableError, match=r"cannot be read.*CSV"):
            read_truth_csv(path)


@given(st.binary(max_size=300))
def test_no_bytes_make_a_truth_table_fail_in_another_way(tmp_path_factory, content):
    table = tmp_path_factory.mktemp("any") / "truth.csv"
    table.write_bytes(b"IMG_ID,LAT,LON\n" + content)
    try:
        truths = read_truth_csv(table)
    except TableError:
        return
    assert all(abs(latitude) <= 90 and abs(longitude) <= 180 for latitude, longitude in truths.values())


def test_the_published_tables_are_read(shared_data: Path):
    assert len(read_truth_csv(shared_data / "im2gps" / "reference.csv")) == 237
    assert len(read_truth_csv(shared_data / "im2gps3k" / "published_base_M_fstar.csv")) == 2997
    truths = read_truth_csv(shared_data / "im2gps3k" / "ground_truth_cc.csv")
    assert truths["1023756068_20c3ffc329_1039_70323761@N00.jpg"] == (40.807694, -73.962262)
