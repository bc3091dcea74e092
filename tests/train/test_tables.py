"""Reading tables of coordinates."""

from __future__ import annotations

import numpy as np
import pytest

from geo_model.errors import TableError
from train.tables import read_coordinates


@pytest.fixture
def write(tmp_path):
    def write_text(text, encoding="utf-8"):
        path = tmp_path / "photos.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write_text


@pytest.mark.parametrize(
    "header",
    [
        "IMG_ID,LAT,LON",
        "id,latitude,longitude",
        "img_id,lat,lon",
        " IMG_ID , LAT , LON ",
        '"IMG_ID","LAT","LON"',
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_every_way_of_writing_it(write, header, ending, encoding):
    rows = ["45/77/3228511372.jpg,46.778991,23.611207", "2e/b5/4325164013.jpg,40.445378999999996,-116.5"]
    table = read_coordinates(write(ending.join([header, *rows, ""]), encoding))
    assert table.ids == ["45/77/3228511372.jpg", "2e/b5/4325164013.jpg"]
    assert table.latitudes.tolist() == [46.778991, 40.445378999999996]
    assert table.longitudes.tolist() == [23.611207, -116.5]
    assert len(table) == 2


def test_without_ids(write):
    path = write("LAT,LON\n1,2\n")
    assert read_coordinates(path).ids is None
    assert read_coordinates(write("ID,LAT,LON\na,1,2\n"), with_ids=False).ids is None


def test_other_columns_and_orders(write):
    text = 'AUTHOR,LON,S3_Label,LAT,IMG_ID\n"Müller, Ötzi",10.5,2,47.25,x.jpg\n"said ""hi""",11,,48,y.jpg\n'
    table = read_coordinates(write(text))
    assert table.ids == ["x.jpg", "y.jpg"]
    assert table.latitudes.tolist() == [47.25, 48.0]
    assert table.longitudes.tolist() == [10.5, 11.0]


def test_ids_stay_text_exactly(write):
    ids = ["007", "1e5", "NA", "", "  spaced ", "true", "3.10", '"a,b"', "größe", "=1+1"]
    table = read_coordinates(write("IMG_ID,LAT,LON\n" + "".join(f"{i},1,2\n" for i in ids)))
    assert table.ids == ["007", "1e5", "NA", "", "  spaced ", "true", "3.10", "a,b", "größe", "=1+1"]


def test_coordinates_are_read_to_the_last_bit(write):
    values = np.random.default_rng(0).uniform(-90, 90, (500, 2))
    table = read_coordinates(write("LAT,LON\n" + "".join(f"{a!r},{b!r}\n" for a, b in values.tolist())))
    np.testing.assert_array_equal(np.stack([table.latitudes, table.longitudes], axis=1), values)


def test_the_ends_of_the_ranges_are_inside(write):
    table = read_coordinates(write("LAT,LON\n90,180\n-90,-180\n"))
    assert table.latitudes.tolist() == [90, -90]
    assert table.longitudes.tolist() == [180, -180]


def test_progress_grows(write):
    seen = []
    read_coordinates(write("LAT,LON\n" + "12.345678,98.765432\n" * 120_000), progress=seen.append)
    assert len(seen) == 2
    assert 0 < seen[0] < seen[1] <= 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("b,117.5,35", "column LAT: 117.5 is beyond 90 degrees; the headers LAT and LON may be swapped"),
        ("b,-90.01,35", "column LAT: -90.01 is beyond 90 degrees; the headers"),
        ("b,4677,35", "column LAT: 4677 is beyond 90 degrees$"),
        ("b,46,180.5", "column LON: 180.5 is beyond 180 degrees$"),
        ("b,,35", "column LAT: the cell is empty"),
        ("b,46,", "column LON: the cell is empty"),
        ("b,46,east", "column LON: 'east' is not a number"),
        ("b,nan,35", "column LAT: 'nan' is not a number"),
        ("b,46,-inf", "column LON: '-inf' is not a number"),
        ('b,"46,78",35', "column LAT: '46,78' is not a number"),
        ("b,1_0,35", "column LAT: '1_0' is not a number"),
        ("b,46", "2 fields where the header has 3"),
        ("b,46,78,23,61", "5 fields where the header has 3"),
        ('b,46,"35', "not readable as CSV"),
    ],
)
def test_an_unusable_row_is_named_by_line_and_column(write, row, words):
    path = write(f'IMG_ID,LAT,LON\na,1,2\n"two\nlines",1,2\n\n{row}\n')
    with pytest.raises(TableError, match=words) as caught:
        read_coordinates(path)
    assert str(caught.value).startswith(f"{path}, line 6")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("IMG_ID,LAT,LON\n", "has a header but no rows"),
        ("IMG_ID,LATTE,LON\na,1,2\n", "no column LAT or latitude among 'IMG_ID,LATTE,LON'"),
        ("IMG_ID,LAT\na,1\n", "no column LON or longitude"),
        (
            "46.7,23.6\n46.8,23.7\n",
            "no column LAT or latitude among '46.7,23.6'; the first line must be a header",
        ),
        ("LAT;LON\n1;2\n", "no column LAT"),
        ("LAT,LON,latitude\n1,2,3\n", "two columns for the same thing, LAT and latitude"),
    ],
)
def test_files_without_the_right_columns(write, text, words):
    with pytest.raises(TableError, match=words):
        read_coordinates(write(text))


def test_files_that_cannot_be_read(write, tmp_path):
    with pytest.raises(TableError, match="cannot be read: no such file"):
        read_coordinates(tmp_path / "none.csv")
    with pytest.raises(TableError, match="cannot be read: is a directory"):
        read_coordinates(tmp_path)
    with pytest.raises(TableError, match="not UTF-8"):
        read_coordinates(write("LAT,LON\n1,2\n", "utf-16"))
    with pytest.raises(TableError, match="not UTF-8"):
        read_coordinates(write("IMG_ID,LAT,LON\nçé.jpg,1,2\n", "latin-1"))
