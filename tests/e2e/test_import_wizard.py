"""The import wizard in a real Chromium: from a person's own file to the tree, with the clicks counted."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import openpyxl
import psycopg
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Press
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from pipeline.adapters.s3 import Store
from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.states import State
from pipeline.settings import Settings
from tests.support.browser_pages import EVIL, SECONDS, Open, assert_no_complaints, shoot, text, wait_for
from tests.support.workers import running_worker
from web.app_context import AppContext

BUTTON = "#upload .go button"
CLICKS_MAX = 12
STAFF = [
    ("1001", "Ruth Alder", None),
    ("1002", "Omar Bell", "1001"),
    ("1003", "Iris Cole", "Omar Bell"),
    ("1004", "Jan Dorn", "1002"),
    ("1005", "Mia Eden", "Ruth Alder"),
    ("1006", "Lee Fox", "1005"),
    ("1007", "Ana Gill", "1005"),
]
PASTE = """
const [target, kinds] = arguments, data = new DataTransfer();
for (const [kind, text] of Object.entries(kinds)) data.setData(kind, text);
(target ? document.querySelector(target) : document.body).dispatchEvent(
  new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
"""


class Hand:
    """One who clicks: each click counts, and so does the choice of a file."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser, self.clicks = browser, 0

    def choose(self, file: Path) -> None:
        self.clicks += 1
        for _ in range(3):  # on a loaded machine a preview may run out of time
            self.browser.find_element(By.ID, "file").send_keys(str(file))
            self.settled()
            if self.browser.find_elements(By.CSS_SELECTOR, ".up-panel"):
                return
            self.browser.find_element(By.CSS_SELECTOR, ".up-buttons button").click()
        raise AssertionError("The file cannot be looked at.")

    def click(self, it: WebElement) -> None:
        self.clicks += 1
        it.click()

    def press(self, selector: str) -> None:
        assert self.browser.find_elements(By.CSS_SELECTOR, selector), text(self.browser, "#files")
        self.click(self.browser.find_element(By.CSS_SELECTOR, selector))
        self.settled()

    def settled(self) -> None:
        """Wait until the file was looked at."""
        is_settled = """
            const rows = [...document.querySelectorAll(".up-dialect")];
            return rows.length && rows.every((one) => one.textContent && one.textContent !== "Reading the first rows …")
                && !document.querySelector(".up-old");
        """
        WebDriverWait(self.browser, SECONDS, poll_frequency=0.05).until(lambda page: page.execute_script(is_settled))


def org_chart(file: Path, *more: tuple[str, str, str | None]) -> Path:
    """A workbook as people make them: two rows of titles, managers by number and by name, and a row of totals."""
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    page.title = "Staff"
    for row in (("Organisation chart 2026",), ("As of 1 November",), ("Employee No", "Full name", "Manager"), *STAFF, *more):
        page.append(row)
    page.append(("Total", str(len(STAFF) + len(more))))
    book.create_sheet("Notes").append(("Ask the office before you change anything.",))
    book.save(file)
    return file


def load(edges: AppContext, settings: Settings) -> Any:
    """Have the newest import worked off, and return it."""
    made = edges.ledger.imports.page(limit=1)[0]
    with running_worker(settings):
        edges.temporal.announce(ObjectArrived(edges.store.bucket, made.key, made.id))
        is_over = lambda _: edges.ledger.imports.known(made.id).state.is_final  # noqa: E731
        WebDriverWait(None, SECONDS, poll_frequency=0.1).until(is_over)  # type: ignore[type-var]
    return edges.ledger.imports.known(made.id)


def test_an_org_chart_from_file_to_tree(
    sign_in: Open, edges: AppContext, settings: Settings, shots: Path, tmp_path: Path
) -> None:
    browser = sign_in(width=1280)
    hand = Hand(browser)
    hand.choose(org_chart(tmp_path / "org chart.xlsx"))
    shoot(browser, shots / "wizard-org-chart-chosen.png")
    while offers := browser.find_elements(By.CSS_SELECTOR, ".up-offers button"):
        assert hand.clicks < CLICKS_MAX
        hand.click(offers[0])
        hand.settled()
    assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".up-rows thead th")][:3] == [
        *("Employee No", "Full name", "Manager")
    ]
    shoot(browser, shots / "wizard-org-chart.png")
    assert [Select(one).first_selected_option.text for one in browser.find_elements(By.CSS_SELECTOR, ".up-map select")] == [
        *("→ id", "→ name", "→ parentId")
    ]
    assert text(browser, ".up-fit strong") == "records"
    assert "7 records; 1 root, 3 levels" in text(browser, ".up-outcome")
    assert not browser.find_elements(By.CSS_SELECTOR, ".up-refused, .up-misfits")
    assert text(browser, BUTTON) == "Import 7 rows"
    hand.click(browser.find_element(By.CSS_SELECTOR, BUTTON))
    wait_for(browser, "h1", "org chart.xlsx")
    made = load(edges, settings)
    assert (made.state, made.inserted, made.dataset) == (State.SUCCEEDED, len(STAFF), "records")
    with psycopg.connect(settings.database_url) as connection:
        found = connection.execute('select id, "parentId" from warehouse.records order by id').fetchall()
    numbers = {name: number for number, name, _ in STAFF}
    assert found == [(number, numbers.get(str(above), above)) for number, _, above in STAFF]
    browser.refresh()
    tree = browser.find_element(By.CSS_SELECTOR, "main a[href*='/datasets/records']")
    hand.click(tree)
    wait_for(browser, "main", "1001")
    assert hand.clicks <= CLICKS_MAX


