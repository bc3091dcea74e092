"""The entries of a zip or a tar, and what is wrong with each before a byte of it is unpacked.

"Zip bombs" unpack to far more than they take up, also by entries that share their bytes: D. Fifield, "A
better zip bomb", WOOT 2019.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from geo_model.archive_tar import open_tar, tar_content, tar_headers
from geo_model.errors import TableError
from geo_model.photo_collection import is_photo_name
from geo_model.photo_files import Limits, photo_name

MAX_JSON_BYTES = 1 << 20
"""Most bytes of the JSON beside a photo."""

_ARCHIVE_SUFFIXES = frozenset(
    {".zip", ".tar", ".tgz", ".gz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar", ".jar"}
    | {".cab", ".iso"}
)
_PLAIN_BYTES = 1 << 20
_LINK = "it is a link or a device, not a file"


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may cost.

    Attributes:
        entries: Most entries.
        directory_bytes: Most bytes of a zip's list of entries, which is read at once.
        total_bytes: Most bytes that all photos together unpack to.
        ratio: An entry of more than a MiB may unpack to this many times its packed size, and a compressed tar
            as a whole too. Photos are compressed already and shrink little.
    """

    entries: int = 200_000
    directory_bytes: int = 64 * 2**20
    total_bytes: int = 64 * 2**30
    ratio: float = 100.0


@dataclass(frozen=True)
class Entry:
    """An entry before anything of it is unpacked.

    Attributes:
        name: As the archive has it. Untrusted.
        size: Bytes that it says it unpacks to.
        packed: Bytes that it takes up, None where that is not known.
        trouble: What is wrong with it that only its kind of archive can know.
    """

    name: str
    size: int
    packed: int | None = None
    trouble: str | None = None


def why_refused(entry: Entry, limits: ArchiveLimits) -> str | None:
    """What is wrong with an entry, in a few words; None for a photo and for the JSON beside one."""
    if entry.trouble:
        return entry.trouble
    path = PurePosixPath(entry.name)
    if entry.name.startswith("/") or re.match("[A-Za-z]:", entry.name) or "\\" in entry.name:
        return "its name is no path inside the archive"
    if ".." in path.parts:
        return "its name leads out of the archive"
    suffix = path.suffix.lower()
    if suffix in _ARCHIVE_SUFFIXES:
        return "it is an archive inside the archive"
    is_json = suffix == ".json" and not path.name.startswith(".")
    if not is_json and not is_photo_name(entry.name):
        return "it is no photo"
    most = MAX_JSON_BYTES if is_json else Limits().max_bytes
    if entry.size > most:
        return f"it unpacks to {entry.size / 2**20:,.0f} MiB, and {most / 2**20:,.0f} are the most"
    if entry.size > _PLAIN_BYTES and entry.packed is not None:
        ratio = entry.size / max(entry.packed, 1)
        if ratio > limits.ratio:
            return f"it unpacks to {ratio:,.0f} times its size, as no photo does"
    return None


def zip_entries(file: BinaryIO, name: str, limits: ArchiveLimits) -> Iterator[Entry]:
    """What a zip lists; `name` is what to call it.

    Raises:
        TableError: The list is longer than the limits allow.
        zipfile.BadZipFile: It is no zip, or damaged.
    """
    size = _directory_bytes(file)
    if size > limits.directory_bytes:
        raise TableError(f"{name}: its list of entries takes {size / 2**20:,.0f} MiB; split the zip.")
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        sharing = _sharing_bytes(infos, archive.start_dir)
        for info in infos:
            yield Entry(info.filename, info.file_size, info.compress_size, _zip_trouble(info, sharing))


def zip_contents(file: BinaryIO, names: Collection[str], most: int) -> Iterator[tuple[str, bytes]]:
    """Name and content, of at most so many bytes, of the named entries in the zip's order."""
    wanted = set(names)
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.filename in wanted:
                wanted.remove(info.filename)
                with archive.open(info) as member:
                    yield info.filename, member.read(most)


def tar_entries(file: BinaryIO, name: str, limits: ArchiveLimits) -> Iterator[Entry]:
    """What a tar holds, but folders; `name` is what to call it.

    Raises:
        TableError: It unpacks to more than the limits allow.
        tarfile.TarError: It is no tar, or damaged.
    """
    packed = file.seek(0, io.SEEK_END)
    file.seek(0)
    total = 0
    with open_tar(file) as archive:
        for member in tar_headers(archive):
            total += member.size if member.isreg() else 0
            # Told from the headers: the bytes between them have not been unpacked yet.
            if total > max(limits.ratio * packed, 64 * _PLAIN_BYTES):
                raise TableError(
                    f"{name}: up to {photo_name(member.name)[:80]} it unpacks to more than "
                    f"{limits.ratio:g} times its size, as no photos do; make it again."
                )
            if not member.isdir():
                yield Entry(member.name, member.size, None, None if member.isreg() else _LINK)


def tar_contents(file: BinaryIO, names: Collection[str], most: int) -> Iterator[tuple[str, bytes]]:
    """Name and content, of at most so many bytes, of the named files in the tar's order."""
    wanted = set(names)
    with open_tar(file) as archive:
        for member in tar_headers(archive) if wanted else ():
            if member.isreg() and member.name in wanted:
                wanted.remove(member.name)
                yield member.name, tar_content(archive, member, most)
                if not wanted:
                    return


def _zip_trouble(info: zipfile.ZipInfo, sharing: Collection[str]) -> str | None:
    if info.flag_bits & 0x1:
        return "it is encrypted"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.create_system == 3 and kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return _LINK
    if info.filename in sharing:
        return "it shares its bytes with another entry"
    return None


def _sharing_bytes(entries: list[zipfile.ZipInfo], end: int) -> set[str]:
    """Names of the entries that reach into the next one."""
    ordered = sorted(entries, key=lambda info: info.header_offset)
    starts = [info.header_offset for info in ordered[1:]] + [end]
    fixed_header_bytes = 30
    return {
        info.filename
        for info, following in zip(ordered, starts, strict=True)
        if info.header_offset + fixed_header_bytes + info.compress_size > following
    }


def _directory_bytes(file: BinaryIO) -> int:
    """Size of a zip's list of entries as its end says; see section 4.3.16 of PKWARE's APPNOTE.TXT."""
    end_bytes, comment_bytes = 22, 0xFFFF
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - end_bytes - comment_bytes))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        raise zipfile.BadZipFile("the end is missing")
    (directory_bytes,) = struct.unpack_from("<I", tail, at + 12)
    # A zip64's own end says it in 64 bits; the list lies before that end, so it cannot be longer than this.
    return size if directory_bytes == 0xFFFFFFFF else directory_bytes
