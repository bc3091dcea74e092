"""What is in one WebDataset tar, and where; kept on disk, so that it is read once.

A tar holds pairs KEY.jpg (or another photo suffix) and KEY.json and is not compressed. The JSON holds
`latitude` and `longitude` in degrees and may hold

    kind      text, what kind of photo it is
    id        text, the photo's name in a table; the key where there is none
    classes   [coarse, middle, fine], the classes that somebody gave it, null or -1 for none

File format of a kept index, `<digest of the tar's path>.npz` in a folder of them, arrays without pickles:

    stamp                  int64 (3,): version of this format; size in bytes and time of change (ns) of tar
    offsets, sizes         int64, int32 (N,), bytes, of each encoded photo in the tar
    latitudes, longitudes  float64 (N,), degrees
    kind_of                int32 (N,), position in kinds
    classes                int32 (N, 3), -1 for none, -2 where the JSON does not say
    kinds, keys, ids       texts: uint8, all of them in UTF-8, with int64 kinds_ends, keys_ends, ids_ends

A kept index whose stamp is not the tar's, or that cannot be read, is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import signal
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_model.errors import ConfigError
from geo_model.photo_files import PHOTO_SUFFIXES

NOT_SAID = -2
"""A class that the JSON does not give."""

_NUMBERS = ("offsets", "sizes", "latitudes", "longitudes", "kind_of", "classes")
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
_VERSION = 1
_MAX_JSON_BYTES = 1 << 20
_LARGEST_PHOTO = 2**31 - 1
_FEW_TARS = 4
"""So many are read faster in this process than others are started."""


class Texts(NamedTuple):
    """N texts: all of them in UTF-8, one after another, and where each ends, bytes, int64 (N,)."""

    block: bytes
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """From texts; what no Unicode text may hold becomes a question mark."""
        encoded = [text.encode(errors="replace") for text in texts]
        return cls(b"".join(encoded), np.cumsum([len(text) for text in encoded], dtype=np.int64))

    @classmethod
    def join(cls, parts: Sequence[Texts]) -> Texts:
        """One after another."""
        starts = np.cumsum([0, *(len(part.block) for part in parts)])
        ends = [part.ends + start for part, start in zip(parts, starts, strict=False)]
        return cls(b"".join(part.block for part in parts), np.concatenate(ends))

    def as_list(self) -> list[str]:
        """All of them."""
        ends = self.ends.tolist()
        return [self.block[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]


@dataclass(frozen=True, eq=False)
class TarIndex:
    """The N photos of a tar, in its order; the columns are those of the file format above."""

    offsets: NDArray[np.int64]
    sizes: NDArray[np.int32]
    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]
    kinds: tuple[str, ...]
    kind_of: NDArray[np.int32]
    classes: NDArray[np.int32]
    keys: Texts
    ids: Texts

    def __len__(self) -> int:
        return len(self.offsets)


@dataclass(frozen=True)
class _Annotation:
    latitude: float
    longitude: float
    kind: str
    photo_id: str
    classes: tuple[int, int, int]


def index_tars(
    paths: Sequence[str],
    folder: Path | None = None,
    processes: int = 1,
    on_tar: Callable[[str], None] | None = None,
) -> Iterator[TarIndex]:
    """The index of each tar, in order: a kept one, or else it is made and kept.

    Args:
        paths: Of the tars.
        folder: Of kept indices; None keeps none. One that cannot be written to is no error.
        processes: How many tars may be read at a time.
        on_tar: Called with the path of each tar once its index is there.

    Raises:
        ConfigError: A tar is damaged, compressed or empty, a photo has no JSON or the reverse, or a JSON
            holds no coordinate.
    """
    missing = [path for path in paths if folder is None or not _is_kept(path, folder)]
    with _made(missing, folder, processes) as made:
        wanted = set(missing)
        for path in paths:
            kept = _load(path, folder) if folder is not None and path not in wanted else None
            yield (next(made) if path in wanted else kept or _make(path, folder))
            if on_tar is not None:
                on_tar(path)


@contextlib.contextmanager
def _made(paths: list[str], folder: Path | None, processes: int) -> Iterator[Iterator[TarIndex]]:
    """Indices of tars that none is kept of, made by several processes where there are many."""
    processes = min(processes, len(paths))
    if processes < 2 or len(paths) <= _FEW_TARS:
        yield (_make(path, folder) for path in paths)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Not forked: this process may hold threads by now. They leave Ctrl-C to this process.
    pool = ProcessPoolExecutor(
        processes, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)
    )
    try:
        yield pool.map(_make, paths, [folder] * len(paths))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _make(path: str, folder: Path | None) -> TarIndex:
    stamp = _stamp(path)
    index = read_tar(path)
    if folder is not None:
        with contextlib.suppress(OSError):  # what cannot be kept is read again next time
            _keep(index, stamp, _place(path, folder))
    return index


def read_tar(path: str) -> TarIndex:
    """Read all headers and JSON files of a tar.

    Raises:
        ConfigError: See `index_tars`.
    """
    photos: dict[str, tuple[int, int]] = {}
    annotations: dict[str, _Annotation] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in _members(archive, os.path.getsize(path)):
                folder, name = os.path.split(member.name)
                stem, _, suffix = name.partition(".")  # WebDataset: the key ends at the first dot
                key = os.path.join(folder, stem)
                if suffix.lower() == "json":
                    known: dict[str, Any] = annotations
                    stream = archive.extractfile(member)
                    assert stream is not None
                    found: object = _annotation(f"{path}, {member.name}", key, stream.read(_MAX_JSON_BYTES))
                elif PurePosixPath(f"x.{suffix.lower()}").suffix in PHOTO_SUFFIXES:
                    known, found = photos, (member.offset_data, min(member.size, _LARGEST_PHOTO))
                else:
                    continue
                if key in known:
                    raise ConfigError(f"{path}, {key}: this key occurs twice; keys must differ.")
                known[key] = found
    except (tarfile.TarError, OSError, EOFError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"{path}: it cannot be read as an uncompressed tar ({reason}); get it again."
        ) from error
    if not photos:
        raise ConfigError(f"{path}: it holds no photo; it needs pairs KEY.jpg and KEY.json.")
    for here, there, missing in ((photos, annotations, "JSON"), (annotations, photos, "photo")):
        lone = next((key for key in here if key not in there), None)
        if lone is not None:
            raise ConfigError(f"{path}, {lone}: it has no {missing}; each KEY.jpg needs its KEY.json.")
    said = [annotations[key] for key in photos]
    kinds = tuple(dict.fromkeys(one.kind for one in said))
    return TarIndex(
        offsets=np.array([offset for offset, _ in photos.values()], np.int64),
        sizes=np.array([size for _, size in photos.values()], np.int32),
        latitudes=np.array([one.latitude for one in said], np.float64),
        longitudes=np.array([one.longitude for one in said], np.float64),
        kinds=kinds,
        kind_of=np.array([kinds.index(one.kind) for one in said], np.int32),
        classes=np.array([one.classes for one in said], np.int32),
        keys=Texts.of(photos),
        ids=Texts.of(one.photo_id for one in said),
    )


def _members(archive: tarfile.TarFile, length: int) -> Iterator[tarfile.TarInfo]:
    """The plain files of a tar that is so many bytes long, or `tarfile.ReadError` if it is damaged."""
    # At offset 0 the tar is empty, and Python 3.10 would seek to before its start.
    while archive.offset and (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined] # it would keep thousands of them
        if member.isreg():
            if member.offset_data + member.size > length:
                raise tarfile.ReadError("unexpected end of data")
            yield member
    # tarfile takes a damaged header for the end; at the true end there are zeros or nothing.
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError("a header is damaged")


def _annotation(where: str, key: str, content: bytes) -> _Annotation:
    try:
        values = json.loads(content)
        latitude, longitude = values["latitude"], values["longitude"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{where}: it is not JSON with `latitude` and `longitude` in degrees; mend it."
        ) from error
    for name, value, limit in (("latitude", latitude, 90), ("longitude", longitude, 180)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ConfigError(f"{where}: {name} is {value!r}, which is no number; mend it.")
        if abs(value) > limit:
            raise ConfigError(f"{where}: {name} {value} is beyond {limit} degrees; are the two swapped?")
    kind, photo_id = str(values.get("kind") or ""), str(values.get("id") or key)
    return _Annotation(float(latitude), float(longitude), kind, photo_id, _classes(where, values))


def _classes(where: str, values: dict[str, Any]) -> tuple[int, int, int]:
    if "classes" not in values:
        return NOT_SAID, NOT_SAID, NOT_SAID
    said = values["classes"]
    numbers = [-1 if value is None else value for value in said] if isinstance(said, list) else []
    if len(numbers) != 3 or not all(type(value) is int and -1 <= value < 2**31 for value in numbers):
        raise ConfigError(
            f"{where}: classes is {said!r}; it must be [coarse, middle, fine], whole numbers or null."
        )
    return numbers[0], numbers[1], numbers[2]


def _place(path: str, folder: Path) -> Path:
    return folder / f"{hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:24]}.npz"


def _stamp(path: str) -> NDArray[np.int64]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise ConfigError(f"{path}: it cannot be read ({(error.strerror or '').lower()}).") from error
    return np.array([_VERSION, status.st_size, status.st_mtime_ns], np.int64)


def _keep(index: TarIndex, stamp: NDArray[np.int64], place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"stamp": stamp, **{name: getattr(index, name) for name in _NUMBERS}}
    for name, texts in (("kinds", Texts.of(index.kinds)), ("keys", index.keys), ("ids", index.ids)):
        arrays |= {name: np.frombuffer(texts.block, np.uint8), f"{name}_ends": texts.ends}
    handle, name = tempfile.mkstemp(prefix=".written-", suffix=".part", dir=place.parent)
    try:
        with open(handle, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(name, place)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _is_kept(path: str, folder: Path) -> bool:
    try:
        with np.load(_place(path, folder), allow_pickle=False) as file:
            return np.array_equal(file["stamp"], _stamp(path))
    except _UNREADABLE:
        return False


def _load(path: str, folder: Path) -> TarIndex | None:
    """The kept index of a tar; None if it is damaged."""
    try:
        with np.load(_place(path, folder), allow_pickle=False) as file:
            numbers = {name: file[name] for name in _NUMBERS}
            texts = {name: _texts(file, name) for name in ("kinds", "keys", "ids")}
        count = len(numbers["offsets"])
        if any(len(column) != count for column in (*numbers.values(), texts["keys"].ends, texts["ids"].ends)):
            return None
        kinds = tuple(texts.pop("kinds").as_list())
        return TarIndex(kinds=kinds, **numbers, **texts)  # type: ignore[arg-type]
    except _UNREADABLE:
        return None


def _texts(file: Any, name: str) -> Texts:  # noqa: ANN401 - an opened npz
    texts = Texts(file[name].tobytes(), file[f"{name}_ends"])
    if len(texts.ends) and (texts.ends[-1] != len(texts.block) or (np.diff(texts.ends, prepend=0) < 0).any()):
        raise ValueError(f"{name} is damaged")
    return texts
