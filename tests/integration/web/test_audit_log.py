"""What the audit log has of what is done through the API and the pages: who, what, to what, from where, with what result."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from pipeline.contracts.states import State
from pipeline.ledger.api_keys import ApiKey, ApiKeys, Role
from pipeline.ledger.audit_log import Wanted
from pipeline.settings import Settings
from tests.support.example_data import populate
from tests.support.http import Caller, button, csrf, follow_link
from web import create_app
from web.api.openapi_examples import IMPORT_ID
from web.app_context import AppContext
from web.http import audit_log as recording

CSV = b"id,parentId,name,kind\nFR,,France,Country\n"
SQL = "select name from places where name = 'a value'"
DELETED = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def admin(app: Any, keys: ApiKeys) -> tuple[Caller, ApiKey]:
    """An admin's caller, and its key."""
    text, key = keys.create("Ann", Role.ADMIN)
    return Caller(app.test_client(), text), key


@pytest.fixture
def newest(edges: AppContext) -> Callable[..., list[Any]]:
    """Returns the events of an action, newest first."""
    return lambda action, **filters: list(edges.ledger.audit_log.page(Wanted(action=action, **filters)))


def _is(event: Mapping[str, Any], **expected: Any) -> None:
    assert {name: event[name] for name in expected} == expected


# --- by the API ---

REQUESTS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "results": (
        "GET",
        f"/v1/imports/{IMPORT_ID}/results/succeeded?format=csv",
        {},
        {"what": "succeeded rows", "format": "csv"},
    ),
    "findings": ("GET", f"/v1/imports/{IMPORT_ID}/errors?format=parquet", {}, {"what": "findings", "format": "parquet"}),
    "report": ("GET", f"/v1/imports/{IMPORT_ID}/report/index.html", {}, {"what": "report"}),
    "export": ("GET", "/v1/datasets/places/records?format=csv", {}, {"what": "records", "format": "csv"}),
    "sql": (
        "POST",
        "/v1/query",
        {"json": {"sql": SQL}},
        {"do": "json", "sql_sha256": hashlib.sha256(SQL.encode()).hexdigest()},
    ),
    "mapping": (
        "PUT",
        "/v1/datasets/places/mappings",
        {"json": {"columns": ["a"], "mapping": {}}},
        {"what": "remembered column mapping"},
    ),
    "log": ("GET", "/v1/audit-log?format=ndjson", {}, {"format": "ndjson"}),
}
ACTIONS = {
    **dict.fromkeys(("results", "findings", "report"), ("download", "import", IMPORT_ID)),
    "export": ("export", "dataset", "places"),
    "sql": ("sql", "warehouse", ""),
    "mapping": ("dataset_changed", "dataset", "places"),
    "log": ("audit_log_export", "audit_log", ""),
}


