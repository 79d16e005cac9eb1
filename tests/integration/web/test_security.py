"""What docs/security.md says that no other test shows."""

from __future__ import annotations

import json
import re
import socket
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import requests

from pipeline.adapters.s3 import Store
from pipeline.contracts.states import State
from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.settings import Settings
from tests.support.html_page import EVIL
from tests.support.http import Caller, csrf, follow_link
from tests.support.web_app import Server
from web import create_app
from web.app_context import AppContext
from web.http.auth import for_anyone

CSV = b"id,parentId,name,kind\nFR,,France,Country\n"


# --- uploads ---


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(server: Server, edges: AppContext) -> None:
    """The answer comes although not one byte of the body did."""
    size = edges.settings.max_upload_bytes + 1
    head = (
        f"POST /v1/datasets/places/imports HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
        f"Content-Length: {size}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(server.address, timeout=300) as connection:
        connection.sendall(head.encode())
        began = time.monotonic()
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert time.monotonic() - began < 10
    assert edges.ledger.imports.page() == []


def test_a_stored_file_is_never_shown_as_a_page(
    caller_for: Callable[[str], Caller], evil_import: str, app: Any, store: Store
) -> None:
    """Each GET of an import that gives anything but JSON gives a file to be saved; but the report, in which nothing runs."""
    reader, files = caller_for("reader"), 0
    for kind in ("csv", "json", "xlsx"):
        store.put_bytes(f"reports/{evil_import}/findings.{kind}", EVIL.encode())
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<name:import_id>", evil_import).replace("<rest:page>", "index.html")
        if "GET" not in (rule.methods or ()) or not path.startswith("/v1/imports/") or path.endswith("/events"):
            continue
        for kind in ("", "?format=csv", "?format=json", "?format=parquet", "?format=xlsx", "?format=native"):
            answer = reader.get(path + kind)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            if "/report/" in path:
                assert "sandbox" in answer.headers["Content-Security-Policy"]
            elif (answer.content_type or "").split(";")[0] not in ("application/json", "application/problem+json", "text/html"):
                assert answer.headers["Content-Disposition"].startswith("attachment; ")
                files += 1
            elif answer.content_type == "text/html; charset=utf-8":
                assert answer.status_code == 308
    assert files >= 3


# --- keys ---


def _follow_link(session: requests.Session, url: str, token: str) -> None:
    """Open a sign-in link and press its button."""
    page = session.get(f"{url}/sign-in?token={token}", timeout=300)
    fields = dict(re.findall(r'name="(csrf_token|token)" value="([^"]+)"', page.text))
    assert session.post(f"{url}/sign-in", data=fields, timeout=300).ok


def test_a_revoked_key_opens_nothing_a_second_later(server: Server, edges: AppContext) -> None:
    """Not in either process of the server, not by a session, and not by a stream that is open already."""
    text, key = edges.keys.create("gone soon", Role.UPLOADER)
    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(import_id, dataset="places", filename="a.csv", bucket="b", key="k", state=State.QUEUED)
    headers, session = {"Authorization": f"Bearer {text}"}, requests.Session()
    _follow_link(session, server.url, edges.keys.sign_in_token(key.id))
    stream = requests.get(f"{server.url}/v1/imports/{import_id}/events", headers=headers, stream=True, timeout=300)
    lines = stream.iter_lines()
    assert next(lines).startswith(b"retry")
    edges.keys.revoke(key.id)
    revoked = time.monotonic()
    for _ in range(12):  # both processes
        assert requests.get(f"{server.url}/v1/imports", headers=headers, timeout=300).status_code == 401
        assert session.get(f"{server.url}/imports", timeout=300, allow_redirects=False).headers["Location"] == "/sign-in"
    edges.ledger.imports.move(import_id, State.CANCELED, "said after the revocation")
    assert "said after" not in b"".join(lines).decode()
    assert time.monotonic() - revoked < 10, "the stream has ended, long before its minute"


def test_no_key_and_no_token_is_in_any_log(server: Server, edges: AppContext) -> None:
    text, key = edges.keys.create("a user of a test", Role.ADMIN)
    token = edges.keys.sign_in_token(key.id)
    wrong = f"bk_{uuid.uuid4().hex}_{'5ec4e7' * 8}"
    headers = {"Authorization": f"Bearer {text}"}
    session = requests.Session()
    _follow_link(session, server.url, token)
    page = session.get(f"{server.url}/sign-in", timeout=300).text
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None
    for given in (text, wrong):
        session.post(f"{server.url}/sign-in", data={"key": given, "csrf_token": found[1]}, timeout=300)
        requests.get(f"{server.url}/v1/imports", headers={"Authorization": f"Bearer {given}"}, timeout=300)
        requests.get(f"{server.url}/v1/imports?key={given}", headers=headers, timeout=300)
        requests.get(f"{server.url}/{given}", headers=headers, timeout=300)
        requests.post(f"{server.url}/v1/query", json={"sql": f"select '{given}'"}, headers=headers, timeout=300)
    made = requests.post(f"{server.url}/v1/keys", json={"name": "n"}, headers=headers, timeout=300).json()
    rotating = f"{server.url}/v1/keys/{made['id']}/rotate"
    rotated = requests.post(rotating, json={"overlap_seconds": 0}, headers=headers, timeout=300).json()["key"]
    glass, _ = edges.keys.create("emergency", Role.ADMIN, is_break_glass=True)
    gone, gone_key = edges.keys.create("gone", Role.ADMIN)
    edges.keys.revoke(gone_key.id)
    for given in (made["key"], rotated, glass, gone):  # replaced, valid, for emergencies, revoked
        for path in ("/v1/imports", "/v1/audit-log?format=ndjson"):
            requests.get(server.url + path, headers={"Authorization": f"Bearer {given}"}, timeout=300)
    said = server.log.read_text() + str([dict(event) for event in edges.ledger.audit_log.in_order()])
    assert said.count("key_id") > 10, "the log was caught"
    secrets = (text, wrong, made["key"], rotated, glass, gone)
    for secret in (token, *secrets, *(one.rsplit("_", 1)[1] for one in secrets)):
        assert secret not in said


def test_a_dump_of_the_database_opens_no_door(keys: ApiKeys, app: Any, settings: Settings) -> None:
    text, key = keys.create("me", Role.ADMIN)
    token = keys.sign_in_token(key.id)
    with psycopg.connect(settings.database_url) as connection:
        kept = str([connection.execute(f"select * from access.{table}").fetchall() for table in ("api_key", "sign_in")])
    hashes = re.findall(r"[0-9a-f]{64}", kept)
    assert len(hashes) == 2 and text.rsplit("_", 1)[1] not in kept and token not in kept
    for found in (*hashes, *(one[:48] for one in hashes)):
        for given in (found, f"bk_{uuid.UUID(key.id).hex}_{found}"):
            headers = {"Authorization": f"Bearer {given}"}
            assert app.test_client().get("/v1/imports", headers=headers).status_code == 401
            assert follow_link(app.test_client(), given).status_code == 401


# --- the log as an audit trail ---


def test_who_did_what_is_in_the_log(
    settings: Settings, edges: AppContext, browser: Any, keys: ApiKeys, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each change, and each query: which key, which route, what came of it; and whose key an import is."""
    app = create_app(settings.model_copy(update={"log_format": "json"}), context=edges)
    text, key = keys.create("a user of a test", Role.ADMIN)
    api = Caller(app.test_client(), text)
    import_id = api.upload(CSV).json["id"]
    made = api.post("/v1/keys", json={"name": "n", "role": "reader", "datasets": ["places"]}).json["id"]
    api.post("/v1/query", json={"sql": "select 'not to be logged'"})
    api.post(f"/v1/imports/{import_id}/pause")
    api.post(f"/v1/imports/{import_id}/cancel")
    api("DELETE", f"/v1/keys/{made}")
    api.post("/v1/keys", json={"name": "n", "role": "admin", "datasets": ["places"]})
    said = capfd.readouterr().err
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    mine = [line for line in lines if line.get("key_id") == key.id]
    assert [(line["method"], line["route"], line["status"]) for line in mine if line["event"] == "request"] == [
        ("POST", "/v1/datasets/<name:dataset>/imports", 202),
        ("POST", "/v1/keys", 201),
        ("POST", "/v1/query", 200),
        ("POST", "/v1/imports/<name:import_id>/pause", 202),
        ("POST", "/v1/imports/<name:import_id>/cancel", 202),
        ("DELETE", "/v1/keys/<name:key_id>", 204),
        ("POST", "/v1/keys", 400),
    ]
    assert all(line["request_id"] for line in mine if line["event"] == "request")
    (brought,) = (line for line in mine if line["event"] == "uploaded")
    assert (brought["import_id"], brought["dataset"]) == (import_id, "places")
    assert [line["made_id"] for line in mine if line["event"] == "key made"] == [made]
    assert [line["revoked_id"] for line in mine if line["event"] == "key revoked"] == [made]
    assert [line.get("import_id") for line in mine if line.get("route", "").endswith(("/pause", "/cancel"))] == [import_id] * 2
    assert "not to be logged" not in said and "France" not in said
    assert edges.ledger.imports.known(import_id).created_by == key.id


# --- faults ---


class Broken:
    """Edges of which none works."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"SENTINEL at /srv/bulkhead/web/{name}.py: select secret from warehouse.x")


def test_no_fault_of_ours_tells_anything_wherever_it_is(app: Any) -> None:
    app.extensions["bulkhead"] = Broken()
    asked = 0
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if getattr(view, "bulkhead_public", False):
            continue
        path = re.sub(r"<[^>]*>", "x", re.sub(r"<int:\w+>", "1", rule.rule))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            headers = {"Authorization": f"Bearer bk_{uuid.uuid4().hex}_{'0' * 48}", "Accept": "text/html"}
            answer = app.test_client().open(path, method=method, headers=headers)
            asked += 1
            assert answer.status_code == 500, path
            for word in ("SENTINEL", "Traceback", "RuntimeError", "/srv/", "secret"):
                assert word not in answer.text, path
            assert answer.headers["X-Request-Id"] in answer.text
    assert asked > 40


def test_a_public_view_is_one_of_these(app: Any) -> None:
    """What needs no key is a short list, which grows on purpose alone."""
    public = {
        rule.rule for rule in app.url_map.iter_rules() if getattr(app.view_functions[rule.endpoint], "bulkhead_public", False)
    }
    assert public == {
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/docs/<name:guide>",
        "/problems",
        "/sign-in",
        "/static/<path:filename>",
    }
    assert for_anyone(lambda: None).bulkhead_public  # type: ignore[attr-defined]


def test_every_form_of_every_page_carries_the_token(browser: Any, evil_import: str) -> None:
    seen = 0
    for path in ("/", "/sql", f"/imports/{evil_import}", "/admin/keys", "/admin/webhooks", "/datasets"):
        forms = re.findall(r"<form[^>]*method=\"post\".*?</form>", browser.get(path).text, re.DOTALL)
        assert all('name="csrf_token"' in form for form in forms), path
        seen += len(forms)
    assert seen > 5
    assert len(csrf(browser, "/")) > 40


def test_stored_reports_and_results_are_not_public_in_s3(store: Store, evil_import: str) -> None:
    """A client that knows a key of S3 still needs a signature."""
    url = f"{store._s3.meta.endpoint_url}/{store.bucket}/reports/{evil_import}/groups.json"
    assert requests.get(url, timeout=300).status_code == 403
    assert EVIL in store.get_bytes(f"reports/{evil_import}/groups.json").decode().replace("\\", "")
