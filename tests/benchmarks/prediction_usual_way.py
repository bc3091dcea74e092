"""The pipeline that everybody writes, for prediction_speed.py to compare with."""

from __future__ import annotations

import copy
import dataclasses
import io
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import cast

import torch
from PIL import Image
from side_by_side import Timed, clocked
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import functional

from geo_model.cells import LEVELS, Hierarchy
from geo_model.crops import CropRule, center_crop, normalise
from geo_model.decoding import Decoding, Temperature
from geo_model.huge_pages import VARIABLE
from geo_model.images import read_image
from geo_model.model_folder import ModelSpec
from geo_model.network import GeoNetwork
from geo_model.predict import Model

PAPER = CropRule(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
BATCH = 8
SEEN = 16
"""Photos that batch statistics and heads are made from."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A network in float32 with what a model needs beside it.

    Attributes:
        like: Whose cells and device it has.
        spec: Its settings.
        network: On the CPU, in float32.
    """

    like: Model
    spec: ModelSpec
    network: GeoNetwork

    def model(self, dtype: torch.dtype) -> Model:
        """The model that computes in this precision."""
        network = copy.deepcopy(self.network)  # a model converts the one it is given
        return Model(self.like.path, self.spec, self.like.hierarchy, network, self.like.device, dtype)


def comparison(like: Model, photos: list[tuple[str, bytes]], backbone: str) -> Comparison:
    """A network with the cells of another model and random weights, whose answers depend on the photo.

    Batch normalisations get the statistics of real photos. Heads see features less their mean, so that what
    all photos have in common does not choose the class.
    """
    spec = dataclasses.replace(
        like.spec,
        name="comparison",
        backbone=backbone,
        crop_rule=PAPER,
        temperature=Temperature(),
        decoding=Decoding(),
        photo_kinds=(),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = GeoNetwork(backbone, spec.class_counts)
        images = [read_image(data, short_side_px=PAPER.resize_short_px) for _, data in photos[:SEEN]]
        seen = normalise(torch.stack([center_crop(image, PAPER) for image in images]), PAPER)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)  # timm starts the last of each block at 0
                module.momentum = None
        with torch.no_grad():
            network.train().features(seen)
            features = network.eval().features(seen)
            spread = features.std(dim=0).clamp_min(1e-6)
            for level in LEVELS:
                head = cast("nn.Linear", network.heads[level.value])
                nn.init.normal_(head.weight, std=3 / features.shape[1] ** 0.5)
                head.weight.div_(spread)
                head.bias.copy_(-head.weight @ features.mean(dim=0))
    return Comparison(like, spec, network)


class UsualWay:
    """PIL, Resize, FiveCrop, each crop's ToTensor and Normalize, DataLoader, float32, a loop over photos."""

    def __init__(self, network: GeoNetwork, hierarchy: Hierarchy, device: torch.device) -> None:
        self.device = device
        self.hierarchy = hierarchy
        self.network = copy.deepcopy(network).eval().to(device)
        each_crop = EachCrop(transforms.ToTensor(), transforms.Normalize(PAPER.mean, PAPER.std))
        self.transform = transforms.Compose(
            [Resize(PAPER.resize_short_px), FiveCrop(PAPER.crop_px), each_crop]
        )

    @torch.no_grad()
    def locate(self, photos: list[tuple[str, bytes]]) -> list[tuple[int, float, float]]:
        """Fine class, latitude and longitude in degrees of each photo."""
        workers = min(4, os.cpu_count() or 1)
        loader = DataLoader(Photos(photos, self.transform), BATCH, num_workers=workers)
        fine, ancestors = self.hierarchy.fine, torch.tensor(self.hierarchy.ancestors, device=self.device)
        located = []
        for crops in loader:
            count, views = crops.shape[:2]
            levels = self.network(crops.flatten(0, 1).to(self.device))
            shares = [torch.softmax(level, dim=-1).view(count, views, -1).mean(dim=1) for level in levels]
            for photo in range(count):
                product = torch.ones(len(fine), device=self.device)
                for column, share in enumerate(shares):
                    product = product * share[photo][ancestors[:, column]]
                best = int((product / product.sum()).argmax())
                located.append((best, float(fine.latitudes[best]), float(fine.longitudes[best])))
        return located


class InItsOwnProcess:
    """The usual way in a process in which geo_model has set nothing: a side of `in_turns`, to be closed.

    Args:
        compared: Whose network it runs.
        huge_pages: torch's switch for huge pages as that process shall see it; `None` for not set.
    """

    def __init__(self, compared: Comparison, huge_pages: str | None) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        parts = (compared.network, compared.like.hierarchy, compared.like.device)
        self.process = spawn.Process(target=serve, args=(theirs, *parts))
        before = os.environ.get(VARIABLE)
        try:
            set_or_unset(huge_pages)
            self.process.start()
        finally:
            set_or_unset(before)
        theirs.close()  # so that the end of that process is noticed

    def __call__(self, photos: list[tuple[str, bytes]]) -> Timed:
        self.connection.send(photos)
        return self.connection.recv()

    def __enter__(self) -> InItsOwnProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self.process.join()


def set_or_unset(value: str | None) -> None:
    """The environment variable for huge pages."""
    if value is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = value


def serve(connection: Connection, network: GeoNetwork, hierarchy: Hierarchy, device: torch.device) -> None:
    """Locate the photos that come until the other end is closed; back go seconds and answers."""
    multiprocessing.set_start_method(None, force=True)  # a DataLoader's default again
    usual = UsualWay(network, hierarchy, device)
    side = clocked(usual.locate, device)
    while True:
        try:
            photos = connection.recv()
        except EOFError:
            return
        connection.send(side(photos))


class Photos(Dataset):
    """JPEG bytes as transformed photos."""

    def __init__(self, photos: list[tuple[str, bytes]], transform: Callable[[Image.Image], Tensor]) -> None:
        self.photos, self.transform = photos, transform

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(Image.open(io.BytesIO(self.photos[index][1])).convert("RGB"))


class EachCrop:
    """The transforms on one crop after the other; a lambda could not be sent to a process."""

    def __init__(self, *one: Callable) -> None:
        self.one = transforms.Compose(one)

    def __call__(self, crops: tuple[Image.Image, ...]) -> Tensor:
        return torch.stack([self.one(crop) for crop in crops])


class Resize(transforms.Resize):
    """torchvision's, except that the long side is rounded and not cut off: both sides see the same pixels."""

    def forward(self, img: Image.Image) -> Image.Image:
        short = min(img.size)
        width, height = (round(side * self.size / short) for side in img.size)
        return functional.resize(img, [height, width])


class FiveCrop(transforms.FiveCrop):
    """torchvision's, except that a centre between two pixels goes to the left or upper one, likewise."""

    def forward(self, img: Image.Image) -> tuple[Image.Image, ...]:
        side = self.size[0]
        *corners, _ = functional.five_crop(img, list(self.size))
        centre = functional.crop(img, (img.height - side) // 2, (img.width - side) // 2, side, side)
        return (*corners, centre)
