"""The upload page in a real Chromium: several files, their columns, and uploads straight to S3 that are broken off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Press
from selenium.webdriver.support.ui import Select, WebDriverWait

from pipeline.adapters.s3 import Store
from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.ledger.models import ImportRecord
from pipeline.settings import Settings
from tests.support.browser_pages import EVIL, SECONDS, Open, assert_no_complaints, shoot, text, wait_for
from tests.support.workers import running_worker
from web.app_context import AppContext

MIB = 1 << 20
PART = 8 * MIB
ODD_CSV = f"Kürzel;parent_id;Name;kind;{EVIL}\nFR;;France;Country;x\nFR-75;FR;Paris;Department;{EVIL}\n".replace('"', "'")
SUBMIT = "#upload .go button"
COUNT_PARTS = """
    const open = XMLHttpRequest.prototype.open;
    XMLHttpRequest.prototype.open = function (method, url) {
        const number = method === "PUT" && new URL(url).searchParams.get("partNumber");
        if (number) sessionStorage.setItem("parts", `${sessionStorage.getItem("parts") || ""}${number} `);
        return open.apply(this, arguments);
    };
"""


def choose(browser: webdriver.Chrome, *files: Path) -> None:
    browser.find_element(By.ID, "file").send_keys("\n".join(map(str, files)))


def into(browser: webdriver.Chrome, dataset: str) -> None:
    """Choose the dataset, instead of the one that fits best."""
    where = browser.find_element(By.CSS_SELECTOR, ".up-datasets")
    if not where.get_attribute("open"):
        where.find_element(By.TAG_NAME, "summary").click()
    where.find_element(By.CSS_SELECTOR, f"input[value={dataset}]").click()


def network(browser: webdriver.Chrome, *, offline: bool = False, bytes_a_second: int = -1) -> None:
    """Cut the browser off, or slow down what it sends."""
    browser.execute_cdp_cmd("Network.enable", {})
    wish = {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_a_second}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", wish)


def press(browser: webdriver.Chrome, keys: str) -> None:
    """Keys for whatever has the focus; a file input would take what is sent to it for a file's name."""
    ActionChains(browser).send_keys(keys).perform()


def until(browser: webdriver.Chrome, true: Callable[[], Any], what: str, seconds: float = SECONDS) -> None:
    WebDriverWait(browser, seconds, poll_frequency=0.05).until(lambda _: true(), what)


def places(folder: Path, name: str, content: str) -> Path:
    file = folder / name
    file.write_text(content, encoding="utf-8")
    return file


def large(folder: Path, size: int) -> tuple[Path, int]:
    """A file of wide records, and how many they are."""
    file, records = folder / "large.csv", size // 4100
    with file.open("w") as out:
        out.write("id,parentId,name,note\n")
        out.writelines(f"r{n},,record {n},{n:x>4080}\n" for n in range(records))
    return file, records


def load(edges: AppContext, settings: Settings, made: Sequence[ImportRecord]) -> list[ImportRecord]:
    """What S3's event would set going, to its end."""
    with running_worker(settings):
        for one in made:
            edges.temporal.announce(ObjectArrived(edges.store.bucket, one.key, one.id))
        WebDriverWait(None, SECONDS, poll_frequency=0.1).until(  # type: ignore[type-var]
            lambda _: all(edges.ledger.imports.known(one.id).state.is_final for one in made)
        )
    return [edges.ledger.imports.known(one.id) for one in made]


def test_what_the_form_says_at_the_click_is_what_counts(sign_in: Open, server: Any, edges: AppContext, tmp_path: Path) -> None:
    """Files wait for their turn, two at a time; what is chosen for the next ones meanwhile is not theirs."""
    browser, names = sign_in(), [f"{n}.csv" for n in range(5)]
    into(browser, "places")
    browser.find_element(By.NAME, "dry_run").click()
    choose(browser, *(places(tmp_path, name, f"id,parentId,name,kind\nX{name[0]},,n,Country\n") for name in names))
    wait_for(browser, ".up-file:nth-child(5) .up-dialect", "CSV")
    browser.execute_script(
        "document.querySelector(arguments[0]).click();"
        "document.querySelector('input[value=records]').click(); document.querySelector('[name=dry_run]').click();",
        SUBMIT,
    )
    until(browser, lambda: len(edges.ledger.imports.page()) == 5, "all are uploaded")
    until(browser, lambda: "All 5 files are uploaded." in text(browser, "#said"), "and the page says so")
    assert {(one.dataset, one.options.dry_run) for one in edges.ledger.imports.page()} == {("places", True)}


