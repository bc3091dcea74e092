"""Files inside tars and zips of any length, read where they lie.

Nothing is extracted, and the names inside are only names. What is kept in memory does not grow with the
archive: `zipfile` would hold an object for every file in it, so a zip's list of files is read in pieces here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from geo_model.archive_tar import is_compressed_tar, tar_files
from geo_model.errors import TableError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ARCHIVE_SUFFIXES = (*TAR_SUFFIXES, ".zip")

Opener = Callable[[str], BinaryIO]
"""Opens the file of a path or an address for reading."""

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        name: As the archive has it; untrusted text.
        offset: Where its bytes begin in a tar; where its local header begins in a zip.
        packed: Bytes that it takes up in the archive.
        size: Bytes that it says to unpack to.
        method: How a zip keeps it (0 stored, 8 deflated); -1 in a tar.
        crc: CRC-32 of its bytes, in a zip.
        encrypted: Whether a password is needed.
        content: Its bytes, or the first of them, where the archive can only be read in order.
        link: Whether it is a link to another file of a tar, and no bytes of its own.
    """

    name: str
    offset: int = 0
    packed: int = 0
    size: int = 0
    method: int = -1
    crc: int = 0
    encrypted: bool = False
    content: bytes | None = None
    link: bool = False


def is_archive_name(name: str) -> bool:
    """Whether a file name ends as a tar's or a zip's does."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def members(path: str, wanted: Callable[[str], bool], opener: Opener, most: int) -> Iterator[Member]:
    """The ordinary files of a tar or a zip whose names are wanted, in its order; of a tar the links as well.

    Args:
        path: The archive.
        wanted: Whether to give the file of this name.
        opener: Opens the archive.
        most: Most bytes to read of a file in a compressed tar, the only kind whose bytes are read here.

    Raises:
        TableError: The archive is damaged; every file before the damage has been given.
    """
    if path.lower().endswith(".zip"):
        yield from (member for member in _zip_members(path, opener) if wanted(member.name))
        return
    with opener(path) as file:
        limit = most if is_compressed_tar(file) else None
        for info, content in tar_files(path, lambda name: limit if wanted(name) else 0, file, links=True):
            if info.isreg():
                held = content if limit is not None else None
                yield Member(info.name, info.offset_data, info.size, info.size, content=held)
            else:
                yield Member(info.name, link=True)


def read_member(file: BinaryIO, member: Member, most: int) -> bytes:
    """The bytes of a member, at most so many of them: a zip bomb costs no more than a large photo.

    Raises:
        ValueError: It is encrypted, compressed in a way that is not read, damaged or cut short; says which.
    """
    if member.content is not None:
        return member.content[:most]
    if member.encrypted:
        raise ValueError("it is encrypted")
    if member.method not in (-1, 0, 8):
        raise ValueError(f"it is packed by method {member.method}, not stored or deflated")
    start = member.offset if member.method < 0 else _zip_data_offset(file, member)
    file.seek(start)
    if member.method == 8:
        content = _inflated(file, member, most)
    else:
        content = file.read(min(member.packed, most))
        if len(content) < min(member.packed, most):
            raise ValueError("the archive ends inside it")
    if member.method >= 0 and len(content) < most and zlib.crc32(content) != member.crc:
        raise ValueError("its checksum does not fit: the archive is damaged")
    return content


def _zip_members(path: str, opener: Opener) -> Iterator[Member]:
    """The files of a zip, by sections 4.3.12 to 4.5.3 of PKWARE's APPNOTE.TXT 6.3.10."""
    read = 0
    with opener(path) as file:
        try:
            start, count, shift = _zip_directory(file)
            file.seek(start)
            for _ in range(count):
                head = struct.unpack("<4s4x4H3L3H8xL", _exactly(file, 46))
                signature, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes, comment, at = head
                if signature != b"PK\1\2":
                    raise ValueError("no entry where one should be")
                raw = _exactly(file, name_bytes)
                extra = _exactly(file, extra_bytes)
                file.seek(comment, io.SEEK_CUR)
                name = raw.decode("utf-8", "surrogateescape") if flags & 0x800 else raw.decode("cp437")
                size, packed, at = _zip64_values(extra, size, packed, at)
                read += 1
                if not name.endswith("/"):
                    yield Member(name, at + shift, packed, size, method, crc, bool(flags & 0x41))
        except (ValueError, OSError, struct.error) as error:
            damage = f"is damaged or cut short after {read} files" if read else "cannot be read as one"
            raise TableError(f"{path}: the zip {damage}; get it again.") from error


def _zip_directory(file: BinaryIO) -> tuple[int, int, int]:
    """Where the list of files begins, how many there are, and what to add to every offset."""
    length = file.seek(0, io.SEEK_END)
    tail_at = max(0, length - 22 - 0xFFFF)
    file.seek(tail_at)
    tail = file.read()
    found = tail.rfind(b"PK\5\6")
    if found < 0:
        raise ValueError("it has no end record")
    count, size, offset = struct.unpack_from("<H2L", tail, found + 10)
    end = tail_at + found
    if count == 0xFFFF or size == 0xFFFFFFFF or offset == 0xFFFFFFFF:
        file.seek(max(0, end - 20))
        signature, where = struct.unpack("<4s4xQ4x", _exactly(file, 20))
        if signature == b"PK\6\7":
            file.seek(where)
            signature, count, size, offset = struct.unpack("<4s28xQ2Q", _exactly(file, 56))
            if signature != b"PK\6\6":
                raise ValueError("its 64-bit end record is missing")
            end = where
    shift = end - size - offset  # not 0 where a program stands before the zip
    if shift < 0:
        raise ValueError("its list of files lies outside")
    return end - size, count, shift


def _zip64_values(extra: bytes, size: int, packed: int, at: int) -> tuple[int, int, int]:
    """The three numbers, those that need 64 bits taken from the extra field with id 1."""
    values, place = [size, packed, at], 0
    while place + 4 <= len(extra):
        field, length = struct.unpack_from("<2H", extra, place)
        if field == 1:
            place += 4
            for index, value in enumerate(values):
                if value == 0xFFFFFFFF:
                    (values[index],) = struct.unpack_from("<Q", extra, place)
                    place += 8
            break
        place += 4 + length
    return values[0], values[1], values[2]


def _zip_data_offset(file: BinaryIO, member: Member) -> int:
    file.seek(member.offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\3\4":
        raise ValueError("the archive is damaged there")
    name_bytes, extra_bytes = struct.unpack_from("<2H", header, 26)
    return member.offset + 30 + name_bytes + extra_bytes


def _inflated(file: BinaryIO, member: Member, most: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    parts: list[bytes] = []
    held, left = 0, member.packed
    try:
        while held < most and not inflater.eof:
            block = inflater.unconsumed_tail
            if not block:
                block = file.read(min(_BLOCK, left))
                left -= len(block)
            if not block:
                raise ValueError("the archive ends inside it")
            parts.append(inflater.decompress(block, most - held))
            held += len(parts[-1])
    except zlib.error as error:
        raise ValueError("the archive is damaged there") from error
    return b"".join(parts)


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ValueError("it ends too early")
    return data
