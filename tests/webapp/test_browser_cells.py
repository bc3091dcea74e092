"""The page Cells in a headless Chromium: a link brings another person to the same view."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit


def hosts(page) -> set[str | None]:
    return {urlsplit(url).hostname for url in page.requested if not url.startswith(("data:", "blob:"))}


def query(page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.page.url).query)


def test_a_level_and_a_cell_are_in_the_address_and_open_again(open_page):
    first = open_page("cells")
    first.page.get_by_text("Coarse", exact=True).first.click()
    first.until(lambda: query(first).get("level") == ["coarse"], "the level is not in the address")
    first.until(lambda: first.chart.count() == 1, "no globe is drawn")
    first.wait_for_globe()
    address = urlsplit(first.page.url)
    second = open_page(f"cells?{address.query}")
    assert query(second).get("level") == ["coarse"]
    assert hosts(first) | hosts(second) == {"localhost"}
    # Below /cells Streamlit looks for its own server in two places where it is not, before it finds it.
    assert [said for said in first.complaints if "404" not in said] == []
