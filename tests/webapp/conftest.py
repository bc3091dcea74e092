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
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

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
PHONE = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML) Chrome/130 Mobile Safari/537.36"


@contextlib.contextmanager
def serve_app(model_folder: Path | None, working_folder: Path, log: Path) -> Iterator[str]:
    """Start `streamlit run webapp/app.py` and give its address; None shows the bundled model."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("STREAMLIT_")}
    environment.pop("GEO_MODEL", None)
    environment.pop("PYTHONPATH", None)
    if model_folder:
        environment["GEO_MODEL"] = str(model_folder)
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "webapp" / "app.py")]
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
            server.wait(timeout=20)


def _wait_until_healthy(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
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


def wait_for_globe(page: Page) -> None:
    """Wait until the globe is drawn and Streamlit rests.

    A WebGL canvas can only be read while it is drawn, so what it shows is taken from screenshots: it has
    settled when two in a row are the same.
    """
    chart = page.get_by_test_id("stDeckGlJsonChart")
    chart.first.wait_for(timeout=90_000)
    page.locator("[data-test-script-state='notRunning']").wait_for(timeout=90_000)
    before = b""
    for _ in range(60):
        page.wait_for_timeout(1500)
        after = chart.first.screenshot()
        if after == before and len(set(after)) > 1:
            return
        before = after
    raise AssertionError("the globe does not settle")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, or a skip that says what is missing."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium (Debian: apt install chromium)")
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def app_address(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the app with the tiny model, started from a folder that is not the repository's."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with serve_app(tiny_model_folder, folder, folder / "log.txt") as address:
        yield address
