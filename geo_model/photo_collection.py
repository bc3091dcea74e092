"""Photos to locate or to evaluate: a folder, a tar, or one file.

A tar holds photos, and beside KEY.jpg perhaps KEY.json with "latitude" and "longitude" (degrees) and "kind"
(text), the WebDataset layout; compressed or not. It is read in place: nothing is extracted, and names in it
are only names.
"""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from geo_model.archive_tar import tar_files
from geo_model.errors import PhotoError, TableError, reason_of
from geo_model.images import PHOTO_SUFFIXES, Limits, photo_name
from geo_model.truth import Coordinate, degrees_of

_MAX_JSON_BYTES = 1 << 20
_SORTED_TOGETHER = 100_000


@dataclass(frozen=True)
class SourcePhoto:
    """A photo to evaluate.

    Attributes:
        photo_id: Path below the folder or inside the tar; the file name where there are no subfolders.
        source: The file, or the encoded bytes of a photo in a tar.
        truth: Latitude and longitude in degrees where the source itself says them.
        kind: What kind of photo the source says it is.
    """

    photo_id: str
    source: Path | bytes
    truth: Coordinate | None = None
    kind: str | None = None

    @property
    def truth_ids(self) -> tuple[str, ...]:
        """The ids under which a truth table may hold this photo: the path first, then the file name."""
        name = PurePosixPath(self.photo_id).name
        return (self.photo_id,) if name == self.photo_id else (self.photo_id, name)

    def look_up(self, truths: Mapping[str, Coordinate]) -> tuple[str, Coordinate] | None:
        """The id and coordinate that a truth table has for this photo, else what its source says, or None."""
        for photo_id in self.truth_ids:
            if photo_id in truths:
                return photo_id, truths[photo_id]
        return None if self.truth is None else (self.photo_id, self.truth)


def find_photos(
    folder: str | os.PathLike[str], refused: Callable[[str, str], None] | None = None
) -> Iterator[Path]:
    """The photo files below a folder in a fixed order; hidden ones and linked folders are left out.

    Memory does not grow with the photos: of a folder with more than 100,000 of them, as many are sorted at a
    time, in the order in which the system lists them.

    Args:
        folder: The folder.
        refused: Is told of each folder that cannot be listed, and why, in a sentence; the others are searched
            all the same. None ends the search there.

    Raises:
        PhotoError: A folder cannot be listed, and nobody is told.
    """
    pending = [os.fspath(folder)]
    while pending:
        parent = pending.pop()
        folders: list[str] = []
        try:
            with os.scandir(parent) as entries:
                files = (entry.name for entry in entries if not _noted_folder(entry, folders))
                photos = (name for name in files if is_photo_name(name))
                while run := sorted(islice(photos, _SORTED_TOGETHER)):
                    yield from (Path(parent, name) for name in run)
        except OSError as error:
            sentence = not_listed(parent, error)
            if refused is None:
                raise PhotoError(sentence) from error
            refused(parent, sentence)
        pending += [os.path.join(parent, name) for name in sorted(folders, reverse=True)]


def not_listed(folder: str, error: OSError) -> str:
    """A sentence on a folder that the system does not list."""
    why = reason_of(error)
    return f"{photo_name(folder)}: the folder cannot be listed ({why}); check its permissions."


def _noted_folder(entry: os.DirEntry[str], folders: list[str]) -> bool:
    """Whether it is a folder, however linked; those to search are added to `folders`."""
    try:
        is_folder = entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False
    if is_folder and not entry.is_symlink() and not entry.name.startswith("."):
        folders.append(entry.name)
    return is_folder


def is_photo_name(name: str) -> bool:
    """Whether a file name ends as a photo's does and is not hidden (`._x.jpg` is no photo)."""
    last = name.rpartition("/")[2]  # asked a million times: PurePosixPath takes ten times as long
    return posixpath.splitext(last)[1].lower() in PHOTO_SUFFIXES and not last.startswith(".")


