"""What is in WebDataset tars, and where.

A tar holds pairs KEY.jpg (or another photo suffix) and KEY.json. The JSON holds `latitude` and `longitude`
in degrees and may hold `kind`. Tars are not compressed. Before training all headers and JSON files are read
once, so that what is wrong with them shows at once; a photo is then read straight from its place in its tar.
"""

from __future__ import annotations

import glob
import json
import math
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geo_model.cells import LEVELS, Hierarchy
from geo_model.errors import ConfigError
from geo_model.images import PHOTO_SUFFIXES, read_image
from geo_model.sphere import unit_vectors
from train.config import Data, Source

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_JSON_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class PhotoIndex:
    """Photos in tars, N of them.

    Attributes:
        tars: Paths.
        tar_of: int32 (N,), position in `tars`.
        offsets, sizes: int64 (N,), bytes, of each encoded photo in its tar.
        keys: Name of each photo in its tar, without suffix.
        latitudes, longitudes: Degrees, float64 (N,).
        kinds: Names.
        kind_of: int32 (N,), position in `kinds`.
        weights: float64 (N,), draws an epoch of each photo, on average.
    """

    tars: tuple[str, ...]
    tar_of: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    keys: NDArray[np.str_]
    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]
    kinds: tuple[str, ...]
    kind_of: NDArray[np.int32]
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.offsets)

    def name(self, row: int) -> str:
        """What to call a photo in a message."""
        return f"{self.tars[self.tar_of[row]]}, {self.keys[row]}"

    def read(self, row: int) -> bytes:
        """The encoded photo."""
        with open(self.tars[self.tar_of[row]], "rb") as file:
            file.seek(int(self.offsets[row]))
            return file.read(int(self.sizes[row]))

    def image(self, row: int, short_side_px: int | None = None) -> Image:
        """The upright RGB photo; see `geo_model.images.read_image`."""
        return read_image(self.read(row), name=self.name(row), short_side_px=short_side_px)

    def kind_counts(self) -> dict[str, int]:
        """Photos of each kind."""
        counts = np.bincount(self.kind_of, minlength=len(self.kinds))
        return {kind: int(count) for kind, count in zip(self.kinds, counts, strict=True) if count}

    def classes(self, hierarchy: Hierarchy) -> NDArray[np.int64]:
        """The class of each photo at each level, coarse first, int64 (N, 3); -1 where no cell holds it."""
        columns = [hierarchy[level].classes_of(self.latitudes, self.longitudes) for level in LEVELS]
        return np.stack(columns, axis=1)

    @property
    def coordinates(self) -> NDArray[np.float64]:
        """Latitude and longitude of each photo in degrees, (N, 2)."""
        return np.stack([self.latitudes, self.longitudes], axis=1)

    def points(self) -> NDArray[np.float32]:
        """Where each photo was taken, as a unit vector, float32 (N, 3)."""
        return unit_vectors(self.latitudes, self.longitudes).astype(np.float32)


def index_photos(
    sources: Sequence[Source],
    key: str,
    kind_weights: dict[str, float] | None = None,
    on_tar: Callable[[str], None] | None = None,
) -> PhotoIndex:
    """Read the headers and JSON files of tars.

    Args:
        sources: Which tars.
        key: Of `sources` in the configuration, for errors.
        kind_weights: Factors on the sources' weights.
        on_tar: Called with the path of each tar once it was read, for progress.

    Raises:
        ConfigError: No tar matches, or a tar is damaged, compressed or empty, a photo has no JSON or the
            reverse, or a JSON holds no coordinate.
    """
    tars: list[str] = []
    rows: list[tuple[int, int, int, str, float, float, str, float]] = []
    for position, source in enumerate(sources):
        for path in matching_tars(source, f"{key}.{position}.tars"):
            if path in tars:
                raise ConfigError(f"{key}.{position}.tars: {path} is named twice; name each tar once.")
            for offset, size, name, latitude, longitude, kind in _read_tar(path):
                weight = source.weight * (kind_weights or {}).get(kind or source.kind, 1.0)
                rows.append((len(tars), offset, size, name, latitude, longitude, kind or source.kind, weight))
            tars.append(path)
            if on_tar is not None:
                on_tar(path)
    columns = list(zip(*rows, strict=True))
    kinds = tuple(sorted(set(columns[6])))
    for kind in kind_weights or {}:
        if kind not in kinds:
            raise ConfigError(
                f"data.kind_weights.{kind}: no photo of {key} is of this kind; the kinds are "
                f"{', '.join(kinds)}."
            )
    return PhotoIndex(
        tars=tuple(tars),
        tar_of=np.array(columns[0], np.int32),
        offsets=np.array(columns[1], np.int64),
        sizes=np.array(columns[2], np.int64),
        keys=np.array(columns[3], np.str_),
        latitudes=np.array(columns[4], np.float64),
        longitudes=np.array(columns[5], np.float64),
        kinds=kinds,
        kind_of=np.array([kinds.index(kind) for kind in columns[6]], np.int32),
        weights=np.array(columns[7], np.float64),
    )


