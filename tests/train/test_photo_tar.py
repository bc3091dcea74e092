"""A tar is there whole or not at all."""

from __future__ import annotations

import os
import tarfile

import pytest

from geo_model.errors import GeoModelError
from train.photo_tar import PhotoTar


def test_pairs(tmp_path):
    path = tmp_path / "00000.tar"
    with PhotoTar(path) as tar:
        tar.add("one", b"jpeg", {"latitude": 1.5, "id": "größe"})
        assert [name for name in os.listdir(tmp_path) if name.endswith(".tar")] == []
    with tarfile.open(path, "r:") as tar:
        assert tar.getnames() == ["one.jpg", "one.json"]
        assert tar.extractfile("one.jpg").read() == b"jpeg"
        assert tar.extractfile("one.json").read() == rb'{"latitude": 1.5, "id": "gr\u00f6\u00dfe"}'
    assert os.listdir(tmp_path) == ["00000.tar"]


def test_the_same_photos_make_the_same_bytes(tmp_path):
    for name in ("a.tar", "b.tar"):
        with PhotoTar(tmp_path / name) as tar:
            tar.add("one", b"jpeg", {"latitude": 1.5})
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "00000.tar"
    path.write_bytes(b"before")

    def interrupted():
        with PhotoTar(path) as tar:
            tar.add("one", b"jpeg", {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["00000.tar"]


def test_what_a_killed_program_left_is_overwritten(tmp_path):
    path = tmp_path / "00000.tar"
    tar = PhotoTar(path)
    tar.add("one", b"jpeg" * 100_000, {})  # and no end
    with PhotoTar(path) as again:
        again.add("two", b"jpeg", {})
    with tarfile.open(path, "r:") as found:
        assert found.getnames() == ["two.jpg", "two.json"]


def test_without_a_photo_there_is_no_tar(tmp_path):
    (tmp_path / "00000.tar").touch()
    with PhotoTar(tmp_path / "00000.tar"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(GeoModelError, match="cannot be written: no such file or directory"):
        PhotoTar(tmp_path / "no" / "00000.tar")
