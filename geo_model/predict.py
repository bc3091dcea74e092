"""Photos in, predictions out: photo → crops → logits → cell probabilities → place."""

from __future__ import annotations

import copy
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from geo_model import geoclip_parts
from geo_model.cells import LEVELS, Hierarchy, Level
from geo_model.crops import five_crop, normalise
from geo_model.decoding import CropReduction, Decoded, Decoder, credible_regions
from geo_model.errors import DeviceError, ModelFolderError, PhotoError
from geo_model.folding import folded
from geo_model.images import PhotoSource, photo_name, read_image, upright_rgb
from geo_model.measured_choices import choices_for
from geo_model.model_folder import ModelFolder, ModelSpec, find_model, read_model_folder
from geo_model.network import GeoNetwork
from geo_model.places import Place, nearest_places

Source: TypeAlias = PhotoSource | Image.Image
PhotoInput: TypeAlias = Source | tuple[str, Source]
"""A photo: path, encoded bytes, binary file or PIL image, alone or as (name, source)."""

Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class _Given:
    """A batch that the device was given: photos or failures in order, and what it makes of the photos."""

    names: list[tuple[str, PhotoFailure | None]]
    decoded: Decoded | None
    logits: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class PhotoFailure:
    """A photo that could not be read, with the sentence that says why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Candidate:
    """One cell in a ranking.

    Attributes:
        rank: 1 is the most probable.
        level: The level of the cell; None in a ranking of fine cells by the hierarchy's product.
        class_index: Row of the cell in its partitioning.
        token: S2 token.
        probability: In [0, 1].
        latitude: Degrees, of the mean coordinate of the cell's photos.
        longitude: Degrees, likewise.
        place: Nearest populated place.
    """

    rank: int
    level: Level | None
    class_index: int
    token: str
    probability: float
    latitude: float
    longitude: float
    place: Place


@dataclass(frozen=True, eq=False)
class Region:
    """A credible region: the smallest set of fine cells that holds a share of the probability.

    Attributes:
        share: The share asked for, in (0, 1].
        classes: Fine classes, most probable first, int64.
        probability: What they hold, at least `share`.
        area_km2: Their area in km².
    """

    share: float
    classes: NDArray[np.int64]
    probability: float
    area_km2: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """Where a photo was taken, and how sure that is.

    Attributes:
        name: Of the photo.
        class_index: The fine class answered.
        levels: Probabilities of each head, float32 (cells of that level,), in [0, 1].
        product: Probabilities of the fine cells from all three levels, float32 (F,).
        hierarchy: The partitionings that the classes belong to.
        answer: Latitude and longitude in degrees, from a model that answers more finely than a cell; None
            answers the mean coordinate of the cell's photos.
        logits: Of each crop, coarse first, float32 (V, cells), where `Model.stream` was asked to keep them
            and the model's probabilities are made of them.
    """

    name: str
    class_index: int
    levels: dict[Level, NDArray[np.float32]]
    product: NDArray[np.float32]
    hierarchy: Hierarchy
    answer: tuple[float, float] | None = None
    logits: tuple[NDArray[np.float32], ...] | None = None

    @property
    def latitude(self) -> float:
        """Degrees."""
        return self.answer[0] if self.answer else float(self.hierarchy.fine.latitudes[self.class_index])

    @property
    def longitude(self) -> float:
        """Degrees."""
        return self.answer[1] if self.answer else float(self.hierarchy.fine.longitudes[self.class_index])

    @property
    def probability(self) -> float:
        """Of the fine cell answered, from all three levels."""
        return float(self.product[self.class_index])

    @cached_property
    def place(self) -> Place:
        """The populated place nearest to the answer."""
        return nearest_places([self.latitude], [self.longitude])[0]

    def probabilities(self, level: Level | None = None) -> NDArray[np.float32]:
        """Probabilities of one head's cells, or of the fine cells from all levels (None)."""
        return self.product if level is None else self.levels[level]

    def point(self, level: Level | None = None) -> tuple[float, float]:
        """Latitude and longitude, in degrees, of one head's most probable cell, or of the answer (None)."""
        if level is None:
            return self.latitude, self.longitude
        partitioning, best = self.hierarchy[level], int(self.levels[level].argmax())
        return float(partitioning.latitudes[best]), float(partitioning.longitudes[best])

    def top(self, k: int = 5, level: Level | None = None) -> list[Candidate]:
        """The k most probable cells of one head, or the k most probable fine cells from all levels (None).

        The answer need not be the first of them: a model may answer the cell with the most probability
        around it (see `decoding.Decoding`).
        """
        probabilities = self.probabilities(level)
        partitioning = self.hierarchy[level or Level.FINE]
        classes = np.argsort(-probabilities, kind="stable")[: max(k, 0)]
        places = nearest_places(partitioning.latitudes[classes], partitioning.longitudes[classes])
        return [
            Candidate(
                rank=rank,
                level=level,
                class_index=int(index),
                token=partitioning.tokens[index],
                probability=float(probabilities[index]),
                latitude=float(partitioning.latitudes[index]),
                longitude=float(partitioning.longitudes[index]),
                place=place,
            )
            for rank, (index, place) in enumerate(zip(classes, places, strict=True), start=1)
        ]

    def region(self, share: float = 0.9) -> Region:
        """The credible region of a share of the probability.

        Raises:
            ValueError: The share is not in (0, 1].
        """
        mask = credible_regions(torch.from_numpy(self.product)[None], share)[0].numpy()
        classes = np.flatnonzero(mask)
        classes = classes[np.argsort(-self.product[classes], kind="stable")]
        return Region(
            share=share,
            classes=classes,
            probability=float(self.product[classes].sum(dtype=np.float64)),
            area_km2=float(self.hierarchy.fine.areas_km2[classes].sum()),
        )


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
    """

    made_of_logits = True
    """Whether its probabilities are what its decoder makes of the crops' logits, and nothing else."""

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
        self.choices = choices_for(device)
        network = network.eval()
        self.fast_network = _fast(network, spec.crop_rule.crop_px, device, dtype)
        network = network.to(device=device, dtype=dtype)
        self.network = network.to(memory_format=torch.channels_last)
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    def predict(
        self,
        photos: Iterable[PhotoInput] | PhotoInput,
        *,
        batch_size: int | Literal["auto"] = "auto",
        crops: CropReduction | None = None,
    ) -> list[Prediction]:
        """Locate photos.

        Args:
            photos: One photo, or an iterable of photos: path, encoded bytes, binary file, PIL image, or
                (name, any of these).
            batch_size: Photos that are read, located and given back together; does not change the answers.
            crops: `mean` or `max` over the five crops; None takes what the model was measured with.

        Raises:
            PhotoError: A photo cannot be read. Use `stream` to go on with the others.
        """
        predictions = []
        for result in self.stream(photos, batch_size=batch_size, crops=crops):
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
    ) -> Iterator[Prediction | PhotoFailure]:
        """Locate any number of photos in constant memory, in their order.

        Args:
            photos: As for `predict`.
            batch_size: As for `predict`.
            crops: As for `predict`.
            keep_logits: Whether predictions carry the crops' logits, for `retempering`: with five crops three
                times the size of a prediction. A model that is not `made_of_logits` keeps none.

        Yields:
            A prediction, or a failure that names the photo and says why it could not be read.
        """
        size = self.choices.batch_size if batch_size == "auto" else int(batch_size)
        if size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be 1 or more")
        inputs: Iterator[Any] = iter([photos] if _is_one_photo(photos) else cast("Iterable[Any]", photos))
        readers = ThreadPoolExecutor(self.choices.readers, thread_name_prefix="photo-reader")
        try:
            pending: deque[Future[tuple[str, Tensor | PhotoFailure]]] = deque()
            given: deque[_Given] = deque()
            numbered = enumerate(inputs, start=1)
            while True:
                # One batch ahead of the network, so that decoding and computing overlap.
                for number, photo in islice(numbered, 2 * size - len(pending)):
                    pending.append(readers.submit(self._read, photo, number))
                if pending:
                    batch = [pending.popleft().result() for _ in range(min(size, len(pending)))]
                    given.append(self._give(batch, crops, keep_logits))
                elif not given:
                    return
                if not pending or len(given) > self.choices.batches_ahead:
                    yield from self._take(given.popleft())
        finally:  # also when the caller stops early: what was not begun is not read
            readers.shutdown(wait=True, cancel_futures=True)

    @classmethod
    def from_folder(cls, folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> Model:
        """The model that a model folder holds; raises ModelFolderError if its weights do not fit."""
        network = GeoNetwork(folder.spec.backbone, folder.spec.class_counts, len(folder.spec.photo_kinds))
        _check_crop_size(network, folder)
        _load_weights(network, folder)
        return cls(folder.path, folder.spec, folder.hierarchy, network, device, dtype)

    def cut(self, image: Image.Image) -> Tensor:
        """What the network sees of an upright RGB photo: uint8 crops (V, 3, S, S), V = 5."""
        return five_crop(image, self.spec.crop_rule)

    @torch.inference_mode()
    def logits(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Coarse, middle and fine logits, float32 (N, V, cells), of uint8 crops (N, V, 3, S, S)."""
        parts = [self._logits(part) for part in crops.split(self.choices.photos_at_once or len(crops))]
        levels = zip(*parts, strict=True)
        return tuple(torch.cat(level).unflatten(0, crops.shape[:2]) for level in levels)

    def _logits(self, crops: Tensor) -> tuple[Tensor, ...]:
        """The same of photos that go through the network together: float32 (N * V, cells)."""
        pixels = normalise(self._moved(crops.flatten(0, 1)), self.spec.crop_rule, self.dtype)
        outputs = self.fast_network(pixels.contiguous(memory_format=torch.channels_last))
        return tuple(output.float() for output in outputs)

    def _moved(self, crops: Tensor) -> Tensor:
        """Crops on the device; to a GPU on a stream of their own, while it computes the batch before."""
        if self._copies is None or crops.is_cuda:
            return crops.to(self.device)
        computing = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._copies):
            moved = crops.pin_memory().to(self.device, non_blocking=True)
        computing.wait_stream(self._copies)
        moved.record_stream(computing)
        return moved

    def decode(self, crops: Tensor, reduction: CropReduction | None = None) -> Decoded:
        """Probabilities and answers for uint8 crops (N, V, 3, S, S)."""
        return self.decoder.decode(self.logits(crops), reduction or self.spec.crops)

    def _read(self, photo: PhotoInput, number: int) -> tuple[str, Tensor | PhotoFailure]:
        name, source = photo if isinstance(photo, tuple) else (None, photo)
        name = name or photo_name(source, f"photo {number}")
        needed_px = self.spec.crop_rule.resize_short_px
        try:
            if isinstance(source, Image.Image):
                image = upright_rgb(source, name=name, short_side_px=needed_px)
            else:
                image = read_image(source, name=name, short_side_px=needed_px)
            return name, self.cut(image)
        except PhotoError as error:
            return name, PhotoFailure(name, str(error))

    def _give(
        self, batch: list[tuple[str, Tensor | PhotoFailure]], crops: CropReduction | None, keep_logits: bool
    ) -> _Given:
        """Have the device locate a batch; on a GPU without waiting for it."""
        failures = [(name, None if isinstance(content, Tensor) else content) for name, content in batch]
        readable = [content.movedim(1, -1) for _, content in batch if isinstance(content, Tensor)]
        if not readable:
            return _Given(failures, None)
        # Stacked as they lie in memory, colours innermost: no pixel is moved twice.
        stacked = torch.stack(readable).movedim(-1, 2)
        if not (keep_logits and self.made_of_logits):
            return _Given(failures, self.decode(stacked, crops))
        logits = self.logits(stacked)
        return _Given(failures, self.decoder.decode(logits, crops or self.spec.crops), logits)

    def _take(self, given: _Given) -> Iterator[Prediction | PhotoFailure]:
        """The predictions and failures of a batch, in order."""
        decoded = given.decoded
        if decoded is not None:
            levels = [probabilities.cpu().numpy() for probabilities in decoded.levels]
            product, classes = decoded.product.cpu().numpy(), decoded.classes.tolist()
            answers = None if decoded.points is None else decoded.points.tolist()
        logits = None if given.logits is None else [level.cpu().numpy() for level in given.logits]
        row = 0
        for name, failure in given.names:
            if failure is not None:
                yield failure
                continue
            yield Prediction(
                name=name,
                class_index=classes[row],
                levels={level: levels[column][row].copy() for column, level in enumerate(LEVELS)},
                product=product[row].copy(),
                hierarchy=self.hierarchy,
                answer=None if answers is None else tuple(answers[row]),
                logits=None if logits is None else tuple(level[row].copy() for level in logits),
            )
            row += 1


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
        precision: `auto` is the fastest that was measured (see `measured_choices`): bfloat16 on a CPU or GPU
            that multiplies it, else float32 on the CPU and float16 on a GPU. Probabilities in half precision
            differ a little, and so may near answers: `float32` gives the same everywhere.
        allow_download: Whether parts that a model lacks may be fetched: `geoclip` needs CLIP's weights.

    Raises:
        DownloadNeededError: The model lacks a part, and nobody agreed to fetch it.
        ModelFolderError: There is no such model, or a part of it is missing, damaged or mismatching.
        DeviceError: This machine has no such device, or the device no such precision.
    """
    chosen = _device(device)
    dtype = _dtype(precision, chosen)
    if geoclip_parts.names_geoclip(name_or_folder):
        from geo_model.geoclip_model import load_geoclip

        return load_geoclip(chosen, dtype, allow_download=allow_download)
    if precision == "auto":
        dtype = choices_for(chosen).dtype
    return Model.from_folder(read_model_folder(find_model(name_or_folder)), chosen, dtype)


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        known = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        raise DeviceError(
            f"device {str(device)!r} is not on this machine; use auto or one of {', '.join(known)}."
        ) from error
    return chosen


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if precision == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if precision not in known:
        raise DeviceError(f"precision {precision!r} is unknown; use auto, {', '.join(known)}.")
    if precision == "float16" and device.type == "cpu":
        raise DeviceError("precision 'float16' is not for the CPU; use float32 or bfloat16 there.")
    return known[precision]


def _fast(network: nn.Module, crop_px: int, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The network as it computes fastest: a copy, or the one given where nothing is known of it."""
    if not isinstance(network, GeoNetwork):
        return network.to(device=device, dtype=dtype)
    backbone = folded(network.backbone, crop_px)
    fast = copy.deepcopy(network)
    fast.backbone = backbone if backbone is not network.backbone else fast.backbone
    if device.type == "cpu":
        fast.backbone.to(dtype)
    else:
        fast.to(device=device, dtype=dtype)
    return fast.to(memory_format=torch.channels_last)


def _check_crop_size(network: GeoNetwork, folder: ModelFolder) -> None:
    """Refuse crops that a network with a fixed input size, as most transformers are, would stop at later."""
    side_px = folder.spec.crop_rule.crop_px
    if not network.takes(side_px):
        raise ModelFolderError(
            f"{folder.path}: crop_px is {side_px} and backbone {folder.spec.backbone!r} takes only "
            f"{network.own_px}; get the model folder again."
        )


def _load_weights(network: GeoNetwork, folder: ModelFolder) -> None:
    expected = network.state_dict()
    for name, tensor in expected.items():
        if name not in folder.state_dict:
            raise ModelFolderError(
                f"{folder.path}: the weights lack {name}, which backbone {folder.spec.backbone!r} has; "
                "get the model folder again."
            )
        if folder.state_dict[name].shape != tensor.shape:
            raise ModelFolderError(
                f"{folder.path}: weight {name} has shape {tuple(folder.state_dict[name].shape)} and the "
                f"network needs {tuple(tensor.shape)}; get the model folder again."
            )
    if extra := sorted(set(folder.state_dict) - set(expected)):
        raise ModelFolderError(
            f"{folder.path}: the weights hold {extra[0]}, which backbone {folder.spec.backbone!r} has not; "
            "get the model folder again."
        )
    network.load_state_dict(folder.state_dict)


def _is_one_photo(photos: object) -> bool:
    return isinstance(photos, str | bytes | os.PathLike | Image.Image) or hasattr(photos, "read")
