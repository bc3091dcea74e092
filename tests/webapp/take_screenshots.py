"""Take pictures of every page, to look at them: python tests/webapp/take_screenshots.py FOLDER.

Writes each state of each page (a scene) in each look (desktop and phone, light and dark, English and German)
as PNG into FOLDER: what fits the window, and the page's whole length. `--scenes` and `--looks` pick some.
With `--readme` it writes only assets/screenshot.png. The model is the bundled one; the environment variable
GEO_MODEL names another.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from conftest import CHROMIUM, PHONE, ROOT, AppPage, chromium, serve_app
from playwright.sync_api import Browser
from playwright.sync_api import Error as BrowserError

sys.path.insert(0, str(ROOT))  # the packages, wherever this is started from

from webapp import evaluation_wording as words
from webapp.globe_view import globe_is_drawn
from webapp.language import german_texts

SAMPLES = ROOT / "assets" / "samples"
UGLY_NAMES = (
    "a_very_long_file_name_" * 8 + "final (2).jpg",
    "<img src=x onerror=alert(1)> **bold** :red[x] $x$ `code` ](http:).jpg",
)
COPIES = 12
"""How often a run gets each sample photo, so that there is time to cancel it."""

LONGEST_PX = 8000
"""A longer page is cut: Chromium takes no picture of any length."""


@dataclass(frozen=True)
class Look:
    """How a visitor sees the app."""

    width_px: int
    height_px: int
    scheme: str
    locale: str

    @property
    def phone(self) -> bool:
        """Whether it is a phone."""
        return self.width_px < 600


LOOKS = {
    "desktop": Look(1440, 900, "light", "en-GB"),
    "desktop-dark": Look(1440, 900, "dark", "en-GB"),
    "desktop-german": Look(1440, 900, "dark", "de-DE"),
    "phone": Look(390, 844, "light", "en-GB"),
    "phone-german": Look(390, 844, "dark", "de-DE"),
}


class AnyPage(AppPage):
    """A page of the app, in the language of its look."""

    def __init__(self, context, address: str, german: bool) -> None:
        self._texts = german_texts() if german else {}
        super().__init__(context, address)

    def says(self, english: str) -> str:
        """The text as this page writes it."""
        return self._texts.get(english, english)

    def wait_for_globe(self) -> None:
        """Wait until Streamlit rests, and the globe too if there is one."""
        self.page.locator("[data-test-script-state='notRunning']").wait_for(state="attached")
        self.page.locator("h1").first.wait_for()
        self.page.wait_for_timeout(1500)
        if self.chart.count():
            super().wait_for_globe()

    def press(self, english: str) -> None:
        """Click on the button or choice of this text, and wait."""
        self.page.get_by_text(self.says(english), exact=True).first.click()
        self.wait_for_globe()

    def go_to(self, english: str, path: str, phone: bool) -> None:
        """Visit another page as a visitor does, who keeps what was located."""
        if phone:
            self.page.get_by_test_id("stExpandSidebarButton").click()
        self.page.get_by_role("link", name=self.says(english)).first.click()
        self.page.wait_for_url(re.compile(rf"/{path}\b"))
        if phone and (close := self.page.get_by_test_id("stSidebarCollapseButton")).count():
            close.locator("button").first.click()
        self.wait_for_globe()


Steps = Callable[[AnyPage, Look], None]


def stay(_: AnyPage, __: Look) -> None:
    """The page as it opens."""


def add_sample(at: AnyPage, _: Look) -> None:
    """Try the sample of the Summer Palace."""
    at.page.get_by_test_id("stButton").get_by_text(at.says("Summer Palace")).click()
    at.page.get_by_text(at.says("Most probable cells")).first.wait_for()
    at.wait_for_globe()


def add_many(at: AnyPage, _: Look) -> None:
    """Upload three good photos, two of them under ugly names, and three that cannot be read."""
    photos = [photo.read_bytes() for photo in sorted(SAMPLES.glob("*.jpg"))]
    good = dict(zip((*UGLY_NAMES, "mountains.jpg"), photos, strict=True))
    bad = {"notes.jpg": b"only words", "empty.jpg": b"", "half.jpg": photos[0][: len(photos[0]) // 2]}
    at.page.locator("input[type=file]").set_input_files(
        [{"name": name, "mimeType": "image/jpeg", "buffer": data} for name, data in (good | bad).items()]
    )
    at.page.get_by_text(at.says("Most probable cells")).first.wait_for()
    at.page.wait_for_timeout(3000)
    at.wait_for_globe()


def choose_coarse_map(at: AnyPage, look: Look) -> None:
    """The coarse cells of a sample on the flat map."""
    add_sample(at, look)
    at.press("Coarse")
    if globe_is_drawn():  # else it is the flat map already
        at.press("Flat map")


def cells_of_a_sample(at: AnyPage, look: Look) -> None:
    """The page Cells with a located photo."""
    add_sample(at, look)
    at.go_to("Cells", "cells", look.phone)


def three_levels(at: AnyPage, look: Look) -> None:
    """The three levels of a located photo side by side."""
    cells_of_a_sample(at, look)
    at.press("Three levels")


def open_a_case(at: AnyPage, _: Look) -> None:
    """The card of the worst case of the table of photos."""
    table = at.page.get_by_test_id("stDataFrame").last
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box is not None
    at.page.mouse.click(box["x"] + 200, box["y"] + 55)
    at.page.get_by_text(f"{at.says(words.CARD_PREDICTED)}:").first.wait_for()
    at.wait_for_globe()


def begin_a_run(at: AnyPage, _: Look) -> None:
    """A run of the model over the sample photos, again and again, and some entries that are refused."""
    archive, truth = io.BytesIO(), io.StringIO()
    rows = csv.writer(truth)
    rows.writerow(["IMG_ID", "LAT", "LON"])
    with zipfile.ZipFile(archive, "w") as entries:
        for sample in json.loads((SAMPLES / "samples.json").read_text(encoding="utf-8")):
            for number in range(COPIES):
                name = f"{number:02}-{sample['file']}"
                entries.write(SAMPLES / sample["file"], name)
                rows.writerow([name, sample["latitude"], sample["longitude"]])
        entries.writestr("../evil@example.com.jpg", b"")
        entries.writestr("https:/www.example.com/notes.txt", b"only words")
        entries.writestr("half.jpg", b"only words")
        rows.writerow(["half.jpg", 0, 0])
    at.page.get_by_text(at.says(words.RUN), exact=True).first.click()
    fields = at.page.locator("input[type=file]")
    fields.nth(1).set_input_files(
        {"name": "holiday.zip", "mimeType": "application/zip", "buffer": archive.getvalue()}
    )
    at.page.get_by_text(at.says(words.RUN_NO_MATCH)).wait_for()
    fields.nth(2).set_input_files(
        {"name": "truth.csv", "mimeType": "text/csv", "buffer": truth.getvalue().encode()}
    )
    start = at.says(words.RUN_START).split("{")[0].strip()
    at.page.get_by_role("button", name=f"{start} {3 * COPIES + 1}").click()


def cancel_a_run(at: AnyPage, look: Look) -> None:
    """A run that was cancelled after its first photos."""
    begin_a_run(at, look)
    at.page.get_by_role("button", name=at.says(words.RUN_CANCEL)).click()
    at.page.get_by_role("button", name=at.says(words.RUN_GO_ON)).wait_for()
    at.wait_for_globe()


def end_a_run(at: AnyPage, look: Look) -> None:
    """A run that is done."""
    begin_a_run(at, look)
    at.page.get_by_text(at.says(words.COMPARISON)).wait_for()  # the run's figures are on the page
    at.page.get_by_role("button", name=at.says(words.RUN_CANCEL)).wait_for(state="detached")
    at.wait_for_globe()


def open_a_case_of_a_run(at: AnyPage, look: Look) -> None:
    """The card of a photo of a run, with the photo itself."""
    end_a_run(at, look)
    field = at.page.get_by_label(at.says(words.CASES_OF))
    field.scroll_into_view_if_needed()
    at.page.wait_for_timeout(1000)  # scrolling closes the list
    field.press("ArrowDown")
    at.page.get_by_role("option").last.click()
    at.wait_for_globe()
    open_a_case(at, look)


def begin_the_game(at: AnyPage, _: Look) -> None:
    """The first photo of the game."""
    at.press("Play with the sample photos")


def end_a_round(at: AnyPage, look: Look) -> None:
    """A guess by numbers and its result."""
    begin_the_game(at, look)
    for label, degrees in (("Latitude, degrees", "48.1"), ("Longitude, degrees", "11.6")):
        field = at.page.get_by_label(at.says(label))
        field.fill(degrees)
        field.press("Enter")
        at.wait_for_globe()
    at.press("That is my guess")
    at.page.get_by_text(at.says("Next photo")).wait_for()
    at.wait_for_globe()


@dataclass(frozen=True)
class Scene:
    """A state of a page.

    Attributes:
        path: The page's address below the app's.
        steps: What a visitor does there.
        limit: What the operator limits the app's answers to; empty for nothing.
    """

    path: str
    steps: Steps
    limit: str = ""


SCENES = {
    "locate-empty": Scene("", stay),
    "locate": Scene("", add_sample),
    "locate-map": Scene("", choose_coarse_map),
    "locate-many": Scene("", add_many),
    "locate-limited": Scene("", add_sample, "coarse"),
    "cells": Scene("cells", stay),
    "cells-photo": Scene("", cells_of_a_sample),
    "cells-three": Scene("", three_levels),
    "cells-limited": Scene("", cells_of_a_sample, "middle"),
    "evaluation": Scene("evaluation", stay),
    "evaluation-case": Scene("evaluation", open_a_case),
    "evaluation-cancelled": Scene("evaluation", cancel_a_run),
    "evaluation-run": Scene("evaluation", end_a_run),
    "evaluation-run-case": Scene("evaluation", open_a_case_of_a_run),
    "against-empty": Scene("against", stay),
    "against": Scene("against", begin_the_game),
    "against-result": Scene("against", end_a_round),
    "about": Scene("about", stay),
    "about-limited": Scene("about", stay, "coarse"),
}


def take(browser: Browser, address: str, scene: str, look: Look, target: Path, whole: bool = True) -> None:
    """Bring a page into a state and photograph it, its whole length too."""
    played = SCENES[scene]
    context = browser.new_context(
        viewport={"width": look.width_px, "height": look.height_px},
        color_scheme=look.scheme,  # type: ignore[arg-type]
        locale=look.locale,
        user_agent=PHONE if look.phone else None,
        is_mobile=look.phone,
        has_touch=look.phone,
        device_scale_factor=2 if look.phone else 1,
    )
    try:
        at = AnyPage(context, f"{address}/{played.path}", look.locale.startswith("de"))
        at.page.set_default_timeout(120_000)
        played.steps(at, look)
        at.page.screenshot(path=target)
        if whole:
            # Streamlit scrolls inside the page, so the window grows to the content's height.
            content = at.page.get_by_test_id("stMainBlockContainer").bounding_box()
            assert content is not None
            height_px = min(int(content["height"]) + 80, LONGEST_PX)
            at.page.set_viewport_size({"width": look.width_px, "height": height_px})
            at.wait_for_globe()
            at.page.screenshot(path=target.with_name(f"{target.stem}-whole.png"))
    finally:
        context.close()


def main() -> int:
    """Read the command line and take the pictures; 1 if a scene could not be played."""
    parser = argparse.ArgumentParser(description="Take pictures of every page.")
    parser.add_argument("folder", type=Path, nargs="?", help="where the PNG files go")
    parser.add_argument("--scenes", nargs="*", choices=SCENES, default=list(SCENES), help="only these scenes")
    parser.add_argument("--looks", nargs="*", choices=LOOKS, default=list(LOOKS), help="only these looks")
    parser.add_argument("--readme", action="store_true", help="write only assets/screenshot.png")
    arguments = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit("Chromium is missing; on Debian: apt install chromium.")
    if not (arguments.folder or arguments.readme):
        parser.error("give a FOLDER, or --readme")
    if arguments.readme and not globe_is_drawn():
        raise SystemExit("The README shows the globe, which needs Streamlit 1.67 and Python 3.11, or newer.")
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        if arguments.readme:
            with serve("", Path(scratch)) as address:
                target = ROOT / "assets" / "screenshot.png"
                take(browser, address, "locate", LOOKS["desktop"], target, whole=False)
            return 0
        arguments.folder.mkdir(parents=True, exist_ok=True)
        failed = 0
        for limit in sorted({SCENES[scene].limit for scene in arguments.scenes}):
            with serve(limit, Path(scratch)) as address:
                for scene in arguments.scenes:
                    if SCENES[scene].limit == limit:
                        failed += take_looks(browser, address, scene, arguments.looks, arguments.folder)
    return 1 if failed else 0


def serve(limit: str, scratch: Path) -> AbstractContextManager[str]:
    """The app, limited to a level or not; gives its address."""
    model = os.environ.get("GEO_MODEL")
    variables = {"GEO_MODEL_FINEST_LEVEL": limit} if limit else {}
    return serve_app(Path(model) if model else None, scratch, scratch / "log.txt", variables=variables)


def take_looks(browser: Browser, address: str, scene: str, looks: list[str], folder: Path) -> int:
    """One scene in several looks; how many could not be played."""
    failed = 0
    for look in looks:
        target = folder / f"{scene}-{look}.png"
        try:
            take(browser, address, scene, LOOKS[look], target)
            print(target, flush=True)
        except (BrowserError, AssertionError) as error:  # the other pictures are worth having
            failed += 1
            print(f"{target}: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
