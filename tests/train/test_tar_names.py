import pytest

from geo_model.errors import ConfigError
from train.config import Source
from train.tar_names import check_gaps, expanded, matching_tars


def touch(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"")


def test_braces_stand_for_numbers_and_texts():
    assert list(expanded("a/{08..11}.tar")) == ["a/08.tar", "a/09.tar", "a/10.tar", "a/11.tar"]
    assert list(expanded("{x,y}-{1..2}.tar")) == ["x-1.tar", "x-2.tar", "y-1.tar", "y-2.tar"]
    assert list(expanded("plain-*.tar")) == ["plain-*.tar"]


def test_every_name_that_braces_lead_to_must_exist(tmp_path):
    touch(tmp_path, "00000.tar", "00001.tar", "00003.tar")
    assert [
        path[-9:] for path in matching_tars(Source(f"{tmp_path}/{{00000..00001}}.tar"), "data.train.0.tars")
    ] == ["00000.tar", "00001.tar"]
    with pytest.raises(
        ConfigError, match=r"data\.train\.0\.tars: 2 of the 5 names .*00002\.tar, .*00004\.tar"
    ):
        matching_tars(Source(f"{tmp_path}/{{00000..00004}}.tar"), "data.train.0.tars")


def test_missing_numbers_in_a_row_of_tars_are_refused():
    row = [f"photos/{number:05}.tar" for number in range(20)]
    check_gaps(row, "data.train.0.tars")
    check_gaps(
        ["photos/berlin.tar", "photos/b3.tar", "photos/b1900.tar", "photos/c2.tar"], "data.train.0.tars"
    )
    with pytest.raises(
        ConfigError, match=r"2 numbers .*: photos/00007\.tar, photos/00012\.tar; .*data\.gaps"
    ):
        check_gaps(row[:7] + row[8:12] + row[13:], "data.train.0.tars")
