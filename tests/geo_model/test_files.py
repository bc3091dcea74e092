"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import stat

import pytest

from geo_model.errors import GeoModelError
from geo_model.files import check_writable, replaced_when_written


def test_the_file_appears_at_the_end_with_ordinary_rights(tmp_path):
    path = tmp_path / "out.csv"
    mask = os.umask(0o022)
    try:
        with replaced_when_written(path) as file:
            file.write("größe\n")
            assert not path.exists()
    finally:
        os.umask(mask)
    assert path.read_bytes() == "größe\n".encode()
    assert list(tmp_path.iterdir()) == [path]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")

    def fail():
        with replaced_when_written(path) as file:
            file.write("new")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_said_beforehand(tmp_path):
    check_writable(tmp_path / "new.csv")
    with pytest.raises(GeoModelError, match="is a folder; give the name of a file"):
        check_writable(tmp_path)
    with pytest.raises(GeoModelError, match=r"there is no folder .*nowhere; make it first"):
        check_writable(tmp_path / "nowhere" / "new.csv")


def test_a_name_that_is_too_long_is_one_sentence(tmp_path):
    def write():
        with replaced_when_written(tmp_path / ("x" * 300)):
            pass

    with pytest.raises(GeoModelError, match="cannot be written: file name too long"):
        write()
