"""Where the parts of GeoCLIP come from: the package `geoclip`, CLIP's weights, and the cells.

The package carries the location encoder, the gallery and what follows CLIP. CLIP itself is downloaded once,
into Hugging Face's cache, and only when somebody agreed to it. Nothing here imports torch or the package.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from geo_model.cells import LEVELS, Hierarchy, Partitioning
from geo_model.errors import GeoModelError, ModelFolderError
from geo_model.hosts import host_of
from geo_model.model_folder import SPEC, find_model, read_hierarchy, read_spec

NAME = "geoclip"
CARD_FOLDER = Path(__file__).parent / "models" / NAME
"""Holds the model card."""

CLIP_REPOSITORY = "openai/clip-vit-large-patch14"
CLIP_FILES = ("config.json", "model.safetensors")
CLIP_MEGABYTES = 1_711.0

ALLOW_VARIABLE = "GEO_MODEL_ALLOW_DOWNLOAD"
"""Environment variable: 1 agrees to downloads beforehand."""
CLIP_VARIABLE = "GEOCLIP_CLIP_FOLDER"
"""Environment variable: a folder with CLIP's config.json and model.safetensors; nothing is downloaded."""
CELLS_VARIABLE = "GEOCLIP_CELLS_FOLDER"
"""Environment variable: a folder with coarse.csv, middle.csv and fine.csv; the bundled model's if unset."""


@dataclass(frozen=True)
class Download:
    """Something that must be fetched before a model can run.

    Attributes:
        what: What it is, for a question.
        url: Where it lies.
        megabytes: Its size in MB (10**6 bytes).
    """

    what: str
    url: str
    megabytes: float

    @property
    def host(self) -> str:
        """The host that would be asked."""
        return host_of(self.url)


class DownloadNeededError(GeoModelError):
    """A model lacks a part that nobody has agreed to download yet.

    Args:
        download: What is lacking.
    """

    def __init__(self, download: Download) -> None:
        self.download = download
        super().__init__(
            f"{NAME}: {download.what} would be fetched from {download.host}; {how_to_agree()}. "
            "Nothing was fetched"
        )


@dataclass(frozen=True)
class Package:
    """The files of the installed package `geoclip`.

    Attributes:
        version: Its version.
        folder: Its subpackage `model`.
    """

    version: str
    folder: Path

    @property
    def gallery(self) -> Path:
        """The 100,000 places: a CSV with the columns LAT and LON, degrees."""
        return self._file("gps_gallery/coordinates_100K.csv")

    @property
    def location_encoder(self) -> Path:
        """Weights that turn a place into 512 numbers."""
        return self._file("weights/location_encoder_weights.pth")

    @property
    def image_head(self) -> Path:
        """Weights that turn CLIP's 768 numbers of a photo into 512."""
        return self._file("weights/image_encoder_mlp_weights.pth")

    @property
    def logit_scale(self) -> Path:
        """Logarithm of what a cosine is multiplied by before the softmax."""
        return self._file("weights/logit_scale_weights.pth")

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise GeoModelError(
                f"{path}: the package geoclip lacks this file; install it again: "
                "pip install --force-reinstall --no-deps geoclip"
            )
        return path


def installed_package() -> Package | None:
    """The package, or None where it is not installed; it is not imported."""
    spec = importlib.util.find_spec(NAME)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    try:
        # A folder of that name in the working directory is not the package.
        return Package(importlib.metadata.version(NAME), folder)
    except importlib.metadata.PackageNotFoundError:
        return None


def the_package() -> Package:
    """The package.

    Raises:
        GeoModelError: It is not installed.
    """
    package = installed_package()
    if package is None:
        raise GeoModelError("geoclip: the package is not installed; install it with: pip install geoclip")
    return package


def names_geoclip(name_or_folder: str | os.PathLike[str] | None) -> bool:
    """Whether a model's name means GeoCLIP: it does unless a model folder has that name."""
    return str(name_or_folder) == NAME and not (Path(NAME) / SPEC).is_file()


def clip_download() -> Download:
    """CLIP's weights, as Hugging Face has them."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    what = f"CLIP's weights ({CLIP_REPOSITORY}, about {CLIP_MEGABYTES / 1000:.1f} GB)"
    return Download(what, f"{endpoint.rstrip('/')}/{CLIP_REPOSITORY}", CLIP_MEGABYTES)


def how_to_agree() -> str:
    """What to do about a download where nobody can be asked."""
    return (
        f"if that is meant, run python -m geo_model download {NAME} --yes or set {ALLOW_VARIABLE}=1; "
        f"if the weights lie on this machine already, set {CLIP_VARIABLE} to their folder"
    )


def download_allowed() -> bool:
    """Whether GEO_MODEL_ALLOW_DOWNLOAD agrees to downloads."""
    return os.environ.get(ALLOW_VARIABLE, "").strip().lower() in ("1", "true", "yes")


def local_clip() -> Path | None:
    """The folder with CLIP's weights: the one given, else Hugging Face's cache; None if it must be fetched.

    Raises:
        ModelFolderError: GEOCLIP_CLIP_FOLDER names a folder without them.
    """
    given = os.environ.get(CLIP_VARIABLE)
    if given:
        for name in CLIP_FILES:
            if not (Path(given) / name).is_file():
                raise ModelFolderError(
                    f"{CLIP_VARIABLE}: {given} holds no {name}; give a folder with the files of "
                    f"{CLIP_REPOSITORY}: {', '.join(CLIP_FILES)}."
                )
        return Path(given)
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(CLIP_REPOSITORY, name) for name in CLIP_FILES]
    paths = [Path(path) for path in found if isinstance(path, str)]
    return paths[0].parent if len(paths) == len(CLIP_FILES) else None


def clip_folder(*, allow_download: bool = False) -> Path:
    """The folder with CLIP's weights, downloaded if they are not here and somebody agreed.

    Raises:
        DownloadNeededError: They are not here, and nobody agreed.
        GeoModelError: They cannot be had.
    """
    found = local_clip()
    if found is not None:
        return found
    if not (allow_download or download_allowed()):
        raise DownloadNeededError(clip_download())
    from geo_model.geoclip_download import fetch_clip

    return fetch_clip()


def read_cells() -> Hierarchy:
    """The partitionings that GeoCLIP's probabilities are summed over: the bundled model's, or those given.

    Raises:
        GeoModelError: The folder that GEOCLIP_CELLS_FOLDER names lacks one, or one is damaged.
    """
    given = os.environ.get(CELLS_VARIABLE)
    if not given:
        bundled = find_model()
        return read_hierarchy(bundled, read_spec(bundled))
    return Hierarchy.build(*(Partitioning.read_csv(Path(given) / f"{level.value}.csv") for level in LEVELS))
