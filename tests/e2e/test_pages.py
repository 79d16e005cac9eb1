"""The pages in a real Chromium. What an import goes through is written into the ledger here; the whole journey is
tested in test_demo.py."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Press
from selenium.webdriver.support.ui import Select, WebDriverWait

from pipeline.adapters.s3 import Store
from pipeline.contracts.options import OnError, Options
from pipeline.contracts.states import State
from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.settings import Settings
from tests.support.browser_pages import EVIL, SECONDS, Open, assert_no_complaints, shoot, text, wait_for
from tests.support.rejected_import import reject_file
from web.app_context import STREAMS_AT_ONCE, AppContext

CSV = "id,parentId,name,kind\nFR,,France,Country\n"
ADMIN = ("/admin/keys", "/admin/webhooks", "/admin/settings")


def ask_and_confirm(browser: webdriver.Chrome, act: str) -> None:
    """Open a question and press its button, again if the page, which loads itself anew without scripts, closed it meanwhile."""

    def pressed(_: webdriver.Chrome) -> bool:
        browser.find_element(By.CSS_SELECTOR, f"{act} summary").click()
        browser.find_element(By.CSS_SELECTOR, f"{act} button").click()
        return True

    WebDriverWait(browser, SECONDS, poll_frequency=0.1, ignored_exceptions=(Exception,)).until(pressed, act)


def emulate(browser: webdriver.Chrome, width: int, dark: bool) -> None:
    """Give a window that a link opened the same size and the same wish as the first."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    if dark:
        wish = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wish)


def rejected(edges: AppContext, store: Store, filename: str = "broken.csv") -> str:
    """An import with two kinds of findings, full of markup."""
    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(
        import_id, dataset="places", filename=filename, bucket=store.bucket, key=f"incoming/places/{import_id}/x"
    )
    edges.ledger.uploads.complete(import_id, size_bytes=123_456, sha256="ab" * 32, etag="e")
    edges.ledger.imports.move(import_id, State.VALIDATING)
    shared = {"severity": "error", "id": EVIL, "column": "parentId", "value": EVIL, "hint": EVIL, "line": None, "related": None}
    cycle = {**shared, "code": "circular_reference", "row": 3, "message": EVIL, "cycle": ["FR-A", "FR-B", "FR-A"]}
    missing = {**shared, "code": "missing_parent", "message": EVIL, "cycle": None}
    firsts = [{**missing, "row": row} for row in range(10, 15)]
    groups = [{**missing, "count": 20, "first": firsts}, {**cycle, "count": 1, "first": [cycle]}]
    store.put_bytes(f"reports/{import_id}/groups.json", json.dumps({"items": groups, "groups": 2, "total": 21}).encode())
    edges.ledger.imports.move(
        import_id,
        State.REJECTED,
        EVIL,
        records_total=30,
        records_valid=9,
        records_invalid=21,
        findings_errors=21,
        findings_by_code={"circular_reference": 1, "missing_parent": 20},
    )
    return import_id


