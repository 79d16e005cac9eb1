"""Every page there is, in a real Chromium: judged by axe-core, as wide as it may be, and walked through by keys alone."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from flask import Flask
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Press
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from pipeline.adapters.s3 import Store
from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.settings import Settings
from tests.support.browser_pages import Open, shoot, text, wait_for
from tests.support.chromium import show_as
from tests.support.furnished import SQL, furnish
from tests.support.page_routes import paths_of, unvisited
from web import create_app
from web.app_context import AppContext

pytestmark = pytest.mark.early


AXE = """
const done = arguments[arguments.length - 1];
// An open item of a tree has a name of its own and its children within; axe takes the children's text for the item's.
const isOpenItem = ({ target }) => document.querySelector(target[0])?.matches("[role=treeitem][aria-expanded=true]");
const isMeant = (id) => (node) => id !== "label-content-name-mismatch" || !isOpenItem(node);
axe.run(document, {iframes: false, resultTypes: ["violations"], runOnly: arguments[0]}).then(
  ({ violations }) =>
    done(
      violations
        .map(({ id, nodes }) => [id, nodes.filter(isMeant(id)).map((node) => [node.target.join(" "), node.failureSummary])])
        .filter(([, nodes]) => nodes.length),
    ),
  (error) => done(String(error)),
);
"""
SEND_PLAINLY = """
const data = new DataTransfer(), form = document.getElementById("upload");
data.items.add(new File([arguments[0]], "plain.csv"));
form.elements.file.files = data.files;
form.submit();
"""
"""Sends a file as the form does where scripts are off."""

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
ALL_RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
COLOUR_RULES = ["color-contrast", "link-in-text-block"]
LAYOUT_RULES = ["target-size", "scrollable-region-focusable", "meta-viewport", "meta-viewport-large"]


LOOKS = ((1280, False), (390, False), (390, True), (1280, True), (1280, False))
"""The width and the colours that a page is judged in, one after the other; it ends as it began."""

DAILY_LOOKS = ((1280, False), (390, True), (1280, False))
"""Those of a run that is not thorough."""

SETTLED = "const done = arguments[arguments.length - 1]; requestAnimationFrame(() => requestAnimationFrame(() => done()));"
"""Waits until the page is drawn as it is to look now."""


def rules_that_may_differ(width: int, dark: bool) -> dict[str, object]:
    """All of axe's rules in the wide, light window; in another, those whose answer depends on what is different there."""
    if (width, dark) == (1280, False):
        return ALL_RULES
    return {"type": "rule", "values": [*(COLOUR_RULES if dark else ()), *(LAYOUT_RULES if width < 1280 else ())]}


@pytest.fixture
def app(settings: Settings, edges: AppContext) -> Flask:
    """The app whose routes are enumerated; the browser asks another one with the same routes."""
    return create_app(settings, context=edges)


@pytest.fixture
def paths(
    app: Flask, edges: AppContext, store: Store, settings: Settings, server: Any, keys: ApiKeys, tmp_path: Path
) -> dict[str, str]:
    """The pages, by name: those that are furnished, and every other page route whose arguments are known."""
    named = furnish(edges, store, settings, tmp_path / "judged")
    known = {
        **{"dataset": "records", "record_id": "M-1", "import_id": named["import, rejected"].rpartition("/")[2]},
        **{"audit_id": named["audit, clean"].rpartition("/")[2]},
    }
    headers = {"Authorization": f"Bearer {keys.create('every page', Role.ADMIN)[0]}", "Accept": "text/html"}
    others = paths_of(app, unvisited(app, [path for path in named.values() if not path.startswith("/v1/")]), known)
    return named | {name: path for name, path in others.items() if is_page(server.url + path, headers)}


