"""A running app and a headless Chromium, for the browser tests and for take_screenshots.py."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",  # WebGL without a graphics card
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 300_000  # a busy machine without a graphics card is slow, and nothing here measures time
PHONE = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML) Chrome/130 Mobile Safari/537.36"


@contextlib.contextmanager
def serve_app(
    model_folder: Path | None,
    working_folder: Path,
    log: Path,
    starter: Sequence[str] = ("-m", "streamlit"),
    variables: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Start `streamlit run webapp/app.py` and give its address.

    Args:
        model_folder: None shows the bundled model.
        working_folder: Where the app is started.
        log: The file for what it prints.
        starter: What Python runs as Streamlit's command.
        variables: More environment variables.
    """
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("STREAMLIT_")}
    environment.pop("GEO_MODEL", None)
    environment.pop("PYTHONPATH", None)
    if model_folder:
        environment["GEO_MODEL"] = str(model_folder)
    environment.update(variables or {})
    command = [sys.executable, *starter, "run", str(ROOT / "webapp" / "app.py")]
    with log.open("w") as output:
        server = subprocess.Popen(
            [*command, "--server.port", str(port), "--server.headless", "true"],
            cwd=working_folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            address = f"http://localhost:{port}"
            _wait_until_healthy(address, server, log)
            yield address
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_until_healthy(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(1200):
        if server.poll() is not None:
            raise RuntimeError(f"the app ended at once:\n{log.read_text()}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
            return
        time.sleep(0.25)
    raise RuntimeError(f"the app does not answer at {address}:\n{log.read_text()}")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium of the system."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


class AppPage:
    """A page of the app with a globe, open in Chromium.

    Attributes:
        page: Playwright's page.
        requested: Addresses of all requests and websockets.
        complaints: What the browser's console called an error.
    """

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.requested: list[str] = []
        self.complaints: list[str] = []
        for event in ("request", "websocket"):
            self.page.on(event, lambda request: self.requested.append(request.url))
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type == "error" else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)
        self.wait_for_globe()

    @property
    def chart(self) -> Locator:
        """The globe or the flat map.

        While the page changes there may be two, and Streamlit keeps the one that was replaced as a hidden
        element until a run of that part of the page has ended undisturbed.
        """
        return self.page.get_by_test_id("stDeckGlJsonChart").filter(visible=True).last

    def picture(self) -> bytes:
        """The chart as PNG; one that does not come is asked for again by `until`."""
        return self.chart.screenshot(timeout=PATIENCE_MS / 10)

    def until(self, condition: Callable[[], bool], failure: str) -> None:
        """Wait until something is so."""
        from playwright.sync_api import Error

        end = time.monotonic() + PATIENCE_MS / 1000
        while time.monotonic() < end:
            # While Streamlit puts a new chart in the old one's place, there is none to take a picture of.
            with contextlib.suppress(Error):
                if condition():
                    return
            self.page.wait_for_timeout(500)
        raise AssertionError(failure)

    def wait_for_globe(self) -> None:
        """Wait until Streamlit rests and two screenshots of the chart in a row are the same."""
        self.chart.wait_for()
        shots = [b""]

        def rests() -> bool:
            self.page.wait_for_timeout(500)
            shots.append(self.picture())
            resting = self.page.locator("[data-test-script-state='notRunning']").count()
            return bool(resting) and shots[-1] == shots[-2]

        self.until(rests, "the globe does not settle")


class LocatePage(AppPage):
    """The page Locate."""

    def upload(self, files: Any) -> None:
        """Put files into the upload field and wait for the result."""
        self.page.locator("input[type=file]").set_input_files(files)
        self.page.get_by_text("Most probable cells").wait_for()
        self.wait_for_globe()

    def choose(self, option: str) -> None:
        """Click on another level or view than the one on show, and wait until the chart has changed."""
        before = self.picture()
        self.page.get_by_text(option, exact=True).click()
        self.until(lambda: self.picture() != before, f"{option} changes nothing")
        self.wait_for_globe()

    def click_a_cell(self) -> None:
        """Find a cell by its tooltip, from the middle of the globe outwards, and click on it."""
        box = self.chart.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        tooltip = self.page.locator(".deck-tooltip")
        for offset in range(0, 200, 40):
            for right, down in ((0, offset), (0, -offset), (offset, 0), (-offset, 0)):
                self.page.mouse.move(x + right - 2, y + down)
                self.page.mouse.move(x + right, y + down)
                self.page.wait_for_timeout(2000)
                if tooltip.is_visible():
                    self._click_until_chosen(x + right, y + down)
                    self.wait_for_globe()
                    return
        raise AssertionError("no cell shows a tooltip")

    def _click_until_chosen(self, x: float, y: float) -> None:
        """Click as people do on a busy machine, where deck.gl loses a click now and then: once more."""
        from playwright.sync_api import TimeoutError as NothingYet

        for _ in range(5):
            self.page.mouse.click(x, y)
            with contextlib.suppress(NothingYet):
                self.page.get_by_text("S2 level").wait_for(timeout=PATIENCE_MS / 10)
                return
        raise AssertionError("a clicked cell is not shown")


class EvaluationPage(AppPage):
    """The page Evaluation.

    Args:
        context: Of the browser.
        address: Of the app.
    """

    def __init__(self, context: BrowserContext, address: str) -> None:
        super().__init__(context, f"{address}/evaluation")

    def click_row(self, number: int) -> None:
        """Click the row of this number, from 0, in the table of photos, and wait for the card."""
        header_px, row_px = 38, 35
        table = self.page.get_by_test_id("stDataFrame").last
        table.scroll_into_view_if_needed()
        box = table.bounding_box()
        assert box is not None
        self.page.mouse.click(box["x"] + 200, box["y"] + header_px + (number + 0.5) * row_px)
        self.page.get_by_text("Predicted:").wait_for()
        self.wait_for_globe()


class PageByName(AppPage):
    """Any other page, which may have no globe."""

    def wait_for_globe(self) -> None:
        """Wait until Streamlit rests, and the globe too if there is one."""
        self.page.locator("[data-test-script-state='notRunning']").wait_for(state="attached")
        self.page.locator("h1").first.wait_for()
        if self.chart.count():
            super().wait_for_globe()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, or a skip that says what is missing."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium (Debian: apt install chromium)")
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def app_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the running app prints, in a folder that is not the repository's."""
    return tmp_path_factory.mktemp("elsewhere") / "log.txt"


@pytest.fixture(scope="session")
def app_address(tiny_model_folder: Path, app_log: Path) -> Iterator[str]:
    """The address of the app with the tiny model, started from another folder than the repository's."""
    with serve_app(tiny_model_folder, app_log.parent, app_log) as address:
        yield address


@pytest.fixture
def locate_page(browser: Browser, app_address: str) -> Iterator[LocatePage]:
    """The page Locate on a desktop in the light theme."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, color_scheme="light")
    yield LocatePage(context, app_address)
    context.close()


@pytest.fixture
def german_locate_page(browser: Browser, app_address: str) -> Iterator[LocatePage]:
    """The page Locate in a browser that prefers German."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 1000}, color_scheme="light", locale="de-DE"
    )
    yield LocatePage(context, app_address)
    context.close()


