"""Tables of predictions: what is read, which rows are refused in which words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_model.errors import TableError
from geo_model.prediction_table import read_predictions

HEADER = "img_id,gt_lat,gt_long,predicted_lat,predicted_long\n"
GOOD = "a.jpg,41.403491,2.174423,41.403616,2.174218\n"


def read(tmp_path, content, name="predictions.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_predictions(path)


@pytest.mark.parametrize(
    "content",
    [
        HEADER + GOOD + "b.jpg,51.51604,-0.129046,51.517766,-0.120418\n",
        "img_id,gt_lat,predicted_lat,gt_long,predicted_long,great_circle_distance,author\r\n"
        'a.jpg,41.403491,41.403616,2.174423,2.174218,0.02,"Me, myself"\r\n'
        "b.jpg,51.51604,51.517766,-0.129046,-0.120418,0.63,\r\n\r\n",
        "\ufeffPredicted_long,Predicted_lat,GT_LONG,GT_LAT,IMG_ID\n"
        "2.174218,41.403616,2.174423,41.403491,a.jpg\n-0.120418,51.517766,-0.129046,51.51604,b.jpg\n",
        "photo,kind,truth_latitude,truth_longitude,latitude,longitude,distance_km,error\n"
        "a.jpg,street,41.403491,2.174423,41.403616,2.174218,0.02,\n"
        "b.jpg,,51.51604,-0.129046,51.517766,-0.120418,0.63,\n",
    ],
    ids=["plain", "published", "other-order", "evaluate"],
)
def test_layouts(tmp_path, content):
    table = read(tmp_path, content)
    assert table.photo_ids == ("a.jpg", "b.jpg")
    assert (table.bad_rows, table.without_answer) == ((), ())
    np.testing.assert_array_equal(table.truth, [[41.403491, 2.174423], [51.51604, -0.129046]])
    np.testing.assert_array_equal(table.points, [[41.403616, 2.174218], [51.517766, -0.120418]])
    # The distances that the paper's table states for these two photos.
    assert table.distances_km == pytest.approx([0.02, 0.63], abs=0.0051)
    summary = table.summary()
    assert (summary.name, summary.count) == ("predictions.csv", 2)
    assert [accuracy.hits for accuracy in summary.accuracies] == [2, 2, 2, 2, 2]
    assert summary.mean_km == pytest.approx(0.325, abs=0.005)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("b.jpg,1,2,north,4", ["column predicted_lat", "'north' is not a number"]),
        ("b.jpg,1,2,,4", ["column predicted_lat", "'' is not a number"]),
        ("b.jpg,1,2,3,nan", ["column predicted_long", "not finite"]),
        ("b.jpg,1,2,3,190", ["column predicted_long", "beyond 180"]),
        ("b.jpg,151.2,-33,3,4", ["column gt_lat", "151.2", "swapped"]),
        ("b.jpg,1,2,3", ["4 cells", "the header has 5"]),
        ("Me, myself.jpg,1,2,3,4", ["6 cells", "quotes"]),
        (" ,1,2,3,4", ["column img_id", "empty"]),
        ("a.jpg,1,2,3,4", ["column img_id", "'a.jpg' is already in line 2"]),
    ],
)
def test_a_bad_row_is_named_by_line_and_column(tmp_path, row, words):
    table = read(tmp_path, HEADER + GOOD + row + "\nc.jpg,1,2,3,4\n")
    assert table.photo_ids == ("a.jpg", "c.jpg")
    (sentence,) = table.bad_rows
    for word in ["predictions.csv, line 3", *words]:
        assert word in sentence
    with pytest.raises(TableError) as caught:
        read(tmp_path, HEADER + row.replace("a.jpg", "") + "\n")
    assert "line 2" in str(caught.value)
    assert str(caught.value).endswith("No other row can be used either.")


def test_photos_without_an_answer_are_no_bad_rows(tmp_path):
    header = "photo,truth_latitude,truth_longitude,latitude,longitude,error\n"
    table = read(
        tmp_path, header + "a.jpg,1,2,1,2,\nb.jpg,,,,,it is no photo\na.jpg,1,2,1,3,\nc\x07.jpg,1,2,,,gone\n"
    )
    assert table.photo_ids == ("a.jpg", "a.jpg")  # of two tars
    assert table.bad_rows == ()
    assert table.without_answer == (("b.jpg", "it is no photo"), ("c\ufffd.jpg", "gone"))
    with pytest.raises(TableError, match=r"none of its 2 photos has an answer; the first, b\.jpg: gone"):
        read(tmp_path, header + "b.jpg,,,,,gone\nc.jpg,,,,,gone\n")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["line 1", "img_id,gt_lat,gt_long,predicted_lat,predicted_long or photo", "nothing"]),
        (b"IMG_ID,LAT,LON\na,1,2\n", ["line 1", "IMG_ID,LAT,LON"]),
        (HEADER.encode(), ["no line below"]),
        (HEADER.encode() + b"\xff\xfe,1,2,3,4\n", ["not UTF-8"]),
        pytest.param(HEADER.encode() + b"a" * 200_000 + b",1,2,3,4\n", ["line 2", "not CSV"], id="long cell"),
    ],
)
def test_a_table_that_cannot_be_read(tmp_path, content, words):
    with pytest.raises(TableError) as caught:
        read(tmp_path, content)
    for word in ["predictions.csv", *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_table(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(TableError, match="cannot be read"):
            read_predictions(path)


@given(st.text(max_size=200))
@settings(deadline=None)
def test_no_text_makes_reading_fail_in_another_way(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "predictions.csv"
    path.write_text(HEADER + GOOD + text, encoding="utf-8", errors="replace")
    try:
        table = read_predictions(path)
    except TableError:
        return
    assert len(table) == len(table.truth) == len(table.points) >= 1
    assert all(math.isfinite(distance) for distance in table.distances_km)


def test_content_is_read_as_a_file_is(tmp_path):
    text = "img_id,gt_lat,gt_long,predicted_lat,predicted_long\na.jpg,1,2,3,4\nb.jpg,91,2,3,4\n"
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    from_file, from_bytes = read_predictions(path), read_predictions(text.encode(), "t.csv")
    assert from_bytes.photo_ids == from_file.photo_ids == ("a.jpg",)
    assert from_bytes.name == from_file.name == "t.csv"
    assert from_bytes.bad_rows[0].startswith("t.csv, line 3, column gt_lat: latitude 91 is beyond")
    with pytest.raises(TableError, match=r"t\.csv: it is not UTF-8 text"):
        read_predictions(b"\xff\xfe", "t.csv")


def test_a_table_is_written_and_read_back():
    from geo_model.prediction_table import WRITTEN_COLUMNS, table_csv

    text = (
        ",".join(WRITTEN_COLUMNS) + "\n"
        'a.jpg,1.5,-2.25,170.123456,-179.0,2112.03,https://a.org/1.jpg,1,"B, =C",4,CC-BY 2.0,https://c.org/\n'
        "b.jpg,0.0,0.0,0.0,0.0,0.00,,0,,,,\n"
    )
    table = read_predictions(text.encode(), "t.csv")
    assert table.credits[0].author == "B, =C"
    assert table.credits[1] is None
    written = "".join(table_csv(table))
    assert written.splitlines()[2] == text.splitlines()[2]
    again = read_predictions(written.encode(), "t.csv")
    assert again.credits == table.credits
    assert np.array_equal(again.truth, table.truth)
    assert np.array_equal(again.points, table.points)
    assert "".join(table_csv(again)) == written


def test_the_bundled_table_holds_the_published_figures():
    from pathlib import Path

    from geo_model.prediction_table import table_csv

    path = Path(__file__).resolve().parents[2] / "assets" / "im2gps.csv"
    table = read_predictions(path)
    assert (len(table), table.bad_rows, table.remarks) == (237, (), ())
    percents = [round(100 * accuracy.share, 1) for accuracy in table.summary().accuracies]
    assert percents == [16.9, 43.0, 51.9, 66.7, 80.2]
    assert sum(credit is None for credit in table.credits) == 52
    assert {credit.host for credit in table.credits if credit} == {
        f"farm{number}.staticflickr.com" for number in (1, 2, 4)
    }
    assert "".join(table_csv(table)) == path.read_text(encoding="utf-8")