def test_an_org_chart_with_mistakes_is_mended_in_the_page(
    sign_in: Open, edges: AppContext, settings: Settings, shots: Path, tmp_path: Path
) -> None:
    """A manager who is misspelt, a number that is mistyped, a person twice: one rejection, and no way back to Excel."""
    mistakes = (("1008", "Sue Hall", "Omar Bel"), ("1009", "Tom Ives", "1O02"), ("1007", "Ana Gill", "1001"))
    browser = sign_in(width=1280)
    hand = Hand(browser)
    hand.choose(org_chart(tmp_path / "org chart.xlsx", *mistakes))
    while offers := browser.find_elements(By.CSS_SELECTOR, ".up-offers button"):
        assert hand.clicks < CLICKS_MAX
        hand.click(offers[0])
        hand.settled()
    shoot(browser, shots / "wizard-mistakes.png")
    hand.click(browser.find_element(By.CSS_SELECTOR, BUTTON))
    wait_for(browser, "h1", "org chart.xlsx")
    made = load(edges, settings)
    assert (made.state, made.findings_errors) == (State.REJECTED, 4), made.findings_by_code
    assert {"missing_parent": 2, "conflicting_duplicate": 2}.items() <= made.findings_by_code.items()
    browser.refresh()
    hand.click(browser.find_element(By.PARTIAL_LINK_TEXT, "Fix "))
    wait_for(browser, ".fix-told", "Correct a cell")
    shoot(browser, shots / "wizard-mistakes-findings.png")
    for number, manager, told in (("1008", "Omar Bell", "1 edit."), ("1009", "1002", "2 edits.")):
        field = row_of(browser, number).find_element(By.CSS_SELECTOR, "input[id^='new.']")
        hand.click(field)
        field.send_keys(Press.CONTROL + "a" + Press.NULL + manager + Press.ENTER)
        wait_for(browser, ".fix-told", told)
    hand.click(row_of(browser, "1001").find_element(By.CSS_SELECTOR, "button[value^='skip.']"))
    wait_for(browser, ".fix-told", "2 edits, 1 row skipped.")
    hand.click(browser.find_element(By.CSS_SELECTOR, "button[value=again]"))
    wait_for(browser, "h1", "org chart (retry).xlsx")
    made = load(edges, settings)
    assert (made.state, made.inserted) == (State.SUCCEEDED, len(STAFF) + 2), made.reason
    browser.refresh()
    hand.click(browser.find_element(By.CSS_SELECTOR, "main a[href*='/datasets/records']"))
    wait_for(browser, "main", "1001")
    with psycopg.connect(settings.database_url) as connection:
        found = connection.execute("""select id, "parentId" from warehouse.records where id > '1006' order by id""").fetchall()
    assert found == [("1007", "1005"), ("1008", "1002"), ("1009", "1002")]
    assert len(edges.ledger.imports.page()) == 2
    assert hand.clicks <= CLICKS_MAX


