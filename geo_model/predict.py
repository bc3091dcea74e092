"""Photos in, predictions out: photo → crops → logits → cell probabilities → place."""

from __future__ import annotations

import contextlib
import copy
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

import torch
from PIL import Image
from torch import Tensor, nn

from geo_model import geoclip_parts, gpu_jpeg
from geo_model.batches import Asked, Given
from geo_model.cells import Hierarchy
from geo_model.crops import five_crop, normalise
from geo_model.decoding import CropReduction, Decoded, Decoder
from geo_model.errors import PhotoError
from geo_model.huge_pages import ask_for_huge_pages
from geo_model.loading import Precision, device_of, dtype_of, network_of
from geo_model.measured_choices import Choices, choices_for
from geo_model.model_folder import ModelFolder, ModelSpec, find_model, read_model_folder
from geo_model.photo_crops import Named, PhotoCrops, PhotoInput, Source, is_one_photo
from geo_model.prediction import Candidate, PhotoFailure, Prediction, Region
from geo_model.ranking import ranked_cells
from geo_model.running import Arriving, backbone_parameters, fast_network, runner

__all__ = [
    "Candidate",
    "Model",
    "PhotoFailure",
    "PhotoInput",
    "Precision",
    "Prediction",
    "Region",
    "Source",
    "load",
]

_VIEWS = 5
"""Crops of a photo."""