def test_a_file_is_uploaded_and_watched_to_its_end(
    sign_in: Open, server: Any, edges: AppContext, store: Store, settings: Settings, tmp_path: Path
) -> None:
    browser = sign_in()
    file = tmp_path / "tiny <b> places.csv"
    file.write_text(CSV)
    browser.find_element(By.ID, "file").send_keys(str(file))
    assert text(browser, ".up-file strong") == file.name
    wait_for(browser, "#files", "First rows and columns")  # it moves the button down
    browser.find_element(By.CSS_SELECTOR, "#upload .go button").click()
    wait_for(browser, "h1", file.name)
    (made,) = edges.ledger.imports.page()
    assert browser.current_url == f"{server.url}/imports/{made.id}"
    assert store.get_bytes(made.key) == CSV.encode()
    assert text(browser, ".badge") == "Queued"
    assert text(browser, ".hull [aria-current]") == "Queue"

    edges.ledger.imports.move(made.id, State.VALIDATING)
    wait_for(browser, ".badge", "Validating")
    edges.ledger.imports.move(made.id, State.PREPARING)
    edges.ledger.imports.update(made.id, records_total=4000, records_valid=4000, parts_total=2)
    edges.ledger.imports.move(made.id, State.LOADING)
    wait_for(browser, ".badge", "Loading")
    assert text(browser, "[data-show='left']") == "4,000"
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("insert into ledger.part values (%s, 1, 2000, 1500, 300, 199, 1)", (made.id,))
    wait_for(browser, "[data-show='counts.inserted']", "1,500")
    assert text(browser, "[data-show='left']") == "2,000"
    assert text(browser, "[data-show='parts']") == "1 of 2 parts"
    assert browser.find_element(By.ID, "records").get_property("value") == 2000
    wait_for(browser, "#pace", "records a second, about")
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("insert into ledger.part values (%s, 2, 2000, 2000, 0, 0, 0)", (made.id,))
    edges.ledger.imports.move(made.id, State.PARTIALLY_SUCCEEDED)
    wait_for(browser, ".badge", "Partially succeeded")
    sums = {
        row.find_element(By.TAG_NAME, "th").text: int(row.find_element(By.TAG_NAME, "td").text.replace(",", ""))
        for row in browser.find_elements(By.CSS_SELECTOR, ".sums tr")
    }
    assert sums == {
        **{"valid": 4000, "invalid": 0, "records in the file": 4000},
        **{"inserted": 3500, "updated": 300, "unchanged": 199, "failed": 1, "total": 4000},
    }
    assert text(browser, ".hull li:last-child") == "Done"
    assert not browser.find_elements(By.CSS_SELECTOR, "script[src*=import]")
    assert_no_complaints(browser)


def test_a_file_is_dropped(sign_in: Open) -> None:
    browser = sign_in()
    browser.execute_script(
        "const data = new DataTransfer(); data.items.add(new File(['id,parentId\\n1,\\n'], 'dropped.csv'));"
        "document.getElementById('drop').dispatchEvent(new DragEvent('drop', {dataTransfer: data, cancelable: true}));"
    )
    assert text(browser, ".up-file .up-line").splitlines()[:2] == ["dropped.csv", "15 bytes"]
    wait_for(browser, "#files", "First rows and columns")  # it moves the button down
    browser.find_element(By.CSS_SELECTOR, "#upload .go button").click()
    wait_for(browser, "h1", "dropped.csv")


def test_what_is_refused_is_said_where_one_looks(sign_in: Open, edges: AppContext, tmp_path: Path) -> None:
    browser = sign_in()
    file = tmp_path / "empty.csv"
    file.touch()
    browser.find_element(By.ID, "file").send_keys(str(file))
    browser.find_element(By.CSS_SELECTOR, "#upload .go button").click()
    wait_for(browser, ".up-said.alarm", "The file is empty.")
    assert browser.find_element(By.CSS_SELECTOR, ".up-said").get_attribute("role") == "status"
    assert browser.find_element(By.CSS_SELECTOR, ".up-buttons button").text == "Try again"
    assert edges.ledger.imports.page() == []


def test_findings(sign_in: Open, server: Any, edges: AppContext, store: Store) -> None:
    browser = sign_in()
    import_id = rejected(edges, store, EVIL)
    browser.get(f"{server.url}/imports/{import_id}")
    assert text(browser, "h1") == EVIL
    assert "Not imported: 21 problems to fix." in text(browser, ".verdict")
    assert text(browser, ".hull .stopped").split()[0] == "Validation"
    assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".kind h3")] == [
        "Missing parent 20",
        "Circular reference 1",
    ]
    assert text(browser, ".cycle") == "FR-A → FR-B → FR-A"
    assert browser.find_element(By.CSS_SELECTOR, ".kind td:nth-child(2)").text == EVIL
    assert len(browser.find_elements(By.CSS_SELECTOR, ".kind tbody tr:not(.rest)")) == 6
    assert text(browser, ".kind .rest") == f"and 15 more: {EVIL}"
    browser.get(f"{server.url}/imports")
    assert text(browser, ".imports .name").splitlines()[0] == EVIL
    assert browser.title == "Imports · Bulkhead"
    assert_no_complaints(browser)


