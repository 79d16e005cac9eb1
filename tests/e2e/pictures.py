"""`make pictures`: a picture of each page for the documentation, of a stack of its own into which files were really uploaded.

python -m tests.e2e.pictures [FOLDER]
"""

from __future__ import annotations

import base64
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import openpyxl
import requests
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.ui import WebDriverWait

from pipeline.client.api import Client
from pipeline.contracts.options import OnError, Options
from pipeline.local.demo_data import places_csv
from pipeline.local.stack import Stack
from pipeline.local.up import local_stack, sign_in_url
from pipeline.settings import ROOT
from tests.support.chromium import FLAGS

WIDTH, HEIGHT_MAX = 1100, 1600
PHONE = 390
IMPORT_SECONDS = 300

_HEAD = "id,parentId,name,kind,alpha_3\n"
_BAD = (
    "XA,,Atlantis,Country,\nXA,,Atlantis Nova,Country,\n,XA,Nameless,Province,\nXA-1,XB,Lost Valley,Province,\n"
    "XC,XC-2,Penrose,Country,\nXC-1,XC,Ascending,Region,\nXC-2,XC-1,Descending,Region,\n"
    "XE,XE-1,Castor,Country,\nXE-1,XE,Pollux,Country,\nDE-99,DE,Nowhere,,DEUT\n"
)
_STAFF = (
    *(("Organisation chart 2026",), ("As of 1 November",), ("Employee No", "Full name", "Manager")),
    *(("1001", "Ruth Alder"), ("1002", "Omar Bell", "1001"), ("1003", "Iris Cole", "Omar Bell"), ("1004", "Jan Dorn", "1002")),
    *(("1005", "Mia Eden", "Ruth Alder"), ("1006", "Lee Fox", "1005"), ("1007", "Ana Gill", "1005"), ("Total", "7")),
)
_PRODUCTS = (
    "SKU;Name;Parent SKU;Price;In stock;Added on\n00100;Tools;;;true;05.01.2026\n00200;Fixings;;;true;05.01.2026\n"
    + "".join(f"0010{n};Tool {n};00100;{n}9,90;{'true' if n % 2 else 'false'};1{n}.02.2026\n" for n in range(1, 8))
)
PAGES = {
    "upload": "/",
    "wizard": "/",
    "new-dataset": "/datasets/new",
    "dataset": "/datasets/places",
    "datasets": "/datasets",
    "hierarchy": "/datasets/places/hierarchy",
    "suite": "/datasets/places/suite",
    "chart": "/sql?q={sql}",
    "connect": "/connect",
    "guide": "/docs/quick-start",
    "imports": "/imports",
    "import": "/imports/{loaded}",
    "rejected": "/imports/{broken}",
    "findings": "/imports/{broken}/findings",
    "data-docs": "/imports/{broken}/report",
    "quarantined": "/imports/{partial}",
    "validations": "/datasets/places/validations",
    "tree": "/datasets/places/records",
    "record": "/datasets/places/records/FR-ARA",
    "sql": "/sql?q={sql}",
    "keys": "/admin/keys",
    "webhooks": "/admin/webhooks",
    "settings": "/admin/settings",
    "sign-in": "/sign-in",
}
ON_A_PHONE = ("findings", "import", "upload", "wizard")
IN_THE_DARK = ("findings", "tree")
SQL = """select kind, count(*) as places\nfrom places\ngroup by kind\norder by places desc\nlimit 10"""


def main(folder: Path) -> None:
    """Start a stack, fill it, take the pictures, stop it."""
    with tempfile.TemporaryDirectory(prefix="bulkhead-pictures-") as scratch:
        stack = local_stack(Path(scratch) / "home", say=lambda line: print(line, file=sys.stderr))
        try:
            stack.start()
            paths = _fill(stack, Path(scratch))
            for width, dark, names in (
                (WIDTH, False, [*PAGES]),
                (PHONE, False, [*ON_A_PHONE]),
                (WIDTH, True, [*IN_THE_DARK]),
            ):
                with _browser(width, dark=dark) as browser:
                    browser.get(sign_in_url(stack))
                    browser.find_element(By.CSS_SELECTOR, ".door button").click()
                    _shoot_all(browser, stack, folder, {name: paths[name] for name in names}, width, dark, Path(scratch))
        finally:
            stack.stop()