def read_indices(data: Data, on_tar: Callable[[str], None] | None = None) -> tuple[PhotoIndex, PhotoIndex]:
    """The training and the validation photos.

    Raises:
        ConfigError: See `index_photos`; or the two share a tar, or every training photo has weight 0.
    """
    train = index_photos(data.train, "data.train", data.kind_weights, on_tar)
    val = index_photos(data.val, "data.val", None, on_tar)
    if shared := sorted(
        {os.path.realpath(tar) for tar in train.tars} & {os.path.realpath(tar) for tar in val.tars}
    ):
        raise ConfigError(f"data.val: {shared[0]} is a training tar as well; validate on other photos.")
    if not train.weights.sum() >= 1:
        raise ConfigError("data.train: the weights draw no photo; give one source and kind a weight above 0.")
    return train, val


def count_tars(data: Data) -> int:
    """How many tars `read_indices` will read."""
    return sum(len(glob.glob(source.tars)) for source in (*data.train, *data.val))


def matching_tars(source: Source, key: str) -> list[str]:
    """The files that a source names, sorted.

    Raises:
        ConfigError: There is none.
    """
    found = sorted(path for path in glob.glob(source.tars, recursive=True) if os.path.isfile(path))
    if not found:
        raise ConfigError(
            f"{key}: no file matches {source.tars!r} (looked from {os.getcwd()}); check the path."
        )
    return found


def _read_tar(path: str) -> Iterator[tuple[int, int, str, float, float, str]]:
    """Offset and size in bytes, key, latitude, longitude and kind ("" if none) of each photo of a tar."""
    photos: dict[str, tuple[int, int]] = {}
    annotations: dict[str, tuple[float, float, str]] = {}
    length = os.path.getsize(path)
    try:
        with tarfile.open(path, "r:") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined] # it would keep millions of them
                if not member.isreg():
                    continue
                if member.offset_data + member.size > length:
                    raise tarfile.ReadError("unexpected end of data")
                folder, name = os.path.split(member.name)
                stem, _, suffix = name.partition(".")  # WebDataset: the key ends at the first dot
                key = os.path.join(folder, stem)
                if suffix.lower() == "json":
                    if key in annotations:
                        raise ConfigError(f"{path}, {key}: this key occurs twice; keys must differ.")
                    stream = archive.extractfile(member)
                    assert stream is not None
                    annotations[key] = _annotation(f"{path}, {member.name}", stream.read(_MAX_JSON_BYTES))
                elif PurePosixPath(f"x.{suffix.lower()}").suffix in PHOTO_SUFFIXES:
                    if key in photos:
                        raise ConfigError(f"{path}, {key}: this key occurs twice; keys must differ.")
                    photos[key] = member.offset_data, member.size
            # tarfile takes a damaged header for the end; at the true end there are zeros or nothing.
            assert archive.fileobj is not None
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise tarfile.ReadError("a header is damaged")
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
    for key, (offset, size) in photos.items():
        yield offset, size, key, *annotations[key]


def _annotation(where: str, content: bytes) -> tuple[float, float, str]:
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
    return float(latitude), float(longitude), str(values.get("kind") or "")
