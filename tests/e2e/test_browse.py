"""Looking at what is in the warehouse, in a real Chromium: the tree by mouse, by keys and on a phone, a record, SQL."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Press
from selenium.webdriver.support.ui import WebDriverWait

from pipeline.datasets.dataset import load_dataset
from pipeline.settings import Settings
from tests.support.browser_pages import EVIL, SECONDS, Open, assert_no_complaints, shoot, text, wait_for
from tests.support.waiting import wait_until
from web.app_context import AppContext

PHONE_ETC = [
    (1100, False),
    pytest.param(1100, True, marks=pytest.mark.thorough),
    pytest.param(390, False, marks=pytest.mark.thorough),
    (390, True),
]
TREE = "/datasets/records/records"
RTL = "שלום עולם"
ODD = ("a/b", "..", EVIL, "a?b#c%2F", "\x1b[31mred", RTL, "x" * 400, "cr\r\nlf")


@pytest.fixture
def forest(settings: Settings, edges: AppContext) -> str:
    """A company's parts, a chain 30 deep, 130 siblings, ids of every kind; all written by one import, whose id this is."""
    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(import_id, dataset="records", filename="parts of <b>machines</b>.csv", bucket="b", key="k")
    rows = [
        ("M-100", None, "Milling machine", {}),
        (
            "M-100-A",
            "M-100",
            "Spindle",
            {"mass_kg": 41.5, "maker": {"name": "Nordlicht", "country": "DE"}, "spares": ["a", None]},
        ),
        ("M-100-A-1", "M-100-A", "Bearing", {"note": "n" * 5000}),
        ("M-100-A-2", "M-100-A", None, {}),
        ("M-100-B", "M-100", "Table", {}),
        ("M-200", None, "Lathe", {}),
        ("W", None, "Warehouse", {}),
        ("Z", None, "Odd names", {}),
        *[(f"W-{n:03}", "W", f"Shelf {n}", {}) for n in range(130)],
        *[(odd, "Z", odd, {"v": odd}) for odd in ODD],
        *[(f"below {n}", odd, EVIL, {}) for n, odd in enumerate(ODD)],
        ("C-00", None, "Chain", {}),
        *[(f"C-{n:02}", f"C-{n - 1:02}", f"Link {n}", {}) for n in range(1, 30)],
    ]
    with psycopg.connect(settings.database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            'insert into warehouse.records (id, "parentId", name, attributes, _import_id, _row)'
            " values (%s, %s, %s, %s, %s, %s)",
            [(*row[:3], Jsonb(row[3]), import_id, at) for at, row in enumerate(rows, start=1)],
        )
        cursor.execute(
            "insert into ledger.failure (import_id, _row, part_no, batch_no, id, code, message)"
            " values (%s, 3, 1, 1, 'M-100-A', 'x', 'value too long')",
            (import_id,),
        )
    return import_id


def fits(browser: webdriver.Chrome, width: int) -> bool:
    return bool(browser.execute_script("return document.documentElement.scrollWidth") <= width)


def focused(browser: webdriver.Chrome) -> str:
    """The name of what has the focus."""
    return str(browser.switch_to.active_element.accessible_name)


def press(browser: webdriver.Chrome, key: str, until: str) -> None:
    """Press a key, until the focus is on what is named so."""
    browser.switch_to.active_element.send_keys(key)
    ignored = (StaleElementReferenceException,)  # what had the focus may give way to what was asked for
    wait = WebDriverWait(browser, SECONDS, poll_frequency=0.1, ignored_exceptions=ignored)
    wait.until(lambda _: focused(browser).startswith(until), until)


def is_open(browser: webdriver.Chrome) -> str | None:
    return browser.switch_to.active_element.get_attribute("aria-expanded")


def picture(name: str, width: int, dark: bool) -> str:
    return f"{name}-{width}{'-dark' if dark else ''}.png"