def test_a_report_has_its_looks_and_runs_nothing(sign_in: Open, server: Any, edges: AppContext, store: Store) -> None:
    browser = sign_in()
    import_id = rejected(edges, store)
    docs = f"reports/{import_id}/docs"
    page = (
        "<title>mild</title><link rel=stylesheet href=static/looks.css><style>p {margin: 7px}</style><p style='margin: 7px'>"
        f"<p>words</p><script>document.title = 'pwned'</script>{EVIL}"
        "<form action=/sign-out method=post><button>x</button></form>"
    )
    store.put_bytes(f"{docs}/index.html", page.encode())
    store.put_bytes(f"{docs}/static/looks.css", b"p { color: rgb(1, 2, 3) }")
    browser.get(f"{server.url}/imports/{import_id}")
    browser.find_element(By.LINK_TEXT, "Open the validation report").click()
    wait_for(browser, "h1", "Validation report")
    browser.find_element(By.LINK_TEXT, "Open in a new tab").click()
    browser.switch_to.window(browser.window_handles[-1])
    WebDriverWait(browser, SECONDS).until(lambda b: b.current_url.endswith("/report/"))
    words = browser.find_element(By.TAG_NAME, "p")
    assert words.value_of_css_property("color") in ("rgb(1, 2, 3)", "rgba(1, 2, 3, 1)")
    assert words.value_of_css_property("margin-top") != "7px"  # styles within are not for pages made of users' data
    assert browser.title == "mild"
    browser.find_element(By.TAG_NAME, "button").click()
    assert browser.current_url.endswith("/report/")  # its forms go nowhere


BROKEN = "id,parentId,name,kind,alpha_3\n" + "".join(
    f"{id_},{parent},{name},{kind},{alpha}\n"
    for id_, parent, name, kind, alpha in [
        ("FR", "", "France", "Country", "FRA"),
        ("FR-A", "FR-B", "Round", "Region", ""),
        ("FR-B", "FR-A", "and round", "Region", ""),
        ("DE", "", "Germany", "Country", "DEUT"),
        ("<b>x</b>", "FR", '"<img src=x onerror=""document.title=\'pwned\'"">"', "Region", ""),
        *((f"US-{n}", "USA", f"State {n}", "State", "") for n in range(10, 40)),
        ("US-99", "fr", "=1+1", "", ""),
    ]
)


@pytest.mark.parametrize(
    ("width", "dark"),
    [(1100, False), pytest.param(390, False, marks=pytest.mark.thorough), pytest.param(1100, True, marks=pytest.mark.thorough)],
)
def test_the_report_looks_right_and_needs_nothing_else(
    sign_in: Open, server: Any, edges: AppContext, store: Store, tmp_path: Path, shots: Path, width: int, dark: bool
) -> None:
    browser = sign_in(width=width, dark=dark)
    import_id = reject_file(edges, store, tmp_path / "judged", BROKEN)
    browser.get(f"{server.url}/imports/{import_id}")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    shoot(browser, shots / f"rejected-{width}{'-dark' if dark else ''}.png")
    browser.find_element(By.LINK_TEXT, "Open the validation report").click()
    wait_for(browser, "h1", "Validation report")
    browser.find_element(By.LINK_TEXT, "Open in a new tab").click()
    browser.switch_to.window(browser.window_handles[-1])
    wait_for(browser, "h1", "Rejected")
    emulate(browser, width, dark)
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert fetched == [f"{server.url}/v1/imports/{import_id}/report/docs.css"]
    header, body = browser.find_element(By.TAG_NAME, "header"), browser.find_element(By.TAG_NAME, "body")
    assert header.value_of_css_property("border-left-width") == "4px"
    assert "Liberation" in body.value_of_css_property("font-family") or "system-ui" in body.value_of_css_property("font-family")
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (int(paper.removeprefix("rgb(").split(",")[0]) < 60) is dark
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.find_elements(By.CSS_SELECTOR, "[style], style, script, img") == []
    assert "<b>x</b>" in body.text
    shoot(browser, shots / f"data-docs-{width}{'-dark' if dark else ''}.png")
    assert_no_complaints(browser)
    browser.find_element(By.LINK_TEXT, "← The import").click()
    wait_for(browser, "h1", "broken.csv")


