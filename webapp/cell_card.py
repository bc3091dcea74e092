"""The card of one cell: its facts, the cells above and below it, and how its probability came about."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import streamlit as st

from geo_model.cell_facts import (
    ancestor_classes,
    cell_facts,
    child_classes,
    explain_product,
    fine_classes_within,
)
from geo_model.cells import LEVELS, Hierarchy, Level
from geo_model.level_limit import finest_level
from geo_model.predict import Prediction
from geo_model.terminal import coordinate_text
from webapp.globe import CellBook
from webapp.globe_view import level_name
from webapp.language import figures, tr
from webapp.wording import area, capitalised, count, percent, place_text

MOST_CHILDREN = 6
"""Buttons of children before the rest is only counted."""

Choose = Callable[[Level, int], None]


def show_card(
    hierarchy: Hierarchy,
    level: Level | None,
    class_index: int,
    books: Callable[[Level], CellBook],
    prediction: Prediction | None,
    hierarchy_temperature: float | None,
    choose: Choose,
) -> None:
    """The card of a cell; level None is a fine cell, or one of the app's limit, by all three levels.

    Without `hierarchy_temperature` the combined probabilities are no product of the three.
    """
    own = level or finest_level()
    facts = cell_facts(hierarchy, own, class_index)
    place = books(own).places[class_index]
    st.subheader(capitalised(place_text(place)), anchor=False)
    lines = [
        (tr("Token"), f"`{facts.token}`"),
        (tr("S2 level"), str(facts.s2_level)),
        (tr("Area"), area(facts.area_km2)),
        (tr("Training photos"), figures(f"{facts.photos:,}")),
        (tr("Their mean coordinate"), f"`{coordinate_text(facts.latitude, facts.longitude)}`"),
    ]
    if prediction is not None:
        probabilities = prediction.probabilities(level)
        rank = 1 + int((probabilities > probabilities[class_index]).sum())
        lines.insert(
            0,
            (
                tr("Probability at this level"),
                tr(
                    "**{share}**, rank {rank} of {cells}",
                    share=percent(float(probabilities[class_index])),
                    rank=figures(f"{rank:,}"),
                    cells=count(len(probabilities), "cell"),
                ),
            ),
        )
    st.markdown("  \n".join(f"{name}: {text}" for name, text in lines))
    _show_family(hierarchy, own, class_index, books, prediction, choose)
    if prediction is not None:
        _show_origin(hierarchy, own, class_index, prediction, hierarchy_temperature)


def _show_family(
    hierarchy: Hierarchy,
    level: Level,
    class_index: int,
    books: Callable[[Level], CellBook],
    prediction: Prediction | None,
    choose: Choose,
) -> None:
    above = ancestor_classes(hierarchy, level, class_index)
    if above:
        st.caption(tr("Lies in"))
    for upper, index in above.items():
        _button(hierarchy, upper, index, books, prediction, choose, ":material/arrow_upward:")
    if level is finest_level():
        return
    children = child_classes(hierarchy, level, class_index)
    if not len(children):
        return
    lower = LEVELS[LEVELS.index(level) + 1]
    weights = prediction.levels[lower] if prediction else hierarchy[lower].photo_counts
    children = children[np.argsort(-weights[children], kind="stable")]
    st.caption(tr("Holds {cells} of the next level", cells=count(len(children), "cell")))
    for index in children[:MOST_CHILDREN].tolist():
        _button(hierarchy, lower, index, books, prediction, choose, ":material/arrow_downward:")
    if (rest := len(children) - MOST_CHILDREN) > 0:
        st.caption(tr("and {cells} more", cells=count(rest, "cell")))


def _button(
    hierarchy: Hierarchy,
    level: Level,
    index: int,
    books: Callable[[Level], CellBook],
    prediction: Prediction | None,
    choose: Choose,
    icon: str,
) -> None:
    value = (
        percent(float(prediction.levels[level][index]))
        if prediction
        else count(int(hierarchy[level].photo_counts[index]), "photo")
    )
    token = hierarchy[level].tokens[index]
    place = capitalised(place_text(books(level).places[index]))
    st.button(
        f"{level_name(level)}: {place}, {value}",
        key=f"cell-{level.value}-{token}",
        icon=icon,
        help=tr("Cell {token}", token=token),
        on_click=choose,
        args=(level, index),
        width="stretch",
    )


def _show_origin(
    hierarchy: Hierarchy, level: Level, class_index: int, prediction: Prediction, temperature: float | None
) -> None:
    """The product of the three in numbers, or what a larger cell's fine cells hold together."""
    if finest_level() is not Level.FINE:
        st.caption(tr("The combined probability draws on more than is shown here, summed up in these cells."))
        return
    if temperature is None:
        st.caption(tr("Nothing is multiplied here: the combined probability sums up one distribution."))
        return
    if level is not Level.FINE:
        inside = fine_classes_within(hierarchy, level, class_index)
        held = float(prediction.product[inside].sum(dtype=np.float64))
        st.markdown(
            tr(
                "The {cells} of the fine level in it hold **{share}** of the combined probability.",
                cells=count(len(inside), "cell"),
                share=percent(held),
            )
        )
        return
    found = explain_product(hierarchy, prediction.levels, class_index, temperature)
    st.caption(tr("How the combined probability came about"))
    rows = [
        *((f"p({level_name(factor).lower()})", found.factors[factor]) for factor in LEVELS),
        (tr("multiplied"), found.product),
        (tr("to the power 1 / {temperature}", temperature=figures(f"{temperature:.3g}")), found.tempered),
        (tr("sum over all fine cells"), found.total),
        (tr("divided by it: combined"), found.probability),
    ]
    body = "\n".join(f"| {name} | {_number(value)} |" for name, value in rows)
    st.markdown(f"| {tr('step')} | {tr('value')} |\n|---|--:|\n{body}")


def _number(value: float) -> str:
    """A number to four digits, with a power of ten where it is small."""
    if value == 0 or value >= 0.001:
        return figures(f"{value:.4g}")
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{figures(mantissa)}e{int(exponent)}"