def test_several_files_are_dropped(sign_in: Open, server: Any, edges: AppContext, store: Store, shots: Path) -> None:
    browser = sign_in()
    browser.execute_script(
        "const data = new DataTransfer();"
        "for (const [name, text] of arguments[0]) data.items.add(new File([text], name));"
        "document.getElementById('drop').dispatchEvent(new DragEvent('drop', {dataTransfer: data, cancelable: true}));",
        [
            ["one.csv", "id,parentId,name,kind\nFR,,France,Country\n"],
            [EVIL, "id,parentId,name,kind\nDE,,Germany,Country\n"],
            ["empty.csv", ""],
            ["gone.csv", "id,parentId\n"],
        ],
    )
    assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".up-file strong")] == [
        *("one.csv", EVIL, "empty.csv", "gone.csv")
    ]
    browser.find_elements(By.CSS_SELECTOR, ".up-buttons button")[3].click()
    wait_for(browser, ".up-file:nth-child(2) .up-dialect", "columns as in one.csv")
    wait_for(browser, ".up-file:nth-child(3) .up-dialect", "The file is empty")
    assert text(browser, SUBMIT) == "Upload 3 files"
    shoot(browser, shots / "upload-several.png")
    browser.find_element(By.CSS_SELECTOR, SUBMIT).click()
    wait_for(browser, ".up-file:nth-child(3) .up-said.alarm", "The file is empty")
    for row in (1, 2):
        wait_for(browser, f".up-file:nth-child({row}) .up-said", "Uploaded. View the import")
    shoot(browser, shots / "upload-several-done.png")
    made = {one.filename: one for one in edges.ledger.imports.page()}
    assert set(made) == {"one.csv", EVIL.rpartition("/")[2]}
    assert b"Germany" in store.get_bytes(made[EVIL.rpartition("/")[2]].key)
    link = browser.find_element(By.CSS_SELECTOR, ".up-file:nth-child(1) .up-said a")
    assert link.get_attribute("href") == f"{server.url}/imports/{made['one.csv'].id}"
    assert browser.title == "Upload · Bulkhead"
    complaints = [entry["message"] for entry in browser.get_log("browser")]
    assert all("422" in one or "400" in one for one in complaints), "nothing but the server's refusals"


def test_columns_are_mapped_and_remembered(
    sign_in: Open, server: Any, edges: AppContext, settings: Settings, shots: Path, tmp_path: Path
) -> None:
    browser = sign_in()
    into(browser, "places")
    choose(browser, places(tmp_path, "odd.csv", ODD_CSV))
    wait_for(browser, ".up-dialect", "CSV, semicolon, UTF-8")
    assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".up-rows thead th")][:4] == [
        *("Kürzel", "parent_id", "Name", "kind")
    ]
    selects = [Select(one) for one in browser.find_elements(By.CSS_SELECTOR, ".up-map select")]
    assert [one.first_selected_option.text for one in selects] == [*("→ id", "→ parentId", "→ name", "→ kind", "Not mapped")]
    assert text(browser, ".up-wrong").startswith("The dataset has no column for ")
    selects[4].select_by_visible_text("Skip")
    is_right = "return document.querySelector('.up-wrong').textContent === ''"
    until(browser, lambda: browser.execute_script(is_right), "nothing is wrong with the columns")
    shoot(browser, shots / "upload-mapping.png")
    browser.find_element(By.CSS_SELECTOR, SUBMIT).click()
    wait_for(browser, "h1", "odd.csv")
    (made,) = edges.ledger.imports.page()
    junk = EVIL.replace('"', "'")
    assert made.options == Options(delimiter=";", mapping={"Kürzel": "id", junk: ""})
    (loaded,) = load(edges, settings, [made])
    assert (loaded.state, loaded.inserted) == (State.SUCCEEDED, 2)
    browser.get(server.url)
    into(browser, "places")
    choose(browser, places(tmp_path, "next.csv", ODD_CSV.replace("Paris", "Lutetia")))
    wait_for(browser, ".up-dialect", "columns as last time")
    selects = [Select(one) for one in browser.find_elements(By.CSS_SELECTOR, ".up-map select")]
    assert [one.first_selected_option.text for one in selects] == ["→ id", "→ parentId", "→ name", "→ kind", "Skip"]
    browser.find_element(By.CSS_SELECTOR, SUBMIT).click()
    wait_for(browser, "h1", "next.csv")
    assert edges.ledger.imports.page(limit=1)[0].options == made.options
    assert_no_complaints(browser)


