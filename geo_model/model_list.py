"""The models that can be loaded, and what is wrong with those that cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from geo_model.errors import GeoModelError
from geo_model.model_folder import available_models, read_model_folder


@dataclass(frozen=True)
class ModelEntry:
    """A model folder in a list of models.

    Attributes:
        path: The folder.
        name: What `--model` takes.
        backbone: Name of the timm model; empty if the folder is damaged.
        cells: Number of coarse, middle and fine cells.
        megabytes: Size of the whole folder in MB (10**6 bytes).
        accuracy: Measured figures, one text per test set.
        error: Why the model cannot be used; None if it can.
    """

    path: Path
    name: str
    backbone: str = ""
    cells: tuple[int, ...] = ()
    megabytes: float = 0.0
    accuracy: tuple[str, ...] = ()
    error: str | None = None


def model_entries() -> list[ModelEntry]:
    """Every model folder that a name can reach, read and checked; see `model_folder.available_models`."""
    return [_model_entry(folder) for folder in available_models()]


def models_view(entries: Sequence[ModelEntry]) -> RenderableType:
    """A list of models; a damaged one says what is wrong with it."""
    parts: list[RenderableType] = []
    for entry in entries:
        grid = Table.grid(padding=(0, 2))
        if entry.error is None:
            grid.add_row("Backbone", Text(entry.backbone))
            grid.add_row("Cells", " / ".join(f"{count:,}" for count in entry.cells))
            for position, figures in enumerate(entry.accuracy):
                grid.add_row("Accuracy" if position == 0 else "", Text(figures))
        else:
            grid.add_row("Damaged", Text(entry.error, style="red"))
        grid.add_row("Size", f"{entry.megabytes:.1f} MB")
        grid.add_row("Folder", Text(str(entry.path), overflow="fold"))
        parts += [Text(entry.name, style="bold cyan"), Padding(grid, (0, 0, 1, 2))]
    return Group(*parts)


def _model_entry(folder: Path) -> ModelEntry:
    megabytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
    try:
        spec = read_model_folder(folder).spec
    except GeoModelError as error:
        return ModelEntry(folder, folder.name, megabytes=megabytes, error=str(error))
    accuracy = tuple(f"{test_set}: {_figures(figures)}" for test_set, figures in spec.accuracy.items())
    return ModelEntry(folder, folder.name, spec.backbone, spec.class_counts, megabytes, accuracy)


def _figures(figures: object) -> str:
    """What model.json says of one test set, in a line."""
    if isinstance(figures, dict):
        return ", ".join(f"{key} {_figures(value)}" for key, value in figures.items())
    if isinstance(figures, list):
        return " / ".join(_figures(value) for value in figures)
    return f"{figures:g}" if isinstance(figures, float) else str(figures)