@pytest.mark.parametrize(("width", "dark"), PHONE_ETC)
def test_the_tree_opens_in_place(sign_in: Open, forest: str, shots: Path, width: int, dark: bool) -> None:
    browser = sign_in(width=width, dark=dark)
    browser.find_element(By.LINK_TEXT, "Datasets").click()
    wait_for(browser, "h1", "Datasets")
    assert fits(browser, width)
    browser.find_element(By.LINK_TEXT, "records").click()
    wait_for(browser, ".tree", "M-100")
    address = browser.current_url
    browser.find_element(By.CSS_SELECTOR, "[aria-label^='M-100,'] .twist").click()
    wait_for(browser, "[role=group]", "Spindle")
    browser.find_element(By.CSS_SELECTOR, "[aria-label^='M-100-A,'] .twist").click()
    wait_for(browser, "[role=group] [role=group]", "Bearing")
    browser.find_element(By.CSS_SELECTOR, "[aria-label^='Z,'] .twist").click()
    wait_for(browser, "[role=group]", EVIL[:40])
    assert "\\u001b[31mred" in text(browser, ".tree")
    browser.find_element(By.CSS_SELECTOR, "[aria-label^='W,'] .twist").click()
    wait_for(browser, "[role=group]", "W-049")
    assert browser.current_url == address
    assert fits(browser, width)
    shoot(browser, shots / picture("tree", width, dark))
    for last in ("W-099", "W-129"):
        browser.find_element(By.CSS_SELECTOR, "[aria-label^='W,'] .more a").click()
        wait_for(browser, "[role=group]", last)
    shelves = browser.find_elements(By.CSS_SELECTOR, "[aria-label^='W,'] [role=treeitem]")
    assert len(shelves) == 130
    assert browser.title != "pwned"
    browser.find_element(By.LINK_TEXT, "M-100-A").click()
    wait_for(browser, "h1", "M-100-A")
    assert_no_complaints(browser)


def test_the_tree_by_keys_alone(sign_in: Open, server: Any, forest: str) -> None:
    browser = sign_in()
    browser.get(f"{server.url}{TREE}")
    browser.find_element(By.NAME, "search").click()
    for name in ("Search", "Columns", "Expand one level", "Expand all below"):
        press(browser, Press.TAB, name)
    browser.switch_to.active_element.send_keys(Press.TAB)  # the tree is one stop, however many records
    assert focused(browser) == "C-00, Chain, 1 child"
    press(browser, Press.ARROW_DOWN, "M-100, Milling machine, 2 children")
    assert is_open(browser) == "false"
    browser.switch_to.active_element.send_keys(Press.ARROW_RIGHT)
    wait_for(browser, "[role=group]", "Spindle")
    assert is_open(browser) == "true"
    press(browser, Press.ARROW_RIGHT, "M-100-A, Spindle, 2 children")
    assert browser.switch_to.active_element.get_attribute("aria-level") == "2"
    browser.switch_to.active_element.send_keys(Press.SPACE)
    wait_for(browser, "[role=group] [role=group]", "M-100-A-2")
    press(browser, Press.ARROW_DOWN, "M-100-A-1, Bearing")
    press(browser, Press.ARROW_DOWN, "M-100-A-2")
    press(browser, Press.ARROW_DOWN, "M-100-B, Table")
    press(browser, Press.ARROW_UP, "M-100-A-2")
    press(browser, Press.ARROW_LEFT, "M-100-A, Spindle")
    browser.switch_to.active_element.send_keys(Press.ARROW_LEFT)
    assert is_open(browser) == "false"
    press(browser, Press.ARROW_DOWN, "M-100-B, Table")  # what is folded up is passed over
    press(browser, Press.HOME, "C-00, Chain")
    press(browser, Press.END, "Z, Odd names")
    press(browser, Press.ARROW_UP, "W, Warehouse, 130 children")
    browser.switch_to.active_element.send_keys(Press.ARROW_RIGHT)
    wait_for(browser, "[role=group]", "W-049")
    press(browser, Press.ARROW_DOWN, "W-000")
    for _ in range(50):
        browser.switch_to.active_element.send_keys(Press.ARROW_DOWN)
    assert focused(browser) == "Show more"
    press(browser, Press.ENTER, "W-050")
    outline = browser.find_element(By.CSS_SELECTOR, "[role=treeitem]:focus > .row").value_of_css_property("outline-style")
    assert outline == "solid"
    browser.switch_to.active_element.send_keys(Press.ENTER)
    wait_for(browser, "h1", "W-050")
    assert_no_complaints(browser)


