"""Read pages in Chromium, wait for what they say, and take pictures of them."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

EVIL = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"
SECONDS = 180
SCREENSHOTS = "BULKHEAD_SCREENSHOTS"
STOPS_MAX = 250
Open = Callable[..., webdriver.Chrome]


def text(browser: webdriver.Chrome, selector: str) -> str:
    """Return the text of the first element that matches."""
    return browser.find_element(By.CSS_SELECTOR, selector).text


def wait_for(browser: webdriver.Chrome, selector: str, words: str) -> None:
    """Wait until an element that matches contains ``words``; the page may be replaced meanwhile."""

    def says(_: webdriver.Chrome) -> bool:
        return any(words in one.text for one in browser.find_elements(By.CSS_SELECTOR, selector))

    ignored = (Exception,)  # an element may go stale between finding and reading it
    WebDriverWait(browser, SECONDS, poll_frequency=0.1, ignored_exceptions=ignored).until(says, f"{selector}: {words}")


def shoot(browser: webdriver.Chrome, path: Path) -> None:
    """Write a PNG of the whole page, if BULKHEAD_SCREENSHOTS names a folder for pictures."""
    if SCREENSHOTS not in os.environ:
        return
    picture = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})["data"]
    path.write_bytes(base64.b64decode(picture))


def assert_no_complaints(browser: webdriver.Chrome) -> None:
    """Assert that the browser blocked nothing and missed nothing."""
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def send_keys(browser: webdriver.Chrome, *keys: str) -> None:
    """Send keys to whatever has the focus."""
    ActionChains(browser).send_keys(*keys).perform()


def tab_to(browser: webdriver.Chrome, selector: str, *, back: bool = False) -> None:
    """Press the tab key, again and again, until what matches has the focus; with the shift key to go back."""
    for _ in range(STOPS_MAX):
        if browser.execute_script("return document.activeElement.matches(arguments[0])", selector):
            return
        keys = ActionChains(browser)
        (keys.key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT) if back else keys.send_keys(Keys.TAB)).perform()
    raise AssertionError(f"The tab key does not come to {selector}.")
