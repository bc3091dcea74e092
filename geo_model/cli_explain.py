"""The command `python -m geo_model explain`: a picture of what in a photo spoke for a cell."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from geo_model.activation_maps import ActivationMap
    from geo_model.predict import Model

_SIDE_PX = 1600
"""Longest side of the photo in the picture."""


class HeadLevel(str, Enum):
    """Whose cells are explained."""

    COARSE = "coarse"
    MIDDLE = "middle"
    FINE = "fine"


class MapMethod(str, Enum):
    """How the map is made."""

    AUTO = "auto"
    CAM = "cam"
    ROLLOUT = "rollout"


def register(app: typer.Typer) -> None:
    """Add the command `explain` to the command line."""
    app.command("explain")(explain_command)


def explain_command(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The photo.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            metavar="PNG",
            help="Picture to write; with --top above 1 the rank goes before its ending: map-1.png, ...",
            show_default=False,
        ),
    ],
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="Explain the K most probable cells, a picture each.",
            show_default="the cell answered",
        ),
    ] = None,
    level: Annotated[
        HeadLevel | None,
        typer.Option(help="Explain one head.", show_default="fine cells, by all levels together"),
    ] = None,
    method: Annotated[
        MapMethod,
        typer.Option(
            help="cam is the class-activation map, which is exact; rollout, of plain vision transformers, is "
            "the same for all cells; auto takes the first that the network has."
        ),
    ] = MapMethod.AUTO,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME|FOLDER",
            help="A model that `models` lists, or a model folder.",
            show_default="the bundled model",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="auto (a GPU when there is one), cpu, cuda, cuda:1, ...")
    ] = "auto",
) -> None:
    """Draw what in a photo spoke for a cell and what against it.

    The class-activation map is exact: its mean and a bias add up to the cell's logit. It says where the
    evidence was, not what it was, and a map looks as sure when the answer is wrong.
    """
    if out.suffix.lower() != ".png":
        raise typer.BadParameter(f"{out} does not end in .png", param_hint="--out")
    from geo_model.cli import plain_endings

    with plain_endings():
        from geo_model.files import check_writable, write_bytes
        from geo_model.progress import Work

        check_writable(out)
        with Work("Loading the model"):
            from geo_model.activation_maps import activation_maps, no_map_without_heads
            from geo_model.activation_overlay import overlay_png
            from geo_model.cells import Level
            from geo_model.geoclip_parts import NAME, names_geoclip
            from geo_model.images import read_image
            from geo_model.predict import load

            if names_geoclip(model):  # said before anything is downloaded for it
                raise no_map_without_heads(NAME)
            image = read_image(photo, short_side_px=_SIDE_PX // 2)
            image.thumbnail((_SIDE_PX, _SIDE_PX))
            loaded = load(model, device)
        with Work("Explaining"):
            chosen = None if level is None else Level(level.value)
            classes: list[int | None] = [None]
            if top is not None:
                (prediction,) = loaded.predict(str(photo))
                classes = [candidate.class_index for candidate in prediction.top(top, chosen)]
            maps = activation_maps(loaded, str(photo), classes, chosen, method.value)
            if maps[0].class_index is None:  # the same for all cells
                maps = maps[:1]
            paths = _paths(out, len(maps))
            for path, activation in zip(paths, maps, strict=True):
                write_bytes(path, overlay_png(activation, image))
        for path, activation in zip(paths, maps, strict=True):
            print(f"{path}: {_said(activation, loaded)}", flush=True)


def _paths(out: Path, count: int) -> list[Path]:
    return [out] if count == 1 else [out.with_stem(f"{out.stem}-{rank}") for rank in range(1, count + 1)]


def _said(activation: ActivationMap, model: Model) -> str:
    """In words, what a picture shows."""
    if activation.class_index is None or activation.logit is None or activation.bias is None:
        return f"{activation.method}, the same for all cells."
    from geo_model.cells import Level
    from geo_model.places import nearest_places

    cells = model.hierarchy[activation.level or Level.FINE]
    index = activation.class_index
    (place,) = nearest_places(cells.latitudes[[index]], cells.longitudes[[index]])
    whose = f"{activation.level.value} head" if activation.level else "all levels together"
    return (
        f"{activation.method} of cell {cells.tokens[index]}, {place.text} ({whose}): "
        f"mean {activation.mean:+.3f}, bias {activation.bias:+.3f}, logit {activation.logit:+.3f}."
    )