def test_a_remembered_mapping_counts_also_before_it_is_shown(
    sign_in: Open, server: Any, edges: AppContext, tmp_path: Path
) -> None:
    names, mapping = ["Kürzel", "parentId", "name", "kind"], {"Kürzel": "id"}
    edges.ledger.mappings.keep("places", names, mapping, by=edges.keys.create("x", "admin")[1].id)
    browser = sign_in()
    choose(browser, places(tmp_path, "quick.csv", "Kürzel,parentId,name,kind\nFR,,France,Country\n"))
    browser.execute_script("document.querySelector(arguments[0]).click()", SUBMIT)
    wait_for(browser, "h1", "quick.csv")
    assert edges.ledger.imports.page()[0].options.mapping == mapping


def test_an_upload_goes_on_after_a_lost_connection_and_after_the_page_was_left(
    sign_in: Open, server: Any, edges: AppContext, store: Store, settings: Settings, shots: Path, tmp_path: Path
) -> None:
    browser = sign_in()
    parts = 9  # three go at once: the page is left with some there, some on their way, and some to come
    file, records = large(tmp_path, parts * PART - 3 * MIB)
    into(browser, "records")
    choose(browser, file)
    wait_for(browser, ".up-dialect", "CSV, comma, UTF-8")
    network(browser, bytes_a_second=6 * MIB)
    browser.find_element(By.CSS_SELECTOR, SUBMIT).click()
    until(browser, lambda: any([*store.uploads("")]), "an upload is open")
    ((upload,),) = store.uploads("")

    def stored() -> set[int]:
        return {part.number for part in store.parts(upload.key, upload.upload_id)}

    wait_for(browser, ".up-rate", " left")
    assert "/s" in text(browser, ".up-rate")
    shoot(browser, shots / "upload-sending.png")
    until(browser, lambda: len(stored()) >= 1, "a part is there")
    network(browser, offline=True)
    wait_for(browser, ".up-rate", "Connection lost.")
    before = stored()
    network(browser, bytes_a_second=6 * MIB)
    until(browser, lambda: len(stored()) > len(before), "it went on by itself")
    browser.refresh()
    wait_for(browser, "#unfinished .up-said", "uploaded. Choose the file again")
    assert text(browser, "#unfinished strong") == "large.csv"
    shoot(browser, shots / "upload-unfinished.png")
    kept = stored()
    assert 2 <= len(kept) < parts
    network(browser)
    browser.execute_script(COUNT_PARTS)
    other = tmp_path / "elsewhere" / "large.csv"
    other.parent.mkdir()
    other.write_text("id,parentId\n1,\n")
    browser.find_element(By.XPATH, "//button[text()='Choose the file']").click()
    browser.find_element(By.CSS_SELECTOR, "#unfinished input[type=file]").send_keys(str(other))
    wait_for(browser, "#unfinished .up-said.alarm", "This is not the file of the unfinished upload: it has 15 bytes.")
    choose(browser, other)
    assert text(browser, "#files strong") == "large.csv", "one of that name that is not the same is another upload"
    browser.find_element(By.CSS_SELECTOR, "#files button").click()
    choose(browser, file)
    wait_for(browser, "h1", "large.csv")
    sent = browser.execute_script("return sessionStorage.getItem('parts')").split()
    assert sorted(map(int, sent)) == sorted({*range(1, parts + 1)} - kept)
    (made,) = edges.ledger.imports.page()
    store.get_file(made.key, tmp_path / "arrived")
    assert (tmp_path / "arrived").read_bytes() == file.read_bytes()
    assert browser.execute_script("return localStorage.getItem('bulkhead-uploads')") == "[]"
    (loaded,) = load(edges, settings, [made])
    assert (loaded.state, loaded.inserted) == (State.SUCCEEDED, records)
    with psycopg.connect(settings.database_url) as connection:
        assert connection.execute("select count(*) from warehouse.records").fetchone() == (records,)