def row_of(browser: webdriver.Chrome, words: str) -> WebElement:
    """The row of the findings that has these words."""
    return next(row for row in browser.find_elements(By.CSS_SELECTOR, ".offending tbody tr") if words in row.text)


def test_a_sheet_and_a_header_are_clicked(sign_in: Open, tmp_path: Path) -> None:
    """What cannot be read so is shown as it was before."""
    browser = sign_in()
    hand = Hand(browser)
    hand.choose(org_chart(tmp_path / "org.xlsx"))
    hand.press("[value='sheet=Notes']")
    if "as it was read before" not in text(browser, ".up-dialect"):
        assert "Notes" in text(browser, ".up-dialect")
        hand.press("[value='sheet=Staff']")
    assert text(browser, ".up-rows thead th") == "Employee No"
    browser.find_element(By.CSS_SELECTOR, ".up-raw summary").click()
    hand.press("[value='header_row=4']")
    assert text(browser, ".up-rows thead th") == "1001"
    hand.press("[aria-label='header row: 4: unset it']")
    assert text(browser, ".up-rows thead th") == "Employee No"


def test_rows_are_pasted_anywhere(sign_in: Open, edges: AppContext, store: Store, shots: Path) -> None:
    browser = sign_in()
    hand = Hand(browser)
    rows = "id\tparentId\tname\tkind\nFR\t\t=1+1\tCountry\n"
    browser.execute_script(PASTE, None, {"text/plain": rows.replace("\n", "\r\n")})
    hand.settled()
    assert text(browser, ".up-file strong") == "pasted.tsv"
    assert text(browser, ".up-rows tbody:last-child td:nth-child(3)") == "=1+1"
    shoot(browser, shots / "wizard-pasted.png")
    browser.find_element(By.CSS_SELECTOR, BUTTON).click()
    wait_for(browser, "h1", "pasted.tsv")
    (made,) = edges.ledger.imports.page()
    assert (made.dataset, store.get_bytes(made.key)) == ("places", rows.encode())


def test_a_table_of_a_page_is_pasted_and_a_text_in_a_field_stays_there(sign_in: Open) -> None:
    browser = sign_in()
    hand = Hand(browser)
    browser.execute_script(PASTE, ".up-paste summary", {"text/plain": "hello"})
    browser.find_element(By.CSS_SELECTOR, ".up-reading summary").click()
    browser.execute_script(PASTE, "[name=notify]", {"text/plain": "a\tb\n1\t2\n"})
    assert not browser.find_elements(By.CSS_SELECTOR, ".up-file")
    cells = [("id", "parentId", "name", "kind"), ("FR", "", 'France "la belle"', "Country")]
    table = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in cells)
    browser.execute_script(PASTE, "#pasted", {"text/plain": "", "text/html": f"<b>x</b><table>{table}</table>"})
    hand.settled()
    assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".up-table > .wide tbody:last-child td")] == [*cells[1]]


def test_a_file_that_would_be_refused_is_not_the_first_thing_to_send(
    sign_in: Open, edges: AppContext, shots: Path, tmp_path: Path
) -> None:
    browser = sign_in(width=1280, dark=True)
    hand = Hand(browser)
    file = tmp_path / "odd.csv"
    file.write_text("Kürzel,parentId,name,kind\nFR,,France,Country\n", encoding="utf-8")
    browser.find_element(By.NAME, "dry_run").click()
    hand.choose(file)
    column = Select(browser.find_element(By.CSS_SELECTOR, "[aria-label='Kürzel becomes']"))
    column.select_by_visible_text("Skip")
    hand.settled()
    wait_for(browser, ".up-wrong", "Choose which column is id.")
    assert text(browser, BUTTON) == "Upload anyway"
    assert "quiet" in (browser.find_element(By.CSS_SELECTOR, BUTTON).get_attribute("class") or "")
    assert "would be refused" in text(browser, "#said")
    shoot(browser, shots / "wizard-refused-dark.png")
    column.select_by_visible_text("→ id")
    hand.settled()
    wait_for(browser, BUTTON, "Check 1 row")
    assert text(browser, "#said") == ""
    browser.find_element(By.NAME, "dry_run").click()
    assert text(browser, BUTTON) == "Import 1 row"
    browser.find_element(By.CSS_SELECTOR, BUTTON).click()
    wait_for(browser, "h1", "odd.csv")
    (made,) = edges.ledger.imports.page()
    assert made.options.mapping == {"Kürzel": "id"}