class Model:
    """A network with its cells, loaded onto a device and ready to predict; made by `load`.

    Args:
        path: The folder that holds its model card.
        spec: Its settings.
        hierarchy: Its partitionings.
        network: From normalised crops (B, 3, S, S) to coarse, middle and fine logits (B, cells).
        device: Where it computes.
        dtype: What it computes in.

    Attributes:
        network: The network as given, on its device and in its precision.
        fast_network: What predictions are made with: the same function in fewer steps, see `folding`. On the
            CPU its heads are float32 in any precision: logits in bfloat16 would tie.
        choices: How it computes, as measured; see `computing`.
    """

    made_of_logits = True
    """Whether its probabilities are what its decoder makes of the crops' logits, and nothing else."""

    _copies: torch.cuda.Stream | None = None

    def __init__(
        self,
        path: Path,
        spec: ModelSpec,
        hierarchy: Hierarchy,
        network: nn.Module,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.path = path
        self.spec = spec
        self.hierarchy = hierarchy
        self.device = device
        self.dtype = dtype
        self.decoder = Decoder(self.hierarchy, self.spec.temperature, self.spec.decoding)
        self.choices = choices_for(device, spec.backbone, dtype, backbone_parameters(network))
        network = network.eval()
        self.fast_network = fast_network(network, spec.crop_rule.crop_px, device, dtype)
        network = network.to(device=device, dtype=dtype)
        self.network = network.to(memory_format=torch.channels_last)
        self.run = runner(self.fast_network, self.choices, _VIEWS)
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    def computing(self, choices: Choices) -> Model:
        """The same model, its weights shared, computing as these choices of its precision say."""
        other = copy.copy(self)
        other.choices = choices
        other.run = runner(self.fast_network, choices, _VIEWS)
        return other

    def predict(
        self,
        photos: Iterable[PhotoInput] | PhotoInput,
        *,
        batch_size: int | Literal["auto"] = "auto",
        crops: CropReduction | None = None,
        regions: Sequence[float] = (),
    ) -> list[Prediction]:
        """Locate photos.

        Args:
            photos: One photo, or an iterable of photos: path, encoded bytes, binary file, PIL image, or
                (name, any of these). A pair of texts by itself is two paths.
            batch_size: Photos that are read, located and given back together; does not change the answers.
            crops: `mean` or `max` over the five crops; None takes what the model was measured with.
            regions: As for `stream`.

        Raises:
            PhotoError: A photo cannot be read. Use `stream` to go on with the others.
        """
        predictions = []
        for result in self.stream(photos, batch_size=batch_size, crops=crops, regions=regions):
            if isinstance(result, PhotoFailure):
                raise PhotoError(result.reason)
            predictions.append(result)
        return predictions

    def stream(
        self,
        photos: Iterable[PhotoInput] | PhotoInput,
        *,
        batch_size: int | Literal["auto"] = "auto",
        crops: CropReduction | None = None,
        keep_logits: bool = False,
        regions: Sequence[float] = (),
    ) -> Iterator[Prediction | PhotoFailure]:
        """Locate any number of photos in constant memory, in their order.

        Args:
            photos: As for `predict`.
            batch_size: As for `predict`.
            crops: As for `predict`.
            keep_logits: Whether predictions carry the crops' logits, for `retempering`: with five crops three
                times the size of a prediction. A model that is not `made_of_logits` keeps none.
            regions: Shares of the credible regions that are wanted of every photo: they, and the places, are
                then worked out for a whole batch at once. They are there in any case, photo by photo.

        Yields:
            A prediction, or a failure that names the photo and says why it could not be read.
        """
        size = self.choices.batch_size if batch_size == "auto" else int(batch_size)
        if size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be 1 or more")
        asked = Asked(crops, keep_logits, tuple(regions))
        reader = PhotoCrops(self.cut, self.spec.crop_rule, self._jpeg_decoder())
        inputs: Iterator[Any] = iter([photos] if is_one_photo(photos) else cast("Iterable[Any]", photos))
        readers = ThreadPoolExecutor(self.choices.readers, thread_name_prefix="photo-reader")
        try:
            pending: deque[Future[Named]] = deque()
            given: deque[Given] = deque()
            numbered = enumerate(inputs, start=1)
            while True:
                # One batch ahead of the network, so that decoding and computing overlap.
                for number, photo in islice(numbered, 2 * size - len(pending)):
                    pending.append(readers.submit(reader.read, photo, number))
                if pending:
                    batch = [pending.popleft().result() for _ in range(min(size, len(pending)))]
                    given.append(self._give(reader, batch, asked))
                elif not given:
                    return
                if not pending or len(given) > self.choices.batches_ahead:
                    yield from given.popleft().results()
        finally:  # also when the caller stops early: what was not begun is not read
            readers.shutdown(wait=True, cancel_futures=True)

    def _jpeg_decoder(self) -> gpu_jpeg.Decode | None:
        if self.choices.jpegs == "nvjpeg" and self.device.type == "cuda" and gpu_jpeg.available():
            return gpu_jpeg.nvjpeg(self.device)
        return None

    @classmethod
    def from_folder(cls, folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> Model:
        """The model that a model folder holds; raises ModelFolderError if its weights do not fit."""
        return cls(folder.path, folder.spec, folder.hierarchy, network_of(folder), device, dtype)

    def cut(self, image: Image.Image) -> Tensor:
        """What the network sees of an upright RGB photo: uint8 crops (V, 3, S, S), V = 5."""
        return five_crop(image, self.spec.crop_rule)

    @torch.inference_mode()
    def logits(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Coarse, middle and fine logits, float32 (N, V, cells), of uint8 crops (N, V, 3, S, S)."""
        together = self.choices.photos_at_once
        if together is None:
            together = len(crops) if self.choices.way == "eager" else self.choices.batch_size
        parts = [self._logits(part) for part in crops.split(together)]
        levels = zip(*parts, strict=True)
        return tuple(torch.cat(level).unflatten(0, crops.shape[:2]) for level in levels)

    def _logits(self, crops: Tensor) -> tuple[Tensor, ...]:
        """The same of photos that go through the network together: float32 (N * V, cells)."""
        pixels = normalise(self._moved(crops.flatten(0, 1)), self.spec.crop_rule, self.dtype)
        outputs = self.run(pixels.contiguous(memory_format=torch.channels_last))
        return tuple(output.float() for output in outputs)

    def _moved(self, crops: Tensor) -> Tensor:
        """Crops on the device."""
        if self._copies is None or crops.is_cuda:
            return crops.to(self.device)
        with self._beside_computing():
            moved = crops.pin_memory().to(self.device, non_blocking=True)
        moved.record_stream(torch.cuda.current_stream(self.device))
        return moved

    @contextlib.contextmanager
    def _beside_computing(self) -> Iterator[None]:
        """On a GPU: work that does not wait for the batch being computed; what follows it waits for it."""
        if self._copies is None:
            yield
            return
        with torch.cuda.stream(self._copies):
            yield
        torch.cuda.current_stream(self.device).wait_stream(self._copies)

    def decode(self, crops: Tensor, reduction: CropReduction | None = None) -> Decoded:
        """Probabilities and answers for uint8 crops (N, V, 3, S, S)."""
        return self.decoder.decode(self.logits(crops), reduction or self.spec.crops)

    @torch.inference_mode()
    def _answers(self, crops: Tensor, asked: Asked) -> Arriving:
        """What the device makes of a batch of uint8 crops (N, V, 3, S, S); a GPU is not waited for."""
        logits: tuple[Tensor, ...] = ()
        if asked.keep_logits and self.made_of_logits:
            logits = self.logits(crops)
            decoded = self.decoder.decode(logits, asked.crops or self.spec.crops)
        else:
            decoded = self.decode(crops, asked.crops)
        ranked = ranked_cells(decoded.product, asked.regions) if asked.regions else None
        return Arriving(
            levels=decoded.levels,
            answer=(decoded.product, decoded.classes),
            points=() if decoded.points is None else (decoded.points,),
            logits=logits,
            ranked=() if ranked is None else (ranked.order, ranked.counts, ranked.held),
        )

    def _give(self, reader: PhotoCrops, batch: Sequence[Named], asked: Asked) -> Given:
        """Have the device locate a batch; on a GPU without waiting for it."""
        with self._beside_computing():
            names, crops = reader.together(batch)
        if crops is not None and crops.is_cuda:
            crops.record_stream(torch.cuda.current_stream(self.device))
        return Given(names, None if crops is None else self._answers(crops, asked), asked, self.hierarchy)


def load(
    name_or_folder: str | os.PathLike[str] | None = None,
    device: str | torch.device = "auto",
    precision: Precision = "auto",
    allow_download: bool = False,
) -> Model:
    """Load a model.

    Args:
        name_or_folder: A model folder or the name of a known model; None is the bundled one.
        device: `auto` (CUDA when there is one), `cpu`, `cuda`, `cuda:1`, ...
        precision: `auto` is the fastest that was measured, by `tune` on this machine or else as
            `measured_choices` says: bfloat16 on a CPU or GPU that multiplies it, else float32 on the CPU and
            float16 on a GPU. Probabilities in half precision differ a little, and so may near answers:
            `float32` gives the same on every CPU. On a GPU PyTorch convolves float32 in TF32 unless
            `torch.backends.cudnn.allow_tf32` is off.
        allow_download: Whether parts that a model lacks may be fetched: `geoclip` needs CLIP's weights.

    Raises:
        DownloadNeededError: The model lacks a part, and nobody agreed to fetch it.
        ModelFolderError: There is no such model, or a part of it is missing, damaged or mismatching.
        DeviceError: This machine has no such device, or the device no such precision.
    """
    ask_for_huge_pages()
    chosen = device_of(device)
    dtype = dtype_of(precision, chosen)
    if geoclip_parts.names_geoclip(name_or_folder):
        from geo_model.geoclip_model import load_geoclip

        return load_geoclip(chosen, dtype, allow_download=allow_download)
    folder = read_model_folder(find_model(name_or_folder))
    if precision == "auto":
        dtype = choices_for(chosen, folder.spec.backbone).dtype
    return Model.from_folder(folder, chosen, dtype)
