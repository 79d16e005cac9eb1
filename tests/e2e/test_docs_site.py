"""The documents' search in a browser, on a site that is opened from a folder: no server, no network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
Open = Callable[..., webdriver.Chrome]
LOADED = """
return [...document.querySelectorAll("script, link[rel~=stylesheet], link[rel~=icon], img, iframe")]
    .map(one => one.src || one.href).filter(url => url)
"""


@pytest.mark.thorough
def test_the_search_finds_a_setting_and_loads_nothing_from_elsewhere(open_browser: Open, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=True)
    browser = open_browser(width=1200)
    browser.get((tmp_path / "site" / "index.html").as_uri())
    browser.find_element(By.CSS_SELECTOR, "input.md-search__input").send_keys("BULKHEAD_SQL_SECONDS")
    results = "a.md-search-result__link"
    wait_until(
        lambda: any(
            "settings.html" in str(one.get_attribute("href")) for one in browser.find_elements(By.CSS_SELECTOR, results)
        )
    )
    schemes = {urlsplit(url).scheme for url in browser.execute_script(LOADED)}
    assert "file" in schemes and schemes <= {"file", "data", "blob"}, schemes
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
