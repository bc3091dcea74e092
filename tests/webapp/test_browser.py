"""The page Locate in a headless Chromium: what can only be seen where it is drawn."""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from webapp.globe_view import globe_is_drawn
from webapp.palette import LIGHT, Colour


def drawn(locate_page) -> np.ndarray:
    """The chart's pixels, (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(locate_page.chart.screenshot())).convert("RGB")).astype(int)


def count_of(pixels: np.ndarray, colour: Colour) -> int:
    """Pixels of about a colour."""
    return int((np.abs(pixels - colour).max(axis=-1) <= 8).sum())


def sees(locate_page, colour: Colour, pixels: int) -> None:
    """Wait until the chart shows at least so many pixels of a colour."""
    locate_page.until(
        lambda: count_of(drawn(locate_page), colour) >= pixels, f"the chart does not show {colour}"
    )


def hosts(locate_page) -> set[str | None]:
    """All hosts that the browser asked for something."""
    return {
        urlsplit(address).hostname
        for address in locate_page.requested
        if not address.startswith(("data:", "blob:"))
    }


def test_a_photo_goes_in_and_the_chart_shows_where(locate_page, sample_photos):
    sees(locate_page, LIGHT.land, 5000)
    sees(locate_page, LIGHT.ocean, 5000)
    assert count_of(drawn(locate_page), LIGHT.estimate) == 0

    locate_page.upload(sample_photos[0])
    sees(locate_page, LIGHT.estimate, 60)  # the predicted point
    assert locate_page.page.get_by_test_id("stCode").inner_text().count(",") == 1

    levels = {}
    for name in ("Coarse", "Middle", "Fine"):
        locate_page.choose(name)
        levels[name] = drawn(locate_page)
        sees(locate_page, LIGHT.estimate, 60)
    for first, second in (("Coarse", "Middle"), ("Middle", "Fine"), ("Coarse", "Fine")):
        changed = np.abs(levels[first] - levels[second]).max(axis=-1) > 30
        assert changed.mean() > 0.02, f"{first} and {second} look the same"

    assert any(address.endswith("/app/static/land.geojson") for address in locate_page.requested)
    assert hosts(locate_page) == {"localhost"}
    assert not locate_page.complaints


def test_a_clicked_cell_stays_chosen(locate_page, sample_photos):
    locate_page.upload(sample_photos[0])
    locate_page.choose("Coarse")
    locate_page.click_a_cell()
    cell = locate_page.page.get_by_text("S2 level 1")
    said = cell.inner_text()
    sees(locate_page, LIGHT.ocean, 1000)  # the selection has not dimmed it
    for view in ("Flat map", "Globe") if globe_is_drawn() else ():  # else there is only the flat map
        locate_page.choose(view)
        assert cell.inner_text() == said
        sees(locate_page, LIGHT.ocean, 1000)
    assert {urlsplit(a).hostname for a in locate_page.requested if a.startswith(("http", "ws"))} == {
        "localhost"
    }
    assert not locate_page.complaints


def test_the_server_looked_up_no_address_of_its_own(app_address, app_log):
    log = app_log.read_text()
    assert app_address in log
    assert "External URL" not in log
    assert "Network URL" not in log


def test_several_photos_are_chosen_by_their_rows_and_downloaded(locate_page, sample_photos):
    locate_page.upload(sample_photos)
    page = locate_page.page
    shown = page.get_by_test_id("stText")
    assert shown.inner_text() == sample_photos[0].name
    table = page.get_by_test_id("stDataFrame")
    table.scroll_into_view_if_needed()
    box, header, row = table.bounding_box(), 38, 48
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + header + 2.5 * row)
    locate_page.until(
        lambda: shown.inner_text() == sample_photos[2].name, "the row does not choose the photo"
    )

    page.get_by_test_id("stPopoverButton").filter(has_text="Download").click()
    with page.expect_download() as download:
        page.get_by_text("a table with a row for each photo").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("photo,latitude,longitude,")
    assert [line.split(",")[0] for line in lines[1:]] == [photo.name for photo in sample_photos]
    assert not locate_page.complaints


def test_names_of_files_stay_text_where_they_are_shown(locate_page, sample_photos):
    markup = "**b** :red[x] :smile: $y$ `z`.jpg"
    name = f"<img src=x onerror=document.title='broken'> {markup}"
    good, bad = sample_photos[0].read_bytes(), b"only words"
    locate_page.upload(
        [
            {"name": name, "mimeType": "image/jpeg", "buffer": good},
            {"name": f"2{name}", "mimeType": "image/jpeg", "buffer": bad},
        ]
    )
    page = locate_page.page
    assert page.get_by_test_id("stText").inner_text().endswith(markup)
    assert markup in page.get_by_test_id("stAlert").inner_text()
    assert page.title() == "Geolocation-Images"
    assert page.locator("img[src=x]").count() == 0


def test_the_page_in_german_from_photos_to_the_picture_of_what_mattered(german_locate_page, sample_photos):
    page = german_locate_page.page
    page.locator("input[type=file]").set_input_files(sample_photos)
    page.get_by_text("3 Fotos verortet.").wait_for()
    page.get_by_text("Wahrscheinlichste Zellen").wait_for()
    page.get_by_text("Worauf das Modell geachtet hat").click()
    page.get_by_text("Orange hat die Bewertung des gewählten Ortes erhöht").wait_for()
    page.get_by_text("Alle Fotos weglegen").click()
    page.get_by_text("Beginnen Sie mit einem Foto").wait_for()
    page.get_by_role("button", name="Rückgängig").click()
    page.get_by_text("3 Fotos verortet.").wait_for()
    assert hosts(german_locate_page) == {"localhost"}
    assert not german_locate_page.complaints
