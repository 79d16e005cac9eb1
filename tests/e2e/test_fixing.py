"""A rejected file is corrected on its page of findings and imported again: by clicks, by keys alone, by two people at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Press

from pipeline.adapters.s3 import Store
from pipeline.contracts.messages import ObjectArrived
from pipeline.settings import Settings
from tests.support.browser_pages import Open, assert_no_complaints, send_keys, shoot, tab_to, text, wait_for
from tests.support.rejected_import import reject_file
from tests.support.workers import running_worker
from web.app_context import AppContext

HEADER = "id,parentId,name,kind,alpha_3\n"
ALIKE = 40
ROWS = [
    "FR,,France,Country,FRA",
    "FR-75,Fr,Paris,Department,",  # a misspelt parent
    *(f"FR-{n},FR,Department {n},Department,long" for n in range(10, 10 + ALIKE)),  # of all the same wrong value
    "DE-BE,DD,Berlin,State,",  # to be made a root
    "FR-99,XX,Total,Total,",  # to be skipped
]
BROKEN = HEADER + "\n".join(ROWS) + "\n"
PROBLEMS = ALIKE + 3
FIELD = "input:not([type=hidden])"


def row_of(browser: webdriver.Chrome, words: str) -> Any:
    """The row of the findings' table that has these words."""
    return next(row for row in browser.find_elements(By.CSS_SELECTOR, ".offending tbody tr") if words in row.text)


def press(row: Any, words: str) -> None:
    """Press the button of a row whose text begins so."""
    next(one for one in row.find_elements(By.TAG_NAME, "button") if one.text.startswith(words)).click()


def enter(browser: webdriver.Chrome, words: str, value: str) -> Any:
    """Type a value into the field of a row, in place of what it has."""
    field = row_of(browser, words).find_element(By.CSS_SELECTOR, FIELD)
    field.send_keys(Press.CONTROL + "a" + Press.NULL + value)  # clear() would leave it, and so save it
    return field


@pytest.fixture
def broken(edges: AppContext, store: Store, settings: Settings, tmp_path: Path) -> str:
    """A rejected import whose file is there."""
    import_id = reject_file(edges, store, tmp_path / "judged", BROKEN)
    key = f"incoming/places/{import_id}/x"
    store.put_bytes(key, BROKEN.encode())
    stored = store.head(key)
    assert stored is not None
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("update ledger.import set etag = %s where id = %s", (stored.etag, import_id))
    return import_id


@pytest.mark.parametrize(("width", "dark"), [pytest.param(1280, False, marks=pytest.mark.thorough), (390, True)])
def test_a_rejected_file_is_corrected_by_clicks_and_imported_again(
    sign_in: Open,
    server: Any,
    edges: AppContext,
    store: Store,
    settings: Settings,
    shots: Path,
    width: int,
    dark: bool,
) -> None:
    browser, name = sign_in(width=width, dark=dark), f"{width}{'-dark' if dark else ''}.png"
    url = f"{server.url}/v1/datasets/places/imports?filename=broken.csv"
    made = requests.post(url, data=BROKEN.encode(), headers=server.headers, timeout=300).json()
    before = store.head(made["source"]["key"])
    with running_worker(settings):
        edges.temporal.announce(ObjectArrived(store.bucket, made["source"]["key"], made["id"]))
        browser.get(f"{server.url}/imports/{made['id']}")
        wait_for(browser, ".badge", "Rejected")
        browser.find_element(By.LINK_TEXT, f"Fix {PROBLEMS} problems").click()
        wait_for(browser, ".fix-told", "Correct a cell")
        press(row_of(browser, "FR-75"), "Use FR")
        wait_for(browser, ".fix-told", "1 edit.")
        press(row_of(browser, "Total"), "Skip this row")
        wait_for(browser, ".fix-told", "1 edit, 1 row skipped.")
        press(row_of(browser, "DE-BE"), "Make it a root")
        wait_for(browser, ".fix-told", "1 edit, 1 row skipped, 1 record made a root.")
        enter(browser, "FR-10", "FRA")
        press(row_of(browser, "FR-10"), f"Apply to all {ALIKE}")
        wait_for(browser, ".fix-said", f"Applied to {ALIKE} rows.")
        wait_for(browser, ".fix-told", f"{ALIKE + 1} edits")
        assert "long → FRA by a user of a test" in row_of(browser, "FR-11").text
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        shoot(browser, shots / f"fixing-{name}")
        browser.find_element(By.CSS_SELECTOR, "button[value=again]").click()
        wait_for(browser, "h1", "broken (retry).csv")
        wait_for(browser, ".badge", "Succeeded")
    assert "Retry of broken.csv." in text(browser, "header.title")
    browser.find_element(By.LINK_TEXT, "broken.csv").click()
    wait_for(browser, "header.title", "Imported again as broken (retry).csv.")
    with psycopg.connect(settings.database_url) as connection:
        rows = connection.execute('select id, "parentId", alpha_3 from warehouse.places order by id').fetchall()
    assert rows == sorted(
        [("FR", None, "FRA"), ("FR-75", "FR", None), ("DE-BE", None, None)] + [(f"FR-{n}", "FR", "FRA") for n in range(10, 50)]
    )
    browser.get(f"{server.url}/datasets/places/records")
    assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".tree .id")] == ["DE-BE", "FR"]
    after = store.head(made["source"]["key"])
    assert before is not None and after is not None and before.etag == after.etag
    assert_no_complaints(browser)


