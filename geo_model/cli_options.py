"""Options that several commands take."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from geo_model.predict import Model


class Precision(str, Enum):
    """What the network computes in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Crops(str, Enum):
    """How the five crops of a photo become one answer."""

    MEAN = "mean"
    MAX = "max"


ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|FOLDER",
        help="A model that `models` lists, or a model folder.",
        show_default="the bundled model",
    ),
]
DeviceOption = Annotated[
    str, typer.Option(metavar="DEVICE", help="auto (a GPU when there is one), cpu, cuda, cuda:1, ...")
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        metavar="TYPE",
        help="auto (bfloat16 where the processor multiplies it), float32, bfloat16 or float16.",
    ),
]
CropsOption = Annotated[
    Crops | None,
    typer.Option(help="Mean or maximum over the five crops.", show_default="as the model was measured"),
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Photos that go through the network together.", show_default="by device"
    ),
]


def load_model(model: str | None, device: str, precision: Precision) -> Model:
    """The model of these options; raises what `predict.load` raises."""
    from geo_model.predict import load

    return load(model, device, precision.value)


def crops_value(crops: Crops | None) -> Literal["mean", "max"] | None:
    """The option as `Model.stream` takes it."""
    return crops.value if crops else None  # type: ignore[return-value]