@pytest.mark.parametrize(
    ("width", "dark"),
    [pytest.param(1280, False, marks=pytest.mark.thorough), pytest.param(390, False, marks=pytest.mark.thorough), (1280, True)],
)
def test_from_the_suite_to_a_run_and_on_to_its_findings(
    sign_in: Open, server: Any, edges: AppContext, store: Store, tmp_path: Path, shots: Path, width: int, dark: bool
) -> None:
    browser = sign_in(width=width, dark=dark)
    for n, judged in enumerate([BROKEN, "id,parentId,name,kind\nFR,,France,Country\n", BROKEN]):
        reject_file(edges, store, tmp_path / str(n), judged, filename=f"places-{n}.csv")
    name = f"{width}{'-dark' if dark else ''}.png"
    browser.get(f"{server.url}/datasets")
    browser.find_element(By.CSS_SELECTOR, "a[href='/datasets/places/validations']").click()
    wait_for(browser, "h2", "Findings by code")
    shoot(browser, shots / f"validation-runs-{name}")
    browser.find_element(By.LINK_TEXT, "What is expected").click()
    wait_for(browser, "h1", "what is expected")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    shoot(browser, shots / f"suite-{name}")
    browser.find_element(By.LINK_TEXT, "2 of 3 files").click()
    wait_for(browser, "h1", "Validation report")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    shoot(browser, shots / f"run-{name}")
    assert browser.find_element(By.LINK_TEXT, "Download validation.json").get_attribute("href").endswith("/validation")
    browser.find_element(By.LINK_TEXT, "Findings, row by row").click()
    wait_for(browser, "h1", "Findings")
    browser.find_element(By.LINK_TEXT, "Validation report").click()
    wait_for(browser, ".crumbs", "places-2.csv")
    assert_no_complaints(browser)


@pytest.mark.parametrize(("width", "dark"), [pytest.param(1100, False, marks=pytest.mark.thorough), (390, True)])
def test_the_trend_of_a_dataset(sign_in: Open, server: Any, edges: AppContext, shots: Path, width: int, dark: bool) -> None:
    browser = sign_in(width=width, dark=dark)
    for day in range(1, 31):
        past(edges, day)
    browser.get(f"{server.url}/imports?dataset=places")
    browser.find_element(By.LINK_TEXT, "Validation history").click()
    wait_for(browser, "h1", "Countries")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    charts = browser.find_elements(By.CSS_SELECTOR, ".trend svg")
    assert [len(chart.find_elements(By.TAG_NAME, "rect")) for chart in charts] == [30, 6 + 10]
    bar = browser.find_element(By.CSS_SELECTOR, ".trend rect.bad")
    assert bar.value_of_css_property("fill") != "rgb(0, 0, 0)"
    assert bar.size["height"] > 1
    assert browser.find_elements(By.CSS_SELECTOR, ".codes tbody th")[0].text == "Missing parent"
    shoot(browser, shots / f"validations-{width}{'-dark' if dark else ''}.png")
    assert_no_complaints(browser)
    browser.find_element(By.CSS_SELECTOR, ".imports a").click()
    wait_for(browser, "h1", "places-30.csv")


def past(edges: AppContext, day: int) -> str:
    """An import of former days: every fifth is rejected, every third warned of."""
    import_id = str(uuid.uuid4())
    errors, warnings = (day * 7, day) if day % 5 == 0 else (0, 0), day * 2 if day % 3 == 0 else 0
    by_code = {"missing_parent": errors[0], "circular_reference": errors[1], "similar_id": warnings}
    edges.ledger.imports.open(import_id, dataset="places", filename=f"places-{day}.csv", bucket="b", key=f"k{day}")
    edges.ledger.uploads.complete(import_id, size_bytes=300_000, sha256="ab" * 32, etag="e")
    edges.ledger.imports.move(import_id, State.VALIDATING)
    counts = {"records_total": 5000 + day * 12, "findings_errors": sum(errors), "findings_warnings": warnings}
    counts["findings_by_code"] = {code: count for code, count in by_code.items() if count}  # type: ignore[assignment]
    for state in (State.REJECTED,) if sum(errors) else (State.PREPARING, State.LOADING, State.SUCCEEDED):
        edges.ledger.imports.move(import_id, state, **counts)
    return import_id


