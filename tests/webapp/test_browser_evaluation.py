"""The page Evaluation in a headless Chromium, from its first figure to a card opened on the globe."""

from __future__ import annotations

import contextlib
import io
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from playwright.sync_api import TimeoutError as NothingYet

from webapp.error_globe import class_colours
from webapp.palette import LIGHT, Colour


def drawn(page) -> np.ndarray:
    """The globe's pixels, (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(page.chart.screenshot())).convert("RGB")).astype(int)


def count_of(pixels: np.ndarray, colour: Colour) -> int:
    return int((np.abs(pixels - colour).max(axis=-1) <= 8).sum())


def test_figures_globe_and_a_card_from_a_row_and_from_a_line(evaluation_page):
    page = evaluation_page.page
    row = page.locator(".figures tr", has_text="ISN(M, f*, S3), published").first
    shown = [cell.split("\n")[0] for cell in row.locator("td").all_inner_texts()]
    assert shown[1:6] == ["16.9", "43.0", "51.9", "66.7", "80.2"]
    assert page.get_by_label("Cumulative curve of errors for each set of predictions").count() >= 1

    pixels = drawn(evaluation_page)
    assert count_of(pixels, LIGHT.ocean) > 5000
    assert count_of(pixels, LIGHT.land) > 5000
    worst = class_colours(LIGHT)[-1]
    assert count_of(pixels, worst) > 300  # lines
    assert count_of(pixels, LIGHT.tag) == 0

    evaluation_page.click_row(0)
    assert page.get_by_text("17,200 km off").is_visible()
    assert page.get_by_text("Taken: Kathmandu, Nepal").is_visible()
    evaluation_page.until(
        lambda: count_of(drawn(evaluation_page), LIGHT.tag) > 60, "the chosen photo is not on the globe"
    )
    page.get_by_role("button", name="Close").click()
    evaluation_page.until(lambda: page.get_by_text("km off").count() == 0, "the card does not close")

    # From the middle of the globe outwards, find something to click by its tooltip.
    evaluation_page.wait_for_globe()
    evaluation_page.chart.scroll_into_view_if_needed()
    rows, columns = np.nonzero(np.abs(drawn(evaluation_page) - worst).max(axis=-1) <= 8)
    height, width, _ = drawn(evaluation_page).shape
    order = np.argsort(np.hypot(rows - height / 2, columns - width / 2))
    box = evaluation_page.chart.bounding_box()
    for index in order[:: max(1, len(order) // 12)]:
        x, y = box["x"] + float(columns[index]), box["y"] + float(rows[index])
        page.mouse.move(x - 2, y)
        page.mouse.move(x, y)
        page.wait_for_timeout(3000)
        if page.locator(".deck-tooltip").is_visible():
            said = page.locator(".deck-tooltip").inner_text().split("\n")
            page.mouse.click(x, y)
            with contextlib.suppress(NothingYet):  # a busy machine loses a click now and then
                page.get_by_text(f"{said[0]} off").wait_for(timeout=20_000)
                break
    else:
        raise AssertionError("no line of the globe opens a card")

    asked = {
        urlsplit(address).hostname
        for address in evaluation_page.requested
        if not address.startswith(("data:", "blob:"))
    }
    assert asked == {"localhost"}
    # Opened by its address, Streamlit first looks for its own server below that, which the console notes.
    assert [said for said in evaluation_page.complaints if "status of 404" not in said] == []
