"""The charts of the page Cells: one level on a globe or a flat map, or the three levels side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pydeck
import streamlit as st
from numpy.typing import NDArray

from geo_model.cell_facts import ancestor_classes
from geo_model.cells import Hierarchy, Level
from geo_model.level_limit import finest_level, levels_up_to
from geo_model.predict import Prediction
from geo_model.region_outline import region_outline
from webapp import globe
from webapp.cells_globe import CellValues, legend_html, region_layer, tooltip, value_layer
from webapp.cells_state import COMBINED, CellsState, chosen_class, level_of
from webapp.globe_view import chart_height, globe_is_drawn, land, level_name, on_phone, palette
from webapp.language import figures, tr
from webapp.palette import Palette
from webapp.session import cell_book
from webapp.wording import count, percent

_SMALL_HEIGHT = 320
_SMALLER_BY = 0.75
"""How much further away the camera of three small charts is, in deck.gl's zoom: 0.6 times the size."""


@dataclass(frozen=True, eq=False)
class Picture:
    """What the charts of the page draw.

    Attributes:
        state: The visitor's.
        hierarchy: The cells.
        prediction: Of the photo on show; None shows the training photos.
    """

    state: CellsState
    hierarchy: Hierarchy
    prediction: Prediction | None

    @property
    def flat(self) -> bool:
        """Whether the charts are flat maps."""
        return self.state.view.flat or not globe_is_drawn()

    def values(self, level: Level | None) -> CellValues:
        """What the cells of a level are coloured by."""
        if self.prediction is None:
            counts = self.hierarchy[level or finest_level()].photo_counts
            return CellValues(counts.astype(np.float64), photos=True)
        return CellValues(self.prediction.probabilities(level).astype(np.float64), photos=False)

    def look_at(self, level: Level, index: int) -> globe.Camera:
        """A camera above a cell."""
        cells = self.hierarchy[level]
        point = (float(cells.latitudes[index]), float(cells.longitudes[index]))
        found = globe.camera(point, self.flat, on_phone())
        if not self.state.view.three:
            return found
        smaller = 0.3 if on_phone() else _SMALLER_BY
        return globe.Camera(found.latitude, found.longitude, round(max(found.zoom - smaller, 0), 3))

    def camera(self) -> globe.Camera:
        """The camera that the charts are given: above the chosen cell, else above the highest value."""
        level = level_of(self.state.view.level)
        if self.state.start is None:
            chosen = chosen_class(self.state.view, self.hierarchy)
            around = int(np.argmax(self.values(level).values)) if chosen is None else chosen
            self.state.start = self.look_at(level or finest_level(), around)
        return self.state.start

    def region_lines(self, prediction: Prediction, share: float) -> list[NDArray[np.float64]]:
        """The outline of a credible region; kept until another is asked for, for it takes half a second."""
        classes = prediction.region(share).classes
        made_of = (self.hierarchy, np.sort(classes).tobytes())
        if self.state.outline is None or self.state.outline[0] != made_of:
            self.state.outline = made_of, region_outline(self.hierarchy.fine, classes)
        return self.state.outline[1]

    def marks(self, level: Level, colours: Palette) -> list[pydeck.Layer]:
        """The credible region, the chosen cell or the one of this level that holds it, and the answer."""
        found, view, prediction = [], self.state.view, self.prediction
        if prediction is not None and view.region:
            found.append(region_layer(self.region_lines(prediction, view.region), colours, flat=self.flat))
        chosen, own = chosen_class(view, self.hierarchy), level_of(view.level) or finest_level()
        if chosen is not None:
            above = {own: chosen, **ancestor_classes(self.hierarchy, own, chosen)}
            # On the chart of a finer level the cell's own edge shows what lies in it.
            at = level if level in above else own
            found.append(globe.outline_layer(above[at], cell_book(at), colours, flat=self.flat))
        if prediction is not None:
            point = (prediction.latitude, prediction.longitude)
            found.append(globe.estimate_layer(point, colours, flat=self.flat))
        return found


def show_charts(picture: Picture) -> None:
    """One chart or three, with what they show."""
    state, prediction = picture.state, picture.prediction
    if state.view.three:
        levels = levels_up_to(finest_level())
        for column, level in zip(st.columns(len(levels), gap="small"), levels, strict=True):
            with column:
                st.markdown(f"**{level_name(level)}**")
                _show_chart(picture, level, f"cells-{level.value}", _SMALL_HEIGHT)
    else:
        _show_chart(
            picture,
            level_of(state.view.level),
            "cells-map" if picture.flat else "cells-globe",
            chart_height(),
        )
    if prediction is not None and state.view.region:
        region = prediction.region(state.view.region)
        st.caption(
            tr(
                "The outlined region holds {share} of the combined probability in {cells}.",
                share=percent(region.probability),
                cells=count(len(region.classes), "cell"),
            )
        )


def _show_chart(picture: Picture, level: Level | None, key: str, height: int) -> None:
    state, colours, own = picture.state, palette(), level or finest_level()
    name = level.value if level else COMBINED
    book, shown = cell_book(own), picture.values(level)
    classes = shown.drawn()
    scale = shown.scale(classes, state.view.linear)
    layer_id = f"cells-{name}-{(state.photo or 'training')[:12]}-{state.round}"
    if picture.prediction is not None:  # other temperatures put the cells into another order
        layer_id += f"-{state.temperature}-{state.heads:g}"
    if state.view.three:
        # Each click ends Streamlit's own selection, which pales all other cells: colours are compared here.
        layer_id += f"-{state.clicks.get(name, 0)}"

    def take() -> None:
        rows = st.session_state[key].selection.indices.get(layer_id, [])
        token = book.partitioning.tokens[classes[rows[0]]] if rows else None
        state.click(name, layer_id, token)

    deck = globe.draw(
        colours,
        picture.camera(),
        flat=picture.flat,
        land=land(),
        cells=[value_layer(layer_id, shown, classes, scale, book, colours, flat=picture.flat)],
        marks=picture.marks(own, colours),
        # A small chart would cut a broad one off.
        tooltip=f"<div style='max-width:9rem'>{tooltip(shown)}</div>" if state.view.three else tooltip(shown),
        view_id=f"view-{state.moves}",
    )
    st.pydeck_chart(
        deck,
        height=height,
        on_select=take,
        key=key,
        alt=tr("The Earth with the cells of the level {level}", level=level_name(level)),
    )
    st.html(legend_html(shown, scale, colours, picture.prediction is not None, state.view.region))
    st.caption(
        tr(
            "Drawn: {drawn} of {cells}.",
            drawn=figures(f"{len(classes):,}"),
            cells=count(len(shown.values), "cell"),
        )
    )
