"""The photos that a command's arguments name, one at a time, however many there are.

An argument is a photo, a folder, a pattern, a tar or zip, a list of any of these (`.txt`, a line each), or -
for a photo from standard input. Only names are handled here: each photo comes with something that its bytes
can be read from later, in another thread or on another machine.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import islice
from typing import BinaryIO, TypeAlias

from geo_model.archive_members import Member, is_archive_name, members, read_member
from geo_model.errors import GeoModelError, PhotoError, reason_of
from geo_model.images import Limits, photo_name
from geo_model.photo_collection import find_photos, is_photo_name, not_listed

_SORTED_TOGETHER = 100_000
STANDARD_INPUT = "standard input"


def open_source(path: str) -> BinaryIO:
    """Open a local file, or an object of an `s3://` address, for reading."""
    if path.startswith("s3://"):
        from geo_model.object_store import open_object

        return open_object(path)
    return open(path, "rb")


@dataclass
class MemberFile:
    """A photo in an archive as a stream that opens the archive when it is read."""

    archive: str
    member: Member

    def seekable(self) -> bool:
        """It is read from start to end."""
        return False

    def read(self, most: int) -> bytes:
        """All of the photo the first time, nothing after that.

        Raises:
            ValueError: The archive is damaged there, or the photo is encrypted.
        """
        if self.member.name == "":
            return b""
        with open_source(self.archive) as file:
            content = read_member(file, self.member, most)
        self.member = Member("")
        return content


@dataclass
class ObjectFile:
    """A photo in an object store as a stream that is opened when it is read."""

    address: str
    _done: bool = False

    def seekable(self) -> bool:
        """It is read from start to end."""
        return False

    def read(self, most: int) -> bytes:
        """All of the photo the first time, nothing after that."""
        if self._done:
            return b""
        self._done = True
        with open_source(self.address) as file:
            return file.read(most)


@dataclass(frozen=True)
class Unreadable:
    """Something named that is no photo; reading it says why."""

    sentence: str

    def seekable(self) -> bool:
        """It is read from start to end."""
        return False

    def read(self, _: int) -> bytes:
        """Say why.

        Raises:
            PhotoError: Always.
        """
        raise PhotoError(self.sentence)


NamedSource: TypeAlias = tuple[str, "str | bytes | MemberFile | ObjectFile | Unreadable"]
"""The name that a photo has in the output, and what it is read from."""


class PhotoSources:
    """The photos of some arguments; can be iterated any number of times (standard input once).

    Args:
        arguments: See the head of this module.
        wanted: Whether to give the photo of this name.
    """

    def __init__(self, arguments: Iterable[str], wanted: Callable[[str], bool] = lambda name: True) -> None:
        self.arguments = list(arguments)
        self.wanted = wanted

    def __iter__(self) -> Iterator[NamedSource]:
        for argument in self.arguments:
            yield from self._photos_of(argument)

    def count(self, stop: Callable[[], bool]) -> int | None:
        """How many there are, without reading any; None if only reading can tell, or when told to stop."""
        counted = PhotoSources([a for a in self.arguments if a != "-"])
        total = len(self.arguments) - len(counted.arguments)
        for _, source in counted:
            if stop() or (isinstance(source, MemberFile) and source.member.content is not None):
                return None
            total += 1
        return total

    def _photos_of(self, argument: str, in_list: bool = False) -> Iterator[NamedSource]:
        if is_photo_name(argument) and not argument.startswith("s3://") and not _is_pattern(argument):
            if os.path.isdir(argument):
                yield from self._checked(argument, self._in_folder(argument))
            elif self.wanted(argument):
                yield argument, argument
        elif argument == "-" and not in_list:
            # One byte more than may be decoded, so that reading the image says that it is too large.
            yield STANDARD_INPUT, sys.stdin.buffer.read(Limits().max_bytes + 1)
        elif argument.startswith("s3://"):
            yield from self._checked(argument, self._in_object_store(argument))
        elif os.path.isdir(argument):
            yield from self._checked(argument, self._in_folder(argument))
        elif _is_pattern(argument):
            yield from self._checked(argument, self._matching(argument))
        elif argument.lower().endswith(".txt") and not in_list:
            yield from self._checked(argument, self._listed(argument))
        elif is_archive_name(argument):
            yield from self._checked(argument, self._in_archive(argument))
        elif self.wanted(argument):
            yield argument, argument

    def _checked(self, argument: str, photos: Iterator[NamedSource]) -> Iterator[NamedSource]:
        """The photos, and what is wrong with their source as one that cannot be read."""
        try:
            yield from photos
        except GeoModelError as error:
            sentence = str(error)
        except (OSError, UnicodeDecodeError, ValueError) as error:
            why = reason_of(error)
            sentence = f"{photo_name(argument)}: it cannot be read ({photo_name(why)}); check the path."
        else:
            return
        if self.wanted(argument):
            yield argument, Unreadable(sentence)

    def _in_folder(self, folder: str) -> Iterator[NamedSource]:
        empty = True
        refused: list[tuple[str, str]] = []
        for path in find_photos(folder, lambda *one: refused.append(one)):
            empty = False
            if self.wanted(str(path)):
                yield str(path), str(path)
        for name, sentence in refused:
            if self.wanted(name):
                yield name, Unreadable(sentence)
        if empty and not refused:
            raise PhotoError(f"{photo_name(folder)}: it holds no photo; give a folder with photos.")

    def _matching(self, pattern: str) -> Iterator[NamedSource]:
        parent, last = os.path.split(pattern)
        empty = True
        for folder in glob.iglob(os.path.join(parent, ""), recursive=True) if parent else [""]:
            for path in self._entries(folder, last):
                empty = False
                if isinstance(path, str):
                    yield from self._photos_of(path, in_list=True)
                elif self.wanted(folder):
                    yield folder, path
        if empty:
            raise PhotoError(f"{photo_name(pattern)}: nothing to locate matches; check the pattern.")

    def _entries(self, folder: str, pattern: str) -> Iterator[str | Unreadable]:
        """Paths in a folder that fit a pattern and may be or hold photos, or why it cannot be listed."""
        try:
            with os.scandir(folder or ".") as entries:
                names = (e.name for e in entries if fnmatch(e.name, pattern) and not e.name.startswith("."))
                while run := sorted(islice(names, _SORTED_TOGETHER)):
                    for name in run:
                        path = os.path.join(folder, name)
                        if is_photo_name(name) or is_archive_name(name) or os.path.isdir(path):
                            yield path
        except OSError as error:
            yield Unreadable(not_listed(folder, error))

    def _listed(self, path: str) -> Iterator[NamedSource]:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="\n") as lines:
            for line in lines:
                if entry := line.rstrip("\r\n"):
                    yield from self._photos_of(entry, in_list=True)

    def _in_archive(self, path: str) -> Iterator[NamedSource]:
        if not path.startswith("s3://") and not os.path.isfile(path):
            raise PhotoError(f"{photo_name(path)}: there is no such file; check the path.")

        def wanted(name: str) -> bool:
            return (is_photo_name(name) or is_archive_name(name)) and self.wanted(f"{path}/{name}")

        for member in members(path, wanted, open_source, Limits().max_bytes + 1):
            name = f"{path}/{member.name}"
            if member.link:
                sentence = f"{photo_name(name)}: it is a link inside the archive; give what it leads to."
                yield name, Unreadable(sentence)
            elif is_archive_name(member.name):
                sentence = f"{photo_name(name)}: it is an archive inside an archive; give it by itself."
                yield name, Unreadable(sentence)
            else:
                yield name, MemberFile(path, member)

    def _in_object_store(self, address: str) -> Iterator[NamedSource]:
        from geo_model.object_store import object_addresses

        if is_archive_name(address):
            yield from self._in_archive(address)
            return
        empty = True
        for found in object_addresses(address):
            if is_photo_name(found) or found == address:
                empty = False
                if self.wanted(found):
                    yield found, ObjectFile(found)
        if empty:
            raise PhotoError(f"{photo_name(address)}: it holds no photo; check the address.")


def _is_pattern(argument: str) -> bool:
    return glob.has_magic(argument) and not os.path.lexists(argument)
