"""Photos in WebDataset tars, and where they were taken; train/tar_index.py says what a tar holds.

Before training all tars' headers and JSON files are read once, so that what is wrong with them shows at
once; a photo is then read straight from its place in its tar. An index of millions of photos is a few arrays
of numbers and a block of text, some 80 bytes a photo, which loader processes share.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geo_model.cells import LEVELS, Hierarchy
from geo_model.errors import ConfigError
from geo_model.images import read_image
from geo_model.sphere import unit_vectors
from train.assign import assign
from train.config import Data, Source
from train.open_tars import OpenTars
from train.photo_ids import PhotoIds
from train.tar_index import NOT_SAID, TarIndex, Texts, index_tars
from train.tar_names import check_gaps, matching_tars

if TYPE_CHECKING:
    from PIL.Image import Image

_AT_ONCE = 1 << 18


@dataclass(frozen=True, eq=False)
class PhotoIndex:
    """Photos in tars, N of them.

    Attributes:
        tars: Paths.
        tar_of: int32 (N,), position in `tars`.
        offsets, sizes: int64 and int32 (N,), bytes, of each encoded photo in its tar.
        keys: Name of each photo in its tar, without suffix; N texts.
        latitudes, longitudes: Degrees, float64 (N,).
        kinds: Names.
        kind_of: int32 (N,), position in `kinds`.
        weights: float64 (N,), draws an epoch of each photo, on average.
        given_classes: int32 (N, 3), the classes in the JSON files, -1 for none, -2 where they say
            nothing; None where no JSON file says any.
        ids: Name of each photo in a table, N texts; None unless they were asked for.
    """

    tars: tuple[str, ...]
    tar_of: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int32]
    keys: Sequence[str]
    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]
    kinds: tuple[str, ...]
    kind_of: NDArray[np.int32]
    weights: NDArray[np.float64]
    given_classes: NDArray[np.int32] | None = None
    ids: PhotoIds | None = None
    _files: OpenTars = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_files", OpenTars(self.tars))

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes."""
        return sum(getattr(getattr(self, entry.name), "nbytes", 0) for entry in fields(self))

    def name(self, row: int) -> str:
        """What to call a photo in a message."""
        return f"{self.tars[self.tar_of[row]]}, {self.keys[row]}"

    def read(self, row: int) -> bytes:
        """The encoded photo.

        Raises:
            PhotoError: Its tar cannot be read any more.
        """
        return self._files.read(int(self.tar_of[row]), int(self.offsets[row]), int(self.sizes[row]))

    def image(self, row: int, short_side_px: int | None = None) -> Image:
        """The upright RGB photo; see `geo_model.images.read_image`."""
        return read_image(self.read(row), name=self.name(row), short_side_px=short_side_px)

    def kind_counts(self) -> dict[str, int]:
        """Photos of each kind."""
        counts = np.bincount(self.kind_of, minlength=len(self.kinds))
        return {kind: int(count) for kind, count in zip(self.kinds, counts, strict=True) if count}

    def classes(self, hierarchy: Hierarchy) -> NDArray[np.int64]:
        """The class of each photo at each level, coarse first, int64 (N, 3); -1 where no cell holds it."""
        classes = np.empty((len(self), len(LEVELS)), np.int64)
        for start in range(0, len(self), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            classes[part] = assign(self.latitudes[part], self.longitudes[part], hierarchy)
        return classes

    @property
    def coordinates(self) -> NDArray[np.float64]:
        """Latitude and longitude of each photo in degrees, (N, 2)."""
        return np.stack([self.latitudes, self.longitudes], axis=1)

    def digest(self) -> str:
        """A short name for the photos' number and keys, the same wherever their tars lie."""
        state = hashlib.sha256(f"[{len(self)}, [".encode())
        for start in range(0, len(self), _AT_ONCE):
            keys = [str(key) for key in self.keys[start : start + _AT_ONCE]]
            state.update((", " if start else "").encode() + json.dumps(keys)[1:-1].encode())
        state.update(b"]]")
        return state.hexdigest()[:16]

    def points(self) -> NDArray[np.float32]:
        """Where each photo was taken, as a unit vector, float32 (N, 3)."""
        points = np.empty((len(self), 3), np.float32)
        for start in range(0, len(self), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            points[part] = unit_vectors(self.latitudes[part], self.longitudes[part])
        return points


@dataclass(frozen=True)
class Reading:
    """How tars are read.

    Attributes:
        folder: Where their indices are kept, see train/tar_index.py; None keeps none.
        processes: How many tars may be read at a time.
        on_tar: Called with the path of each tar once it was read, for progress.
        with_ids: Whether the photos' ids are wanted.
        allow_gaps: Whether numbers may be missing in a row of numbered tars.
    """

    folder: Path | None = None
    processes: int = 1
    on_tar: Callable[[str], None] | None = None
    with_ids: bool = False
    allow_gaps: bool = False


def index_photos(
    sources: Sequence[Source],
    key: str,
    kind_weights: dict[str, float] | None = None,
    reading: Reading = Reading(),
) -> PhotoIndex:
    """Read the headers and JSON files of tars, or what is kept of them.

    Args:
        sources: Which tars.
        key: Of `sources` in the configuration, for errors.
        kind_weights: Factors on the sources' weights.
        reading: How.

    Raises:
        ConfigError: No tar matches, one is missing, or a tar is damaged, compressed or empty, a photo has no
            JSON or the reverse, or a JSON holds no coordinate.
    """
    source_of: dict[str, Source] = {}
    for position, source in enumerate(sources):
        named = matching_tars(source, f"{key}.{position}.tars")
        if not reading.allow_gaps:
            check_gaps(named, f"{key}.{position}.tars")
        for path in named:
            if path in source_of:
                raise ConfigError(f"{key}.{position}.tars: {path} is named twice; name each tar once.")
            source_of[path] = source
    joined = _Joined(reading.with_ids)
    indices = index_tars(tuple(source_of), reading.folder, reading.processes, reading.on_tar)
    for tar, source in zip(indices, source_of.values(), strict=True):
        joined.add(tar, source, kind_weights or {})
    for kind in kind_weights or {}:
        if kind not in joined.kinds:
            raise ConfigError(
                f"data.kind_weights.{kind}: no photo of {key} is of this kind; the kinds are "
                f"{', '.join(sorted(joined.kinds))}."
            )
    return joined.index(tuple(source_of))


class _Joined:
    """The columns of several tars, one after another."""

    def __init__(self, with_ids: bool) -> None:
        self.kinds: dict[str, int] = {}
        self._columns: dict[str, list[NDArray[Any]]] = {}
        self._texts: dict[str, list[Texts]] = {name: [] for name in ("keys", "ids")[: 1 + with_ids]}
        self._tars = 0

    def add(self, tar: TarIndex, source: Source, kind_weights: dict[str, float]) -> None:
        """One more tar."""
        names = [kind or source.kind for kind in tar.kinds]
        numbers = np.array([self.kinds.setdefault(name, len(self.kinds)) for name in names], np.int32)
        weights = np.array([source.weight * kind_weights.get(name, 1.0) for name in names])
        columns = {
            "tar_of": np.full(len(tar), self._tars, np.int32),
            "kind_of": numbers[tar.kind_of],
            "weights": weights[tar.kind_of],
            **{name: getattr(tar, name) for name in ("offsets", "sizes", "latitudes", "longitudes")},
            "given_classes": tar.classes,
        }
        for name, column in columns.items():
            self._columns.setdefault(name, []).append(column)
        for name, texts in self._texts.items():
            texts.append(getattr(tar, name))
        self._tars += 1

    def index(self, tars: tuple[str, ...]) -> PhotoIndex:
        """All of them; empties this."""
        columns: dict[str, Any] = {}
        for name in tuple(self._columns):  # one after another, so that not all are there twice
            columns[name] = np.concatenate(self._columns.pop(name))
        if (columns["given_classes"] == NOT_SAID).all():
            columns["given_classes"] = None
        order = sorted(self.kinds)
        place = np.array([order.index(kind) for kind in self.kinds], np.int32)
        columns["kind_of"] = place[columns["kind_of"]]
        columns |= {name: PhotoIds(*Texts.join(self._texts.pop(name))) for name in tuple(self._texts)}
        return PhotoIndex(tars=tars, kinds=tuple(order), **columns)


def read_indices(data: Data, reading: Reading = Reading()) -> tuple[PhotoIndex, PhotoIndex]:
    """The training and the validation photos.

    Raises:
        ConfigError: See `index_photos`; or the two share a tar, or every training photo has weight 0.
    """
    train = index_photos(data.train, "data.train", data.kind_weights, reading)
    val = index_photos(data.val, "data.val", None, reading)
    if shared := sorted(
        {os.path.realpath(tar) for tar in train.tars} & {os.path.realpath(tar) for tar in val.tars}
    ):
        raise ConfigError(f"data.val: {shared[0]} is a training tar as well; validate on other photos.")
    if not train.weights.sum() >= 1:
        raise ConfigError("data.train: the weights draw no photo; give one source and kind a weight above 0.")
    return train, val


def count_tars(data: Data) -> int:
    """How many tars `read_indices` will read.

    Raises:
        ConfigError: There is none.
    """
    return sum(
        len(matching_tars(source, f"data.{split}.{position}.tars"))
        for split, sources in (("train", data.train), ("val", data.val))
        for position, source in enumerate(sources)
    )