@pytest.mark.parametrize(("width", "dark"), PHONE_ETC)
def test_from_a_search_to_a_record_its_kin_and_sql(
    sign_in: Open, server: Any, forest: str, shots: Path, width: int, dark: bool
) -> None:
    browser = sign_in(width=width, dark=dark)
    browser.get(f"{server.url}{TREE}")
    browser.find_element(By.NAME, "search").send_keys("sPin\n")
    wait_for(browser, ".found", "Spindle")
    assert fits(browser, width)
    shoot(browser, shots / picture("search", width, dark))
    browser.find_element(By.LINK_TEXT, "M-100-A").click()
    wait_for(browser, "h1", "M-100-A")
    browser.find_element(By.LINK_TEXT, "M-100").click()
    wait_for(browser, ".tree", "M-100-B")
    browser.find_element(By.LINK_TEXT, "2 children").click()
    wait_for(browser, "h1", "Children of M-100")
    browser.find_element(By.LINK_TEXT, "Expand all below").click()
    wait_for(browser, "[role=group]", "Bearing")
    item = browser.find_element(By.CSS_SELECTOR, "[aria-label^='M-100-A,']")
    assert item.get_attribute("aria-expanded") == "true"
    assert [one.get_attribute("aria-level") for one in item.find_elements(By.CSS_SELECTOR, "[role=treeitem]")] == ["2", "2"]
    item.find_element(By.CSS_SELECTOR, ".twist").click()
    assert item.get_attribute("aria-expanded") == "false"
    item.find_element(By.CSS_SELECTOR, ".twist").click()
    browser.find_element(By.CSS_SELECTOR, ".columns summary").click()
    browser.find_element(By.CSS_SELECTOR, ".columns [value=attributes]").click()
    browser.find_element(By.CSS_SELECTOR, ".columns button").click()
    wait_for(browser, ".tree .cell", "maker › name: Nordlicht")
    assert fits(browser, width)
    shoot(browser, shots / picture("tree-columns", width, dark))
    browser.find_element(By.LINK_TEXT, "Open in SQL").click()
    wait_for(browser, "h1", "SQL")
    browser.find_element(By.CSS_SELECTOR, "button[value=run]").click()
    wait_for(browser, "h2", "Result")
    assert "M-100-B" in text(browser, "main")
    assert browser.title != "pwned"
    assert_no_complaints(browser)


@pytest.mark.parametrize(("width", "dark"), PHONE_ETC)
def test_the_picture_leads_to_records(
    sign_in: Open, server: Any, edges: AppContext, forest: str, shots: Path, width: int, dark: bool
) -> None:
    edges.numbers.count(load_dataset("records"), seconds=60)
    browser = sign_in(width=width, dark=dark)
    browser.get(f"{server.url}/datasets")
    shoot(browser, shots / picture("datasets", width, dark))
    browser.get(f"{server.url}/datasets/records/hierarchy")
    assert fits(browser, width)
    assert browser.title != "pwned"
    shoot(browser, shots / picture("hierarchy", width, dark))
    boxes = browser.find_elements(By.CSS_SELECTOR, ".icicle a")
    assert boxes[0].find_element(By.TAG_NAME, "title").get_attribute("textContent") == "W, Warehouse: 130 below"
    boxes[0].find_element(By.TAG_NAME, "rect").click()
    wait_for(browser, "h1", "W")
    assert_no_complaints(browser)