def test_canceling_asks_first(sign_in: Open, server: Any, edges: AppContext, shots: Path) -> None:
    browser = sign_in()
    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(import_id, dataset="places", filename="a.csv", bucket="b", key="k", state=State.QUEUED)
    browser.get(f"{server.url}/imports/{import_id}")
    button = browser.find_element(By.CSS_SELECTOR, ".cancel button")
    assert not button.is_displayed()
    browser.find_element(By.CSS_SELECTOR, ".cancel summary").click()
    dialog = browser.find_element(By.CSS_SELECTOR, ".cancel dialog")
    assert dialog.accessible_name == "Cancel this import?"
    assert "Parts that are already loaded stay loaded" in text(browser, ".cancel p")
    shoot(browser, shots / "asking.png")
    browser.switch_to.active_element.send_keys(Press.ESCAPE)
    assert not dialog.is_displayed()
    browser.find_element(By.CSS_SELECTOR, ".cancel summary").click()
    edges.ledger.imports.pause(import_id, wanted=True)  # while somebody reads the question, the page does not jump
    WebDriverWait(browser, SECONDS).until(lambda _: dialog.is_displayed())
    browser.find_element(By.CSS_SELECTOR, ".cancel .quiet[type=button]").click()
    wait_for(browser, ".resume summary", "Resume")
    browser.find_element(By.CSS_SELECTOR, ".cancel summary").click()
    browser.find_element(By.CSS_SELECTOR, ".cancel button.danger").click()
    wait_for(browser, ".badge", "Canceled")
    assert edges.ledger.imports.page()[0].state is State.CANCELED


@pytest.mark.parametrize(
    ("width", "dark", "scripts"),
    [pytest.param(1100, False, True, marks=pytest.mark.thorough), (390, True, True), (1100, False, False)],
)
def test_a_load_is_watched(
    sign_in: Open, server: Any, edges: AppContext, settings: Settings, shots: Path, width: int, dark: bool, scripts: bool
) -> None:
    browser = sign_in(width=width, dark=dark, scripts=scripts)
    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(import_id, dataset="places", filename=EVIL, bucket="b", key="k", state=State.QUEUED)
    edges.ledger.imports.move(import_id, State.VALIDATING)
    edges.ledger.imports.move(import_id, State.PREPARING, records_total=9_000_000, records_valid=9_000_000, parts_total=4500)
    edges.ledger.imports.move(import_id, State.LOADING)
    browser.get(f"{server.url}/imports/{import_id}")
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "insert into ledger.part select %s, n, 2000, 1500, 300, 199, 1 from generate_series(1, 300) n", (import_id,)
        )
    wait_for(browser, "#pace", "left")
    assert text(browser, ".loading strong") == "600,000 of 9,000,000 records"
    assert "300 of 4,500 parts" in text(browser, ".loading")
    assert text(browser, ".hull [aria-current]") == "Load"
    assert text(browser, "h1") == EVIL
    shoot(browser, shots / f"loading-{width}{'-dark' if dark else ''}{'' if scripts else '-plain'}.png")
    if scripts:
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert_no_complaints(browser)
    else:
        ask_and_confirm(browser, ".pause")  # a second step, without a dialog
        wait_for(browser, ".resume summary", "Resume")


def test_without_a_free_stream_the_page_asks(sign_in: Open, server: Any, edges: AppContext) -> None:
    browser = sign_in()
    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(import_id, dataset="places", filename="a.csv", bucket="b", key="k", state=State.QUEUED)
    streams = []
    for _ in range(8 * STREAMS_AT_ONCE):  # of both processes
        url = f"{server.url}/v1/imports/{import_id}/events"
        streams.append(requests.get(url, headers=server.headers, stream=True, timeout=10))
    assert streams[-1].status_code == 503
    browser.get(f"{server.url}/imports/{import_id}")
    edges.ledger.imports.move(import_id, State.VALIDATING)
    wait_for(browser, ".badge", "Validating")
    for stream in streams:
        stream.close()


def foreseen(edges: AppContext, import_id: str) -> None:
    """What the worker does with a dry run that has a quarantine."""
    reading = {"format": "csv", "compression": "gzip", "encoding": "utf-8", "delimiter": ";", "records": 1000}
    preview = {"inserted": 900, "updated": 60, "unchanged": 28, "moved": 7}
    edges.ledger.imports.move(import_id, State.VALIDATING)
    edges.ledger.imports.update(import_id, records_total=1000, records_valid=993, records_invalid=7, quarantined=12)
    edges.ledger.imports.update(import_id, reading=reading, preview=preview)
    edges.ledger.imports.move(import_id, State.VALIDATED, unprocessed=988)


