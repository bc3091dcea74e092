"""What the page Cells shows, and the address that brings another person to the same view."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from geo_model.cells import LEVELS, Hierarchy, Level
from geo_model.decoding import Temperature
from geo_model.level_limit import finest_level
from webapp.globe import FARTHEST, NEAREST, Camera

COMBINED = "combined"
LEVEL_NAMES = (*(level.value for level in LEVELS), COMBINED)
REGION_SHARES = (0.5, 0.9)

_TOKEN = re.compile(r"[0-9a-f]{1,16}")


@dataclass(frozen=True)
class CellsView:
    """A view of the cells, as the address holds it.

    Attributes:
        level: Coarse, middle, fine, or combined: the fine cells by the product of all three.
        cell: S2 token of the chosen cell.
        camera: Where the viewer looks; None leaves it to the page.
        flat: The flat map instead of the globe.
        three: The three levels side by side.
        linear: Colours in equal steps of the value instead of equal ratios.
        region: Share of the credible region whose outline is drawn; None draws none.
    """

    level: str = Level.COARSE.value
    cell: str | None = None
    camera: Camera | None = None
    flat: bool = False
    three: bool = False
    linear: bool = False
    region: float | None = None

    def address(self) -> dict[str, str]:
        """The view as query parameters."""
        found = {"level": self.level}
        if self.cell:
            found["cell"] = self.cell
        if self.camera:
            at = self.camera
            found["at"] = f"{at.latitude:.4f},{at.longitude:.4f},{at.zoom:.2f}"
        if self.flat or self.three:
            found["view"] = "levels" if self.three else "map"
        if self.linear:
            found["colour"] = "linear"
        if self.region:
            found["region"] = f"{self.region:g}"
        return found

    @classmethod
    def from_address(cls, query: Mapping[str, str]) -> CellsView:
        """The view that query parameters name; what cannot be understood is left at its default."""
        level, cell = query.get("level", ""), query.get("cell", "").lower()
        region = {f"{share:g}": share for share in REGION_SHARES}.get(query.get("region", ""))
        return cls(
            level=level if level in LEVEL_NAMES else cls.level,
            cell=cell if _TOKEN.fullmatch(cell) else None,
            camera=_camera(query.get("at", "")),
            flat=query.get("view") == "map",
            three=query.get("view") == "levels",
            linear=query.get("colour") == "linear",
            region=region,
        )


def _camera(text: str) -> Camera | None:
    try:
        latitude, longitude, zoom = (float(part) for part in text.split(","))
    except ValueError:
        return None
    if not (math.isfinite(latitude) and math.isfinite(longitude) and math.isfinite(zoom)):
        return None
    return Camera(
        min(max(latitude, -90.0), 90.0),
        (longitude + 180) % 360 - 180,
        min(max(zoom, FARTHEST), NEAREST),
    )


@dataclass
class CellsState:
    """One visitor's page Cells; it ends with the session.

    Attributes:
        view: What is shown; its camera is where the viewer looks now.
        start: The camera that the chart was last given; it is moved by the viewer from there.
        photo: Content key of the photo whose probabilities are shown; None shows the partitioning itself.
        followed: Content key of the photo that was on show on the page Locate when this page last looked.
        temperature: What the slider of the product says; None is the model's own.
        heads: What the slider of the heads says, a factor.
        round: Counts the cells chosen elsewhere than on the globe, so that a click on it ends with them.
        moves: Counts the cameras that the page has set, so that the chart takes each of them.
        clicks: Counts the clicks in the chart of each level.
        selected: The layer that was clicked last in the chart of each level.
        table: Counts the cells chosen elsewhere than in the table, so that a row marked there ends with them.
        outline: The lines of the credible region drawn last, and what they were made of.
        written: Addresses that this page wrote, to tell those that the visitor opened.
    """

    view: CellsView = field(default_factory=CellsView)
    start: Camera | None = None
    photo: str | None = None
    followed: str | None = None
    temperature: float | None = None
    heads: float = 1.0
    round: int = 0
    moves: int = 0
    clicks: dict[str, int] = field(default_factory=dict)
    selected: dict[str, str] = field(default_factory=dict)
    table: int = 0
    outline: tuple[object, list[NDArray[np.float64]]] | None = None
    written: set[frozenset[tuple[str, str]]] = field(default_factory=set)

    def open(self, query: Mapping[str, str]) -> bool:
        """Take over an address that this page did not write; whether it did."""
        if not query or frozenset(query.items()) in self.written:
            return False
        self.view = CellsView.from_address(query)
        self.start = self.view.camera
        self.round += 1
        self.moves += 1
        self.table += 1
        return True

    def note(self, **changes: object) -> None:
        """Change the view."""
        self.view = replace(self.view, **changes)  # type: ignore[arg-type]

    def show_photo(self, key: str | None) -> None:
        """Show the probabilities of a photo, of all three levels together, or the partitioning itself."""
        self.photo, self.start = key, None
        self.table += 1
        self.note(cell=None, camera=None, level=COMBINED if key else self.view.level)

    def follow(self, key: str | None, opened: bool) -> None:
        """Show the photo that is on show on the page Locate, once; what is then chosen here stays.

        Args:
            key: Of that photo.
            opened: Whether an address was opened, which goes before.
        """
        if key is not None and key != self.followed and not opened:
            self.show_photo(key)
        self.followed = key

    def choose(self, level: str, cell: str | None, camera: Camera | None = None) -> None:
        """Show a cell that was chosen elsewhere than on the globe, and look there."""
        self.view = replace(self.view, level=level, cell=cell, camera=camera or self.view.camera)
        self.start = camera or self.start
        self.round += 1
        self.moves += 1

    def click(self, chart: str, layer: str, cell: str | None) -> None:
        """Show a cell that was clicked in the chart of a level; None where a selection there ended.

        On the chart of the finest level the combined probabilities stay on show if they are. A selection that
        ended because the page drew another layer is no wish of the viewer, and changes nothing.
        """
        if cell is None and self.selected.get(chart) != layer:
            return
        self.selected[chart] = layer
        keeps = self.view.level == COMBINED and chart == finest_level().value
        self.view = replace(self.view, level=COMBINED if keeps else chart, cell=cell)
        self.clicks[chart] = self.clicks.get(chart, 0) + 1
        self.table += 1

    def look(self, camera: Camera | None) -> None:
        """Turn the chart; None turns it back to where the page has it look."""
        self.view = replace(self.view, camera=camera)
        self.start = camera
        self.moves += 1

    def tempered(self, own: Temperature) -> Temperature:
        """The temperatures that the sliders ask for, of a model with its own ones."""
        return Temperature(
            coarse=self.heads * own.coarse,
            middle=self.heads * own.middle,
            fine=self.heads * own.fine,
            hierarchy=own.hierarchy if self.temperature is None else self.temperature,
        )


def level_of(name: str) -> Level | None:
    """The level of a name; None for the product of all three."""
    return None if name == COMBINED else Level(name)


def chosen_class(view: CellsView, hierarchy: Hierarchy) -> int | None:
    """The class of the chosen cell at the level on show, or None."""
    if view.cell is None:
        return None
    return hierarchy[level_of(view.level) or Level.FINE].class_of_token(view.cell)
