"""Folders and tars of photos: what is read, and what is refused in which words."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from geo_model.errors import TableError
from geo_model.photo_collection import PhotoCollection, PhotoCollections, SourcePhoto, find_photos


def test_a_folder_is_searched_with_its_subfolders_in_a_fixed_order(tmp_path: Path):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.jpg", "sub/deep/c.heic", ".git/d.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    os.symlink(tmp_path, tmp_path / "sub" / "loop")
    assert [path.relative_to(tmp_path).as_posix() for path in find_photos(tmp_path)] == [
        "a.png",
        "b.JPG",
        "sub/deep/c.heic",
    ]
    collection = PhotoCollection(tmp_path)
    assert len(collection) == 3
    assert [photo.photo_id for photo in collection] == ["a.png", "b.JPG", "sub/deep/c.heic"]


def test_a_photo_is_looked_up_by_path_then_by_name_then_in_its_source():
    photo = SourcePhoto("sub/a.jpg", b"", truth=(5.0, 6.0))
    assert photo.look_up({"a.jpg": (1.0, 2.0), "sub/a.jpg": (3.0, 4.0)}) == ("sub/a.jpg", (3.0, 4.0))
    assert photo.look_up({"a.jpg": (1.0, 2.0)}) == ("a.jpg", (1.0, 2.0))
    assert photo.look_up({}) == ("sub/a.jpg", (5.0, 6.0))
    assert SourcePhoto("a.jpg", b"").look_up({"b.jpg": (1.0, 2.0)}) is None


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_tar_gives_photos_truth_and_kind_in_any_order(write_tar, tmp_path: Path, mode):
    tar = write_tar(
        tmp_path / "val.tar",
        {
            "first.json": {"latitude": 1.5, "longitude": -2, "kind": "street", "source": "x"},
            "first.jpg": b"one",
            "readme.txt": b"not a photo",
            "sub/second.left.jpg": b"two",
            "sub/second.json": {"latitude": 10, "longitude": 20},
            "._first.jpg": b"resource fork",
            "third.png": b"three",
            "fourth.jpg": b"four",
            "fourth.json": {"caption": "no coordinate", "kind": 3},
            "third.json": {"latitude": None, "longitude": None, "kind": "travel"},
        },
        mode,
    )
    collection = PhotoCollection(tar)
    assert len(collection) == 4
    expected = [
        SourcePhoto("first.jpg", b"one", (1.5, -2.0), "street"),
        SourcePhoto("sub/second.left.jpg", b"two", (10.0, 20.0), None),
        SourcePhoto("third.png", b"three", None, "travel"),
        SourcePhoto("fourth.jpg", b"four", None, None),
    ]
    assert list(collection) == expected
    assert list(collection) == expected  # a second time
    assert len(PhotoCollections([tar, tar])) == 8
    assert [photo.photo_id for photo in PhotoCollections([tar, tar])] == 2 * [p.photo_id for p in expected]


def test_names_in_a_tar_are_only_names(tmp_path: Path):
    tar = tmp_path / "hostile.tar"
    with tarfile.open(tar, "w") as archive:
        for name in ("../../evil.jpg", "/etc/evil.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        device = tarfile.TarInfo("device.jpg")
        device.type = tarfile.CHRTYPE
        archive.addfile(device)
    before = sorted(tmp_path.rglob("*"))
    assert [(photo.photo_id, photo.source) for photo in PhotoCollection(tar)] == [
        ("../../evil.jpg", b"abc"),
        ("/etc/evil.jpg", b"abc"),
    ]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"latitude": 151.2, "longitude": -33.8}, ["key latitude", "151.2", "swapped"]),
        ({"latitude": 1.0}, ["key longitude", "'None' is not a number"]),
        ({"latitude": True, "longitude": 2}, ["key latitude", "'True'"]),
        (b'{"latitude": NaN, "longitude": 1}', ["key latitude", "not finite"]),
        (b"{", ["not JSON"]),
        pytest.param(b"[" * 100_000, ["not JSON"], id="deep nesting"),
    ],
)
def test_a_wrong_coordinate_in_a_tar_is_named(write_tar, tmp_path: Path, content, words):
    tar = write_tar(tmp_path / "val.tar", {"a.jpg": b"x", "a.json": content})
    with pytest.raises(TableError) as caught:
        PhotoCollection(tar)
    for word in ["val.tar, a.json", *words]:
        assert word in str(caught.value)


def test_a_damaged_tar_is_found_before_the_first_photo(write_tar, tmp_path: Path):
    whole = write_tar(tmp_path / "whole.tar", {f"{n}.jpg": bytes([n]) * 5000 for n in range(4)}).read_bytes()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole[:9000])
    with pytest.raises(TableError, match=r"cut\.tar: the tar is damaged or cut short after \d files"):
        PhotoCollection(cut)
    scratched = bytearray(whole)
    scratched[2 * (512 + 5120) + 10] ^= 0xFF  # in the third header
    (tmp_path / "scratched.tar").write_bytes(scratched)
    with pytest.raises(TableError, match="damaged or cut short after 2 files"):
        PhotoCollection(tmp_path / "scratched.tar")
    gz = write_tar(tmp_path / "whole.tar.gz", {f"{n}.jpg": os.urandom(5000) for n in range(4)}, "w:gz")
    (tmp_path / "cut.tar.gz").write_bytes(gz.read_bytes()[:9000])
    with pytest.raises(TableError, match="damaged or cut short"):
        PhotoCollection(tmp_path / "cut.tar.gz")


def test_what_is_no_source_is_refused(tmp_path: Path):
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    tarfile.open(tmp_path / "empty.tar", "w").close()
    os.mkfifo(tmp_path / "pipe")
    for name, words in {
        "missing": "no such folder or tar",
        "text.txt": "neither a photo nor a tar",
        "empty": "holds no photo",
        "empty.tar": "holds no photo",
        "pipe": "not an ordinary file",
    }.items():
        with pytest.raises(TableError, match=words):
            PhotoCollection(tmp_path / name)


def test_one_photo_is_a_collection(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert list(PhotoCollection(tmp_path / "a.jpg")) == [SourcePhoto("a.jpg", tmp_path / "a.jpg")]


def test_the_validation_tars_hold_their_truth(shared_data: Path):
    photos = PhotoCollections([shared_data / kind / "val-000.tar" for kind in ("street", "travel")])
    assert len(photos) == 787 + 204
    first = next(iter(photos))
    assert first.truth == (38.8806915, -99.3169631)
    assert first.kind == "street"
    plain = PhotoCollection(shared_data / "im2gps3k" / "photos-cc.tar")
    assert len(plain) == 1109
    assert next(iter(plain)).truth is None