class Gate:
    """How many photos may be located; the app asks after each."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.allowed = 0
        self.allow(1)

    def allow(self, more: int) -> None:
        """Let some more through."""
        self.allowed += more
        unfinished = self.file.with_name("allowed.new")
        unfinished.write_text(str(self.allowed))
        os.replace(unfinished, self.file)

    def serve(self, model_folder: Path | None) -> contextlib.AbstractContextManager[str]:
        """The app with this gate; gives its address."""
        starter = [str(Path(__file__).with_name("streamlit_with_a_gate.py"))]
        variables = {"PHOTOS_ALLOWED": str(self.file)}
        folder = self.file.parent
        return serve_app(model_folder, folder, folder / "log.txt", starter, variables)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A gate that lets one photo through."""
    return Gate(tmp_path / "allowed")


@pytest.fixture
def gated_evaluation_page(browser: Browser, gate: Gate, tiny_model_folder: Path) -> Iterator[EvaluationPage]:
    """The page Evaluation of an app whose runs go as far as the gate allows."""
    with gate.serve(tiny_model_folder) as address:
        context = browser.new_context(
            viewport={"width": 1280, "height": 1000}, color_scheme="light", locale="en-GB"
        )
        yield EvaluationPage(context, address)
        context.close()


@pytest.fixture
def batch_page(browser: Browser, gate: Gate) -> Iterator[LocatePage]:
    """The page Locate of an app with the bundled model; the gate says how far a batch may go."""
    with gate.serve(None) as address:
        context = browser.new_context(
            viewport={"width": 1280, "height": 1000}, color_scheme="light", locale="en-GB"
        )
        yield LocatePage(context, address)
        context.close()


@pytest.fixture
def evaluation_page(browser: Browser, app_address: str) -> Iterator[EvaluationPage]:
    """The page Evaluation on a desktop in the light theme."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, color_scheme="light")
    yield EvaluationPage(context, app_address)
    context.close()


@pytest.fixture
def open_page(browser: Browser, app_address: str) -> Iterator[Callable[..., PageByName]]:
    """A function that opens a page by its name, in English and in a window of a size in pixels."""
    with contextlib.ExitStack() as opened:

        def open_(name: str, width: int = 1280, height: int = 1000) -> PageByName:
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme="light", locale="en-GB"
            )
            opened.callback(context.close)
            return PageByName(context, f"{app_address}/{name}")

        yield open_
