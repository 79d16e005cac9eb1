"""A new dataset in a real Chromium: from a CSV of products to a typed table, its records, SQL and a chart, without a shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Press
from selenium.webdriver.support.ui import Select

from pipeline.contracts.states import State
from pipeline.settings import Settings
from tests.support.browser_pages import EVIL, SECONDS, Open, assert_no_complaints, shoot, text, wait_for
from tests.support.waiting import wait_until
from tests.support.workers import running_worker
from web.app_context import AppContext

CLICKS_MAX = 8
PRODUCTS = "SKU;Name;Parent SKU;Price;In stock;Added on\n" + "".join(
    [
        "00100;Tools;;;true;05.01.2026\n00200;Fixings;;;true;05.01.2026\n",
        *(f"0010{n};Tool {n};00100;{n}9,90;{'true' if n % 2 else 'false'};1{n}.02.2026\n" for n in range(1, 8)),
        *(f"0020{n};Fixing {n};00200;{n},05;true;2{n}.03.2026\n" for n in range(1, 6)),
    ]
)
SQL = "select sku, name, price, price * 2 as twice, in_stock, added_on from products where parent_sku = '00100' order by sku"


class Clicks:
    """Clicks in a browser, counted."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser, self.count = browser, 0

    def __call__(self, selector: str) -> None:
        self.browser.find_element(By.CSS_SELECTOR, selector).click()
        self.count += 1


def column(browser: webdriver.Chrome, name: str) -> str:
    """The number of a column's line in the form."""
    return browser.execute_script(
        "return [...document.querySelectorAll('.nd-name input')].find((one) => one.value === arguments[0]).name.slice(5)", name
    )


def test_from_a_file_of_products_to_the_first_query(
    sign_in: Open, server: Any, edges: AppContext, settings: Settings, shots: Path, tmp_path: Path
) -> None:
    file = tmp_path / "products.csv"
    file.write_text(PRODUCTS, encoding="utf-8")
    browser = sign_in(width=1280)
    click = Clicks(browser)
    browser.find_element(By.ID, "file").send_keys(str(file))
    click.count += 1  # on the file in the dialog of the system
    wait_for(browser, ".up-panel .up-new", "New dataset")
    shoot(browser, shots / "new-dataset-offered.png")
    click(".up-panel .up-new")
    wait_for(browser, "h2", "Columns")
    types = {
        one.find_element(By.CSS_SELECTOR, ".nd-name input").get_attribute("value"): Select(
            one.find_element(By.TAG_NAME, "select")
        ).first_selected_option.get_attribute("value")
        for one in browser.find_elements(By.CSS_SELECTOR, ".nd-column")
    }
    assert types == {
        **{"sku": "text", "name": "text", "parent_sku": "text"},
        **{"price": "numeric", "in_stock": "boolean", "added_on": "date"},
    }
    shoot(browser, shots / "new-dataset-columns.png")
    try_a_rule(browser, column(browser, "price"))
    click("#definition .go button")
    wait_for(browser, ".nd-next button", "Import 14 rows")
    shoot(browser, shots / "new-dataset-created.png")
    with running_worker(settings):
        click(".nd-next button")
        wait_for(browser, "h1", "products.csv")
        import_id = browser.current_url.rpartition("/")[2]
        wait_until(lambda: edges.ledger.imports.known(import_id).state.is_final, SECONDS)
    loaded = edges.ledger.imports.known(import_id)
    assert (loaded.state, loaded.inserted) == (State.SUCCEEDED, 14), loaded.reason
    assert [one.id for one in edges.ledger.imports.page()] == [import_id], "no import was rejected on the way"
    browser.refresh()
    click("main a[href^='/datasets/products']")
    wait_for(browser, ".tree .id", "00100")
    click("main a[href^='/sql?q=']")
    browser.find_element(By.ID, "sql").clear()
    browser.find_element(By.ID, "sql").send_keys(SQL, Press.ESCAPE)
    click("button[value=run]")
    wait_for(browser, "#answer caption", "7 rows in")
    assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".answer tbody tr:first-child td")] == [
        *("00101", "Tool 1", "19.9", "39.8", "true", "2026-02-11")
    ]
    click("button[value=chart]")
    wait_for(browser, ".chart figcaption", "twice by sku")
    drawn = [one.text.split() for one in browser.find_elements(By.CSS_SELECTOR, ".bars tr")]
    assert drawn == [[f"0010{n}", f"{2 * n + 1}9.8"] for n in range(1, 8)]
    bars = browser.find_elements(By.CSS_SELECTOR, ".bars rect")
    widths = [float(str(bar.get_attribute("width")).rstrip("%")) for bar in bars]
    assert widths == sorted(widths) and 0 < widths[0] < widths[-1]
    shoot(browser, shots / "new-dataset-chart.png")
    assert click.count <= CLICKS_MAX, click.count
    assert_no_complaints(browser)


