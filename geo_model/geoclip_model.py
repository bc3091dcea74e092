"""GeoCLIP as a model like any other: `geo_model.load("geoclip")`.

Vivanco, Nayak and Shah, "GeoCLIP: Clip-Inspired Alignment between Locations and Images for Effective
Worldwide Geo-localization", NeurIPS 2023: a photo and a place become 512 numbers each, and the place whose
numbers point most nearly the same way is the answer. Section 3.3 compares with a gallery of places.

Here the softmax over the gallery is also summed up in cells, so that levels, regions and exports work as
for any model. The levels are sums of one distribution: the fine cells' probabilities are the combined ones
too, nothing is multiplied. The answer is the best place of the gallery, and its cell the one it lies in.
A place in no cell counts for the cell whose mean coordinate is nearest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from geo_model import geoclip_parts
from geo_model.cells import LEVELS, Hierarchy
from geo_model.crops import CropRule, center_crop, normalise
from geo_model.decoding import CropReduction, Decoded
from geo_model.errors import GeoModelError, ModelFolderError
from geo_model.geoclip_gallery import (
    EMBEDDING_SIZE,
    Gallery,
    classes_of_places,
    fill,
    load_gallery,
    read_tensors,
)
from geo_model.model_folder import ModelSpec
from geo_model.predict import Model

CLIP_FEATURES = 768
CROP_RULE = CropRule(
    resize_short_px=224,
    crop_px=224,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    interpolation="bicubic",
)
"""CLIP's preprocessing (Radford et al., "Learning Transferable Visual Models From Natural Language
Supervision", ICML 2021), of which only the centre is looked at."""


class GeoClipNetwork(nn.Module):
    """A photo as 512 numbers: CLIP's image half, then two layers of GeoCLIP's own.

    Args:
        clip: transformers' CLIPVisionModelWithProjection with 768 image features.
        image_head: From 768 to 512 numbers.
    """

    def __init__(self, clip: nn.Module, image_head: nn.Module) -> None:
        super().__init__()
        self.clip = clip
        self.image_head = image_head

    def forward(self, crops: Tensor) -> Tensor:
        """Float32 (B, 512), rows of length 1, of normalised crops (B, 3, 224, 224)."""
        features = self.image_head(self.clip(pixel_values=crops).image_embeds)
        return nn.functional.normalize(features.float(), dim=1)