def test_two_people_change_one_cell_and_neither_loses_anything(sign_in: Open, server: Any, broken: str) -> None:
    first, second = sign_in(), sign_in(width=390)
    for browser in (first, second):
        browser.get(f"{server.url}/imports/{broken}/findings")
    press(row_of(first, "FR-75"), "Use FR")
    wait_for(first, ".fix-told", "1 edit.")
    second.execute_script("document.getElementById('new.43.1').value = 'FR'")  # typed, and not left yet
    enter(second, "FR-75", "FR-10").send_keys(Press.ENTER)
    wait_for(second, ".fix-said", "Not saved: 1 cell was changed by another person meanwhile.")
    assert "Meanwhile changed to FR by a user of a test" in text(second, ".fix-conflict")
    assert row_of(second, "FR-75").find_element(By.CSS_SELECTOR, FIELD).get_property("value") == "FR-10"
    wait_for(second, ".fix-told", "2 edits.")  # theirs, and the other cell
    row_of(second, "FR-75").find_element(By.CSS_SELECTOR, FIELD).send_keys(Press.ENTER)
    wait_for(second, ".fix-said", "Saved.")
    assert not second.find_elements(By.CSS_SELECTOR, ".fix-conflict")
    first.refresh()
    assert row_of(first, "FR-75").find_element(By.CSS_SELECTOR, FIELD).get_property("value") == "FR-10"
    complaints = [one["message"] for one in second.get_log("browser") if "409" not in one["message"]]
    assert complaints == []


def test_by_keys_alone(sign_in: Open, server: Any, broken: str) -> None:
    browser = sign_in()
    browser.get(f"{server.url}/imports/{broken}")
    tab_to(browser, ".actions a.button")
    send_keys(browser, Press.ENTER)
    wait_for(browser, ".fix-told", "Correct a cell")
    tab_to(browser, "button[value^='use.']")
    send_keys(browser, Press.ENTER)
    wait_for(browser, ".fix-told", "1 edit.")
    assert browser.execute_script("return document.activeElement.closest('tr').id") == "finding-1"  # the focus stays in its row
    tab_to(browser, "input[id='new.3.4']")
    send_keys(browser, Press.BACKSPACE * 4 + "FRA" + Press.ENTER)
    wait_for(browser, ".fix-told", "2 edits.")
    assert browser.execute_script("return document.activeElement.id") == "new.3.4"
    tab_to(browser, "button[value='alike-set.2']", back=True)
    send_keys(browser, Press.ENTER)
    wait_for(browser, ".fix-said", f"Applied to {ALIKE} rows.")
    tab_to(browser, "button[value='undo.3.4']")
    send_keys(browser, Press.ENTER)
    wait_for(browser, ".fix-told", f"{ALIKE} edits.")
    tab_to(browser, "button[value=again]", back=True)
    send_keys(browser, Press.ENTER)
    wait_for(browser, "h1", "broken (retry)")
    assert_no_complaints(browser)


def test_without_scripts(sign_in: Open, server: Any, broken: str) -> None:
    browser = sign_in(scripts=False)
    browser.get(f"{server.url}/imports/{broken}/findings")
    enter(browser, "FR-75", "FR").send_keys(Press.ENTER)
    wait_for(browser, ".fix-said", "Saved.")
    enter(browser, "DE-BE", "DE")
    press(row_of(browser, "Total"), "Skip this row")
    wait_for(browser, ".fix-told", "2 edits, 1 row skipped.")  # what was typed is saved by any button
    browser.find_element(By.CSS_SELECTOR, ".discard summary").click()
    browser.find_element(By.CSS_SELECTOR, ".discard button").click()
    wait_for(browser, ".fix-said", "All corrections were discarded.")
    enter(browser, "DE-BE", "FR")
    browser.find_element(By.CSS_SELECTOR, "button[value=save]").click()
    wait_for(browser, ".fix-said", "Saved.")
    browser.find_element(By.CSS_SELECTOR, "button[value=again]").click()
    wait_for(browser, "h1", "broken (retry)")
