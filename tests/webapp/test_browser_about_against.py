"""The pages You against the model and About in a headless Chromium: a click on the globe is a guess."""

from __future__ import annotations

import io
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from webapp.palette import LIGHT


def count_of(page, colour: tuple[int, int, int]) -> int:
    pixels = np.asarray(Image.open(io.BytesIO(page.chart.screenshot())).convert("RGB")).astype(int)
    return int((np.abs(pixels - colour).max(axis=-1) <= 8).sum())


def hosts(page) -> set[str | None]:
    return {urlsplit(url).hostname for url in page.requested if not url.startswith(("data:", "blob:"))}


def test_a_click_on_the_globe_is_a_guess_and_is_scored(open_page):
    at = open_page("against")
    page = at.page
    page.get_by_role("button", name="Play with the sample photos").click()
    page.get_by_text("Latitude, degrees").wait_for()
    at.wait_for_globe()
    assert count_of(at, LIGHT.ocean) > 5000
    assert count_of(at, LIGHT.ramp[2]) == 0
    at.chart.scroll_into_view_if_needed()
    box = at.chart.bounding_box()
    x, y = box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.45
    said = page.get_by_text("The guess is the middle of the cell")

    def clicked() -> bool:
        page.mouse.move(x - 2, y)
        page.mouse.move(x, y)
        page.wait_for_timeout(1000)
        page.mouse.click(x, y)
        page.wait_for_timeout(2000)
        return said.count() > 0

    at.until(clicked, "a click on the globe is no guess")
    at.wait_for_globe()
    at.until(lambda: count_of(at, LIGHT.ramp[2]) > 60, "the guess is not drawn")
    assert page.get_by_label("Latitude, degrees").input_value()
    page.get_by_role("button", name="That is my guess").click()
    page.get_by_text("It was taken here").wait_for()
    at.wait_for_globe()
    at.until(lambda: count_of(at, LIGHT.tag) > 60, "the true place is not drawn")
    assert page.get_by_test_id("stMetric").count() == 2
    assert hosts(at) == {"localhost"}


def test_about_in_german_on_a_phone_fits_its_width(open_page):
    at = open_page("about", 390, 844)
    page = at.page
    page.get_by_text("What happens to photos").wait_for()
    page.get_by_text("Model card").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_text("Deutsch", exact=True).click()
    page.get_by_text("Was mit Fotos geschieht").wait_for()
    assert hosts(at) == {"localhost"}
