"""The models that can be loaded, and what is wrong with those that cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from geo_model import geoclip_parts
from geo_model.errors import GeoModelError
from geo_model.geoclip_parts import NAME
from geo_model.measurements import HIERARCHY
from geo_model.model_folder import available_models, read_model_folder


@dataclass(frozen=True)
class ModelEntry:
    """A model in a list of models.

    Attributes:
        path: The folder.
        name: What `--model` takes.
        backbone: Name of the timm model; empty if the folder is damaged.
        cells: Number of coarse, middle and fine cells.
        megabytes: Size of the whole folder in MB (10**6 bytes).
        accuracy: Measured figures by test set, as model.json has them.
        error: Why the model cannot be used; None if it can.
        state: What must be installed or downloaded before it can be used, and from where; empty if nothing.
    """

    path: Path
    name: str
    backbone: str = ""
    cells: tuple[int, ...] = ()
    megabytes: float = 0.0
    accuracy: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    state: str = ""


def model_entries() -> list[ModelEntry]:
    """Every model folder that a name can reach, read and checked, and GeoCLIP."""
    entries = [_model_entry(folder) for folder in available_models()]
    return entries if any(entry.name == NAME for entry in entries) else [*entries, _geoclip_entry()]


def models_view(entries: Sequence[ModelEntry]) -> RenderableType:
    """A list of models; a damaged one says what is wrong with it."""
    parts: list[RenderableType] = []
    for entry in entries:
        grid = Table.grid(padding=(0, 2))
        if entry.error is None:
            grid.add_row("Backbone", Text(entry.backbone))
            grid.add_row("Cells", " / ".join(f"{count:,}" for count in entry.cells))
            for test_set, figures in entry.accuracy.items():
                grid.add_row("Accuracy", Text(f"{test_set}: {_in_words(figures)}"))
        else:
            grid.add_row("Damaged", Text(entry.error, style="red"))
        if entry.state:
            grid.add_row("State", Text(entry.state))
        grid.add_row("Size", f"{entry.megabytes:,.1f} MB")
        grid.add_row("Folder", Text(str(entry.path), overflow="fold"))
        parts += [Text(entry.name, style="bold cyan"), Padding(grid, (0, 0, 1, 2))]
    return Group(*parts)


def _model_entry(folder: Path) -> ModelEntry:
    megabytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
    try:
        spec = read_model_folder(folder).spec
    except GeoModelError as error:
        return ModelEntry(folder, folder.name, megabytes=megabytes, error=str(error))
    return ModelEntry(folder, folder.name, spec.backbone, spec.class_counts, megabytes, spec.accuracy)


def _geoclip_entry() -> ModelEntry:
    clip = geoclip_parts.clip_download()
    backbone = f"CLIP ViT-L/14 ({geoclip_parts.CLIP_REPOSITORY})"
    folder = geoclip_parts.CARD_FOLDER
    try:
        cells = geoclip_parts.read_cells().sizes
        clip_folder = geoclip_parts.local_clip()
    except GeoModelError as error:
        return ModelEntry(folder, NAME, megabytes=clip.megabytes, error=str(error))
    package = geoclip_parts.installed_package()
    state = [f"package geoclip {package.version} is installed" if package else "needs: pip install geoclip"]
    if clip_folder is None:
        state.append(f"{clip.what} will be downloaded from {clip.host}, after asking")
        megabytes = clip.megabytes
    else:
        state.append("CLIP's weights are on this machine")
        folder = clip_folder
        megabytes = (clip_folder / "model.safetensors").stat().st_size / 1e6
    return ModelEntry(folder, NAME, backbone, cells, megabytes, state="; ".join(state))


def _in_words(figures: Any) -> str:  # noqa: ANN401 - whatever model.json holds
    """The final answer's figures of one test set; model.json promises no particular keys."""
    try:
        answer = figures["answers"][HIERARCHY]
        shares = " / ".join(f"{100 * entry['share']:.1f}" for entry in answer["accuracy"])
        distances = " / ".join(f"{entry['km']:g}" for entry in answer["accuracy"])
        covered = ", ".join(
            f"{entry['region']:.0%} region right for {entry['share']:.1%}" for entry in figures["coverage"]
        )
        return (
            f"{shares} % within {distances} km, median {answer['median_km']:,.0f} km, "
            f"{covered}, of {figures['photos']:,} photos"
        )
    except (KeyError, TypeError, ValueError):
        return "see model.json"
