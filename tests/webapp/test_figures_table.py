"""The table of measured accuracy, from a record as an export writes it."""

from __future__ import annotations

import html
import re

from webapp.figures_table import measured_html


def record(role: str, share: float) -> dict:
    return {
        "role": role,
        "photos": 1109,
        "answers": {
            "hierarchy": {
                "accuracy": [{"km": float(km), "share": share} for km in (1, 25, 200, 750, 2500)],
                "median_km": 5912.4,
            }
        },
        "coverage": [{"region": 0.5, "share": 0.51}, {"region": 0.9, "share": 0.893}],
    }


def rows_of(text: str) -> list[list[str]]:
    """The cells of each row of an HTML table, as text."""
    rows = re.findall(r"<tr>(.+?)</tr>", text)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    return [[html.unescape(re.sub(r"<[^>]+>", " ", cell)).strip() for cell in row] for row in cells]


def test_figures_that_a_folder_of_others_says_otherwise_are_left_out():
    others = {"mine": {"1km": 0.1}, "text": "good", "half": {**record("test", 0.2), "coverage": []}}
    assert measured_html(others) == ""
    head, *_ = rows_of(measured_html({**others, "known": record("test", 0.184)}))
    assert [cell.split()[0] for cell in head] == ["measured", "known"]


def test_each_set_of_photos_is_a_column_that_says_whether_it_was_trained_on():
    text = measured_html({"im2gps3k": record("test", 0.184), "<b>|": record("validation", 0.31)})
    head, *rows = rows_of(text)
    assert [" ".join(cell.split()) for cell in head] == [
        "measured on",
        "im2gps3k never trained on",
        "<b>| the model was chosen on it",
    ]
    table = {row[0]: row[1:] for row in rows}
    assert table["photos"] == ["1,109", "1,109"]
    assert table["within 750 km"] == ["18.4%", "31.0%"]
    assert table["median error"] == ["5,910 km", "5,910 km"]
    assert table["90% region holds the truth"] == ["89.3%", "89.3%"]