@pytest.mark.parametrize(
    ("width", "dark", "scripts"),
    [pytest.param(1100, False, True, marks=pytest.mark.thorough), (390, True, True), (1100, True, False)],
)
def test_admins_make_and_revoke_keys(
    sign_in: Open, server: Any, keys: ApiKeys, shots: Path, width: int, dark: bool, scripts: bool
) -> None:
    browser = sign_in(width=width, dark=dark, scripts=scripts)
    browser.find_element(By.LINK_TEXT, "Admin").click()
    wait_for(browser, "h1", "Keys")
    browser.find_element(By.NAME, "name").send_keys(EVIL)
    Select(browser.find_element(By.NAME, "role")).select_by_value("uploader")
    browser.find_element(By.CSS_SELECTOR, ".filters button").click()
    wait_for(browser, ".fresh h2", EVIL)
    made = keys.check(text(browser, ".fresh .key"))
    assert made is not None
    assert (made.name, made.role) == (EVIL, Role.UPLOADER)
    name = f"keys-{width}{'-dark' if dark else ''}{'' if scripts else '-plain'}.png"
    shoot(browser, shots / name)
    browser.find_element(By.CSS_SELECTOR, ".keys tr:first-child .revoke summary").click()
    assert text(browser, ".revoke h2") == f"Revoke the key {EVIL}?"
    shoot(browser, shots / f"revoking-{name}")
    browser.find_element(By.CSS_SELECTOR, ".revoke button.danger").click()
    wait_for(browser, ".keys .badge", "Revoked")
    assert keys.get(made.id) is None
    assert browser.title == "Keys · Bulkhead"
    if scripts:
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert_no_complaints(browser)


@pytest.mark.parametrize(("width", "dark"), [pytest.param(1100, False, marks=pytest.mark.thorough), (390, True)])
def test_admins_see_recipients_and_settings(
    sign_in: Open, server: Any, edges: AppContext, shots: Path, width: int, dark: bool
) -> None:
    browser = sign_in(width=width, dark=dark)
    for state, error in ((State.CANCELED, ""), (State.EXPIRED, EVIL)):
        import_id, target = str(uuid.uuid4()), "https://hooks.example/services/T0123456789ABCDEFGH?token=sesame"
        first = State.QUEUED if state is State.CANCELED else State.AWAITING_UPLOAD
        edges.ledger.imports.open(import_id, dataset="places", filename=EVIL, bucket="b", key=import_id, state=first)
        edges.ledger.imports.move(import_id, state)
        edges.ledger.deliveries.open(import_id, "webhook", target, f"msg_{state}")
        edges.ledger.deliveries.record_attempt(import_id, "webhook", target, error)
    browser.get(f"{server.url}/admin/webhooks")
    assert text(browser, ".empty").startswith("No recipients yet.")
    assert text(browser, ".imports code") == "https://hooks.example/services/…?…"
    assert "sesame" not in browser.page_source
    assert EVIL in text(browser, ".imports tbody")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    shoot(browser, shots / f"webhooks-{width}{'-dark' if dark else ''}.png")
    browser.find_element(By.LINK_TEXT, "Settings").click()
    wait_for(browser, "h1", "Settings")
    assert "BULKHEAD_WEBHOOK_SECRET" in text(browser, ".settings")
    assert edges.settings.database_url not in browser.page_source
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    shoot(browser, shots / f"settings-{width}{'-dark' if dark else ''}.png")
    assert_no_complaints(browser)


