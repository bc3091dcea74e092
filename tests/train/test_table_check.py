"""All that is wrong with a table."""

from __future__ import annotations

import csv

import pytest

from geo_model.errors import TableError
from train.table_check import check_table

BAD = """IMG_ID,LAT,LON,AUTHOR
a.jpg,46.5,23.25,x

b.jpg,117.5,35,x
c.jpg,46,"35,x
d.jpg,-10,-170,"two
lines"
e.jpg,46
a.jpg,1,2,x
,1,2,x
f.jpg,nan,35,x
g.jpg,46,200,x
"""
FOUND = [
    (4, "LAT", "latitude beyond 90 degrees"),
    (5, "", "line that is not CSV"),
    (8, "", "wrong number of fields"),
    (9, "IMG_ID", "id that stands in an earlier line"),
    (10, "IMG_ID", "empty id"),
    (11, "LAT", "latitude that is no number"),
    (12, "LON", "longitude beyond 180 degrees"),
]


@pytest.fixture
def write(tmp_path):
    def write_text(text):
        path = tmp_path / "photos.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_text


def test_every_defect_is_found_and_reading_goes_on_after_it(write):
    report = check_table(write(BAD))
    assert [(d.line, d.column, d.kind) for d in report.first] == FOUND
    assert (report.rows, report.usable, report.defective) == (9, 2, 7)
    assert report.latitudes == (-10, 46.5)
    assert report.longitudes == (-170, 23.25)
    assert report.with_ids
    assert report.counts == {kind: 1 for *_, kind in FOUND}


def test_only_some_are_shown_and_all_are_written(write, tmp_path):
    out = tmp_path / "defects.csv"
    path = write(BAD)
    report = check_table(path, shown=2, out=out)
    assert [d.line for d in report.first] == [4, 5]
    assert report.defective == 7
    text = out.read_text()
    assert "\r" not in text
    rows = list(csv.DictReader(text.splitlines()))
    assert [(int(row["line"]), row["column"], row["kind"]) for row in rows] == FOUND
    assert rows[0]["reason"].startswith("117.5 is beyond 90 degrees; the headers LAT and LON may be swapped")
    assert check_table(path).first[0].sentence(path) == f"{path}, line 4, column LAT: {rows[0]['reason']}"


def test_swapped_headers_make_many_defects_of_one_kind(write):
    rows = "".join(f"{n},{120 + n / 100},{n / 100}\n" for n in range(3000))
    report = check_table(write("IMG_ID,LAT,LON\n" + rows), shown=3)
    assert report.counts == {"latitude beyond 90 degrees": 3000}
    assert (report.rows, report.usable, report.latitudes) == (3000, 0, None)
    assert len(report.first) == 3


def test_stray_quotes_take_no_other_line_with_them(write):
    rows = [f'{n},1,2,"x' if n % 10 == 5 else f"{n},1,2,x" for n in range(40)]
    report = check_table(write("IMG_ID,LAT,LON,AUTHOR\n" + "\n".join(rows)))
    # A stray quote and the next one frame a text with line ends; what stands behind it gives it away.
    assert [d.line for d in report.first] == [7, 17, 27, 37]
    assert report.usable == 36


def test_an_id_is_repeated_only_if_an_earlier_row_is_usable(write):
    report = check_table(write("IMG_ID,LAT,LON\na,91,2\na,1,2\nb,1,2\na,1,2\na,1,2\n"))
    assert [(d.line, d.kind.split()[0]) for d in report.first] == [(2, "latitude"), (5, "id"), (6, "id")]
    assert "'a' stands in line 3 already" in report.first[1].reason
    assert report.counts["id that stands in an earlier line"] == 2


def test_text_of_strangers_is_shown_escaped(write):
    path = write(b"IMG_ID,LAT,LON\n\xff.jpg,1,2\na,\x1b[31m[red]9,2\na\x07,1,2\na\x07,1,2\n")
    sentences = [d.sentence(path) for d in check_table(path).first]
    assert [s.split(": ", 1)[1][:30] for s in sentences] == [
        "not UTF-8 text; save it so",
        r"'\x1b[31m[red]9' is not a numb",
        r"'a\x07' stands in line 4 alrea",
    ]
    assert all(s.isprintable() for s in sentences)


def test_a_table_without_ids_or_defects(write):
    report = check_table(write("LAT,LON\n1,2\n1,2\n"))
    assert (report.rows, report.usable, report.with_ids, report.counts) == (2, 2, False, {})


def test_what_cannot_be_read_at_all(write, tmp_path):
    with pytest.raises(TableError, match="has a header but no rows"):
        check_table(write("LAT,LON\n"))
    with pytest.raises(TableError, match="no column LON"):
        check_table(write("LAT\n1\n"))
    with pytest.raises(TableError, match="no such file"):
        check_table(tmp_path / "none.csv", out=tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