def is_page(address: str, headers: dict[str, str]) -> bool:
    """Return whether an address answers with a page, not with a file or a redirection."""
    with requests.get(address, headers=headers, timeout=300, allow_redirects=False, stream=True) as answer:
        return answer.status_code == 200 and answer.headers.get("Content-Type", "").startswith("text/html")


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
    browser.get(f"{url}/")
    browser.execute_script(SEND_PLAINLY, "id,parentId,name,kind\nFR,,France,Country\nFR-75,Fr,Paris,Department\n")
    wait_for(browser, "h1", "plain.csv")
    yield "draft"
    browser.get(f"{url}{paths['findings']}")
    for act, told in (("skip", "1 row skipped"), ("root", "1 record made a root")):
        browser.find_element(By.CSS_SELECTOR, f".fix-acts button[value^='{act}.']").click()
        wait_for(browser, ".fix-told", told)
    browser.find_element(By.CSS_SELECTOR, ".offending input[id^='new.']").send_keys("1", Press.ENTER)
    wait_for(browser, ".fix-told", "1 edit")
    yield "findings, corrected"
    browser.get(f"{url}/datasets/new")
    browser.find_element(By.ID, "file").send_keys(str(SAMPLES / "places.csv"))
    wait_for(browser, "#columns-heading", "Columns")
    yield "new dataset, columns"
    name = browser.find_element(By.CSS_SELECTOR, "#definition [name=name]")
    name.clear()
    name.send_keys("looked_at")
    browser.find_element(By.CSS_SELECTOR, "#definition .go button").click()
    wait_for(browser, ".nd-next button", "Import")
    yield "new dataset, created"
    browser.find_element(By.CSS_SELECTOR, "main a[href$='/change']").click()
    wait_for(browser, "h1", "Change looked_at")
    yield "dataset, change"
    browser.get(url + paths["webhooks"])
    browser.find_element(By.CSS_SELECTOR, ".receivers summary").click()
    yield "a receiver to be removed"
    for act in ("run", "plan"):
        browser.get(f"{url}/sql")
        browser.find_element(By.ID, "sql").send_keys(SQL)
        browser.find_element(By.CSS_SELECTOR, f"button[value={act}]").click()
        wait_for(browser, "h2", {"run": "Result", "plan": "Query plan"}[act])
        yield f"SQL, {act}"
    browser.get(f"{url}/sql")
    browser.find_element(By.ID, "sql").send_keys("select id, length(id) as size from records -- a line, then bars\norder by 1")
    browser.find_element(By.CSS_SELECTOR, "button[value=run]").click()
    wait_for(browser, "h2", "Result")
    for kind in ("line", "bars"):
        Select(browser.find_element(By.NAME, "kind")).select_by_visible_text(kind)
        browser.find_element(By.CSS_SELECTOR, "button[value=chart]").click()
        wait_for(browser, ".chart", "")
        yield f"SQL, {kind}"
    browser.find_element(By.ID, "name").send_keys("a saved query", Press.ENTER)
    wait_for(browser, "h1", "a saved query")
    yield "SQL, saved"
    browser.get(f"{url}/sql/history")
    yield "SQL, history"
    browser.get(f"{url}{paths['import, loading']}")
    browser.find_element(By.CSS_SELECTOR, ".cancel summary").click()
    yield "a question before an act"
    browser.get(f"{url}/imports")
    browser.find_element(By.CSS_SELECTOR, ".who button").click()
    wait_for(browser, "h1", "Sign in")
    yield "sign in"


def test_axe_finds_nothing_and_no_page_is_wider_than_its_window(
    sign_in: Open,
    server: Any,
    app: Flask,
    paths: dict[str, str],
    browser_file: Callable[[str], Path],
    shots: Path,
    pytestconfig: pytest.Config,
) -> None:
    browser = sign_in(width=1280)
    looks = LOOKS if pytestconfig.getoption("--thorough") else DAILY_LOOKS
    source = browser_file("axe-core/axe.min.js").read_text(encoding="utf-8")
    wrong: list[tuple[object, ...]] = []
    visited = []
    for name in shown(browser, server, paths):
        visited.append(browser.current_url)
        wrong += [(name, complaint) for complaint in complaints(browser, name)]
        browser.execute_script(source)
        for (width, dark), after in pairwise(looks):
            look = f"{name.replace(' ', '-')}-{width}{'-dark' if dark else ''}"
            wrong += [(look, *one) for one in browser.execute_async_script(AXE, rules_that_may_differ(width, dark))]
            if browser.execute_script("return document.documentElement.scrollWidth") > width:
                wrong.append((look, "wider than the window"))
            shoot(browser, shots / f"{look}.png")
            show_as(browser, width=after[0], dark=after[1])
            browser.execute_async_script(SETTLED)
    assert wrong == [], "\n".join(map(str, wrong))
    forgotten = [rule.rule for rule in unvisited(app, visited)]
    assert forgotten == [], "add a path to tests/support/furnished.py, or an act to shown()"


def complaints(browser: webdriver.Chrome, name: str) -> list[str]:
    """What the browser blocked or missed; that a page is answered with 404 may be what was asked for."""
    said = [entry["message"] for entry in browser.get_log("browser")]
    return [] if name in ("a problem", "tree, not found") else said


# --- by keys alone ---

