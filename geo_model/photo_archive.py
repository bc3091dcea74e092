"""Photos in a zip or a tar that a stranger made, read where it lies: nothing is ever unpacked to a disk.

Every entry that is not simply a photo is refused by name, before a byte of it is unpacked: names that lead
out of the archive, links, nested archives, encrypted entries, files that are no photos, and entries that
unpack to more than a photo may have (`archive_entries`). The other photos can be used.

Beside KEY.jpg a KEY.json may hold "latitude", "longitude" (degrees) and "kind", as in a WebDataset tar.
"""

from __future__ import annotations

import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from geo_model.archive_entries import (
    MAX_JSON_BYTES,
    ArchiveLimits,
    tar_contents,
    tar_entries,
    why_refused,
    zip_contents,
    zip_entries,
)
from geo_model.errors import TableError, reason_of
from geo_model.photo_collection import SourcePhoto, is_photo_name, read_annotation
from geo_model.photo_files import PHOTO_SUFFIXES, Limits, photo_name, shown_name
from geo_model.truth import Coordinate

_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, ValueError, NotImplementedError, RuntimeError),
)
"""What the readers of zips and tars raise on damaged ones."""

_Step = TypeVar("_Step")


@dataclass(frozen=True)
class Refusal:
    """An entry that is not used.

    Attributes:
        name: Printable. Still untrusted text.
        reason: What is wrong with it, in a few words.
    """

    name: str
    reason: str


class PhotoArchive:
    """The photos of a zip or a tar; can be iterated any number of times, and from several threads.

    Making one reads the list of entries; photos are unpacked one at a time.

    Args:
        source: Path of the archive, or its bytes.
        name: What to call it; by default its path.
        limits: What it may cost; None means `ArchiveLimits()`.

    Attributes:
        name: Printable.
        photo_ids: Names of the photos in the archive's order.
        refused: Every other entry, but folders, with the reason.

    Raises:
        TableError: It is no such archive, is damaged, holds no photo, or costs more than the limits allow.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes,
        name: str | None = None,
        limits: ArchiveLimits | None = None,
    ) -> None:
        self.source = source
        fallback = "the archive" if isinstance(source, bytes) else os.fspath(source)
        self.name = shown_name(source, name or fallback)
        self.limits = limits or ArchiveLimits()
        self._annotations: dict[str, tuple[Coordinate | None, str | None]] = {}
        self._is_zip = self._begins_as_zip()
        photo_ids, refused, json_names = self._index()
        self.photo_ids = tuple(photo_ids)
        self.refused = tuple(refused)
        if not self.photo_ids:
            why = ""
            if refused:
                first = f"{refused[0].name}: {refused[0].reason}"
                why = f"; of its {len(refused):,} other entries the first is {first}"
            suffixes = " ".join(sorted(PHOTO_SUFFIXES))
            raise TableError(
                f"{self.name}: it holds no photo that can be used{why}. Give files ending in {suffixes}."
            )
        if json_names:
            for name, content in self._contents(json_names, MAX_JSON_BYTES):
                where = f"{self.name}, {photo_name(name)}"
                self._annotations[name[: -len(".json")]] = read_annotation(where, content)

    def __len__(self) -> int:
        return len(self.photo_ids)

    def __iter__(self) -> Iterator[SourcePhoto]:
        return self.photos()

    def photos(self, skip: Collection[str] = ()) -> Iterator[SourcePhoto]:
        """The photos but those whose ids are to be skipped, which are not unpacked.

        Raises:
            TableError: The archive is damaged at one of them.
        """
        wanted = set(self.photo_ids) - set(skip)
        # One byte more than may be decoded, so that reading the image says that it is too large.
        for name, content in self._contents(wanted, Limits().max_bytes + 1):
            yield SourcePhoto(name, content, *self._annotation_of(name))

    def described(self) -> Iterator[SourcePhoto]:
        """The photos with what the archive says about them, their content left empty."""
        for photo_id in self.photo_ids:
            yield SourcePhoto(photo_id, b"", *self._annotation_of(photo_id))

    def _annotation_of(self, photo_id: str) -> tuple[Coordinate | None, str | None]:
        found = [self._annotations[key] for key in _keys(photo_id) if key in self._annotations]
        return found[0] if found else (None, None)

    def read(self, photo_id: str) -> bytes:
        """The encoded bytes of one photo.

        Raises:
            KeyError: There is no such photo.
            TableError: The archive is damaged there.
        """
        if photo_id not in self.photo_ids:
            raise KeyError(photo_id)
        return next(self._contents({photo_id}, Limits().max_bytes + 1))[1]

    def _open(self) -> BinaryIO:
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source)  # shares the bytes
        try:
            return Path(self.source).open("rb")
        except OSError as error:
            reason = reason_of(error)
            raise TableError(f"{self.name} cannot be read: {reason}; check the path.") from error

    def _begins_as_zip(self) -> bool:
        with self._open() as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")

    def _index(self) -> tuple[list[str], list[Refusal], set[str]]:
        """Ids of the photos, what is refused, and names of the JSON files beside photos."""
        photo_ids: list[str] = []
        refused: list[Refusal] = []
        json_names: list[str] = []
        seen: set[str] = set()
        total = 0
        read = zip_entries if self._is_zip else tar_entries
        for count, entry in enumerate(
            self._guarded(lambda file: read(file, self.name, self.limits)), start=1
        ):
            total += entry.size
            if count > self.limits.entries:
                raise TableError(f"{self.name}: it has more than {self.limits.entries:,} entries; split it.")
            if total > self.limits.total_bytes:
                raise TableError(
                    f"{self.name}: up to {photo_name(entry.name)[:80]} it unpacks to more than "
                    f"{self.limits.total_bytes / 2**30:,.4g} GiB; split it."
                )
            if entry.name.endswith("/"):
                continue
            reason = why_refused(entry, self.limits)
            if reason is None and entry.name in seen:
                reason = "another entry has the same name"
            seen.add(entry.name)
            if reason is not None:
                refused.append(Refusal(shown_name(entry.name), reason))
            else:
                (photo_ids if is_photo_name(entry.name) else json_names).append(entry.name)
        keys = {key for name in photo_ids for key in _keys(name)}
        beside = {name for name in json_names if name[: -len(".json")] in keys}
        refused += [Refusal(shown_name(name), "it is no photo") for name in json_names if name not in beside]
        return photo_ids, refused, beside

    def _contents(self, names: Collection[str], most: int) -> Iterator[tuple[str, bytes]]:
        """Name and content, of at most so many bytes, of the named entries in the archive's order."""
        read = zip_contents if self._is_zip else tar_contents
        yield from self._guarded(lambda file: read(file, names, most))

    def _guarded(self, steps: Callable[[BinaryIO], Iterator[_Step]]) -> Iterator[_Step]:
        """The steps, with whatever a damaged archive raises as one sentence."""
        done = 0
        with self._open() as file:
            iterator = steps(file)
            while True:
                try:
                    step = next(iterator)
                except StopIteration:
                    return
                except _DAMAGE as error:
                    what = (
                        f"it is damaged or cut short after {done:,} files"
                        if done
                        else "it is no zip or tar that can be read"
                    )
                    raise TableError(f"{self.name}: {what}; make it again.") from error
                done += 1
                yield step


def _keys(photo_id: str) -> tuple[str, str]:
    """Names of the JSON beside a photo: for `a/b.left.jpg` `a/b.left`, or `a/b` as WebDataset has it."""
    path = PurePosixPath(photo_id)
    folder = photo_id[: len(photo_id) - len(path.name)]
    return folder + path.stem, folder + path.name.split(".", 1)[0]