def test_an_upload_is_paused_and_given_up(sign_in: Open, edges: AppContext, store: Store, tmp_path: Path) -> None:
    browser = sign_in()
    into(browser, "records")
    choose(browser, large(tmp_path, 4 * PART)[0])
    network(browser, bytes_a_second=2 * MIB)
    browser.find_element(By.CSS_SELECTOR, SUBMIT).click()
    wait_for(browser, ".up-buttons", "Pause")
    wait_for(browser, ".up-rate", " of ")
    browser.find_element(By.XPATH, "//button[text()='Pause']").click()
    wait_for(browser, ".up-said", "Paused; ")
    assert browser.switch_to.active_element.text == "Resume"
    browser.switch_to.active_element.send_keys(Press.ENTER)
    wait_for(browser, ".up-buttons", "Pause")
    browser.find_element(By.XPATH, "//button[text()='Cancel']").click()
    until(browser, lambda: not browser.find_elements(By.CSS_SELECTOR, ".up-file"), "the row is gone")
    until(browser, lambda: edges.ledger.imports.page() == [] and [*store.uploads("")] == [], "nothing is left")
    assert browser.execute_script("return localStorage.getItem('bulkhead-uploads')") == "[]"


def test_without_a_way_to_s3_the_file_goes_through_the_server(
    sign_in: Open, edges: AppContext, store: Store, settings: Settings, tmp_path: Path
) -> None:
    browser = sign_in()
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": [f"{settings.s3_endpoint}/*"]})
    into(browser, "records")
    choose(browser, large(tmp_path, PART + MIB)[0])
    browser.find_element(By.CSS_SELECTOR, SUBMIT).click()
    wait_for(browser, "h1", "large.csv")
    (made,) = edges.ledger.imports.page()
    assert made.sha256, "the server has read it"
    assert store.get_bytes(made.key) == (tmp_path / "large.csv").read_bytes()
    assert [*store.uploads("")] == []


@pytest.mark.parametrize(
    ("width", "dark"),
    [pytest.param(1100, True, marks=pytest.mark.thorough), pytest.param(390, False, marks=pytest.mark.thorough), (320, True)],
)
def test_by_keyboard_on_any_screen(
    sign_in: Open, edges: AppContext, shots: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    browser = sign_in(width=width, dark=dark)
    long_name = "a-long-name-without-a-space-" * 4 + ".csv"
    choose(browser, places(tmp_path, long_name, ODD_CSV), places(tmp_path, "b.csv", "id,parentId\n1,\n"))
    wait_for(browser, ".up-file:nth-child(2) .up-dialect", "CSV")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    shoot(browser, shots / f"upload-{width}{'-dark' if dark else ''}.png")
    browser.execute_script("document.getElementById('file').focus()")
    reached: list[str] = []
    while browser.switch_to.active_element.get_attribute("textContent") != "Upload 2 files":
        press(browser, Press.TAB)
        at = browser.switch_to.active_element
        reached.append(at.get_attribute("aria-label") or at.get_attribute("textContent") or "")
        if reached[-1] == "Kürzel becomes":
            press(browser, "→ i")
        assert len(reached) < 40
    assert {"Remove: b.csv", "First rows and columns", "First rows of b.csv", "Kürzel becomes", "kind becomes"} <= set(reached)
    assert Select(browser.find_element(By.CSS_SELECTOR, "[aria-label='Kürzel becomes']")).first_selected_option.text == "→ id"
    press(browser, Press.ENTER)
    wait_for(browser, "#said", "All 2 files are uploaded.")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert {one.options.mapping.get("Kürzel") for one in edges.ledger.imports.page()} == {"id", None}
    assert_no_complaints(browser)


def test_templates_are_offered(sign_in: Open, server: Any) -> None:
    browser = sign_in()
    links = [one.get_attribute("href") for one in browser.find_elements(By.CSS_SELECTOR, ".up-blank a")]
    assert f"{server.url}/v1/datasets/places/template?format=csv" in links
    got = browser.execute_async_script("fetch(arguments[0]).then((a) => a.text()).then(arguments[1])", links[0])
    assert got.startswith("id,parentId,name,kind")


def test_the_plain_form_takes_one_file(sign_in: Open, edges: AppContext, tmp_path: Path) -> None:
    browser = sign_in(scripts=False)
    assert browser.find_element(By.ID, "file").get_attribute("multiple") is None
    assert not browser.find_element(By.ID, "unfinished").is_displayed()
    choose(browser, places(tmp_path, "plain.csv", "id,parentId,name,kind\nFR,,France,Country\n"))
    browser.find_element(By.CSS_SELECTOR, SUBMIT).click()
    wait_for(browser, "h1", "plain.csv")
    wait_for(browser, ".up-fit", "places")
    assert edges.ledger.imports.page() == []
    browser.find_element(By.XPATH, "//button[text()='Import 1 row']").click()
    wait_for(browser, ".badge", "Queued")
    assert edges.ledger.imports.page()[0].options == Options()


def test_the_tree_of_a_shape_is_shown_before_the_upload(sign_in: Open, shots: Path, tmp_path: Path) -> None:
    browser = sign_in()
    into(browser, "records")
    browser.find_element(By.CSS_SELECTOR, ".up-reading summary").click()
    browser.find_element(By.NAME, "shape").send_keys('{"kind": "levels", "columns": ["Region", "Country"]}')
    choose(browser, places(tmp_path, "levels.csv", "Region,Country\nEurope,<b>France</b>\nEurope,Spain\nAsia,Japan\n"))
    wait_for(browser, ".up-tree li", "Europe (2 children)")
    shown = [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".up-tree li")]
    assert shown[1] == "Europe/<b>France</b> <b>France</b>"
    assert "5 records, of which 2 would be generated; 2 roots, 2 levels" in browser.page_source
    shoot(browser, shots / "upload-tree.png")


def test_a_file_is_read_with_options_and_so_is_the_next(
    sign_in: Open, server: Any, edges: AppContext, settings: Settings, shots: Path, tmp_path: Path
) -> None:
    browser = sign_in()
    text_of = "Exported on Monday;;\nby the registry;;\nid;parentId;name\n1;0;Top\n2;1;Below\n"
    into(browser, "records")
    browser.find_element(By.CSS_SELECTOR, ".up-reading summary").click()
    for name, value in (("header_row", "3"), ("no_parent_values", "0")):
        browser.find_element(By.NAME, name).send_keys(value)
    choose(browser, places(tmp_path, "export 2026-11-01.csv", text_of))
    wait_for(browser, ".up-rows thead th", "parentId")
    shoot(browser, shots / "upload-options.png")
    browser.find_element(By.CSS_SELECTOR, SUBMIT).click()
    wait_for(browser, "h1", "export 2026-11-01.csv")
    (made,) = edges.ledger.imports.page()
    assert (made.options.header_row, made.options.no_parent_values) == (3, ("0",))
    (loaded,) = load(edges, settings, [made])
    assert (loaded.state, loaded.inserted) == (State.SUCCEEDED, 2)
    browser.get(server.url)
    into(browser, "records")
    choose(browser, places(tmp_path, "export 2026-12-31.csv", text_of.replace("Below", "Under")))
    wait_for(browser, ".up-dialect", "options as last time")
    browser.find_element(By.CSS_SELECTOR, SUBMIT).click()
    wait_for(browser, "h1", "export 2026-12-31.csv")
    assert edges.ledger.imports.page(limit=1)[0].options.header_row == 3
    assert_no_complaints(browser)
