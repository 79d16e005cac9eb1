"""Chromium processes that are started once; a test has a window in a fresh browser context of one of them.

A context has cookies, storage and a cache of its own, as a fresh profile has, and no process has to start for it. The processes
are of Chromium's headless shell, whose windows take a sixth of the processor time of those of the whole browser: it draws no
tabs and no toolbar. It has no settings, so the whole browser shows pages whose scripts are not to run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from websocket import create_connection

from tests.support.waiting import wait_until

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
HEIGHT = 900


class Browsers:
    """All Chromium processes of one process of the run. ``missing`` is called, and raises, where none is installed."""

    def __init__(self, folder: Path, missing: Callable[[str], object]) -> None:
        self._folder = folder
        self._missing = missing
        self._idle: list[webdriver.Chrome] = []
        self._all: dict[webdriver.Chrome, subprocess.Popen[bytes] | None] = {}  # with the process that it does not end itself

    def start(self, *, scripts: bool = True) -> webdriver.Chrome:
        """Start a Chromium with a profile of its own, in whose pages scripts run or do not."""
        options = webdriver.ChromeOptions()
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        profile = Path(tempfile.mkdtemp(prefix="profile-", dir=self._folder))  # never that of one that has ended
        flags, process = (*FLAGS, f"--user-data-dir={profile}"), None
        if scripts:
            command = [self._program("chromium-headless-shell"), *flags, "--remote-debugging-port=0", "about:blank"]
            with (profile / "stderr").open("wb") as stderr:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr, process_group=0)
            options.debugger_address = f"127.0.0.1:{_port(profile, process)}"
        else:
            options.binary_location = self._program("chromium")
            for flag in flags:
                options.add_argument(flag)
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        browser = webdriver.Chrome(options=options, service=Service(self._program("chromedriver")))
        self._all[browser] = process
        return browser

    def _program(self, name: str) -> str:
        if (path := shutil.which(name)) is None:
            self._missing(f"{name} is not installed; make setup does that.")
        return str(path)

    @contextmanager
    def window(self, width: int) -> Iterator[webdriver.Chrome]:
        """Open a window in a context of its own; close it with all that was opened from it."""
        browser = self._idle.pop() if self._idle else self.start()
        first = browser.current_window_handle
        context = _ask(browser, "Target.createBrowserContext")["browserContextId"]
        wish = {"url": "about:blank", "browserContextId": context, "width": width, "height": HEIGHT, "newWindow": True}
        browser.switch_to.window(_ask(browser, "Target.createTarget", **wish)["targetId"])
        yield browser
        browser.switch_to.window(first)
        _ask(browser, "Target.disposeBrowserContext", browserContextId=context)
        browser.get_log("browser")  # what is left of it is not the next test's
        self._idle.append(browser)  # only if all of this went well

    def end(self, browser: webdriver.Chrome) -> None:
        """End one of them."""
        process = self._all.pop(browser)
        browser.quit()
        if process is not None:
            os.killpg(process.pid, signal.SIGTERM)  # Debian's command is a shell, which would leave the browser behind
            process.wait(timeout=60)

    def close(self) -> None:
        """End them all."""
        for browser in [*self._all]:
            self.end(browser)


def _port(profile: Path, process: subprocess.Popen[bytes]) -> int:
    """Wait for a Chromium that has started, and return the port of its DevTools protocol."""
    file = profile / "DevToolsActivePort"

    def is_there() -> bool:
        assert process.poll() is None, (profile / "stderr").read_text()
        return file.is_file() and "\n" in file.read_text()

    wait_until(is_there)
    return int(file.read_text().split()[0])


def show_as(browser: webdriver.Chrome, *, width: int, dark: bool = False) -> None:
    """Give the page a width in pixels and the system's wish for dark colours, also while it is shown."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    wish = {"features": [{"name": "prefers-color-scheme", "value": "dark"}] if dark else []}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wish)


def _ask(browser: webdriver.Chrome, method: str, **parameters: Any) -> dict[str, Any]:
    """Give the browser itself a command of the DevTools protocol; the driver's own way reaches one page only."""
    address = browser.capabilities["goog:chromeOptions"]["debuggerAddress"]
    with urllib.request.urlopen(f"http://{address}/json/version", timeout=300) as answer:
        url = json.load(answer)["webSocketDebuggerUrl"]
    with closing(create_connection(url, timeout=300, suppress_origin=True)) as connection:
        connection.send(json.dumps({"id": 1, "method": method, "params": parameters}))
        while (said := json.loads(connection.recv())).get("id") != 1:
            pass
    assert "result" in said, said
    result: dict[str, Any] = said["result"]
    return result