def _fill(stack: Stack, scratch: Path) -> dict[str, str]:
    """Upload files until there is something on each page; the pages' paths."""
    client = Client(stack.environment["BULKHEAD_URL"], stack.environment["BULKHEAD_API_KEY"])
    whole = scratch / "places.csv"
    places_csv(whole)
    _add_receivers(stack)
    loaded = _import(client, whole)
    broken = ""
    for day, rows in enumerate((_BAD[:120], _BAD, _BAD.replace("XE", "XF"), _BAD), 1):
        file = scratch / f"corrections-{day}.csv"
        file.write_text(_HEAD + rows[: rows.rindex("\n") + 1], encoding="utf-8")
        broken = _import(client, file)
    partial = scratch / "additions.csv"
    partial.write_text(_HEAD + "FR-XX1,FR,A new region,Region,\nFR-XX2,nobody,Adrift,Region,\n", encoding="utf-8")
    ids = {"loaded": loaded, "broken": broken, "partial": _import(client, partial, Options(on_error=OnError.QUARANTINE))}
    dry = scratch / "next-month.csv"
    dry.write_text(_HEAD + "FR-XX3,FR,To be foreseen,Region,\n", encoding="utf-8")
    _import(client, dry, Options(dry_run=True, notify=("you@example.org",)))
    return {name: path.format(sql=quote(SQL), **ids) for name, path in PAGES.items()}


def _add_receivers(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.environment['BULKHEAD_API_KEY']}"}
    for wanted in ({"target": "operations@example.org"}, {"target": "geography@example.org", "datasets": ["places"]}):
        made = requests.post(f"{stack.environment['BULKHEAD_URL']}/v1/webhooks", json=wanted, headers=headers, timeout=300)
        made.raise_for_status()


def _choose(browser: webdriver.Chrome, scratch: Path) -> None:
    """Two files, one of which calls its columns by names of its own."""
    odd = scratch / "departments.csv"
    odd.write_text(
        "Code;parent_id;Name;Type\nFR-75;FR;Paris;Department\nFR-77;FR;Seine-et-Marne;Department\n", encoding="utf-8"
    )
    browser.find_element("id", "file").send_keys(f"{scratch / 'places.csv'}\n{odd}")
    WebDriverWait(browser, 30).until(lambda page: len(page.find_elements("css selector", "#files table")) == 2)


def _choose_staff(browser: webdriver.Chrome, scratch: Path) -> None:
    """A workbook as people make them, with what is offered for it applied."""
    book = openpyxl.Workbook()
    sheet = book["Sheet"]
    for row in _STAFF:
        sheet.append(row)
    book.save(scratch / "org chart.xlsx")
    browser.find_element("id", "file").send_keys(str(scratch / "org chart.xlsx"))
    seen = WebDriverWait(browser, 60, ignored_exceptions=(StaleElementReferenceException,))
    seen.until(lambda page: page.find_elements("css selector", ".up-offers button"))
    while offers := browser.find_elements("css selector", ".up-offers button"):
        offers[0].click()
        seen.until(staleness_of(offers[0]))
        seen.until(lambda page: not page.find_elements("css selector", ".up-old"))


def _choose_products(browser: webdriver.Chrome, scratch: Path) -> None:
    (scratch / "products.csv").write_text(_PRODUCTS, encoding="utf-8")
    browser.find_element("id", "file").send_keys(str(scratch / "products.csv"))
    WebDriverWait(browser, 60).until(lambda page: page.find_elements("css selector", "#columns-heading"))


def _draw(browser: webdriver.Chrome) -> None:
    browser.find_element("css selector", "button[value=run]").click()
    browser.find_element("css selector", "button[value=chart]").click()


def _import(client: Client, file: Path, options: Options | None = None) -> str:
    made = client.upload(file, "places", options=options)
    return str(client.wait(made["id"], timeout=IMPORT_SECONDS)["id"])


@contextmanager
def _browser(width: int, *, dark: bool) -> Iterator[webdriver.Chrome]:
    """Chromium with a window of that width, and the system's wish for light or dark."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--window-size={width},900", "--hide-scrollbars"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        wish = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wish)
        yield browser
    finally:
        browser.quit()


def _shoot_all(
    browser: webdriver.Chrome, stack: Stack, folder: Path, paths: dict[str, str], width: int, dark: bool, scratch: Path
) -> None:
    for name, path in paths.items():
        if name == "sign-in":
            browser.delete_all_cookies()
        browser.get(stack.environment["BULKHEAD_URL"] + path)
        match name:
            case "upload":
                _choose(browser, scratch)
            case "wizard":
                _choose_staff(browser, scratch)
            case "new-dataset":
                _choose_products(browser, scratch)
            case "sql":
                browser.find_element("css selector", "button[value=run]").click()
            case "chart":
                _draw(browser)
        height = min(browser.execute_script("return document.documentElement.scrollHeight"), HEIGHT_MAX)
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = {"captureBeyondViewport": True, "clip": clip}
        picture = base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", shot)["data"])
        file = folder / f"{name}{'-phone' if width == PHONE else ''}{'-dark' if dark else ''}.png"
        file.write_bytes(picture)
        print(file, file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