def test_reads_and_changes_by_the_api(
    admin: tuple[Caller, ApiKey], edges: AppContext, settings: Settings, newest: Callable[..., list[Any]]
) -> None:
    populate(edges, settings)
    caller, key = admin
    for name, (method, path, options, details) in REQUESTS.items():
        headers = {"User-Agent": "a test/1.0", "X-Request-Id": f"r-{name}", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
        answer = caller(method, path, headers=headers, **options)
        assert answer.status_code in (200, 204), (name, answer.text)
        action, kind, target = ACTIONS[name]
        event = newest(action)[0]
        _is(event, actor_kind="key", actor_id=key.id, actor_name="Ann", target_kind=kind, target_id=target, details=details)
        _is(event, result="ok", status=answer.status_code, address="127.0.0.1", user_agent="a test/1.0", reason="")
        _is(event, request_id=f"r-{name}", trace_id="ab" * 16)
    assert edges.ledger.audit_log.verify().ok


def test_a_page_of_an_answer_is_no_download(
    admin: tuple[Caller, ApiKey], edges: AppContext, settings: Settings, newest: Callable[..., list[Any]]
) -> None:
    populate(edges, settings)
    for path in ("/v1/datasets/places/records", f"/v1/imports/{IMPORT_ID}/errors", "/v1/audit-log", "/v1/imports", "/v1/keys"):
        assert admin[0].get(path).status_code == 200
    assert [event["action"] for event in edges.ledger.audit_log.page()] == ["key_created"]


def test_the_life_of_an_import(admin: tuple[Caller, ApiKey], edges: AppContext, newest: Callable[..., list[Any]]) -> None:
    caller, key = admin
    headers = {"Idempotency-Key": "once"}
    uploaded = caller.upload(CSV, headers=headers).json["id"]
    _is(
        newest("upload")[0],
        target_kind="import",
        target_id=uploaded,
        result="ok",
        details={"dataset": "places"},
        actor_id=key.id,
    )
    assert caller.upload(CSV, headers=headers).json["id"] == uploaded
    _is(newest("upload")[0], target_id=uploaded, status=202, details={"dataset": "places", "replayed": "true"})
    for verb in ("pause", "resume", "cancel"):
        assert caller.post(f"/v1/imports/{uploaded}/{verb}").status_code == 202
        (event,) = newest(verb)
        _is(event, target_kind="import", target_id=uploaded, result="ok", status=None)
    assert caller.post(f"/v1/imports/{uploaded}/cancel").status_code == 409
    _is(newest("cancel")[0], target_id=uploaded, result="refused", status=409, reason="already_finished")


def test_approval_and_retry(
    admin: tuple[Caller, ApiKey], edges: AppContext, settings: Settings, newest: Callable[..., list[Any]]
) -> None:
    caller, _ = admin
    populate(edges, settings, (State.VALIDATING, State.VALIDATED), dry_run=True)
    assert caller.post(f"/v1/imports/{IMPORT_ID}/retry").status_code == 409
    _is(newest("retry")[0], target_id=IMPORT_ID, result="refused", reason="not_finished")
    assert caller.post(f"/v1/imports/{IMPORT_ID}/promote").status_code == 202
    _is(newest("approval")[0], target_id=IMPORT_ID, result="ok")
    for state in (State.VALIDATING, State.REJECTED):
        edges.ledger.imports.move(IMPORT_ID, state)
    mended = caller.post(f"/v1/imports/{IMPORT_ID}/retry", data=CSV).json["id"]
    event = newest("retry")[0]
    _is(event, target_id=IMPORT_ID, result="ok")
    assert event["details"]["new_import"] == mended


def test_uploads_straight_to_s3(admin: tuple[Caller, ApiKey], newest: Callable[..., list[Any]]) -> None:
    import requests

    caller, _ = admin
    opened = caller.post("/s3/multipart", json={"filename": "a.csv", "metadata": {"dataset": "places"}}).json
    assert newest("upload") == []
    at = f"/s3/multipart/{opened['uploadId']}"
    sent = requests.put(caller.get(f"{at}/1?key={opened['key']}").json["url"], data=CSV, timeout=300)
    parts = {"parts": [{"PartNumber": 1, "ETag": sent.headers["ETag"]}]}
    assert caller.post(f"{at}/complete?key={opened['key']}", json=parts).status_code == 200
    _is(newest("upload")[0], target_id=opened["id"], result="ok", details={"dataset": "places", "way": "multipart"})
    form = caller.get("/s3/params?filename=f.csv&dataset=places").json
    _is(newest("upload")[0], target_id=form["id"], details={"dataset": "places", "way": "form"})


def test_keys_and_recipients(admin: tuple[Caller, ApiKey], newest: Callable[..., list[Any]]) -> None:
    caller, key = admin
    expires = (datetime.now(UTC) + timedelta(days=90)).isoformat(timespec="seconds")
    wanted = {"name": "nightly", "role": "uploader", "datasets": ["places"], "expires_at": expires}
    made = caller.post("/v1/keys", json=wanted).json
    event = newest("key_created")[0]
    _is(event, actor_id=key.id, target_kind="key", target_id=made["id"], result="ok")
    assert event["details"] == {"name": "nightly", "role": "uploader", "datasets": "places", "expires": expires}
    rotated = caller.post(f"/v1/keys/{made['id']}/rotate", json={"overlap_seconds": 60}).json
    _is(newest("key_rotated")[0], target_id=made["id"], actor_id=key.id)
    assert caller("DELETE", f"/v1/keys/{made['id']}").status_code == 204
    _is(newest("key_revoked")[0], target_id=made["id"], actor_id=key.id, result="ok")
    assert caller("DELETE", f"/v1/keys/{DELETED}").status_code == 404
    _is(newest("key_revoked")[0], target_id=DELETED, result="refused", reason="unknown_key")
    assert len(newest("key_created")) == 2 and len(newest("key_rotated")) == 1 and len(newest("key_revoked")) == 2
    recipient = caller.post("/v1/webhooks", json={"target": "me@example.org"}).json["id"]
    _is(newest("recipient_added")[0], target_kind="recipient", target_id=recipient, status=201)
    caller.post(f"/v1/webhooks/{recipient}/enable")
    _is(newest("recipient_enabled")[0], target_id=recipient)
    caller("DELETE", f"/v1/webhooks/{recipient}")
    _is(newest("recipient_removed")[0], target_id=recipient)
    everything = str([dict(row) for row in caller.get("/v1/audit-log?limit=1000").json["items"]])
    for secret in (made["key"], rotated["key"], "me@example.org"):
        assert secret not in everything and secret.rsplit("_", 1)[-1] not in everything


def test_what_is_refused_is_recorded_without_what_was_sent(
    admin: tuple[Caller, ApiKey], caller_for: Callable[[str], Caller], newest: Callable[..., list[Any]], edges: AppContext
) -> None:
    reader = caller_for("reader")
    assert reader.upload(CSV).status_code == 403
    _is(newest("upload")[0], target_kind="dataset", target_id="places", result="refused", status=403, reason="forbidden")
    assert reader.post("/v1/keys", json={"name": "mine", "role": "admin"}).status_code == 403
    _is(newest("key_created")[0], result="refused", reason="forbidden", actor_name="a test's reader")
    assert reader.post("/v1/query", json={"sql": "drop table places"}).status_code == 400
    _is(newest("sql")[0], result="refused", reason="query_refused")
    caller, _ = admin
    for path in ("/v1/imports/s3cret-value/cancel", "/v1/datasets/s3cret-value/imports", "/v1/keys/s3cret-value/rotate"):
        assert caller.post(path, json={}, data=None).status_code in (404, 422), path
    assert "s3cret" not in str([dict(event) for event in edges.ledger.audit_log.page()])


def test_the_text_of_a_query_only_if_the_operator_wants_it(
    settings: Settings, edges: AppContext, admin: tuple[Caller, ApiKey], newest: Callable[..., list[Any]]
) -> None:
    assert admin[0].post("/v1/query", json={"sql": SQL}).status_code == 200
    assert "a value" not in str(newest("sql")[0])
    object.__setattr__(edges, "settings", settings.model_copy(update={"audit_sql": "text"}))
    assert admin[0].post("/v1/query", json={"sql": SQL}).status_code == 200
    assert newest("sql")[0]["details"]["sql"] == SQL


# --- signing in and out, and the pages ---


def test_signing_in_and_out(app: Any, keys: ApiKeys, newest: Callable[..., list[Any]]) -> None:
    text, key = keys.create("Ann", Role.READER)
    client = app.test_client()
    token = keys.sign_in_token(key.id)
    follow_link(client, token)
    _is(newest("sign_in")[0], actor_id=key.id, target_id=key.id, details={"how": "link"}, result="ok", address="127.0.0.1")
    client.post("/sign-out", data={"csrf_token": csrf(client, "/")})
    _is(newest("sign_out")[0], actor_id=key.id, target_id=key.id, result="ok", status=303)
    follow_link(app.test_client(), token)
    _is(newest("sign_in_failed")[0], actor_kind="anonymous", result="refused", status=401, reason="unknown link")
    at = {"csrf_token": csrf(client, "/sign-in")}
    client.post("/sign-in", data={"key": "wrong", **at})
    _is(newest("sign_in_failed")[0], actor_kind="anonymous", reason="unknown key", details={"how": "key"})
    client.post("/sign-in", data={"key": text, **at})
    _is(newest("sign_in")[0], details={"how": "key"})
    keys.revoke(key.id)
    assert Caller(app.test_client(), text).get("/v1/imports").status_code == 401
    _is(newest("sign_in_failed")[0], actor_id=key.id, target_id=key.id, reason="This API key was revoked.")


def test_a_flood_of_wrong_keys_does_not_fill_the_log(app: Any, newest: Callable[..., list[Any]], monkeypatch: Any) -> None:
    monkeypatch.setattr(recording, "FAILED_SIGN_INS_A_MINUTE", 5)
    for _ in range(12):
        Caller(app.test_client(), "wrong").get("/v1/imports")
    assert len(newest("sign_in_failed")) == 5
    app.extensions["failed_sign_ins"]._until = 0.0  # the minute is over
    Caller(app.test_client(), "wrong").get("/v1/imports")
    assert newest("sign_in_failed")[0]["details"]["not_recorded_before"] == "7"


def test_by_the_pages(browser: Any, edges: AppContext, settings: Settings, newest: Callable[..., list[Any]]) -> None:
    populate(edges, settings, (State.VALIDATING,))
    for verb in ("pause", "resume", "cancel"):
        fields = button(browser.get(f"/imports/{IMPORT_ID}").text, f"/imports/{IMPORT_ID}/{verb}")
        assert browser.post(f"/imports/{IMPORT_ID}/{verb}", data=fields).status_code == 303
        _is(newest(verb)[0], target_id=IMPORT_ID, result="ok")
    token = csrf(browser, "/sql")
    for do, status in (("run", 200), ("plan", 200), ("csv", 200)):
        assert browser.post("/sql", data={"sql": "select 1", "do": do, "csrf_token": token}).status_code == status
        _is(newest("sql")[0], result="ok", status=status)
        assert newest("sql")[0]["details"]["do"] == do
    browser.post("/sql", data={"sql": "drop table x", "do": "run", "csrf_token": token})
    _is(newest("sql")[0], result="refused", status=400)
    at = {"csrf_token": csrf(browser, "/admin/keys")}
    page = browser.post("/admin/keys", data={"name": "by page", "role": "reader", "expires_days": "30", **at}).text
    made = newest("key_created")[0]
    assert made["details"]["name"] == "by page" and "expires" in made["details"]
    text = re.search(r'<code class="key">(bk_[^<]+)<', page)
    again = browser.post(f"/admin/keys/{made['target_id']}/rotate", data={"overlap_days": "0", **at})
    assert again.status_code == 201 and "no longer works" in again.text
    _is(newest("key_rotated")[0], target_id=made["target_id"], result="ok")
    assert text is not None and edges.keys.examine(text[1]).fault.startswith("This API key was replaced on")
    browser.post(f"/admin/keys/{made['target_id']}/revoke", data=at)
    _is(newest("key_revoked")[0], target_id=made["target_id"])
    assert edges.ledger.audit_log.verify().ok


# --- the page of the log ---


def test_the_page_and_its_files(admin: tuple[Caller, ApiKey], browser: Any, edges: AppContext) -> None:
    caller, _ = admin
    for number in range(60):
        edges.keys.create(f"key {number} <b>", Role.READER)
    page = browser.get("/admin/audit-log").text
    assert "key 59 &lt;b&gt;" in page and "<b>" not in page and page.count("<tr>") == 51
    older = re.search(r'href="(/admin/audit-log\?[^"]*before=[^"]*)"', page)
    assert older is not None
    assert "key 9 &lt;b&gt;" in browser.get(older[1].replace("&amp;", "&")).text
    assert "No events match" in browser.get("/admin/audit-log?actor=nothing").text
    assert "Sign in" in browser.get("/admin/audit-log?action=sign_in&result=ok&since=2020-01-01&until=2100-01-01").text
    for wrong in ("action=x", "result=x", "since=x", "before=x", "until=10000-01-01"):
        assert browser.get(f"/admin/audit-log?{wrong}").status_code == 400, wrong
    file = browser.get("/v1/audit-log?format=csv&action=key_created").text
    assert file.splitlines()[0].startswith("seq,at,action") and len(file.splitlines()) >= 62
    first = caller.get("/v1/audit-log?limit=2").json
    second = caller.get(f"/v1/audit-log?limit=2&cursor={first['next_cursor']}").json
    seqs = [event["seq"] for event in (*first["items"], *second["items"])]
    assert seqs == sorted(seqs, reverse=True) and len({*seqs}) == 4
    assert caller.get("/v1/audit-log?action=nothing").status_code == 422
    assert 'href="/admin/audit-log"' in page


def test_it_is_for_admins(app: Any, edges: AppContext, caller_for: Callable[[str], Caller]) -> None:
    client = app.test_client()
    _, key = edges.keys.create("a reader", Role.READER)
    follow_link(client, edges.keys.sign_in_token(key.id))
    assert client.get("/admin/audit-log").status_code == 403
    assert "audit-log" not in client.get("/imports").text
    assert caller_for("uploader").get("/v1/audit-log").status_code == 403


# --- if it cannot be written ---


@pytest.fixture
def unwritable(settings: Settings, edges: AppContext, admin: tuple[Caller, ApiKey]) -> Caller:
    """An admin's caller, on a database whose audit log takes no event."""
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("alter table ledger.audit_event add constraint broken check (false) not valid")
    return admin[0]


def test_nothing_is_done_or_answered_that_cannot_be_recorded(
    unwritable: Caller, edges: AppContext, settings: Settings, app: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    populate(edges, settings, (State.VALIDATING,))
    before = len(edges.keys.list())
    for method, path, options in (
        ("POST", "/v1/keys", {"json": {"name": "n"}}),
        ("POST", "/v1/query", {"json": {"sql": "select 'the answer'"}}),
        ("GET", "/v1/datasets/places/records?format=csv", {}),
        ("POST", f"/v1/imports/{IMPORT_ID}/cancel", {}),
        ("POST", "/v1/datasets/places/imports", {"data": CSV}),
    ):
        for _ in range(3):  # no slot for exports or uploads stays taken
            answer = unwritable(method, path, **options)
            assert (answer.status_code, answer.json["code"]) == (503, "unreachable"), path
            assert "the answer" not in answer.text and "Paris" not in answer.text
    assert len(edges.keys.list()) == before
    one = edges.ledger.imports.known(IMPORT_ID)
    assert one.state is State.VALIDATING and not one.cancel_requested
    others = [found.state for found in edges.ledger.imports.page() if found.id != IMPORT_ID]
    assert {*others} == {State.EXPIRED}, "nothing of the uploads is imported"
    key = next(key for key in edges.keys.list() if key.name == "Ann")
    client = app.test_client()
    assert follow_link(client, edges.keys.sign_in_token(key.id)).status_code == 503
    assert client.get("/imports").location == "/sign-in", "there is no session"
    assert "audit event not written" in capfd.readouterr().err


def test_a_refusal_stays_a_refusal(unwritable: Caller, caller_for: Callable[[str], Caller]) -> None:
    assert unwritable("DELETE", f"/v1/keys/{DELETED}").status_code == 404


# --- behind a proxy ---


@pytest.mark.parametrize(("proxies", "seen"), [(0, "127.0.0.1"), (1, "192.0.2.7"), (2, "198.51.100.3")])
def test_the_address_of_the_client(
    proxies: int, seen: str, settings: Settings, edges: AppContext, keys: ApiKeys, newest: Callable[..., list[Any]]
) -> None:
    app = create_app(settings.model_copy(update={"trusted_proxies": proxies}), context=edges)
    text, key = keys.create("Ann", Role.READER)
    headers = {
        "X-Forwarded-For": "203.0.113.9, 198.51.100.3, 192.0.2.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil",
    }
    answer = Caller(app.test_client(), text).post("/v1/query", json={"sql": "select 1"}, headers=headers)
    assert answer.status_code == 200
    assert newest("sql")[0]["address"] == seen
    assert next(one for one in keys.list() if one.id == key.id).last_address == seen


def test_every_view_that_changes_something_is_recorded(app: Any) -> None:
    """A view that takes a form or a body is one of these, or it names its action."""
    unrecorded = {
        *(
            "previews.preview",
            "any_previews.preview_any",
            "upload_pages.look",
            "pages.sign_in_with_key",
            "multipart.open_upload",
            "multipart.abort",
        ),
        *("definitions.propose", "new_dataset_pages.keep_file", "new_dataset_pages.check", "dataset_pages.preview_change"),
        *("admin.test_receiver", "admin.resend", "webhooks.test_receiver", "webhooks.resend_delivery"),
    }
    changing = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
        and not hasattr(app.view_functions[rule.endpoint], "bulkhead_audited")
    }
    assert changing == unrecorded
