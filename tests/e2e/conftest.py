"""A real browser, and the web app that it looks at (its fixtures are those of the integration tests)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from pipeline.settings import ROOT
from tests.integration.conftest import edges, keys, serve, server

__all__ = ["edges", "keys", "serve", "server"]

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)

Open = Callable[..., webdriver.Chrome]


@pytest.fixture
def browser_file(in_ci: bool) -> Callable[[str], Path]:
    """Where a file of the packages that package.json names lies, for a page to load."""

    def find(name: str) -> Path:
        file = ROOT / "node_modules" / name
        if not file.is_file():
            (pytest.fail if in_ci else pytest.skip)(f"node_modules/{name} is not there; make setup fetches it.")
        return file

    return find


@pytest.fixture
def open_browser(tmp_path: Path, in_ci: bool) -> Iterator[Open]:
    """Starts Chromium: ``width`` in pixels, ``dark`` as the system's wish, ``scripts`` allowed or not."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        (pytest.fail if in_ci else pytest.skip)("Chromium and its driver are not installed; make setup does that.")
    with ExitStack() as opened:

        def start(*, width: int = 1100, dark: bool = False, scripts: bool = True) -> webdriver.Chrome:
            options = webdriver.ChromeOptions()
            options.binary_location = str(chromium)
            profile = tmp_path / f"profile-{width}-{dark}-{scripts}"
            for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},900"):
                options.add_argument(flag)
            options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
            if not scripts:
                options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
            browser = webdriver.Chrome(options=options, service=Service(str(driver)))
            opened.callback(browser.quit)
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
            )
            if dark:
                wish = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
                browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wish)
            return browser

        yield start
