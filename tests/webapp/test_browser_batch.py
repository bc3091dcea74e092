"""Twenty real photos on the page Locate: it answers while they are located, and none is lost."""

from __future__ import annotations

import csv
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

PHOTOS = 20


@pytest.fixture(scope="module")
def twenty_photos(shared_data) -> list[dict[str, Any]]:
    """Photos of im2gps3k as Chromium uploads them."""
    found = []
    with tarfile.open(shared_data / "im2gps3k" / "photos-cc.tar") as archive:
        for entry in archive:
            if entry.name.endswith(".jpg") and len(found) < PHOTOS:
                name, data = Path(entry.name).name, archive.extractfile(entry).read()
                found.append({"name": name, "mimeType": "image/jpeg", "buffer": data})
    assert len(found) == PHOTOS
    return found


def done(at) -> int:
    """Photos located, as the page says it while the batch runs."""
    said = at.page.get_by_text(re.compile(r"\d+ of 20 photos are done")).inner_text()
    return int(said.split()[0])


def click_row(at, number: int) -> None:
    """Click on the row of a photo, by its number from 0."""
    table = at.page.get_by_test_id("stDataFrame")
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box is not None
    at.page.mouse.click(box["x"] + 250, box["y"] + 38 + (number + 0.5) * 56)


def exported(at, label: str) -> bytes:
    """What a download of all results gives."""
    button = at.page.get_by_text(label)
    if not button.is_visible():
        at.page.get_by_test_id("stPopoverButton").filter(has_text="Download").click()
    with at.page.expect_download() as download:
        button.click()
    data = Path(download.value.path()).read_bytes()
    at.page.keyboard.press("Escape")
    return data


def test_the_page_answers_while_twenty_photos_are_located_and_none_is_lost(gate, batch_page, twenty_photos):
    at = batch_page
    page, names = at.page, [photo["name"] for photo in twenty_photos]
    page.locator("input[type=file]").set_input_files(twenty_photos)
    shown = page.get_by_test_id("stText")
    shown.wait_for()  # the first photo is on show, and the others are on their way
    seen = [done(at)]
    assert shown.inner_text() == names[0]

    def while_it_runs() -> None:
        """What was just done was answered before the batch ended; it goes on."""
        seen.append(done(at))
        assert seen[-2] <= seen[-1] < PHOTOS
        gate.allow(3)

    gate.allow(3)
    at.until(lambda: done(at) >= 4, "the batch does not go on")
    click_row(at, 2)
    at.until(lambda: shown.inner_text() == names[2], "a click on a row does not choose its photo")
    while_it_runs()
    at.choose("Coarse")
    while_it_runs()
    at.choose("Flat map")
    while_it_runs()
    page.get_by_role("link", name="Cells").click()
    page.get_by_role("heading", name="What the model believes").wait_for()
    at.wait_for_globe()
    page.get_by_role("link", name="Locate").click()
    shown.wait_for()
    assert shown.inner_text() == names[2]
    assert page.get_by_role("radio", name="Coarse").is_checked()
    while_it_runs()
    early = exported(at, "a table with a row for each photo").decode()
    while_it_runs()
    rows = list(csv.DictReader(io.StringIO(early)))
    assert 4 <= len(rows) < PHOTOS
    assert [row["photo"] for row in rows] == names[: len(rows)]
    assert 0 < seen[0] < seen[-1]

    gate.allow(PHOTOS)
    page.get_by_text("20 photos located.").wait_for()
    at.until(lambda: page.get_by_test_id("stProgress").count() == 0, "the batch does not end")
    at.wait_for_globe()
    assert shown.inner_text() == names[2]
    at.until(lambda: page.get_by_role("radio", name="Coarse").is_checked(), "the level changed")
    _check_exports(at, names, rows)
    assert not at.complaints


def _check_exports(at, names: list[str], early: list[dict[str, str]]) -> None:
    """The three formats hold all photos, each opened by a reader of it; answers stay as they were."""
    from fastkml import KML
    from fastkml.features import Placemark
    from fastkml.utils import find_all
    from shapely.geometry import shape

    table = list(csv.DictReader(io.StringIO(exported(at, "a table with a row for each photo").decode())))
    assert [row["photo"] for row in table] == names
    assert table[: len(early)] == early
    features = json.loads(exported(at, "GeoJSON: points"))["features"]
    points = [shape(feature["geometry"]) for feature in features]
    places = {(round(point.x, 4), round(point.y, 4)) for point in points if point.geom_type == "Point"}
    assert places == {(round(float(row["longitude"]), 4), round(float(row["latitude"]), 4)) for row in table}
    assert sum(point.geom_type == "Point" for point in points) == PHOTOS
    document = KML.from_string(exported(at, "KML: points").decode().partition("?>")[2])
    marks = [mark for mark in find_all(document, of_type=Placemark) if mark.name in names]
    assert [mark.name for mark in marks if mark.geometry.geom_type == "Point"] == names
