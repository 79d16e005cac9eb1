"""Every page there is, in a real Chromium: judged by axe-core, as wide as it may be, and walked through by keys alone."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Press

from pipeline.adapters.s3 import Store
from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.settings import Settings
from tests.support.browser_pages import Open, shoot, text, wait_for
from tests.support.furnished import SQL, furnish
from web.app_context import AppContext

pytestmark = pytest.mark.early


AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {iframes: false, resultTypes: ["violations"], runOnly: arguments[0]}).then(
  ({ violations }) =>
    done(violations.map((one) => [one.id, one.nodes.map((node) => [node.target.join(" "), node.failureSummary])])),
  (error) => done(String(error)),
);
"""
SAMPLES = Path(__file__).resolve().parents[1] / "samples"
ALL_RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
COLOUR_RULES = ["color-contrast", "link-in-text-block"]
LAYOUT_RULES = ["target-size", "scrollable-region-focusable", "meta-viewport", "meta-viewport-large"]


def rules_that_may_differ(width: int, dark: bool) -> dict[str, object]:
    """All of axe's rules in the wide, light window; in another, those whose answer depends on what is different there."""
    if (width, dark) == (1280, False):
        return ALL_RULES
    return {"type": "rule", "values": [*(COLOUR_RULES if dark else ()), *(LAYOUT_RULES if width < 1280 else ())]}


@pytest.fixture
def paths(edges: AppContext, store: Store, settings: Settings, tmp_path: Path) -> dict[str, str]:
    """The pages, by name."""
    return furnish(edges, store, settings, tmp_path / "judged")


def frozen(url: str, headers: dict[str, str]) -> str:
    """A page of the report as an address of its own: axe cannot run where scripts are blocked."""
    page = requests.get(url, headers=headers, timeout=10).text
    (sheet,) = re.findall(r'<link rel="stylesheet" href="([^"]+)">', page)
    style = requests.get(urljoin(url, sheet), headers=headers, timeout=10).text
    whole = re.sub(r'<link rel="stylesheet"[^>]*>', lambda _: f"<style>{style}</style>", page)
    return f"data:text/html;charset=utf-8;base64,{base64.b64encode(whole.encode()).decode()}"


def shown(browser: webdriver.Chrome, server: Any, paths: dict[str, str]) -> Iterator[str]:
    """Opens page after page, those too that only an act shows, and says which one it is."""
    url = server.url
    for name, path in paths.items():
        browser.get(frozen(url + path, server.headers) if name == "data docs" else url + path)
        yield name
    browser.get(f"{url}/")
    browser.find_element(By.ID, "file").send_keys("\n".join(str(SAMPLES / name) for name in ("places.csv", "places.xlsx")))
    wait_for(browser, "#files li:nth-child(2) table", "")
    yield "upload, files chosen"
    browser.get(url + paths["webhooks"])
    browser.find_element(By.CSS_SELECTOR, ".receivers summary").click()
    yield "a receiver to be removed"
    for act in ("run", "plan"):
        browser.get(f"{url}/sql")
        browser.find_element(By.ID, "sql").send_keys(SQL)
        browser.find_element(By.CSS_SELECTOR, f"button[value={act}]").click()
        wait_for(browser, "h2", {"run": "Result", "plan": "Query plan"}[act])
        yield f"SQL, {act}"
    browser.get(f"{url}{paths['import, loading']}")
    browser.find_element(By.CSS_SELECTOR, ".cancel summary").click()
    yield "a question before an act"
    browser.get(f"{url}/imports")
    browser.find_element(By.CSS_SELECTOR, ".who button").click()
    wait_for(browser, "h1", "Sign in")
    yield "sign in"


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, False), (1280, True), (390, True)])
def test_axe_finds_nothing_and_the_page_is_no_wider_than_the_window(
    sign_in: Open,
    server: Any,
    paths: dict[str, str],
    browser_file: Callable[[str], Path],
    shots: Path,
    width: int,
    dark: bool,
) -> None:
    browser = sign_in(width=width, dark=dark)
    source = browser_file("axe-core/axe.min.js").read_text(encoding="utf-8")
    wrong = []
    for name in shown(browser, server, paths):
        wrong += [(name, complaint) for complaint in complaints(browser, name)]
        browser.execute_script(source)
        wrong += [(name, *one) for one in browser.execute_async_script(AXE, rules_that_may_differ(width, dark))]
        if browser.execute_script("return document.documentElement.scrollWidth") > width:
            wrong.append((name, "wider than the window"))
        shoot(browser, shots / f"{name.replace(' ', '-')}-{width}{'-dark' if dark else ''}.png")
    assert wrong == [], "\n".join(map(str, wrong))


def complaints(browser: webdriver.Chrome, name: str) -> list[str]:
    """What the browser blocked or missed; that a page is answered with 404 may be what was asked for."""
    said = [entry["message"] for entry in browser.get_log("browser")]
    return [] if name in ("a problem", "tree, not found") else said


# --- by keys alone ---

FOCUS = """
const here = document.activeElement;
if (here === document.body || here === null) return null;
const around = [here.querySelector(":scope > .row")];
for (let one = here; one !== document.body; one = one.parentElement) around.push(one);
const hasRing = ({ outlineStyle, outlineWidth }) => outlineStyle !== "none" && parseFloat(outlineWidth) >= 1;
const isSeen = around.some((one) => one && hasRing(getComputedStyle(one)));
const box = here.getBoundingClientRect();
const isThere = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth && box.width && box.height;
return [here.outerHTML.slice(0, 160), isSeen && Boolean(isThere), here.tagName === "IFRAME"];
"""
STOPS_MAX = 150


