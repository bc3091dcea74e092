"""Tars of any length, compressed or not, read where they lie and in constant memory.

tarfile keeps an object for every file that it has met, reads twelve fields of each header and takes a damaged
header for the end; these functions do neither.
"""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from geo_model.errors import TableError

_ERRORS = (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError)
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")


def is_compressed_tar(file: BinaryIO) -> bool:
    """Whether a tar is compressed as a whole, so that it can only be read in order."""
    found = file.read(6).startswith(_COMPRESSED)
    file.seek(0)
    return found


def tar_files(
    path: str, wanted: Callable[[str], int | None], file: BinaryIO | None = None, links: bool = False
) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Header and content of a tar's ordinary files, in constant memory; compressed tars as well.

    Args:
        path: The tar, or what to call it.
        wanted: For a name, the most bytes to read; None gives the header alone, 0 passes over the file.
        file: The tar, opened; None opens `path`.
        links: Whether to give the headers of hard and symbolic links too.

    Raises:
        TableError: The tar is damaged, cut short, or none at all.
    """
    read = 0
    try:
        with open_tar(path if file is None else file) as archive:
            for member in tar_headers(archive):
                read += 1
                link = links and (member.islnk() or member.issym())
                limit = wanted(member.name) if link or member.isreg() else 0
                if limit is None or (link and limit > 0):
                    yield member, b""
                elif limit > 0:
                    yield member, tar_content(archive, member, limit)
    except _ERRORS as error:
        if read == 0:
            raise TableError(
                f"{path}: it is neither a photo nor a tar that can be read; give a folder or a tar."
            ) from error
        raise TableError(
            f"{path}: the tar is damaged or cut short after {read} files; get it again."
        ) from error


def open_tar(source: str | BinaryIO) -> tarfile.TarFile:
    """Open a tar, compressed or not, for `tar_headers`."""
    path, file = (source, None) if isinstance(source, str) else (None, source)
    return tarfile.open(path, "r:*", file, tarinfo=_Header)


def tar_headers(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """What a tar holds in its order, in constant memory: of an ordinary file only name, place and size.

    Raises:
        tarfile.TarError: It is damaged, in a header as well, which tarfile itself takes for the end.
    """
    # At offset 0 the tar is empty, and Python 3.10 would seek to before its start.
    while archive.offset and (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]  # it would grow with every member
        yield member
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):  # at the true end there are zeros or nothing
        raise tarfile.ReadError("a header is damaged")


def tar_content(archive: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> bytes:
    """The bytes of an ordinary file, at most so many of them.

    Raises:
        tarfile.ReadError: The tar ends inside it.
    """
    stream = archive.extractfile(member)
    assert stream is not None
    with stream:
        content = stream.read(most)
    if len(content) < min(member.size, most):
        raise tarfile.ReadError("unexpected end of data")
    return content


class _Header(tarfile.TarInfo):
    """A header of which only name and size are read where it is an ordinary file's, in a quarter of the time.

    Anything else about it, a checksum that does not fit above all, is tarfile's to say.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        """As tarfile's; fields by the table "ustar Header Block" of POSIX.1-2017, pax."""
        header = bytes(buf)
        if len(header) == tarfile.BLOCKSIZE and header[156:157] == tarfile.REGTYPE:
            size, checksum = header[124:136].strip(b" \0"), header[148:156].strip(b" \0")
            name, prefix = header[:100].partition(b"\0")[0], header[345:500].partition(b"\0")[0]
            expected = sum(header) - sum(header[148:156]) + 8 * ord(" ")
            if size.isdigit() and checksum.isdigit() and int(checksum, 8) == expected:
                entry = cls((prefix + b"/" + name if prefix else name).decode(encoding, errors))
                entry.size = int(size, 8)
                return entry
        return super().frombuf(buf, encoding, errors)