def try_a_rule(browser: webdriver.Chrome, price: str) -> None:
    """Look at what a rule would refuse in this very file, and take it back; beside the way, so not counted."""
    assert text(browser, ".nd-summary") == "Every record of this file fits."
    required = browser.find_element(By.CSS_SELECTOR, f"[name=required-{price}]")
    required.click()
    wait_for(browser, f"[data-told='{price}']", "Required would refuse 2 records: line 2, line 3")
    wait_for(browser, ".nd-summary", "would be refused for 2 records of 14")
    browser.find_element(By.CSS_SELECTOR, f"[name=required-{price}]").click()
    wait_for(browser, ".nd-summary", "Every record of this file fits.")


def test_dropped_and_pasted_files_are_read_at_once(sign_in: Open, server: Any) -> None:
    browser = sign_in()
    browser.get(f"{server.url}/datasets/new")
    browser.execute_script(
        "const data = new DataTransfer(); data.items.add(new File(['id,name\\n007,Bond\\n'], arguments[0]));"
        "document.getElementById('drop').dispatchEvent(new DragEvent('drop', {dataTransfer: data, cancelable: true}));",
        f"{EVIL}.csv".replace("/", "-"),
    )
    wait_for(browser, "h2", "Columns")
    assert EVIL.replace("/", "-") in text(browser, ".lead")
    browser.get(f"{server.url}/datasets/new")
    browser.execute_script(
        "const data = new DataTransfer();"
        "data.setData('text/html', '<table><tr><td>SKU<td>Note<tr><td>007<td>=1+1<tr><td>008<td>a \"b\"</table>');"
        "document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true}));"
    )
    wait_for(browser, "h2", "Columns")
    assert text(browser, ".lead").startswith("From pasted.tsv: 2 records, 2 columns.")
    assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".nd-seen code")] == ["007", "008", "=1+1", 'a "b"']
    assert browser.title.endswith("Bulkhead")
    assert_no_complaints(browser)


def test_without_scripts_and_by_keys(sign_in: Open, server: Any, edges: AppContext, tmp_path: Path) -> None:
    file = tmp_path / "parts.csv"
    file.write_text("id,parent,name\nA,,Engine\nB,A,Piston\n", encoding="utf-8")
    browser = sign_in(scripts=False)
    browser.find_element(By.LINK_TEXT, "New dataset from a file").send_keys(Press.ENTER)
    wait_for(browser, "h1", "New dataset")
    browser.find_element(By.ID, "file").send_keys(str(file))
    browser.find_element(By.CSS_SELECTOR, "#draft .go button").send_keys(Press.ENTER)
    wait_for(browser, "h2", "Columns")
    name = next(one for one in browser.find_elements(By.CSS_SELECTOR, ".nd-column") if "Piston" in one.text)
    name.find_element(By.CSS_SELECTOR, "[name^=unique]").send_keys(Press.SPACE)
    name.find_element(By.TAG_NAME, "summary").send_keys(Press.ENTER)
    limit = name.find_element(By.CSS_SELECTOR, "input[type=number]")
    limit.clear()
    limit.send_keys("5")
    browser.find_element(By.CSS_SELECTOR, "#definition .go button.quiet").send_keys(Press.ENTER)
    wait_for(browser, ".nd-refuses", "The maximum length would refuse 2 records: line 2, line 3")
    limit = browser.find_element(By.CSS_SELECTOR, "details[open] input[type=number]")
    assert limit.get_attribute("value") == "5"
    limit.clear()
    browser.find_element(By.CSS_SELECTOR, "#definition .go button").send_keys(Press.ENTER)
    wait_for(browser, ".nd-next button", "Import 2 rows")
    browser.find_element(By.CSS_SELECTOR, ".drop-dataset summary").send_keys(Press.ENTER)
    browser.find_element(By.NAME, "confirm").send_keys("parts", Press.ENTER)
    wait_for(browser, "h1", "Datasets")
    assert "parts" not in edges.datasets.names(fresh=True)
