"""The page Evaluation in a headless Chromium, from its first figure to a card opened on the globe."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from playwright.sync_api import TimeoutError as NothingYet

from geo_model.prediction_table import read_predictions
from webapp import evaluation_wording as words
from webapp.error_globe import class_colours
from webapp.palette import LIGHT, Colour

FOREIGN_TABLE = b"img_id,gt_lat,gt_long,predicted_lat,predicted_long\nme@example.com.jpg,0,0,1,1\n"


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


def test_a_photo_on_the_web_is_asked_for_only_after_its_host_was_allowed(evaluation_page, sample_photos):
    page = evaluation_page.page
    # The card of the worst case lies on this host; nothing here leaves the machine.
    served = []

    def answer(route) -> None:
        served.append(route.request.url)
        route.fulfill(body=sample_photos[0].read_bytes(), content_type="image/jpeg")

    page.route("**staticflickr.com/**", answer)
    upload = as_file("me@example.com www.example.com.csv", FOREIGN_TABLE)
    page.get_by_text(words.ADD_TABLE, exact=True).first.click()
    page.locator("input[type=file]").first.set_input_files(upload)
    page.get_by_text("1 photo. From a table that you added.").wait_for()
    evaluation_page.wait_for_globe()
    names = page.get_by_text("example.com", exact=False)
    assert names.count() >= 1
    assert page.locator("a[href*='example.com']").count() == 0  # untrusted names are no links

    evaluation_page.click_row(0)
    link = page.get_by_role("link", name="Open the photo at")
    assert "staticflickr.com" in link.get_attribute("href")
    assert served == []
    page.get_by_text("Load photos from").click()
    evaluation_page.until(lambda: bool(served), "the photo is not asked for")
    photo = page.get_by_test_id("stImage").locator("img").last
    evaluation_page.until(
        lambda: photo.evaluate("photo => photo.naturalWidth") > 100, "the photo is not drawn"
    )
    assert set(served) == {link.get_attribute("href")}
    page.get_by_text("Load photos from").click()
    evaluation_page.until(
        lambda: page.get_by_test_id("stImage").count() == 0, "the photo stays when its host is not allowed"
    )


def test_a_run_is_cancelled_gone_on_with_looked_at_and_taken_away(gated_evaluation_page, gate, sample_photos):
    at = gated_evaluation_page
    page = at.page
    archive, samples = io.BytesIO(), json.loads((sample_photos[0].parent / "samples.json").read_text("utf-8"))
    with zipfile.ZipFile(archive, "w") as entries:
        for photo in sample_photos:
            entries.write(photo, photo.name)
        entries.writestr("../evil.jpg", b"")
    truth = [f"{one['file']},{one['latitude']},{one['longitude']}" for one in samples]
    page.get_by_text(words.RUN, exact=True).first.click()
    fields = page.locator("input[type=file]")
    fields.nth(1).set_input_files(as_file("mine.zip", archive.getvalue()))
    page.get_by_text(words.RUN_NO_MATCH).wait_for()
    fields.nth(2).set_input_files(as_file("truth.csv", "\n".join(["IMG_ID,LAT,LON", *truth]).encode()))
    start = page.get_by_role("button", name="Locate 3 photos")
    start.dblclick()  # as impatient people do

    page.get_by_role("button", name=words.RUN_CANCEL).click()
    page.get_by_text("1 of 3 photos located; the rest waits.").wait_for()
    at.wait_for_globe()
    assert start.count() == 0  # what is at work already is not offered again
    assert page.get_by_text("its name leads out of the archive").count() == 0
    gate.allow(10)
    page.get_by_role("button", name=words.RUN_GO_ON).click()
    page.get_by_text("3 of 3 photos located.").wait_for()
    page.get_by_text("tiny on mine.zip — 3 photos").wait_for()
    assert page.get_by_text("tiny on mine.zip (2)").count() == 0
    rows = page.locator(".figures tr", has_text="tiny on mine.zip: the answer, along the hierarchy")
    assert rows.first.locator("td").last.inner_text() == "3"
    assert page.get_by_text("How sure the model was: tiny on mine.zip").is_visible()

    choice = page.get_by_label(words.CASES_OF)
    choice.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)  # scrolling closes the list
    choice.press("ArrowDown")
    page.get_by_role("option", name="tiny on mine.zip").click()
    at.wait_for_globe()
    at.click_row(0)
    photo = page.get_by_test_id("stImage").locator("img").last
    at.until(lambda: photo.evaluate("photo => photo.naturalWidth") > 100, "its photo is not drawn")
    assert page.get_by_text("Load photos from").count() == 0

    with page.expect_download() as download:
        page.get_by_role("button", name=words.DOWNLOAD, exact=True).last.click()
    table = Path(download.value.path()).read_bytes()
    assert set(read_predictions(table, "run.csv").photo_ids) == {photo.name for photo in sample_photos}
    page.get_by_text(words.ADD_TABLE, exact=True).first.click()
    page.locator("input[type=file]").first.set_input_files(as_file("run.csv", table))
    page.get_by_text(f"3 photos. {words.UPLOADED_NOTE}").wait_for()
    at.wait_for_globe()
    figures = [
        page.locator(".figures tr", has_text=name).first.locator("td").all_inner_texts()[1:]
        for name in ("tiny on mine.zip: the answer", "run.csv")
    ]
    assert figures[0] == figures[1]
    assert {urlsplit(url).hostname for url in at.requested if not url.startswith(("data:", "blob:"))} == {
        "localhost"
    }


def as_file(name: str, data: bytes) -> dict[str, object]:
    """A file as Chromium uploads it."""
    return {"name": name, "mimeType": "application/octet-stream", "buffer": data}
