"""Take pictures of the page Locate, to look at them: python tests/webapp/take_screenshots.py FOLDER.

Writes every state of the page as PNG into FOLDER: desktop, phone and dark theme; without photos, with one,
with several, with photos that cannot be read. With `--readme` it writes only assets/screenshot.png. The model
is the bundled one; the environment variable GEO_MODEL names another.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from conftest import CHROMIUM, PHONE, ROOT, LocatePage, chromium, serve_app
from playwright.sync_api import Browser

sys.path.insert(0, str(ROOT))  # the packages, wherever this is started from

from webapp.globe_view import globe_is_drawn

DESKTOP_SIZE, PHONE_SIZE = (1440, 900), (390, 844)
SAMPLES = ROOT / "assets" / "samples"
UGLY_NAMES = (
    "a_very_long_file_name_" * 8 + "final (2).jpg",
    "<img src=x onerror=alert(1)> **bold** :red[x] $x$ `code` ](http:).jpg",
)


def add_sample(at: LocatePage) -> None:
    """Try the sample of the Summer Palace."""
    at.page.get_by_test_id("stButton").get_by_text("Summer Palace").click()
    at.page.get_by_text("Most probable cells").wait_for()
    at.wait_for_globe()


def add_many(at: LocatePage) -> None:
    """Upload three good photos, two of them under ugly names, and three that cannot be read."""
    photos = [photo.read_bytes() for photo in sorted(SAMPLES.glob("*.jpg"))]
    good = dict(zip((*UGLY_NAMES, "mountains.jpg"), photos, strict=True))
    half = photos[0][: len(photos[0]) // 2]
    bad = {"notes.jpg": b"these are only words", "empty.jpg": b"", "half.jpg": half}
    files = {**good, **bad}.items()
    at.upload([{"name": name, "mimeType": "image/jpeg", "buffer": data} for name, data in files])


def choose_coarse_map(at: LocatePage) -> None:
    """The coarse cells of a sample on the flat map."""
    add_sample(at)
    at.choose("Coarse")
    if globe_is_drawn():  # else it is the flat map already
        at.choose("Flat map")


def choose_coarse_cell(at: LocatePage) -> None:
    """The coarse cells of a sample, one of them clicked."""
    add_sample(at)
    at.choose("Coarse")
    at.click_a_cell()


SHOTS: dict[str, tuple[Callable[[LocatePage], None] | None, str, bool]] = {
    "desktop-empty": (None, "light", False),
    "desktop": (add_sample, "light", False),
    "desktop-coarse-cell": (choose_coarse_cell, "light", False),
    "desktop-map": (choose_coarse_map, "light", False),
    "desktop-many": (add_many, "light", False),
    "dark-empty": (None, "dark", False),
    "dark": (add_sample, "dark", False),
    "dark-map": (choose_coarse_map, "dark", False),
    "dark-many": (add_many, "dark", False),
    "phone-empty": (None, "light", True),
    "phone": (add_sample, "light", True),
    "phone-many": (add_many, "dark", True),
}


def take(browser: Browser, address: str, name: str, target: Path, whole_page: bool = True) -> None:
    """Bring the page into a state and photograph it, its whole length too."""
    steps, scheme, phone = SHOTS[name]
    width, height = PHONE_SIZE if phone else DESKTOP_SIZE
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        user_agent=PHONE if phone else None,
        is_mobile=phone,
        has_touch=phone,
        device_scale_factor=2 if phone else 1,
    )
    at = LocatePage(context, address)
    if steps:
        steps(at)
    at.page.screenshot(path=target)
    if whole_page:
        # Streamlit scrolls inside the page, so the window grows to the content's height.
        content = at.page.get_by_test_id("stMainBlockContainer").bounding_box()
        assert content is not None
        at.page.set_viewport_size({"width": width, "height": int(content["height"]) + 80})
        at.wait_for_globe()
        at.page.screenshot(path=target.with_name(f"{target.stem}-whole.png"))
    context.close()


def main() -> None:
    """Read the command line and take the pictures."""
    parser = argparse.ArgumentParser(description="Take pictures of the page Locate.")
    parser.add_argument("folder", type=Path, nargs="?", help="where the PNG files go")
    parser.add_argument("--only", nargs="*", choices=SHOTS, default=list(SHOTS), help="take only these")
    parser.add_argument("--readme", action="store_true", help="write only assets/screenshot.png")
    arguments = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit("Chromium is missing; on Debian: apt install chromium.")
    if not (arguments.folder or arguments.readme):
        parser.error("give a FOLDER, or --readme")
    if arguments.readme and not globe_is_drawn():
        raise SystemExit("The README shows the globe, which needs Streamlit 1.67 and Python 3.11, or newer.")
    model = os.environ.get("GEO_MODEL")
    with (
        tempfile.TemporaryDirectory() as scratch,
        serve_app(Path(model) if model else None, Path(scratch), Path(scratch) / "log.txt") as address,
        chromium() as browser,
    ):
        if arguments.readme:
            take(browser, address, "desktop", ROOT / "assets" / "screenshot.png", whole_page=False)
            return
        arguments.folder.mkdir(parents=True, exist_ok=True)
        for name in arguments.only:
            take(browser, address, name, arguments.folder / f"{name}.png")
            print(arguments.folder / f"{name}.png")


if __name__ == "__main__":
    main()