def press(browser: webdriver.Chrome, *keys: str) -> None:
    """Keys, to whatever has the focus."""
    ActionChains(browser).send_keys(*keys).perform()


def tab_to(browser: webdriver.Chrome, selector: str, *, back: bool = False) -> None:
    """The tab key, again and again, until what is meant has the focus."""
    for _ in range(STOPS_MAX):
        if browser.execute_script("return document.activeElement.matches(arguments[0])", selector):
            return
        if back:
            ActionChains(browser).key_down(Press.SHIFT).send_keys(Press.TAB).key_up(Press.SHIFT).perform()
        else:
            press(browser, Press.TAB)
    raise AssertionError(f"The tab key does not come to {selector}.")


def test_every_stop_of_the_tab_key_is_seen(sign_in: Open, server: Any, paths: dict[str, str]) -> None:
    browser, unseen = sign_in(width=1280), []
    for name in shown(browser, server, {name: path for name, path in paths.items() if name != "data docs"}):
        stops = 0
        for _ in range(STOPS_MAX):
            press(browser, Press.TAB)
            found = browser.execute_script(FOCUS)
            if found is None or found[2]:  # past the last one, or into a document of its own
                break
            stops += 1
            if not found[1]:
                unseen.append((name, found[0]))
        assert 0 < stops < STOPS_MAX, name
    assert unseen == [], "\n".join(map(str, unseen))


def test_the_main_paths_by_keys_alone(
    open_browser: Open, server: Any, keys: ApiKeys, edges: AppContext, paths: dict[str, str], tmp_path: Path
) -> None:
    browser, url = open_browser(width=1280), server.url
    browser.get(f"{url}/sign-in")
    press(browser, keys.create("by keys", Role.ADMIN)[0], Press.ENTER)  # the field has the focus from the first
    wait_for(browser, "h1", "Upload a file")

    browser.get(url + paths["import, loading"])
    tab_to(browser, ".pause summary")
    press(browser, Press.ENTER)
    wait_for(browser, ".pause dialog h2", "Pause this import?")
    press(browser, Press.ESCAPE)
    assert not browser.find_element(By.CSS_SELECTOR, ".pause dialog").is_displayed()
    tab_to(browser, ".cancel summary")
    press(browser, Press.ENTER)
    wait_for(browser, ".cancel dialog h2", "Cancel this import?")
    tab_to(browser, ".cancel button.danger")
    press(browser, Press.ENTER)
    wait_for(browser, ".cancel summary, .verdict", "")

    browser.get(f"{url}/imports")
    tab_to(browser, "select[name=state]")
    press(browser, "Rej")
    tab_to(browser, ".filters button")
    press(browser, Press.ENTER)
    wait_for(browser, ".imports .name", "broken.csv")
    assert "state=rejected" in browser.current_url
    tab_to(browser, ".imports .name a")
    press(browser, Press.ENTER)
    wait_for(browser, "h1", "broken.csv")
    tab_to(browser, "a[href$='/findings']")
    press(browser, Press.ENTER)
    wait_for(browser, "h1", "Findings")
    tab_to(browser, ".sorts a[href*='missing_parent']")
    press(browser, Press.ENTER)
    wait_for(browser, "h2", "Missing parent")
    tab_to(browser, "input[name=q]")
    press(browser, "Y3", Press.ENTER)
    wait_for(browser, "h2", "Findings with")
    assert text(browser, ".offending td.wrong bdi") == "Y3"

    browser.get(f"{url}/sql")
    tab_to(browser, "#sql")
    press(browser, SQL)
    press(browser, Press.ESCAPE)  # what is offered, if anything is
    tab_to(browser, "button[value=run]")
    press(browser, Press.ENTER)
    wait_for(browser, "#answer caption", "rows in")
    tab_to(browser, "th:nth-child(3) button.sort")
    press(browser, Press.ENTER)
    assert text(browser, ".answer tbody td:nth-child(3)") == "Assembly 0"

    browser.get(f"{url}/admin/keys")
    tab_to(browser, "input[name=name]")
    press(browser, "made by keys", Press.ENTER)
    wait_for(browser, ".fresh h2", "made by keys")
    browser.get(f"{url}/")
    tab_to(browser, ".who button")
    press(browser, Press.ENTER)
    wait_for(browser, "h1", "Sign in")


def test_findings_need_no_scripts(sign_in: Open, server: Any, paths: dict[str, str]) -> None:
    browser = sign_in(scripts=False)
    browser.get(server.url + paths["findings"])
    rings = [ring.get_attribute("aria-label") for ring in browser.find_elements(By.CSS_SELECTOR, ".ring")]
    assert rings == ["XC → XC-2 → XC-1 → XC", "XE → XE-1 → XE"]
    assert text(browser, ".around").split() == [f"Y{n % 12}" for n in range(13)]
    row = next(one for one in browser.find_elements(By.CSS_SELECTOR, ".offending tbody tr") if "Missing parent" in one.text)
    assert row.find_element(By.CSS_SELECTOR, ".value").text == "XA-1"
    (bad,) = row.find_elements(By.CSS_SELECTOR, "td.wrong bdi")
    assert bad.text == "XB"
    browser.find_element(By.CSS_SELECTOR, ".sorts a[href*=missing_id]").click()
    (bad,) = browser.find_elements(By.CSS_SELECTOR, "td.wrong .soft")
    assert bad.text == "none"
    browser.find_element(By.NAME, "q").send_keys("self parent\n")
    wait_for(browser, "h2", "Self parent")
    browser.find_element(By.NAME, "q").send_keys("5\n")
    wait_for(browser, "h2", "Findings with 5")
    assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".offending tbody th")] == ["line 6\nrecord 5"]
