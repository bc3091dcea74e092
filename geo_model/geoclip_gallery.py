"""GeoCLIP's gallery: 100,000 places, each as 512 numbers to compare a photo with.

Encoding them takes seconds to minutes and gives the same numbers each time, so it is done once and kept in
the user's cache folder, in a file named after the content that it was made from.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geo_model.cells import Partitioning
from geo_model.errors import GeoModelError
from geo_model.files import replaced_file
from geo_model.geoclip_parts import Package
from geo_model.sphere import unit_vectors

if TYPE_CHECKING:
    import torch

CACHE_VARIABLE = "GEO_MODEL_CACHE"
"""Environment variable: the folder for what can be computed anew; the platform's cache folder if unset."""

EMBEDDING_SIZE = 512
_FORMAT = "1"
_CHUNK = 2048


@dataclass(frozen=True, eq=False)
class Gallery:
    """Places and what they look like to the location encoder.

    Attributes:
        coordinates: Latitude and longitude in degrees, float32 (G, 2).
        embeddings: float32 (G, 512), rows of length 1, on the CPU.
    """

    coordinates: NDArray[np.float32]
    embeddings: torch.Tensor


def cache_folder() -> Path:
    """Where the encoded gallery is kept."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    from platformdirs import user_cache_path

    return user_cache_path("geolocation-images", appauthor=False)


def cache_file(package: Package) -> Path:
    """The file that keeps the encoded gallery, named after a hash of gallery and location encoder."""
    content = hashlib.sha256(_FORMAT.encode())
    for path in (package.gallery, package.location_encoder):
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return cache_folder() / f"geoclip-gallery-{content.hexdigest()[:32]}.safetensors"


def load_gallery(
    package: Package, device: str | torch.device = "cpu", progress: Callable[[int, int], None] | None = None
) -> Gallery:
    """The gallery, from the cache if it is there and whole, else encoded and cached.

    A cache that cannot be written is a warning, and the gallery is encoded anew next time.

    Args:
        package: Whose gallery.
        device: Where to encode.
        progress: Called with the number of places encoded so far and of all places.

    Raises:
        GeoModelError: A file of the package is damaged.
    """
    coordinates = read_coordinates(package.gallery)
    file = cache_file(package)
    embeddings = _read_cache(file, len(coordinates))
    if embeddings is None:
        embeddings = encode(coordinates, location_encoder(package), device, progress)
        try:
            _write_cache(file, embeddings)
        except (GeoModelError, OSError) as error:
            warnings.warn(
                f"GeoCLIP's gallery will be encoded anew next time ({error}); set {CACHE_VARIABLE} to a "
                "folder that can be written to.",
                stacklevel=2,
            )
    return Gallery(coordinates, embeddings)


def read_coordinates(path: Path) -> NDArray[np.float32]:
    """Latitude and longitude in degrees, float32 (G, 2), of a CSV with the columns LAT and LON."""
    try:
        with path.open(encoding="utf-8") as file:
            header = file.readline().strip()
            values = np.loadtxt(file, delimiter=",", dtype=np.float64, ndmin=2)
    except ValueError as error:
        raise GeoModelError(
            f"{path}: a line holds no two numbers ({error}); install geoclip again"
        ) from error
    if header != "LAT,LON" or values.shape[1] != 2 or not len(values):
        raise GeoModelError(f"{path}: it is no gallery with the columns LAT,LON; install geoclip again")
    return values.astype(np.float32)


def location_encoder(package: Package) -> torch.nn.Module:
    """The package's own location encoder with the package's weights, of which nothing is unpickled."""
    with warnings.catch_warnings():  # of what the package's own code uses
        warnings.simplefilter("ignore")
        from geoclip import LocationEncoder

    encoder = LocationEncoder(from_pretrained=False)
    fill(encoder, read_tensors(package.location_encoder), package.location_encoder)
    return encoder.eval()


def encode(
    coordinates: NDArray[np.float32],
    encoder: torch.nn.Module,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> torch.Tensor:
    """Places as the location encoder sees them: float32 (G, 512), rows of length 1, on the CPU."""
    import torch

    encoder = encoder.to(device)
    places = torch.from_numpy(coordinates)
    encoded = torch.empty(len(places), EMBEDDING_SIZE)
    with torch.inference_mode():
        for start in range(0, len(places), _CHUNK):
            features = encoder(places[start : start + _CHUNK].to(device))
            encoded[start : start + _CHUNK] = torch.nn.functional.normalize(features.float(), dim=1).cpu()
            if progress:
                progress(min(start + _CHUNK, len(places)), len(places))
    return encoded


def classes_of_places(coordinates: NDArray[np.float32], partitioning: Partitioning) -> NDArray[np.int64]:
    """The class of each place, int64 (G,): the cell that holds it, else the one whose mean is nearest."""
    from scipy.spatial import cKDTree

    latitudes, longitudes = coordinates.astype(np.float64).T
    classes = partitioning.classes_of(latitudes, longitudes)
    outside = np.flatnonzero(classes < 0)
    if outside.size:
        means = cKDTree(unit_vectors(partitioning.latitudes, partitioning.longitudes))
        classes[outside] = means.query(unit_vectors(latitudes[outside], longitudes[outside]))[1]
    return classes


def read_tensors(path: Path) -> Any:  # noqa: ANN401 - a mapping of tensors, or one tensor
    """What a .pth file of the package holds; only tensors are read, nothing in it is run."""
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # reading a pickle without running it fails in many ways
        reason = " ".join(str(error).split())[:200]
        raise GeoModelError(f"{path}: the weights are damaged ({reason}); install geoclip again") from error


def fill(module: torch.nn.Module, tensors: Any, path: Path) -> None:  # noqa: ANN401
    """Put all weights of a file into a module; says which file if they do not fit."""
    try:
        module.load_state_dict(tensors)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise GeoModelError(f"{path}: the weights do not fit ({reason}); install geoclip again") from error


def _read_cache(file: Path, count: int) -> torch.Tensor | None:
    """The embeddings in a cache file; None if there is none, or it is damaged."""
    import torch
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        return None
    with contextlib.suppress(SafetensorError, OSError, ValueError, KeyError):
        with safe_open(file, framework="pt") as content:
            said = content.metadata() or {}
            embeddings = content.get_tensor("embeddings")
        fits = embeddings.shape == (count, EMBEDDING_SIZE) and embeddings.dtype == torch.float32
        # The library checks the header; a block that the disk lost is noticed only by the checksum.
        if fits and said.get("crc32") == _checksum(embeddings):
            return embeddings
    return None


def _write_cache(file: Path, embeddings: torch.Tensor) -> None:
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    said = {"crc32": _checksum(embeddings)}
    with replaced_file(file) as part:
        save_file({"embeddings": embeddings}, part, metadata=said)


def _checksum(embeddings: torch.Tensor) -> str:
    return str(zlib.crc32(embeddings.numpy().data))