def test_odd_ids_are_opened_and_looked_at(sign_in: Open, server: Any, forest: str) -> None:
    browser = sign_in()
    browser.get(f"{server.url}{TREE}?under=Z")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".tree > .node")) == len(ODD)
    for opened in browser.find_elements(By.CSS_SELECTOR, ".tree > .node > .row > .twist"):
        opened.click()
        branch = opened.find_element(By.XPATH, "ancestor::li[1]")
        wait_until(lambda branch=branch: branch.find_elements(By.CSS_SELECTOR, "[role=group] a.id") != [])  # it moves the next
    odd = {}
    for number in range(len(ODD)):
        parent = browser.find_element(By.LINK_TEXT, f"below {number}").find_element(By.XPATH, "ancestor::li[2]")
        odd[number] = str(parent.find_element(By.CSS_SELECTOR, "a.id").get_attribute("href"))
    for number, address in odd.items():
        browser.get(address)
        wait_for(browser, ".tree", f"below {number}")
        assert len(browser.find_elements(By.CSS_SELECTOR, "h1 bdi")) == 1
        assert browser.title != "pwned"
        assert fits(browser, 1100)
        assert_no_complaints(browser)


@pytest.mark.parametrize(("width", "dark"), PHONE_ETC)
def test_a_record(sign_in: Open, server: Any, forest: str, shots: Path, width: int, dark: bool) -> None:
    browser = sign_in(width=width, dark=dark)
    browser.get(f"{server.url}{TREE}")
    browser.find_element(By.NAME, "search").send_keys("M-100-A\n")
    wait_for(browser, "h1", "M-100-A")
    assert text(browser, ".crumbs").split() == ["Datasets", "records", "M-100", "M-100-A"]
    assert "attributes › maker › country DE text" in " ".join(text(browser, ".values").split())
    assert "from record 2 of its file" in text(browser, ".lineage")
    assert "value too long" in text(browser, ".lineage table")
    assert fits(browser, width)
    shoot(browser, shots / picture("record", width, dark))
    browser.find_element(By.LINK_TEXT, "M-100-A-1").click()
    wait_for(browser, "h1", "M-100-A-1")
    long = browser.find_element(By.CSS_SELECTOR, ".values .long summary")
    assert "n" * 300 not in text(browser, ".values")
    long.click()
    assert "n" * 300 in text(browser, ".values")
    assert fits(browser, width)
    browser.find_element(By.CSS_SELECTOR, ".lineage p a").click()
    wait_for(browser, "h1", "parts of <b>machines</b>.csv")
    browser.get(f"{server.url}{TREE}/C-29")
    assert "…" in text(browser, ".crumbs")
    assert fits(browser, width)
    browser.get(f"{server.url}{TREE}?id=nothing")
    assert "No record has the ID nothing" in text(browser, "[role=alert]")
    assert [entry for entry in browser.get_log("browser") if "404" not in entry["message"]] == []


def test_records_without_scripts(sign_in: Open, server: Any, forest: str) -> None:
    browser = sign_in(scripts=False)
    browser.get(f"{server.url}{TREE}")
    for branch, child in (("M-100", "M-100-A"), ("M-100-A", "M-100-A-1")):
        row = f"//li[.//bdi[text()='{branch}']]//a[@class='twist']"
        browser.find_element(By.XPATH, row).click()
        wait_for(browser, ".tree", child)
    assert text(browser, "h1") == "Children of M-100-A"
    browser.find_element(By.LINK_TEXT, "M-100-A-1").click()
    wait_for(browser, ".lead", "Bearing")
    browser.get(f"{server.url}{TREE}?under=W")
    browser.find_element(By.LINK_TEXT, "Show more").click()
    wait_for(browser, ".tree", "W-050")


# --- SQL ---