class PhotoCollection:
    """The photos of a folder, a tar, or a single file; can be iterated any number of times.

    Making one reads names and coordinates, so that what is wrong with the source shows before the first photo
    is located; photos are read one at a time while iterating.

    Args:
        path: A folder (searched with its subfolders), a tar, or one photo.

    Raises:
        TableError: There is no such path, it is damaged, it holds no photo, or a coordinate in it is none.
        PhotoError: A folder cannot be listed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._annotations: dict[str, tuple[Coordinate | None, str | None]] = {}
        self._is_tar = False
        if self.path.is_dir():
            self._count = sum(1 for _ in find_photos(self.path))
        elif not self.path.exists():
            raise TableError(f"{path}: there is no such folder or tar; check the path.")
        elif not self.path.is_file():
            raise TableError(f"{path}: it is not an ordinary file; give a folder or a tar.")
        elif is_photo_name(self.path.name):
            self._count = 1
        else:
            self._is_tar = True
            self._count = self._index_tar()
        if self._count == 0:
            suffixes = " ".join(sorted(PHOTO_SUFFIXES))
            raise TableError(
                f"{path}: it holds no photo; give a folder or a tar with files ending in {suffixes}."
            )

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[SourcePhoto]:
        if self._is_tar:
            # One byte more than may be decoded, so that reading the image says that it is too large.
            most = Limits().max_bytes + 1
            for name, content in self._members(lambda name: most if is_photo_name(name) else 0):
                yield SourcePhoto(name, content, *self._annotation_of(name))
        elif self.path.is_dir():
            for file in find_photos(self.path):
                yield SourcePhoto(file.relative_to(self.path).as_posix(), file)
        else:
            yield SourcePhoto(self.path.name, self.path)

    def _index_tar(self) -> int:
        """Count the photos and keep what the JSON files say; photo bytes are skipped over."""
        count = 0
        for name, content in self._members(lambda name: _MAX_JSON_BYTES if _is_json(name) else None):
            if _is_json(name):
                where = f"{self.path}, {photo_name(name)}"
                self._annotations[name[: -len(".json")]] = read_annotation(where, content)
            elif is_photo_name(name):
                count += 1
        return count

    def _annotation_of(self, name: str) -> tuple[Coordinate | None, str | None]:
        path = PurePosixPath(name)
        folder = name[: len(name) - len(path.name)]
        # The key of `a/b.left.jpg` is `a/b.left`, or `a/b` as WebDataset has it.
        for stem in (path.stem, path.name.split(".", 1)[0]):
            if folder + stem in self._annotations:
                return self._annotations[folder + stem]
        return None, None

    def _members(self, wanted: Callable[[str], int | None]) -> Iterator[tuple[str, bytes]]:
        for member, content in tar_files(os.fspath(self.path), wanted):
            yield member.name, content


class PhotoCollections:
    """Several folders and tars, one after the other."""

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        self.collections = [PhotoCollection(path) for path in paths]

    def __len__(self) -> int:
        return sum(len(collection) for collection in self.collections)

    def __iter__(self) -> Iterator[SourcePhoto]:
        for collection in self.collections:
            yield from collection


def _is_json(name: str) -> bool:
    return name.lower().endswith(".json")


def read_annotation(where: str, content: bytes) -> tuple[Coordinate | None, str | None]:
    """Truth and kind from the JSON beside a photo; both may be absent."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TableError(
            f"{where}: it is not JSON of at most {_MAX_JSON_BYTES:,} bytes; write the tar again."
        ) from error
    if not isinstance(data, dict):
        return None, None
    kind = data.get("kind")
    truth = None
    if data.get("latitude") is not None or data.get("longitude") is not None:
        truth = (
            degrees_of(f"{where}, key latitude", data.get("latitude"), "latitude"),
            degrees_of(f"{where}, key longitude", data.get("longitude"), "longitude"),
        )
    return truth, photo_name(kind, "") or None if isinstance(kind, str) else None