@pytest.mark.parametrize("scripts", [True, False])
def test_an_encoding_is_recognised_and_another_is_one_click(
    sign_in: Open, edges: AppContext, shots: Path, tmp_path: Path, scripts: bool
) -> None:
    browser = sign_in(width=390, scripts=scripts)
    file = tmp_path / "swiss.csv"
    file.write_bytes("id,parentId,name,kind\nZH,,Zürich für Grüße,City\nGE,,Genève Łódź,City\n".encode("cp1250", "replace"))
    if scripts:
        Hand(browser).choose(file)
    else:
        browser.find_element(By.ID, "file").send_keys(str(file))
        browser.find_element(By.CSS_SELECTOR, BUTTON).click()
        wait_for(browser, "h1", "swiss.csv")
    wait_for(browser, ".up-used", "The file is not UTF-8. It was read as Windows-125")
    shoot(browser, shots / f"wizard-encoding-{'phone' if scripts else 'plain'}.png")
    used = text(browser, ".up-used")
    other = browser.find_element(By.CSS_SELECTOR, "[value^='encoding=windows-125']")
    wanted = (other.get_attribute("value") or "").removeprefix("encoding=")
    assert wanted.capitalize() not in used
    other.click()
    wait_for(browser, ".up-set", f"encoding: {wanted}")
    wait_for(browser, ".up-rows", "Zürich für Grüße")
    import_button = BUTTON if scripts else ".up-panel ~ .go button, .go button:not(.quiet)"
    wait_for(browser, import_button, "Import 2 rows")
    next(one for one in browser.find_elements(By.CSS_SELECTOR, import_button) if "Import" in one.text).click()
    wait_for(browser, ".badge", "Queued")  # without scripts the page before has the same heading
    (made,) = edges.ledger.imports.page()
    assert codecs.lookup(str(made.options.encoding)).name == codecs.lookup(wanted).name


def test_hostile_names_are_texts(sign_in: Open, shots: Path, tmp_path: Path) -> None:
    """In sheets, headers, cells and the name of the file; on a phone."""
    browser = sign_in(width=390)
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    page.title = "<img src=x onerror=pwn()>"
    for row in (("id", "parentId", "name", EVIL), ("FR", None, EVIL, EVIL), (EVIL, "FR", "b", "c")):
        page.append(row)
    book.create_sheet("<b>2<i>").append(("id", EVIL))
    book.save(tmp_path / "<b>evil<b>.xlsx")
    hand = Hand(browser)
    hand.choose(tmp_path / "<b>evil<b>.xlsx")
    shown = browser.execute_script("return document.querySelector('.up-panel').textContent")
    assert EVIL[:50] in shown  # a cell shows its first 60 characters
    assert not browser.find_elements(By.CSS_SELECTOR, "#files img, #files script, #files b, #files i")
    assert browser.title == "Upload · Bulkhead"
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    shoot(browser, shots / "wizard-evil-phone.png")
    assert_no_complaints(browser)


def test_without_scripts_in_two_steps(sign_in: Open, edges: AppContext, shots: Path, tmp_path: Path) -> None:
    browser = sign_in(scripts=False)
    file = tmp_path / "titled.csv"
    file.write_text("A title,,,\nid,parentId,name,kind\nFR,,France,Country\n", encoding="utf-8")
    browser.find_element(By.ID, "file").send_keys(str(file))
    browser.find_element(By.CSS_SELECTOR, BUTTON).click()
    wait_for(browser, "h1", "titled.csv")
    browser.find_element(By.CSS_SELECTOR, ".up-reading summary").click()
    header = browser.find_element(By.NAME, "header_row")
    header.clear()
    header.send_keys("2\n")
    wait_for(browser, ".up-rows thead th", "parentId")
    Select(browser.find_element(By.NAME, "dataset")).select_by_visible_text("places")
    browser.find_element(By.XPATH, "//p[@class='go']/button[text()='Read again']").click()
    wait_for(browser, ".up-fit", "places")
    shoot(browser, shots / "wizard-plain.png")
    browser.find_element(By.XPATH, "//button[text()='Import 1 row']").click()
    wait_for(browser, ".badge", "Queued")
    (made,) = edges.ledger.imports.page()
    assert (made.filename, made.dataset, made.options.header_row) == ("titled.csv", "places", 2)