@pytest.mark.parametrize("scripts", [True, False])
def test_a_dry_run_shows_its_counts_and_loading_it_asks_first(
    sign_in: Open, server: Any, edges: AppContext, tmp_path: Path, scripts: bool
) -> None:
    browser = sign_in(scripts=scripts)
    file = tmp_path / "dry.csv"
    file.write_text(CSV.replace(",", ";"))
    browser.find_element(By.NAME, "dry_run").click()
    browser.find_element(By.CSS_SELECTOR, ".up-reading summary").click()
    Select(browser.find_element(By.NAME, "on_error")).select_by_value("quarantine")
    browser.find_element(By.NAME, "delimiter").send_keys("semicolon", Press.TAB)
    browser.find_element(By.ID, "file").send_keys(str(file))
    if scripts:
        wait_for(browser, "#files", "First rows and columns")  # it moves the button down
    browser.find_element(By.CSS_SELECTOR, "#upload .go button").click()
    wait_for(browser, "h1", file.name)
    if not scripts:
        browser.find_element(By.CSS_SELECTOR, "button[value=import]").click()
        wait_for(browser, ".badge", "Queued")
    (made,) = edges.ledger.imports.page()
    assert made.options == Options(dry_run=True, on_error=OnError.QUARANTINE, delimiter=";")

    foreseen(edges, made.id)
    wait_for(browser, ".badge", "Validated")
    assert text(browser, ".badge.dry") == "Dry run"
    assert "CSV, semicolon, UTF-8, gzip" in text(browser, ".title > .soft")
    sums = browser.find_elements(By.CSS_SELECTOR, ".sums table")[1].text
    assert sums.splitlines() == [
        *("What an import would change", "insert 900", "update (7 to another parent) 60", "leave unchanged 28"),
        *("quarantine 12", "total 1,000"),
    ]
    button = browser.find_element(By.CSS_SELECTOR, ".promote button")
    assert not button.is_displayed()
    browser.find_element(By.CSS_SELECTOR, ".promote summary").click()
    assert "The checked file will be queued and imported." in text(browser, ".promote p")
    button.click()
    wait_for(browser, ".badge", "Queued")
    assert text(browser, ".hull [aria-current]") == "Queue"
    promoted = edges.ledger.imports.get(made.id)
    assert promoted is not None
    assert (promoted.state, promoted.options.dry_run) == (State.QUEUED, False)
    assert_no_complaints(browser)


def test_all_of_it_without_scripts(sign_in: Open, edges: AppContext, tmp_path: Path) -> None:
    browser = sign_in(scripts=False)
    file = tmp_path / "plain.csv"
    file.write_text(CSV)
    browser.find_element(By.ID, "file").send_keys(str(file))
    browser.find_element(By.CSS_SELECTOR, "#upload .go button").click()
    wait_for(browser, "h1", "plain.csv")
    browser.find_element(By.CSS_SELECTOR, "button[value=import]").click()
    wait_for(browser, ".badge", "Queued")
    (made,) = edges.ledger.imports.page()
    assert text(browser, ".badge") == "Queued"
    edges.ledger.imports.move(made.id, State.VALIDATING)
    wait_for(browser, ".badge", "Validating")  # the page fetches itself anew
    browser.find_element(By.LINK_TEXT, "SQL").click()
    browser.find_element(By.ID, "sql").send_keys("select 6 * 7 as answer")
    browser.find_element(By.CSS_SELECTOR, ".sql button").click()
    wait_for(browser, ".answer", "42")
    browser.find_element(By.CSS_SELECTOR, ".who button").click()
    wait_for(browser, "h1", "Sign in")


def test_signing_in_with_a_key(open_browser: Open, server: Any, keys: ApiKeys) -> None:
    browser = open_browser()
    browser.get(f"{server.url}/imports")
    assert text(browser, "h1") == "Sign in"
    browser.find_element(By.ID, "key").send_keys("bk_wrong\n")
    wait_for(browser, "[role=alert]", "This API key is wrong.")
    browser.find_element(By.ID, "key").send_keys(keys.create("me", Role.READER)[0] + "\n")
    wait_for(browser, ".lead", "Your key can view, but not upload.")


@pytest.mark.parametrize(
    ("width", "dark"),
    [pytest.param(390, False, marks=pytest.mark.thorough), (320, True), pytest.param(1400, True, marks=pytest.mark.thorough)],
)
def test_pages_fit(sign_in: Open, server: Any, edges: AppContext, store: Store, width: int, dark: bool) -> None:
    browser = sign_in(width=width, dark=dark)
    import_id = rejected(edges, store, "a-very-long-file-name-without-any-space-in-it-" * 3 + ".csv")
    for path in (
        "/",
        "/imports",
        f"/imports/{import_id}",
        "/datasets",
        "/datasets/places/records",
        "/sql",
        "/problems",
        *ADMIN,
    ):
        browser.get(server.url + path)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, path
        paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        red, green, blue = (int(one) for one in paper.removeprefix("rgb(").removesuffix(")").split(","))
        assert (max(red, green, blue) < 60) is dark
    assert_no_complaints(browser)
