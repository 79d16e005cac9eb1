"""The pages as a browser without JavaScript gets them: whole, escaped, with the headers that protect them."""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from pipeline.adapters.s3 import Store
from pipeline.contracts.states import State
from pipeline.ledger.api_keys import Role
from pipeline.settings import Settings
from tests.support.html_page import EVIL, Page
from tests.support.http import follow_link
from web.app_context import AppContext

CSV = b"id,parentId,name,kind\nFR,,France,Country\n"


def test_no_text_of_a_user_becomes_markup(browser: Any, keys: Any, evil_import: str) -> None:
    token = Page(browser.get("/sql").text).field("csrf_token")
    seen = 0
    html = {"headers": {"Accept": "text/html"}}
    for answer in (
        browser.get("/", **html),
        browser.get("/imports", **html),
        browser.get(f"/imports/{evil_import}", **html),
        browser.get(f"/imports/{evil_import}/findings", **html),
        browser.get(f"/imports/{evil_import}/findings", query_string={"q": EVIL + "!"}, **html),
        browser.get("/imports", query_string={"text": EVIL}, **html),
        browser.get("/datasets/places/validations", **html),
        browser.get("/datasets/places/suite", **html),
        browser.get("/admin/webhooks", **html),
        browser.get("/admin/keys", **html),
        browser.get("/imports", query_string={"state": EVIL}, **html),
        browser.get("/imports", query_string={"dataset": EVIL}, **html),
        browser.get("/imports/" + EVIL.replace("/", "%2F"), **html),
        browser.get("/", query_string={"dataset": EVIL}, **html),
        browser.get("/" + EVIL, **html),
        browser.get("/sign-in", query_string={"token": EVIL}, **html),
        browser.post("/sql", data={"csrf_token": token, "sql": 'select id as "<i>", name from records'}, **html),
        browser.post("/sql", data={"csrf_token": token, "sql": EVIL}, **html),
    ):
        page = Page(answer.get_data(as_text=True))
        page.assert_tame()
        assert "<script>alert" not in answer.text
        assert {one.get("src") for one in page.all("img")} == {"/static/mark.svg"}
        seen += page.text.count(EVIL)
    assert seen >= 20  # it was there, as text


def test_one_import_says_it_all(browser: Any, evil_import: str) -> None:
    page = Page(browser.get(f"/imports/{evil_import}").text)
    assert f"{EVIL} → b → {EVIL}" in page.text
    links = {one.get("href") for one in page.all("a")}
    api = f"/v1/imports/{evil_import}"
    assert {f"{api}/errors?format={kind}" for kind in ("csv", "json", "parquet", "xlsx")} <= links
    assert f"and 8 more: {EVIL}" in page.text
    assert "/datasets/places/validations" in links
    assert {f"/imports/{evil_import}/report", f"/imports/{evil_import}/findings", f"{api}/results/failed?format=csv"} <= links
    assert not page.all("meta")[-1].get("http-equiv")  # it has ended: there is nothing to wait for
    assert "Cancel this import" not in page.text


def test_the_headers(browser: Any) -> None:
    for path in ("/", "/imports", "/sql", "/nothing", "/static/bulkhead.css", "/v1/imports", "/sign-in", "/problems"):
        with browser.get(path) as answer:
            headers = answer.headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Request-Id"]
    assert browser.get("/imports").headers["Cache-Control"] == "no-store"


def test_an_upload_without_javascript(browser: Any, edges: AppContext, store: Store) -> None:
    page = Page(browser.get("/").text)
    page.assert_tame()
    form = {"csrf_token": page.field("csrf_token"), "dataset": "places", "file": (io.BytesIO(CSV), "päces.csv")}
    answer = browser.post("/upload", data=form, content_type="multipart/form-data")
    assert answer.status_code == 303
    (made,) = edges.ledger.imports.page()
    assert answer.location == f"/imports/{made.id}"
    assert (made.filename, made.state) == ("päces.csv", State.QUEUED)
    assert store.get_bytes(made.key) == CSV
    shown = browser.get(answer.location).text
    assert "Waiting in the queue: next in line." in shown
    assert '<meta http-equiv="refresh"' in shown
    assert "Cancel this import" in shown


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"csrf_token": "wrong"}, 403, "has expired"),
        ({"csrf_token": None}, 403, "has expired"),
        ({"dataset": "nowhere"}, 404, "places"),
        ({"dataset": None}, 404, "places"),
        ({"file": (io.BytesIO(b""), "")}, 400, "empty"),
        ({"file": None}, 400, "no file"),
    ],
)
def test_a_form_that_is_refused(
    browser: Any, edges: AppContext, store: Store, change: dict[str, Any], status: int, words: str
) -> None:
    token = Page(browser.get("/").text).field("csrf_token")
    form = {"csrf_token": token, "dataset": "places", "file": (io.BytesIO(CSV), "a.csv"), **change}
    form = {name: value for name, value in form.items() if value is not None}
    headers = {"Accept": "text/html"}
    answer = browser.post("/upload", data=form, content_type="multipart/form-data", headers=headers)
    assert answer.status_code == status
    assert words in Page(answer.text).text
    assert edges.ledger.imports.page() == []
    assert [*store.list("")] == []


