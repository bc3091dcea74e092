"""Reading tables of coordinates."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from geo_model.errors import TableError
from train.tables import read_coordinates

ROOT = Path(__file__).resolve().parent.parent.parent


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
    ids = ["007", "1e5", "NA", " ", "  spaced ", "true", "3.10", '"a,b"', "größe", "=1+1"]
    table = read_coordinates(write("IMG_ID,LAT,LON\n" + "".join(f"{i},1,2\n" for i in ids)))
    assert table.ids == ["007", "1e5", "NA", " ", "  spaced ", "true", "3.10", "a,b", "größe", "=1+1"]


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
        (",46,35", "column IMG_ID: the cell is empty; every photo needs an id"),
        ("a,46,35", "column IMG_ID: 'a' stands in line 2 already; keep one of the two"),
        ('"two\nlines",46,35', r"column IMG_ID: 'two\\nlines' stands in line 3 already"),
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
    with pytest.raises(TableError, match="line 3, column IMG_ID: not UTF-8"):
        read_coordinates(write("IMG_ID,LAT,LON\na.jpg,1,2\nçé.jpg,1,2\n", "latin-1"))
    with pytest.raises(TableError, match="line 1: not UTF-8"):
        read_coordinates(write("IMG_ID,LAT,LON,ORT (größe)\na.jpg,1,2,3\n", "latin-1"))


def test_a_column_that_is_not_read_may_hold_anything(write):
    table = read_coordinates(write("IMG_ID,LAT,LON,AUTHOR\na.jpg,1,2,Müller\n", "latin-1"))
    assert table.ids == ["a.jpg"]


def test_of_two_defects_the_first_is_named(write):
    with pytest.raises(TableError, match="line 3, column IMG_ID: 'a' stands in line 2 already"):
        read_coordinates(write("IMG_ID,LAT,LON\na,1,2\na,1,2\nb,91,2\n"))
    with pytest.raises(TableError, match="line 3, column LAT: 91 is beyond"):
        read_coordinates(write("IMG_ID,LAT,LON\na,1,2\nb,91,2\na,1,2\n"))


def test_repeated_ids_are_found_where_the_ids_are_not_wanted(write):
    with pytest.raises(TableError, match="'a' stands in line 2 already"):
        read_coordinates(write("IMG_ID,LAT,LON\na,1,2\nb,3,4\na,5,6\n"), with_ids=False)


def test_rows_without_an_id_column_may_be_alike(write):
    assert len(read_coordinates(write("LAT,LON\n1,2\n1,2\n"))) == 2


@pytest.mark.skipif(os.name != "posix", reason="named pipes are made differently elsewhere")
def test_a_pipe_can_be_read(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for text, repeated in (("a,1,2\nb,3,4\n", False), ("a,1,2\na,3,4\n", True)):
        writer = Thread(target=pipe.write_text, args=("IMG_ID,LAT,LON\n" + text,))
        writer.start()
        if repeated:
            with pytest.raises(TableError, match="line 3, column IMG_ID: 'a' stands in line 2"):
                read_coordinates(pipe)
        else:
            assert read_coordinates(pipe).ids == ["a", "b"]
        writer.join()


def test_memory_stays_small(tmp_path):
    """At the 4.7 million rows of MP-16, 300 bytes a row would be 1.4 GB."""
    rows = 200_000
    path = tmp_path / "photos.csv"
    path.write_text(
        "IMG_ID,LAT,LON\n"
        + "".join(f"45/77/{n * 49_999}.jpg,46.{n},{n % 180}.123456789\n" for n in range(rows))
    )
    code = (
        "import resource, sys\n"
        "from train.tables import read_coordinates\n"
        "read_coordinates(sys.argv[1])\n"  # whatever the first reading loads is there
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "read_coordinates(sys.argv[2])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    small = tmp_path / "small.csv"
    small.write_text("IMG_ID,LAT,LON\na,1,2\n")
    done = subprocess.run(
        [sys.executable, "-c", code, small, path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit / rows < 300
