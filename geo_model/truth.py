"""Photos to evaluate and where they were taken: truth CSVs, folders of photos and tars.

Truth CSV: a header with the columns IMG_ID,LAT,LON or img_id,gt_lat,gt_long (any order, others ignored),
degrees, UTF-8 with or without a byte order mark, LF or CRLF.

Tar: photos, and beside KEY.jpg perhaps KEY.json with "latitude", "longitude" (degrees) and "kind" (text), the
WebDataset layout; compressed or not. A tar is read in place: nothing is extracted, names in it are only names.
"""

from __future__ import annotations

import csv
import json
import lzma
import math
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from geo_model.errors import PhotoError, TableError
from geo_model.images import PHOTO_SUFFIXES, Limits, photo_name

Coordinate = tuple[float, float]
"""Latitude and longitude in degrees."""

TRUTH_COLUMNS = (("IMG_ID", "LAT", "LON"), ("img_id", "gt_lat", "gt_long"))
"""The two layouts of a truth CSV, each id, latitude, longitude; upper or lower case."""

_MAX_JSON_BYTES = 1 << 20
_TAR_ERRORS = (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError)


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


def read_truth_csv(path: str | os.PathLike[str]) -> dict[str, Coordinate]:
    """Read where photos were taken.

    Args:
        path: A truth CSV, see the head of this module.

    Returns:
        Latitude and longitude in degrees for each photo id.

    Raises:
        TableError: The file cannot be read, a column is missing, an id is empty or repeated, or a coordinate
            is no coordinate; the sentence names file, line and column.
    """
    name = os.fspath(path)
    truths: dict[str, Coordinate] = {}
    lines: dict[str, int] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            columns = _truth_columns(name, next(reader, []))
            (id_column, id_at), (latitude_column, latitude_at), (longitude_column, longitude_at) = columns
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                where = f"{name}, line {reader.line_num}"
                if len(cells) <= max(id_at, latitude_at, longitude_at):
                    raise TableError(
                        f"{where}: it has {len(cells)} cells and the header names more; complete the line."
                    )
                photo_id = cells[id_at].strip()
                if not photo_id:
                    raise TableError(f"{where}, column {id_column}: it is empty; name the photo.")
                if photo_id in truths:
                    raise TableError(
                        f"{where}, column {id_column}: {photo_name(photo_id)!r} is already in line "
                        f"{lines[photo_id]}; keep one of the two."
                    )
                truths[photo_id] = (
                    _degrees(f"{where}, column {latitude_column}", cells[latitude_at], "latitude"),
                    _degrees(f"{where}, column {longitude_column}", cells[longitude_at], "longitude"),
                )
                lines[photo_id] = reader.line_num
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise TableError(f"{name} cannot be read: {reason}; give the truth as a CSV file.") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{name}: it is not UTF-8 text; save the table as CSV in UTF-8.") from error
    except csv.Error as error:
        raise TableError(
            f"{name}, line {reader.line_num}: it is not CSV ({error}); save the table as CSV."
        ) from error
    if not truths:
        raise TableError(f"{name}: it has a header and no line below; give at least one photo's coordinate.")
    return truths


def find_photos(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """The photo files below a folder in a fixed order; hidden ones and linked folders are left out.

    Raises:
        PhotoError: A folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise PhotoError(
            f"{error.filename}: the folder cannot be listed ({(error.strerror or str(error)).lower()}); "
            "check its permissions."
        ) from error

    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if is_photo_name(name):
                yield Path(parent, name)


def is_photo_name(name: str) -> bool:
    """Whether a file name ends as a photo's does and is not hidden (`._x.jpg` is no photo)."""
    path = PurePosixPath(name)
    return path.suffix.lower() in PHOTO_SUFFIXES and not path.name.startswith(".")


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
                self._annotations[name[: -len(".json")]] = _annotation(where, content)
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
        """Name and content of the tar's regular files, in constant memory.

        Args:
            wanted: For a name, the most bytes to read; None yields the name alone, 0 passes over the file.
        """
        read = 0
        try:
            with tarfile.open(self.path, "r:*") as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined]  # it would grow with every member
                    read += 1
                    limit = wanted(member.name) if member.isreg() else 0
                    if limit is None:
                        yield member.name, b""
                    elif limit > 0:
                        yield member.name, _content(archive, member, limit)
                # tarfile takes a damaged header for the end; at the true end there are zeros or nothing.
                assert archive.fileobj is not None
                archive.fileobj.seek(archive.offset)
                if archive.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
                    raise tarfile.ReadError("a header is damaged")
        except _TAR_ERRORS as error:
            if read == 0:
                raise TableError(
                    f"{self.path}: it is neither a photo nor a tar that can be read; give a folder or a tar."
                ) from error
            raise TableError(
                f"{self.path}: the tar is damaged or cut short after {read} files; get it again."
            ) from error


class PhotoCollections:
    """Several folders and tars, one after the other."""

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        self.collections = [PhotoCollection(path) for path in paths]

    def __len__(self) -> int:
        return sum(len(collection) for collection in self.collections)

    def __iter__(self) -> Iterator[SourcePhoto]:
        for collection in self.collections:
            yield from collection


def _truth_columns(name: str, header: list[str]) -> list[tuple[str, int]]:
    """Name and position of the id, latitude and longitude column."""
    found = {cell.strip().casefold(): position for position, cell in reversed(list(enumerate(header)))}
    for layout in TRUTH_COLUMNS:
        if all(column.casefold() in found for column in layout):
            return [(column, found[column.casefold()]) for column in layout]
    listed = photo_name(",".join(header)[:200], "nothing")
    expected = " or ".join(",".join(layout) for layout in TRUTH_COLUMNS)
    raise TableError(f"{name}, line 1: the header needs the columns {expected} and has {listed!r}.")


def _degrees(where: str, value: Any, axis: str) -> float:  # noqa: ANN401 - a CSV's text or a JSON's anything
    limit = 90.0 if axis == "latitude" else 180.0
    try:
        if isinstance(value, bool) or "_" in str(value):  # Python would take True and 1_0 for numbers
            raise ValueError
        degrees = float(value)
    except (TypeError, ValueError, OverflowError):
        shown = photo_name(str(value), "")[:40]
        raise TableError(f"{where}: {shown!r} is not a number; give the {axis} in degrees.") from None
    if not math.isfinite(degrees):
        raise TableError(f"{where}: {degrees} is not finite; give the {axis} in degrees.")
    if abs(degrees) > limit:
        advice = "are latitude and longitude swapped?" if axis == "latitude" else "give it in -180 to 180."
        raise TableError(f"{where}: {axis} {degrees:g} is beyond {limit:g} degrees; {advice}")
    return degrees


def _is_json(name: str) -> bool:
    return name.lower().endswith(".json")


def _annotation(where: str, content: bytes) -> tuple[Coordinate | None, str | None]:
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
            _degrees(f"{where}, key latitude", data.get("latitude"), "latitude"),
            _degrees(f"{where}, key longitude", data.get("longitude"), "longitude"),
        )
    return truth, photo_name(kind, "") or None if isinstance(kind, str) else None


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, limit: int) -> bytes:
    stream = archive.extractfile(member)
    assert stream is not None  # it is a regular file
    with stream:
        content = stream.read(limit)
    if len(content) < min(member.size, limit):
        raise tarfile.ReadError("unexpected end of data")
    return content