def test_a_reader_sees_no_form(app: Any, edges: AppContext) -> None:
    client = app.test_client()
    _, key = edges.keys.create("me", Role.READER)
    follow_link(client, edges.keys.sign_in_token(key.id))
    assert "Your key can view, but not upload." in client.get("/").text


def test_cancel_from_the_page(browser: Any, edges: AppContext) -> None:
    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(import_id, dataset="places", filename="a", bucket="b", key="k", state=State.QUEUED)
    path = f"/imports/{import_id}/cancel"
    assert browser.post(path).status_code == 403
    token = Page(browser.get(f"/imports/{import_id}").text).field("csrf_token")
    assert browser.post(path, data={"csrf_token": token}).location == f"/imports/{import_id}"
    assert edges.ledger.imports.get(import_id).state is State.CANCELED
    assert browser.post(path, data={"csrf_token": token}).status_code == 409


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_a_page(browser: Any, edges: AppContext, settings: Settings, state: State) -> None:
    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(import_id, dataset="places", filename="a.csv", bucket="b", key="k")
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("update ledger.import set state = %s, started_at = now()", (state,))
    page = Page(browser.get(f"/imports/{import_id}").text)
    page.assert_tame()
    assert len(page.all("li")) >= 4
    assert len(browser.get("/imports", query_string={"state": state}).text.split(import_id)) == 2


def test_pages_of_imports(browser: Any, edges: AppContext) -> None:
    made = [str(uuid.uuid4()) for _ in range(60)]
    for import_id in made:
        edges.ledger.imports.open(import_id, dataset="places", filename="a.csv", bucket="b", key="k")
    first = browser.get("/imports?dataset=places").text
    older = re.search(r'href="(/imports[^"]+before=[^"]+)"', first)
    assert older is not None
    second = browser.get(older[1].replace("&amp;", "&")).text
    both = re.findall(r'href="/imports/([0-9a-f-]{36})"', first + second)
    assert both == made[::-1]
    assert "before=" not in second
    assert "No imports match these filters." in browser.get("/imports?state=rejected").text


def test_sql(browser: Any) -> None:
    token = Page(browser.get("/sql").text).field("csrf_token")
    good = browser.post("/sql", data={"csrf_token": token, "sql": "select 7 * 6 as answer, null as nothing"})
    assert good.status_code == 200
    assert {"answer", "42", "null"} <= set(Page(good.text).text.split())
    bad = browser.post("/sql", data={"csrf_token": token, "sql": "drop table records"})
    assert bad.status_code == 400
    assert "Only a SELECT" in bad.text
    assert "drop table records</textarea>" in bad.text
    assert browser.post("/sql", data={"sql": "select 1"}).status_code == 403


def test_every_kind_of_problem_has_its_place(app: Any, api: Any) -> None:
    page = app.test_client().get("/problems").text
    for path, method in (("/v1/nothing", "GET"), ("/v1/imports/x", "GET"), ("/v1/keys", "GET"), ("/v1/imports", "PUT")):
        kind = api(method, path).json["type"]
        assert kind.startswith("http://localhost/problems#")
        assert f'id="{kind.partition("#")[2]}"' in page


def test_a_browser_gets_a_page_for_an_error(browser: Any, caller_for: Callable[[str], Any]) -> None:
    answer = browser.get("/nothing", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    answer = browser.get(f"/v1/imports/{uuid.uuid4()}/report/", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert browser.get("/nothing", headers={"Accept": "*/*"}).mimetype == "application/problem+json"
