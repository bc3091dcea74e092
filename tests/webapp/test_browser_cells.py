"""The page Cells in a headless Chromium: a link brings another person to the same view."""

from __future__ import annotations

import contextlib
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import TimeoutError as NothingYet

CAMERAS = """() => {
  const root = document.getElementById("root"), found = [];
  const key = Object.keys(root).find((name) => name.startsWith("__reactContainer$"));
  const visit = (node) => {
    for (; node; node = node.sibling) {
      const props = node.memoizedProps, view = props && props.viewState;
      if (props && props.isRetained === true) continue;
      if (view && props.onViewStateChange) found.push([view.latitude, view.longitude, view.zoom]);
      else visit(node.child);
    }
  };
  visit(root[key].stateNode.current);
  return found;
}"""
"""The cameras of all charts on show, as Streamlit holds them."""


def hosts(page) -> set[str | None]:
    return {urlsplit(url).hostname for url in page.requested if not url.startswith(("data:", "blob:"))}


def query(page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.page.url).query)


def camera_in_address(page) -> list[float]:
    return [float(number) for number in query(page).get("at", [""])[0].split(",") if number]


def cameras(page) -> list[list[float]]:
    return page.page.evaluate(CAMERAS)


def all_look_at(page, camera: list[float]) -> bool:
    found = cameras(page)
    return bool(found) and all(one == pytest.approx(camera, abs=0.01) for one in found)


def where_it_rests(page, failure: str) -> list[float]:
    """The camera of the address, once all charts look there and have looked there for a while."""
    seen: list[list[float]] = []

    def rests() -> bool:
        seen.append(camera_in_address(page))
        return bool(seen[-1]) and all_look_at(page, seen[-1]) and len(seen) > 4 and seen[-5:] == 5 * seen[-1:]

    page.until(rests, failure)
    return seen[-1]


def click_a_cell(page) -> float:
    """Click near the middle of the globe until a card is shown; seconds since the last click.

    On a busy machine deck.gl loses a click now and then.
    """
    box = page.chart.bounding_box()
    for _ in range(10):
        begun = time.monotonic()
        page.page.mouse.click(box["x"] + box["width"] / 2 + 5, box["y"] + box["height"] / 2 + 5)
        with contextlib.suppress(NothingYet):
            page.page.get_by_text("Token: ").first.wait_for(timeout=20_000)
            return time.monotonic() - begun
    raise AssertionError("a clicked cell has no card")


def test_a_level_and_a_cell_are_in_the_address_and_open_again(open_page):
    first = open_page("cells")
    first.page.get_by_text("Coarse", exact=True).first.click()
    first.until(lambda: query(first).get("level") == ["coarse"], "the level is not in the address")
    first.until(lambda: first.chart.count() == 1, "no globe is drawn")
    first.wait_for_globe()
    print(f"{click_a_cell(first):.2f} s from the click on a cell to its card")
    first.until(lambda: "cell" in query(first), "the cell is not in the address")
    first.wait_for_globe()
    address = urlsplit(first.page.url)
    second = open_page(f"cells?{address.query}")
    second.page.get_by_text("Token: ").first.wait_for()
    assert query(second) == query(first)
    assert hosts(first) | hosts(second) == {"localhost"}
    # Below /cells Streamlit looks for its own server in two places where it is not, before it finds it.
    assert [said for said in first.complaints if "404" not in said] == []


def test_three_levels_turn_together_and_a_link_opens_them_where_they_were(open_page):
    first = open_page("cells?level=middle&view=levels")
    first.until(lambda: len(cameras(first)) == 3, "three charts are not drawn")
    first.wait_for_globe()
    before = cameras(first)[0]
    first.page.locator(".deck-events-root").first.focus()
    first.page.keyboard.press("ArrowRight")
    turned = where_it_rests(first, "the three charts and the address do not look at the same place")
    assert turned != pytest.approx(before, abs=0.5)
    second = open_page(f"cells?{urlsplit(first.page.url).query}")
    second.until(lambda: len(cameras(second)) == 3, "three charts are not drawn")
    assert all_look_at(second, turned)
    first.page.locator(".st-key-camera-zoom_in button:visible").first.click()
    nearer = [turned[0], turned[1], turned[2] + 0.75]
    first.until(lambda: all_look_at(first, nearer), "the button does not bring the charts nearer")
    first.until(lambda: camera_in_address(first) == pytest.approx(nearer, abs=0.01), "nor the address")
    assert [said for said in first.complaints if "404" not in said] == []
