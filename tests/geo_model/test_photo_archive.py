"""Zips and tars of strangers: the photos are read, everything else is refused by name."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile

import pytest

from geo_model.errors import TableError
from geo_model.photo_archive import ArchiveLimits, PhotoArchive

PHOTO = b"\xff\xd8\xff not really a photo, which reading it finds out later"


def make_zip(members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def make_tar(members: dict[str, bytes | tarfile.TarInfo], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def reasons(archive: PhotoArchive) -> dict[str, str]:
    return {refusal.name: refusal.reason for refusal in archive.refused}


@pytest.mark.parametrize("make", [make_zip, make_tar, lambda members: make_tar(members, "w:gz")])
def test_photos_are_read_in_order_from_bytes_and_from_a_file(make, tmp_path):
    data = make({"b.jpg": PHOTO + b"b", "sub/a.PNG": PHOTO + b"a"})
    path = tmp_path / "photos.archive"
    path.write_bytes(data)
    for archive in (PhotoArchive(data, "photos.zip"), PhotoArchive(path)):
        assert archive.photo_ids == ("b.jpg", "sub/a.PNG")
        assert len(archive) == 2
        assert [(photo.photo_id, photo.source) for photo in archive] == [
            ("b.jpg", PHOTO + b"b"),
            ("sub/a.PNG", PHOTO + b"a"),
        ]
        assert [photo.photo_id for photo in archive.photos(skip={"b.jpg"})] == ["sub/a.PNG"]
        assert list(archive.photos(skip=archive.photo_ids)) == []
        assert archive.read("sub/a.PNG") == PHOTO + b"a"
        with pytest.raises(KeyError):
            archive.read("c.jpg")
        assert archive.refused == ()


HARMFUL = {
    "../../escape.jpg": "its name leads out of the archive",
    "a/../../b.jpg": "its name leads out of the archive",
    "/etc/absolute.jpg": "its name is no path inside the archive",
    "C:/drive.jpg": "its name is no path inside the archive",
    "back\\slash.jpg": "its name is no path inside the archive",
    "nested.zip": "it is an archive inside the archive",
    "nested.tar.gz": "it is an archive inside the archive",
    "notes.txt": "it is no photo",
    "program.exe": "it is no photo",
    "__MACOSX/._good.jpg": "it is no photo",
    "alone.json": "it is no photo",
}


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_what_is_no_photo_is_refused_by_name(make):
    archive = PhotoArchive(make({"good.jpg": PHOTO, **dict.fromkeys(HARMFUL, b"{}")}), "x")
    assert archive.photo_ids == ("good.jpg",)
    assert reasons(archive) == HARMFUL


def test_a_zip_entry_that_unpacks_to_far_more_is_refused_unread():
    archive = PhotoArchive(make_zip({"good.jpg": PHOTO, "bomb.jpg": bytes(5 * 2**20)}), "x")
    assert archive.photo_ids == ("good.jpg",)
    assert "times its size, as no photo does" in reasons(archive)["bomb.jpg"]
    large = make_zip({"good.jpg": PHOTO, "large.jpg": bytes(97 * 2**20)})
    assert reasons(PhotoArchive(large, "x"))["large.jpg"] == "it unpacks to 97 MiB, and 96 are the most"


def test_a_zip_that_lies_about_a_size_gives_no_more_than_it_said():
    data = bytearray(make_zip({"lie.jpg": bytes(3 * 2**20)}))
    at = data.rfind(b"PK\x01\x02")
    assert struct.unpack_from("<I", data, at + 24) == (3 * 2**20,)
    struct.pack_into("<I", data, at + 24, 100)
    archive = PhotoArchive(bytes(data), "x")
    with pytest.raises(TableError, match=r"^x: it is no zip or tar that can be read"):
        list(archive)


def test_zip_entries_that_share_bytes_are_refused():
    data = bytearray(make_zip({"a.jpg": PHOTO * 40, "b.jpg": PHOTO * 40}, zipfile.ZIP_STORED))
    second = data.rfind(b"PK\x01\x02")
    struct.pack_into("<I", data, second + 42, 0)  # the second entry begins where the first does
    archive = PhotoArchive(bytes(data), "x")
    assert list(reasons(archive).values()) == ["it shares its bytes with another entry"]
    assert len(archive) == 1


def test_links_and_encrypted_entries_are_refused():
    buffer = io.BytesIO(make_zip({"good.jpg": PHOTO}))
    with zipfile.ZipFile(buffer, "a") as writer:
        link = zipfile.ZipInfo("link.jpg")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        writer.writestr(link, "/etc/passwd")
        writer.writestr("secret.jpg", PHOTO)
    data = bytearray(buffer.getvalue())
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<H", data, at + 8, 1)
    archive = PhotoArchive(bytes(data), "x")
    assert reasons(archive) == {
        "link.jpg": "it is a link or a device, not a file",
        "secret.jpg": "it is encrypted",
    }
    symbolic = tarfile.TarInfo("link.jpg")
    symbolic.type, symbolic.linkname = tarfile.SYMTYPE, "/etc/passwd"
    archive = PhotoArchive(make_tar({"good.jpg": PHOTO, "link.jpg": symbolic}), "x")
    assert reasons(archive) == {"link.jpg": "it is a link or a device, not a file"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice_counts_once():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as writer:
        writer.writestr("a.jpg", PHOTO)
        writer.writestr("a.jpg", b"another")
    archive = PhotoArchive(buffer.getvalue(), "x")
    assert [photo.source for photo in archive] == [PHOTO]
    assert reasons(archive) == {"a.jpg": "another entry has the same name"}


def test_a_compressed_tar_that_unpacks_to_far_more_is_refused_from_its_headers():
    info = tarfile.TarInfo("bomb.jpg")
    info.size = 80 * 2**30
    data = gzip.compress(info.tobuf() + bytes(10_000))
    with pytest.raises(TableError, match=r"bomb\.jpg it unpacks to more than 100 times its size"):
        PhotoArchive(data, "x.tgz")


def test_limits_of_the_whole_archive():
    data = make_zip({"a.jpg": PHOTO, "b.jpg": PHOTO})
    with pytest.raises(TableError, match="more than 1 entries"):
        PhotoArchive(data, "x.zip", ArchiveLimits(entries=1))
    with pytest.raises(TableError, match=r"up to b\.jpg it unpacks to more than"):
        PhotoArchive(data, "x.zip", ArchiveLimits(total_bytes=len(PHOTO) + 1))
    with pytest.raises(TableError, match="its list of entries takes"):
        PhotoArchive(data, "x.zip", ArchiveLimits(directory_bytes=10))


@pytest.mark.parametrize("data", [b"", b"only words", b"PK\x03\x04 and nothing more", bytes(2000)])
def test_what_is_no_archive_is_said_in_one_sentence(data):
    with pytest.raises(TableError, match=r"^x\.zip: it (is no zip or tar|holds no photo)"):
        PhotoArchive(data, "x.zip")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_an_archive_cut_short_is_an_error(make):
    data = make({f"{number}.jpg": bytes(range(256)) * 40 for number in range(5)})
    with pytest.raises(TableError, match=r"x: it is (damaged|no zip)"):
        list(PhotoArchive(data[: len(data) // 2], "x"))


def test_an_archive_without_photos_says_what_it_has():
    with pytest.raises(
        TableError, match=r"can be used; of its 1 other entries the first is a\.txt: it is no photo"
    ):
        PhotoArchive(make_zip({"a.txt": b""}), "x.zip")


def test_json_beside_a_photo_says_where_it_was_taken():
    members = {"a.jpg": PHOTO, "a.json": b'{"latitude": 1.5, "longitude": -2, "kind": "street"}'}
    for data in (make_zip(members), make_tar(members)):
        archive = PhotoArchive(data, "x")
        (photo,) = archive
        (described,) = archive.described()
        assert (described.photo_id, described.truth, described.source) == ("a.jpg", (1.5, -2.0), b"")
        assert (photo.truth, photo.kind) == ((1.5, -2.0), "street")
    with pytest.raises(TableError, match=r"x, a\.json, key latitude"):
        PhotoArchive(make_zip({**members, "a.json": b'{"latitude": 91, "longitude": 0}'}), "x")


def test_the_photos_of_im2gps3k(shared_data):
    archive = PhotoArchive(shared_data / "im2gps3k" / "photos-cc.tar")
    assert len(archive) == 1109
    assert archive.refused == ()
