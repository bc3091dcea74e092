"""The globe of the page You against the model: where to click, and, after the guess, all three places."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import pydeck
import streamlit as st

from geo_model.truth import Coordinate
from webapp import globe
from webapp.geometry import great_circle
from webapp.globe_view import chart_height, globe_is_drawn, land, on_phone, palette
from webapp.guess_cells import cells_within, centre, grid, level_of, outlines, reach_km
from webapp.guess_game import Game, Round
from webapp.language import figures, tr
from webapp.palette import Colour, Palette, css

_START = (25.0, 10.0)
_UNSEEN = [128, 128, 128, 1]
_FINER_OPACITY = 60
_CLOSER = {4: 2.2, 7: 4.6, 10: 6.5}
"""How much nearer the view is, in steps of deck.gl's zoom, by the level of the cell that was clicked."""


def show_guess_globe(game: Game, flat: bool, take: Callable[[int], None]) -> None:
    """The grid of cells, of which a click takes one, and the guess so far."""
    colours = palette()
    cells = grid(game.cell)
    layer_id = f"guess-{game.cell or 'all'}"
    key = f"guess-{'map' if flat else 'globe'}-{game.cell or 'all'}"  # a new key looks where the new grid is

    def remember_click() -> None:
        rows = st.session_state[key].selection.indices.get(layer_id, [])
        if rows:
            take(int(cells[rows[0]]))

    marks = []
    if game.guess:
        point = globe.point_geometry(game.guess)
        marks.append(
            globe.marks_layer("your-guess", [point], colours, point_colour=visitor_colour(colours), flat=flat)
        )
    deck = globe.draw(
        colours,
        _camera(game, flat),
        flat=flat,
        land=land(),
        cells=[_grid_layer(layer_id, game.cell, flat)],
        marks=marks,
        tooltip=html.escape(tr("Guess here; you can then choose more finely")),
    )
    alt = tr("The Earth with a grid of cells to click")
    st.pydeck_chart(deck, height=chart_height(), on_select=remember_click, key=key, alt=alt)
    if game.cell is not None:
        reach = figures(f"{max(reach_km(game.cell), 1):,.0f} km")
        st.caption(
            tr("The guess is the middle of the cell: up to {reach} off where you clicked.", reach=reach)
        )


def show_result_globe(played: Round, flat: bool) -> None:
    """Where the photo was taken, and lines from there to both guesses."""
    colours = palette()
    truth = played.challenge.truth
    lines = (
        ("model", played.model.point, model_colour(colours)),
        ("visitor", played.visitor.point, visitor_colour(colours)),
    )
    marks = [
        globe.marks_layer(
            f"{name}-answer",
            [globe.lifted_line(great_circle(truth, point)), globe.point_geometry(point)],
            colours,
            point_colour=colour,
            line_colour=colour,
            line_px=3,
            flat=flat,
        )
        for name, point, colour in lines
    ]
    taken = globe.point_geometry(truth)
    marks.append(
        globe.marks_layer("truth", [taken], colours, point_colour=colours.tag, point_px=10, flat=flat)
    )
    deck = globe.draw(colours, globe.camera(truth, flat, on_phone()), flat=flat, land=land(), marks=marks)
    key = f"guessed-{'map' if flat else 'globe'}-{played.challenge.key[:24]}"
    alt = tr("The Earth with the true place, your guess and the model's")
    st.pydeck_chart(deck, height=chart_height(), key=key, alt=alt)
    st.html(_legend(colours))


def choose_view() -> bool:
    """Whether the flat map is wanted; it is all there is where no globe is drawn."""
    if not globe_is_drawn():
        return True
    st.session_state.setdefault("guess-flat", st.session_state.get("guess-flat-kept", False))
    flat = st.toggle(tr("Flat map instead of the globe"), key="guess-flat")
    st.session_state["guess-flat-kept"] = flat
    return flat


def visitor_colour(colours: Palette) -> Colour:
    """Of the visitor's guess."""
    return colours.ramp[2]


def model_colour(colours: Palette) -> Colour:
    """Of the model's guess."""
    return colours.estimate


def _grid_layer(layer_id: str, cell: int | None, flat: bool) -> pydeck.Layer:
    return pydeck.Layer(
        "PolygonLayer",
        id=layer_id,
        data=_rows(cell, flat, visitor_colour(palette())),
        get_polygon="polygon",
        get_fill_color="colour",
        stroked=False,
        pickable=True,
        auto_highlight=True,
        highlight_color=[*visitor_colour(palette()), 90],
        **globe.on_surface(flat),
    )


@st.cache_data(max_entries=32, show_spinner=False)
def _rows(cell: int | None, flat: bool, colour: Colour) -> list[dict[str, Any]]:
    """The cells; those within the one that was clicked, which come first, can be seen."""
    cells = grid(cell)
    inside = 0 if cell is None else len(cells_within(cell))
    limit = globe.MERCATOR_LIMIT if flat else 90.0
    return [
        {
            "polygon": [
                [round(longitude, 3), round(min(max(latitude, -limit), limit), 3)]
                for latitude, longitude in outline.tolist()
            ],
            "colour": [*colour, _FINER_OPACITY] if row < inside else _UNSEEN,
        }
        for row, outline in enumerate(outlines(cells))
    ]


def _camera(game: Game, flat: bool) -> globe.Camera:
    point: Coordinate = centre(game.cell) if game.cell is not None else game.guess or _START
    view = globe.camera(point, flat, on_phone())
    closer = _CLOSER[level_of(game.cell)] if game.cell is not None else 0.0
    return globe.Camera(view.latitude, view.longitude, round(min(view.zoom + closer, 9.0), 3))


def _legend(colours: Palette) -> str:
    items = (
        (colours.tag, tr("Where it was taken")),
        (visitor_colour(colours), tr("Your guess")),
        (model_colour(colours), tr("The model's answer")),
    )
    dots = "".join(
        f"<div><span style='display:inline-block;width:12px;height:12px;border-radius:50%;"
        f"margin-right:0.4rem;vertical-align:-1px;border:2px solid {css(colours.halo)};"
        f"background:{css(colour)}'></span>"
        f"{html.escape(text)}</div>"
        for colour, text in items
    )
    return f"<div style='font-size:0.82rem;display:flex;flex-wrap:wrap;gap:0.2rem 1.2rem'>{dots}</div>"
