"""A real browser, and the web app that it looks at (its fixtures are those of the integration tests)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from pipeline.keys import Keys, Role
from pipeline.settings import ROOT, Settings
from tests.integration.conftest import Server, edges, keys, serve
from tests.support.threaded_server import serving

__all__ = ["edges", "keys", "serve"]

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)

HEIGHT = 900

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
def server(settings: Settings, keys: Keys, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The app on this test's own edges, with an uploader's key; behind gunicorn where a test is marked so."""
    if request.node.get_closest_marker("gunicorn"):
        yield request.getfixturevalue("serve")(settings)
        return
    with serving(settings) as url:
        yield Server(url, keys.create("a test", Role.UPLOADER)[0], os.getpid(), tmp_path / "server.log")


class Browsers:
    """Chromium processes that are started once; a test has a window in a fresh browser context of one of them.

    A context has cookies, storage and a cache of its own, as a fresh profile has, and takes no two seconds to start.
    """

    def __init__(self, folder: Path, in_ci: bool) -> None:
        self._folder = folder
        self._in_ci = in_ci
        self._idle: list[webdriver.Chrome] = []
        self._all: list[webdriver.Chrome] = []

    def start(self, *, scripts: bool = True) -> webdriver.Chrome:
        """Start a Chromium with a profile of its own."""
        chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if chromium is None or driver is None:
            (pytest.fail if self._in_ci else pytest.skip)("Chromium and its driver are not installed; make setup does that.")
        options = webdriver.ChromeOptions()
        options.binary_location = str(chromium)
        for flag in (*FLAGS, f"--user-data-dir={self._folder / f'profile-{len(self._all)}'}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        browser = webdriver.Chrome(options=options, service=Service(str(driver)))
        self._all.append(browser)
        return browser

    @contextmanager
    def window(self, width: int) -> Iterator[webdriver.Chrome]:
        """A window in a context of its own, closed with all that was opened from it."""
        browser = self._idle.pop() if self._idle else self.start()
        first = browser.current_window_handle
        context = browser.execute_cdp_cmd("Target.createBrowserContext", {})["browserContextId"]
        wish = {"url": "about:blank", "browserContextId": context, "width": width, "height": HEIGHT, "newWindow": True}
        browser.switch_to.window(browser.execute_cdp_cmd("Target.createTarget", wish)["targetId"])
        yield browser
        browser.switch_to.window(first)
        browser.execute_cdp_cmd("Target.disposeBrowserContext", {"browserContextId": context})
        browser.get_log("browser")  # what is left of it is not the next test's
        self._idle.append(browser)  # only if all of this went well

    def quit(self) -> None:
        """End them all."""
        for browser in self._all:
            browser.quit()


@pytest.fixture(scope="session")
def browsers(tmp_path_factory: pytest.TempPathFactory, in_ci: bool) -> Iterator[Browsers]:
    """The Chromium processes of this run, started when they are asked for."""
    browsers = Browsers(tmp_path_factory.mktemp("chromium"), in_ci)
    yield browsers
    browsers.quit()


@pytest.fixture
def open_browser(browsers: Browsers) -> Iterator[Open]:
    """Opens Chromium: ``width`` in pixels, ``dark`` as the system's wish, ``scripts`` allowed or not."""
    with ExitStack() as opened:

        def start(*, width: int = 1100, dark: bool = False, scripts: bool = True) -> webdriver.Chrome:
            browser = opened.enter_context(browsers.window(width)) if scripts else browsers.start(scripts=False)
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": width < 600},
            )
            if dark:
                wish = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
                browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wish)
            return browser

        yield start