WATCH = """
window.stops = new Set();
window.found = [];
window.note = () => {
  const here = document.activeElement;
  if (here === document.body || here === null) return found.push(null);
  stops.add(here);
  const around = [here.querySelector(":scope > .row")];
  for (let one = here; one !== document.body; one = one.parentElement) around.push(one);
  const hasRing = ({ outlineStyle, outlineWidth }) => outlineStyle !== "none" && parseFloat(outlineWidth) >= 1;
  const isSeen = around.some((one) => one && hasRing(getComputedStyle(one)));
  const box = here.getBoundingClientRect();
  const isThere = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth && box.width && box.height;
  found.push([here.outerHTML.slice(0, 160), isSeen && Boolean(isThere), here.tagName === "IFRAME"]);
};
window.isFirst = true;
if (window.onTab) removeEventListener("keydown", onTab, true);
window.onTab = () => (isFirst ? (isFirst = false) : note());
addEventListener("keydown", onTab, true);
"""
"""Notes what has the focus, and whether that is seen, at each key but the first: before the key moves it on."""
NOTED = "note(); isFirst = true; return found.splice(0);"
MISSED = """
const names = new Set([...window.stops].filter((one) => one.type === "radio").map((one) => one.name)); // a group has one stop
const page = document.querySelector("dialog:modal") ?? document; // the page behind a dialog that is open takes no keys
const controls = page.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]");
return [...controls]
  .filter((one) => one.tabIndex >= 0 && !one.disabled && one.checkVisibility({ visibilityProperty: true }))
  .filter((one) => one.getBoundingClientRect().width && !window.stops.has(one))
  .filter((one) => one.type !== "radio" || !names.has(one.name))
  .map((one) => one.outerHTML.slice(0, 160));
"""
STOPS_MAX = 300
AT_ONCE = 25  # presses of the tab key for which the browser is asked once
TOO_LONG = ("data docs", "docs")  # the tab key is not pressed in a document without scripts, and in one of hundreds of links


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


def value_in(cell: WebElement) -> str | None:
    """What the field of a cell that can be corrected has."""
    return cell.find_element(By.CSS_SELECTOR, "input:not([type=hidden])").get_property("value")  # type: ignore[return-value]


def walk(browser: webdriver.Chrome, at_once: int) -> tuple[int, list[str], list[str]]:
    """Press the tab key until the focus has been everywhere: how many stops, those that are not seen, and what was missed."""
    browser.execute_async_script(SETTLED)
    browser.execute_script(WATCH)
    stops, ends, is_inside = 0, 0, False
    unseen: list[str] = []
    while not is_inside and ends < 2 and (ends == 0 or browser.execute_script(MISSED)):
        press(browser, *[Press.TAB] * at_once)  # where the page has set the focus, the controls before it come after the end
        noted = browser.execute_script(NOTED)
        ends += noted.count(None)  # past the last control
        found = [one for one in noted if one is not None]
        stops += len(found)
        is_inside = any(one[2] for one in found)  # in a document of its own
        unseen += [control for control, is_seen, is_frame in found if not is_seen and not is_frame]
        assert stops < STOPS_MAX, f"{browser.current_url}: the focus does not leave"
    return stops, unseen, [] if is_inside else browser.execute_script(MISSED)


@pytest.mark.thorough
def test_the_tab_key_comes_to_every_control_and_is_seen_there(sign_in: Open, server: Any, paths: dict[str, str]) -> None:
    browser, wrong = sign_in(width=1280), []
    for name in shown(browser, server, {name: path for name, path in paths.items() if name not in TOO_LONG}):
        stops, unseen, missed = walk(browser, AT_ONCE)
        if unseen or missed:  # the page may have scrolled by itself meanwhile: as slowly as by hand
            stops, unseen, missed = walk(browser, 1)
        assert stops > 0, name
        wrong += [(name, "not seen", control) for control in unseen] + [(name, "missed", control) for control in missed]
    assert wrong == [], "\n".join(map(str, wrong))


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
    assert value_in(browser.find_element(By.CSS_SELECTOR, ".offending td.wrong")) == "Y3"

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
    (bad,) = row.find_elements(By.CSS_SELECTOR, "td.wrong")
    assert value_in(bad) == "XB"
    browser.find_element(By.CSS_SELECTOR, ".sorts a[href*=missing_id]").click()
    (bad,) = browser.find_elements(By.CSS_SELECTOR, "td.wrong")
    assert value_in(bad) == ""
    browser.find_element(By.NAME, "q").send_keys("self parent\n")
    wait_for(browser, "h2", "Self parent")
    browser.find_element(By.NAME, "q").send_keys("5\n")
    wait_for(browser, "h2", "Findings with 5")
    assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".offending tbody th")] == ["line 6\nrecord 5"]
