"""Times in a real Chromium: how long ago, and hovering the exact one in the reader's zone and in UTC; without scripts, UTC."""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from typing import Any

import psycopg
from selenium import webdriver
from selenium.webdriver.common.by import By

from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.ledger.ledger import Ledger
from pipeline.settings import Settings
from tests.support.browser_pages import Open, wait_for

LONG_AGO = datetime.fromisoformat("2026-01-31T20:15:30+00:00")


def an_import(ledger: Ledger, name: str) -> str:
    import_id = str(uuid.uuid4())
    ledger.imports.open(import_id, dataset="places", filename=name, bucket="b", key=f"incoming/places/{import_id}/{name}")
    return import_id


def times(browser: webdriver.Chrome) -> list[tuple[str, str]]:
    """Return text and title of the times in the table of imports, the newest first."""
    found = browser.find_elements(By.CSS_SELECTOR, ".imports time")
    return [(one.text, one.get_attribute("title") or "") for one in found]


def test_times_are_those_of_the_readers_zone(sign_in: Open, server: Any, ledger: Ledger, settings: Settings) -> None:
    old, new = an_import(ledger, "old.csv"), an_import(ledger, "new.csv")
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("update ledger.import set created_at = %s where id = %s", (LONG_AGO, old))
    browser = sign_in()
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    try:
        browser.get(f"{server.url}/imports")
        wait_for(browser, ".imports time", "1 Feb 2026, 05:15")
        shown = dict(zip(("new", "old"), times(browser), strict=True))
        assert re.fullmatch(r"just now|\d+ (second|minute)s? ago", shown["new"][0]), shown
        assert shown["old"] == ("1 Feb 2026, 05:15", "1 Feb 2026, 05:15:30 GMT+9 (31 Jan 2026, 20:15:30 UTC)")

        browser.get(f"{server.url}/imports/{new}")
        wait_for(browser, ".moves time", "GMT+9")
        browser.execute_script(
            "const one = document.createElement('time'); one.dateTime = '2026-01-31T20:15:30+00:00'; one.id = 'late';"
            "one.textContent = '31 Jan 2026, 20:15:30 UTC'; document.querySelector('main').append(one);"
        )
        wait_for(browser, "#late", "1 Feb 2026, 05:15")
    finally:
        browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


def test_without_scripts_times_are_in_utc(open_browser: Open, keys: ApiKeys, server: Any, ledger: Ledger) -> None:
    an_import(ledger, "new.csv")
    browser = open_browser(scripts=False)
    browser.get(f"{server.url}/sign-in")
    browser.find_element(By.NAME, "key").send_keys(keys.create("a reader", Role.READER)[0])
    browser.find_element(By.CSS_SELECTOR, ".door button").click()
    browser.get(f"{server.url}/imports")
    ((text, title),) = times(browser)
    assert re.fullmatch(r"\d+ \w{3} \d{4}, \d\d:\d\d:\d\d UTC", text) and not title
