"""The command `python -m geo_model convert`: a model folder from a checkpoint of the earlier code."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Weights(str, Enum):
    """What the weights are stored in."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"


def register(app: typer.Typer) -> None:
    """Add the command `convert` to the command line."""
    app.command("convert")(convert_command)


def convert_command(
    checkpoint: Annotated[
        Path, typer.Option(metavar="CKPT", help="The Lightning checkpoint.", show_default=False)
    ],
    hparams: Annotated[
        Path,
        typer.Option(
            metavar="YAML",
            help="hparams.yaml of the same run: arch, and partitionings with files and shortnames.",
            show_default=False,
        ),
    ],
    cells: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Holds the partition CSVs, under their names in hparams.yaml or as coarse.csv, middle.csv "
            "and fine.csv.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="The model folder to write, new or empty.", show_default=False),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the model.", show_default="the folder's name")
    ] = None,
    weights: Annotated[
        Weights, typer.Option(help="What to store: float16 takes half the space.")
    ] = Weights.FLOAT16,
) -> None:
    """Make a model folder from a Lightning checkpoint of the paper's code (ResNet, three classifiers).

    Nothing in the checkpoint is run: it is read as tensors and plain values, and one that holds anything else
    is refused. Every weight is checked. How good the model is has to be measured afterwards, with `evaluate`.
    """
    from geo_model.cli import plain_endings

    with plain_endings():
        from geo_model.progress import Work

        with Work("Converting"):
            import torch

            from geo_model.convert import convert

            spec = convert(checkpoint, hparams, cells, out, name=name, dtype=getattr(torch, weights.value))
        counts = " / ".join(f"{count:,}" for count in spec.class_counts)
        print(f"{out}: {spec.backbone}, {counts} cells, {weights.value}.")
        print(
            "Its accuracy was not measured; do it with: "
            f"python -m geo_model evaluate --photos PHOTOS --truth TRUTH.csv --model {out}",
            flush=True,
        )
