"""Where a photo's bytes come from, what they may cost, and what is said of those that are none."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from geo_model.errors import PhotoError
from geo_model.photo_files import PHOTO_SUFFIXES, Limits, open_photo, photo_name, read_bytes, shown_name


def test_the_same_bytes_come_from_bytes_path_text_and_stream(sample_photos):
    path = sample_photos[0]
    data = path.read_bytes()
    with path.open("rb") as stream:
        assert data == read_bytes(stream)
    assert data == read_bytes(path) == read_bytes(str(path)) == read_bytes(data)
    assert data == read_bytes(bytearray(data)) == read_bytes(memoryview(data))


def test_a_stream_is_read_from_its_start_and_left_where_it_was():
    stream = io.BytesIO(b"0123456789")
    stream.seek(7)
    assert read_bytes(stream) == b"0123456789"
    assert stream.tell() == 7


class ShortReads(io.RawIOBase):
    """A stream without seek that gives three bytes at a time, for ever, and counts them."""

    given = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        count = min(3, len(buffer))
        buffer[:count] = b"abc"[:count]
        self.given += count
        return count


def test_reading_a_stream_stops_at_the_limit():
    stream = ShortReads()
    with pytest.raises(PhotoError, match="larger than"):
        read_bytes(stream, limits=Limits(max_bytes=1000))
    assert stream.given <= 1003


def test_a_member_of_a_tar_can_be_read_as_a_stream(tmp_path, sample_photos):
    archive = tmp_path / "photos.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(sample_photos[0], "a.jpg")
    with tarfile.open(archive) as tar:
        assert read_bytes(tar.extractfile("a.jpg")) == sample_photos[0].read_bytes()


@pytest.mark.parametrize("kind", ["path", "bytes", "stream"])
def test_the_limit_on_bytes_is_inclusive(tmp_path, kind):
    path = tmp_path / "ten.jpg"
    path.write_bytes(b"x" * 10)

    def source():
        return {"path": path, "bytes": b"x" * 10, "stream": io.BytesIO(b"x" * 10)}[kind]

    assert len(read_bytes(source(), limits=Limits(max_bytes=10))) == 10
    with pytest.raises(PhotoError, match="the file is larger than"):
        read_bytes(source(), limits=Limits(max_bytes=9))


def test_a_huge_file_is_refused_by_its_size_without_being_read(tmp_path):
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(2**36)  # sparse: 64 GiB that take no room on the disk
    with pytest.raises(PhotoError, match=r"huge\.jpg: the file is larger than 96 MiB; give a smaller copy"):
        read_bytes(path)


def test_a_missing_path(tmp_path):
    with pytest.raises(PhotoError, match=r"nowhere\.jpg: there is no such file; check the path\.$"):
        read_bytes(tmp_path / "nowhere.jpg")


def test_a_folder(tmp_path):
    with pytest.raises(PhotoError, match=r": this is a folder; give the path of a photo\.$"):
        read_bytes(tmp_path)


def test_an_empty_file_and_empty_bytes(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    for source in (path, b"", io.BytesIO()):
        with pytest.raises(PhotoError, match=r": the file is empty; give a photo\.$"):
            read_bytes(source)


def test_a_path_below_a_file_and_a_null_byte_in_a_path(tmp_path):
    path = tmp_path / "file.jpg"
    path.write_bytes(b"x")
    with pytest.raises(PhotoError, match="cannot be read"):
        read_bytes(path / "more.jpg")
    with pytest.raises(PhotoError, match="cannot be read"):
        read_bytes("a\0b.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    with pytest.raises(PhotoError, match="not an ordinary file"):
        read_bytes(pipe)


def test_a_text_stream_a_closed_stream_and_a_failing_one():
    with pytest.raises(PhotoError, match="binary mode"):
        read_bytes(io.StringIO("text"))
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(PhotoError, match="reading it failed"):
        read_bytes(closed)

    class Broken(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            raise OSError("the\ncard was pulled out")

    with pytest.raises(PhotoError, match=r"reading it failed \(the card was pulled out\)"):
        read_bytes(Broken())


def test_what_is_no_source_is_a_mistake_of_the_program():
    with pytest.raises(TypeError, match="not int"):
        read_bytes(3)


@pytest.mark.parametrize(
    "data",
    [
        b"Dear Sir or Madam, this is a letter.",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",  # Pillow would start Ghostscript
        b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41",  # a film
        b"8BPS\x00\x01" + bytes(60),
        b"P6\n1 1\n255\nabc",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\xff",
    ],
    ids=["text", "eps", "film", "psd", "ppm", "svg", "one byte"],
)
def test_other_formats_reach_no_decoder(data):
    with pytest.raises(
        PhotoError, match=r"^a\.jpg: this is not a photo in a known format; give JPEG, PNG.*AVIF\.$"
    ):
        open_photo(data, "a.jpg")


def test_a_damaged_header_is_told_from_an_unknown_format():
    with pytest.raises(PhotoError, match="header is damaged"):
        open_photo(b"\xff\xd8\xff\xe0 and nothing else", "a.jpg")


def test_photo_name():
    assert photo_name("a/b.jpg") == "a/b.jpg"
    assert photo_name(Path("a") / "b.jpg") == str(Path("a") / "b.jpg")
    assert photo_name(b"bytes", "photo 3") == "photo 3"
    assert photo_name(io.BytesIO(), "photo 3") == "photo 3"
    with open(__file__, "rb") as stream:
        assert photo_name(stream) == __file__
    with open(os.open(__file__, os.O_RDONLY), "rb") as numbered:  # its name is a number
        assert photo_name(numbered, "standard input") == "standard input"
    assert photo_name("Nürnberg 東京 می‌خواهم 👩‍💻.jpg") == "Nürnberg 東京 می‌خواهم 👩‍💻.jpg"


def test_a_name_cannot_break_out_of_its_line(tmp_path):
    name = "a\nb\x1b[31m\u202egpj.\u2028\udcff"
    assert photo_name(name) == "a�b�[31m�gpj.��"
    with pytest.raises(PhotoError) as caught:
        read_bytes(tmp_path / "x\nPaid: 100\x1b]0;title\x07.jpg")
    assert str(caught.value).isprintable()
    str(caught.value).encode("utf-8")


def test_a_long_name_keeps_its_end():
    shown = shown_name("folder/" * 40 + "photo.jpg")
    assert len(shown) == 80
    assert shown.startswith("…")
    assert shown.endswith("/photo.jpg")


def test_the_name_given_is_the_name_shown():
    with pytest.raises(PhotoError, match=r"^upload 2: the file is empty"):
        read_bytes(b"", name="upload 2")


def test_suffixes_are_lower_case_and_begin_with_a_dot():
    assert {".jpg", ".png", ".webp", ".tiff", ".bmp", ".gif", ".heic", ".avif"} <= PHOTO_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in PHOTO_SUFFIXES)