class GeoClipModel(Model):
    """GeoCLIP, ready to predict; takes and gives what `Model` does.

    It looks at the centre of a photo only, so `crops` changes nothing: the mean and the maximum over one
    crop are the same.

    Args:
        network: Turns photos into numbers.
        gallery: The places to compare them with.
        logit_scale: What a cosine is multiplied by before the softmax.
        hierarchy: The cells that the gallery's probabilities are summed up in.
        device: Where it computes.
        dtype: What CLIP computes in; the comparison with the gallery is float32.
    """

    made_of_logits = False

    def __init__(
        self,
        network: GeoClipNetwork,
        gallery: Gallery,
        logit_scale: float,
        hierarchy: Hierarchy,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        spec = model_spec(hierarchy, len(gallery.coordinates))
        super().__init__(geoclip_parts.CARD_FOLDER, spec, hierarchy, network, device, dtype)
        self.gallery = gallery
        self.logit_scale = logit_scale
        self._coordinates = torch.from_numpy(gallery.coordinates).to(device).double()
        self._embeddings = gallery.embeddings.to(device)
        self._classes = tuple(
            torch.from_numpy(classes_of_places(gallery.coordinates, hierarchy[level])).to(device)
            for level in LEVELS
        )

    def cut(self, image: Image.Image) -> Tensor:
        """What CLIP sees of an upright RGB photo: its centre, uint8 (1, 3, 224, 224)."""
        return center_crop(image, self.spec.crop_rule)[None]

    @torch.inference_mode()
    def similarities(self, crops: Tensor) -> Tensor:
        """Logits of the places in the gallery, float32 (N, G), of uint8 crops (N, 1, 3, 224, 224)."""
        pixels = normalise(crops[:, 0].to(self.device, non_blocking=True), self.spec.crop_rule, self.dtype)
        return self.logit_scale * (self.network(pixels) @ self._embeddings.T)

    @torch.inference_mode()
    def logits(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Logarithms of the coarse, middle and fine cells' probabilities, float32 (N, 1, cells)."""
        tiny = torch.finfo(torch.float32).tiny
        return tuple(level.clamp_min(tiny).log()[:, None] for level in self.decode(crops).levels)

    @torch.inference_mode()
    def decode(self, crops: Tensor, reduction: CropReduction | None = None) -> Decoded:
        """Probabilities and answers for uint8 crops (N, 1, 3, 224, 224); `reduction` changes nothing."""
        logits = self.similarities(crops)
        best = logits.argmax(dim=1)
        shares = torch.softmax(logits, dim=1)
        levels = tuple(
            shares.new_zeros(len(shares), count).index_add_(1, classes, shares)
            for classes, count in zip(self._classes, self.hierarchy.sizes, strict=True)
        )
        return Decoded(levels, levels[-1], self._classes[-1][best], self._coordinates[best])


def load_geoclip(
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    *,
    clip: Path | None = None,
    hierarchy: Hierarchy | None = None,
    allow_download: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> GeoClipModel:
    """Load GeoCLIP from the installed package and CLIP's weights.

    Args:
        device: Where it computes.
        dtype: What CLIP computes in.
        clip: A folder with CLIP's weights; None takes `geoclip_parts.clip_folder`.
        hierarchy: The cells to sum probabilities up in; None takes `geoclip_parts.read_cells`.
        allow_download: Whether CLIP's weights may be downloaded if they are not on this machine.
        progress: Called with the number of places encoded and of all, where the gallery is not cached.

    Raises:
        DownloadNeededError: CLIP's weights are not here, and nobody agreed to download them.
        GeoModelError: The package is not installed, or a part is missing, damaged or does not fit.
    """
    package = geoclip_parts.the_package()
    cells = hierarchy or geoclip_parts.read_cells()
    network = read_network(package, clip or geoclip_parts.clip_folder(allow_download=allow_download))
    scale = float(read_tensors(package.logit_scale).exp())
    return GeoClipModel(network, load_gallery(package, device, progress), scale, cells, device, dtype)


def read_network(package: geoclip_parts.Package, clip: Path) -> GeoClipNetwork:
    """GeoCLIP's image half, of the package's weights and a folder with CLIP's.

    Raises:
        GeoModelError: A file is missing, damaged, or of another network.
    """
    head = nn.Sequential(
        nn.Linear(CLIP_FEATURES, CLIP_FEATURES), nn.ReLU(), nn.Linear(CLIP_FEATURES, EMBEDDING_SIZE)
    )
    fill(head, read_tensors(package.image_head), package.image_head)
    return GeoClipNetwork(_read_clip(clip), head)


def model_spec(hierarchy: Hierarchy, places: int) -> ModelSpec:
    """The settings that GeoCLIP would have in a model folder."""
    return ModelSpec(
        name=geoclip_parts.NAME,
        backbone=f"CLIP ViT-L/14 ({geoclip_parts.CLIP_REPOSITORY})",
        class_counts=hierarchy.sizes,
        crop_rule=CROP_RULE,
        description=f"GeoCLIP (NeurIPS 2023): a photo is compared with a gallery of {places:,} places.",
    )


def _read_clip(folder: Path) -> nn.Module:
    try:
        from transformers import CLIPVisionModelWithProjection
    except ImportError as error:
        raise GeoModelError(
            "geoclip: the package transformers is not installed; install it with: pip install geoclip"
        ) from error

    try:
        with _quiet_transformers():
            # safetensors only: the other format that transformers reads is a pickle.
            options: Any = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
            loaded: Any = CLIPVisionModelWithProjection.from_pretrained(str(folder), **options)
            clip, report = loaded
    except Exception as error:  # transformers raises whatever its readers do
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise ModelFolderError(
            f"{folder}: CLIP cannot be read from it ({reason}); it must hold the files of "
            f"{geoclip_parts.CLIP_REPOSITORY}: {', '.join(geoclip_parts.CLIP_FILES)}."
        ) from error
    if missing := sorted(report["missing_keys"]):
        raise ModelFolderError(
            f"{folder}: the weights lack {missing[0]}; give those of {geoclip_parts.CLIP_REPOSITORY}."
        )
    features, side_px = clip.config.projection_dim, clip.config.image_size
    if (features, side_px) != (CLIP_FEATURES, CROP_RULE.crop_px):
        raise ModelFolderError(
            f"{folder}: this CLIP gives {features} features of {side_px} pixels and GeoCLIP needs "
            f"{CLIP_FEATURES} of {CROP_RULE.crop_px}; give {geoclip_parts.CLIP_REPOSITORY}."
        )
    return clip


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No bar, and no list of the text half's weights, which are left where they are."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
