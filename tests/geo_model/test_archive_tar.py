"""Headers of tars are read as tarfile reads them, in every format, and damage is found."""

from __future__ import annotations

import io
import tarfile

import pytest

from geo_model.archive_tar import open_tar, tar_content, tar_files, tar_headers
from geo_model.errors import TableError

NAMES = [
    *("a.jpg", "sub/b.jpg", "ü/日本.jpg", "x" * 100, "y" * 101, "/".join(["folder"] * 30) + "/deep.jpg"),
    *("/".join(["f" * 40] * 3) + "/prefixed.jpg", "z" * 300 + ".jpg"),
]


def tar_of(names, **how) -> io.BytesIO:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", **how) as archive:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = 700 * number
            archive.addfile(info, io.BytesIO(bytes([number]) * info.size))
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE):
            info = tarfile.TarInfo("other" + kind.decode())
            info.type, info.linkname = kind, names[0]
            archive.addfile(info)
    written.seek(0)
    return written


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_what_tarfile_finds_is_found(tar_format):
    names = NAMES if tar_format != tarfile.USTAR_FORMAT else [n for n in NAMES if 0 < len(n) <= 100]
    written = tar_of(names, format=tar_format)
    with tarfile.open(fileobj=io.BytesIO(written.getvalue())) as theirs:
        expected = [(m.name, m.type, m.offset_data, m.size, m.linkname) for m in theirs.getmembers()]
        contents = [theirs.extractfile(m).read() for m in theirs.getmembers() if m.isreg()]
    with open_tar(written) as ours:
        members = list(tar_headers(ours))
        found = [(m.name, m.type, m.offset_data, m.size, m.linkname) for m in members]
        assert found == expected
        assert [tar_content(ours, member, 1 << 20) for member in members if member.isreg()] == contents
    assert len(found) == len(names) + 3


def test_sizes_in_other_notations_are_read():
    """8 GiB and more do not fit into eleven octal digits: GNU writes them in base 256."""
    info = tarfile.TarInfo("huge.jpg")
    info.size = 9 << 30
    header = io.BytesIO(info.tobuf(tarfile.GNU_FORMAT))
    with open_tar(header) as archive:
        member = archive.next()
    assert member is not None
    assert (member.name, member.size) == ("huge.jpg", 9 << 30)


@pytest.mark.parametrize("at", [0, 3, 124, 130, 150, 156])
def test_a_bent_header_ends_the_reading_with_a_sentence(at):
    data = bytearray(tar_of(["a.jpg", "b.jpg", "c.jpg"]).getvalue())
    second = data.index(b"b.jpg")
    data[second + at] ^= 0x55
    found = tar_files("x.tar", lambda name: None, io.BytesIO(data))
    assert next(found)[0].name == "a.jpg"
    with pytest.raises(TableError, match="damaged or cut short after 1 files"):
        next(found)