@pytest.mark.parametrize(("width", "dark"), PHONE_ETC)
def test_sql_is_written_run_and_sorted(sign_in: Open, server: Any, forest: str, shots: Path, width: int, dark: bool) -> None:
    browser = sign_in(width=width, dark=dark)
    browser.find_element(By.LINK_TEXT, "SQL").click()
    wait_for(browser, "h1", "SQL")
    assert fits(browser, width)
    shoot(browser, shots / picture("sql-empty", width, dark))
    editor = browser.find_element(By.ID, "sql")
    editor.send_keys("select id, _row, name from reco")
    wait_for(browser, "#offers", "records")
    shoot(browser, shots / picture("sql-offers", width, dark))
    editor.send_keys(Press.ARROW_DOWN, Press.ENTER)
    assert editor.get_property("value").endswith("from records")
    editor.send_keys(" r where r.par")
    wait_for(browser, "#offers", "parentId")
    editor.send_keys(Press.ARROW_DOWN, Press.ENTER)
    assert editor.get_property("value").endswith('where r."parentId"')
    editor.send_keys(" = 'Z' or id in ('M-100-A-2', 'M-100', 'W-100') order by id", Press.ESCAPE)
    editor.send_keys(Press.CONTROL, Press.ENTER)
    wait_for(browser, ".answer", "M-100")
    assert "sql?q=select%20id" in browser.current_url
    assert browser.title != "pwned"
    assert fits(browser, width)
    shoot(browser, shots / picture("sql", width, dark))

    rows = [int(one.text) for one in browser.find_elements(By.CSS_SELECTOR, ".answer td:nth-child(2)")]
    for order in (sorted(rows), sorted(rows, reverse=True)):
        browser.find_element(By.CSS_SELECTOR, ".answer th:nth-child(2) button").click()
        assert [int(one.text) for one in browser.find_elements(By.CSS_SELECTOR, ".answer td:nth-child(2)")] == order
    assert browser.find_element(By.CSS_SELECTOR, ".answer th:nth-child(2)").get_attribute("aria-sort") == "descending"
    for _ in range(2):
        browser.find_element(By.CSS_SELECTOR, ".answer th:nth-child(3) button").click()
        assert browser.find_elements(By.CSS_SELECTOR, ".answer td:nth-child(3)")[-1].text == "null"

    shared = browser.current_url
    browser.get(shared)
    assert browser.find_elements(By.ID, "answer") == []
    browser.find_element(By.CSS_SELECTOR, "button[value=plan]").click()
    wait_for(browser, ".plan", "Scan")
    assert fits(browser, width)
    shoot(browser, shots / picture("sql-plan", width, dark))
    assert_no_complaints(browser)


def test_sql_by_examples_and_by_mistakes(sign_in: Open, server: Any, forest: str) -> None:
    browser = sign_in()
    browser.get(f"{server.url}/sql?dataset=records")
    browser.find_element(By.LINK_TEXT, "Top-level records").click()
    wait_for(browser, "#address", "Link to this query")
    browser.find_element(By.CSS_SELECTOR, "button[value=run]").click()
    wait_for(browser, ".answer", "Milling machine")
    editor = browser.find_element(By.ID, "sql")
    editor.clear()
    editor.send_keys("select '\u001b[31m' || nothing")
    editor.send_keys(Press.CONTROL, Press.ENTER)
    wait_for(browser, "[role=alert]", "does not exist")
    messages = [entry["message"] for entry in browser.get_log("browser")]
    assert all("400" in message for message in messages), json.dumps(messages)


def test_sql_without_scripts(sign_in: Open, server: Any, forest: str) -> None:
    browser = sign_in(scripts=False)
    browser.get(f"{server.url}/sql?q=select%20name%20from%20records%20where%20id%3D%27M-100%27")
    assert browser.find_elements(By.ID, "answer") == []
    browser.find_element(By.CSS_SELECTOR, "button[value=run]").click()
    wait_for(browser, ".answer", "Milling machine")
    browser.find_element(By.CSS_SELECTOR, "button[value=plan]").click()
    wait_for(browser, ".plan", "records_pkey")
    browser.find_element(By.LINK_TEXT, "Link to this query").click()
    wait_for(browser, "h1", "SQL")
