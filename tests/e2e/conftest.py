"""A real browser, and the web app that it looks at (some of its fixtures are those of the integration tests)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from pipeline.adapters import postgres
from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.ledger.ledger import Ledger
from pipeline.settings import ROOT, Settings
from tests.support.browser_pages import SCREENSHOTS, Open, text, wait_for
from tests.support.chromium import Browsers, show_as
from tests.support.oidc_provider import oidc, oidc_process
from tests.support.threaded_server import serving
from tests.support.web_app import Server, edges, keys, serve

__all__ = ["edges", "keys", "oidc", "oidc_process", "serve"]


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
def server(settings: Settings, keys: ApiKeys, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The app on this test's own edges, with an uploader's key; behind gunicorn where a test is marked so."""
    if request.node.get_closest_marker("gunicorn"):
        yield request.getfixturevalue("serve")(settings)
        return
    with serving(settings) as url:
        yield Server(url, keys.create("a test", Role.UPLOADER)[0], os.getpid(), tmp_path / "server.log")


@pytest.fixture(scope="session")
def browsers(tmp_path_factory: pytest.TempPathFactory, in_ci: bool) -> Iterator[Browsers]:
    """The Chromium processes of this run, started when they are asked for."""
    browsers = Browsers(tmp_path_factory.mktemp("chromium"), pytest.fail if in_ci else pytest.skip)
    yield browsers
    browsers.close()


@pytest.fixture
def open_browser(browsers: Browsers) -> Iterator[Open]:
    """Opens Chromium: ``width`` in pixels, ``dark`` as the system's wish, ``scripts`` allowed or not."""

    @contextmanager
    def scriptless() -> Iterator[webdriver.Chrome]:
        browser = browsers.start(scripts=False)
        yield browser
        browsers.end(browser)

    with ExitStack() as opened:

        def start(*, width: int = 1100, dark: bool = False, scripts: bool = True) -> webdriver.Chrome:
            browser = opened.enter_context(browsers.window(width) if scripts else scriptless())
            show_as(browser, width=width, dark=dark)
            return browser

        yield start


@pytest.fixture
def sign_in(server: Any, keys: ApiKeys, open_browser: Open) -> Open:
    """Open a browser that has followed a sign-in link and pressed its button."""

    def start(**wishes: Any) -> webdriver.Chrome:
        browser = open_browser(**wishes)
        _, key = keys.create("a user of a test", Role.ADMIN)
        browser.get(f"{server.url}/sign-in?token={keys.sign_in_token(key.id)}")
        browser.find_element(By.CSS_SELECTOR, ".door button").click()
        wait_for(browser, "h1", "Upload a file")
        assert text(browser, "h1") == "Upload a file"
        return browser

    return start


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """The folder that pictures of the pages go to, if any are taken."""
    return Path(os.environ.get(SCREENSHOTS, tmp_path))


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """The ledger in this test's database."""
    engine = postgres.connect(settings.database_url)
    yield Ledger(engine)
    engine.dispose()
