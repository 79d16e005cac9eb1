"""Keys that expire, keys that are rotated with an overlap, and the key for emergencies."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pytest_httpserver import HTTPServer
from sqlalchemy import event
from typer.testing import CliRunner

from pipeline import retention
from pipeline.adapters.s3 import Store
from pipeline.cli.commands import app as commands
from pipeline.cli.doctor import checked
from pipeline.errors import InvalidRequest, NotFound
from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.ledger.audit_log import Wanted
from pipeline.notify.break_glass import Use, tell_of
from pipeline.settings import Settings
from tests.support.http import Caller, follow_link
from tests.support.waiting import wait_until
from web.app_context import AppContext

DAY = timedelta(days=1)


def _in(time: timedelta) -> datetime:
    return datetime.now(UTC) + time


def _set(settings: Settings, key_id: str, column: str, value: Any) -> None:
    """Put a time of a key where it is after some days."""
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(f"update access.api_key set {column} = %s where id = %s", (value, key_id))  # type: ignore[arg-type]


# --- expiry ---


def test_an_expired_key_is_refused_and_told_so(settings: Settings, app: Any, keys: ApiKeys) -> None:
    text, key = keys.create("nightly", Role.READER, expires_at=_in(DAY))
    client = app.test_client()
    follow_link(client, keys.sign_in_token(key.id))
    link = keys.sign_in_token(key.id)
    assert Caller(app.test_client(), text).get("/v1/imports").status_code == client.get("/imports").status_code == 200
    _set(settings, key.id, "expires_at", datetime(2026, 3, 1, tzinfo=UTC))
    answer = Caller(app.test_client(), text).get("/v1/imports")
    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")
    assert answer.json["detail"] == "This API key expired on 2026-03-01. Ask an administrator for a new one."
    assert client.get("/imports").location == "/sign-in", "its sessions end, too"
    assert keys.redeem(link) is None
    wrong = text[:-4] + ("0000" if not text.endswith("0000") else "1111")
    detail = Caller(app.test_client(), wrong).get("/v1/imports").json["detail"]
    assert "expired" not in detail, "only what has the secret is told about the key"


def test_an_expiry_in_the_past_is_refused(keys: ApiKeys, caller_for: Callable[[str], Caller]) -> None:
    with pytest.raises(InvalidRequest, match="has passed"):
        keys.create("late", Role.READER, expires_at=_in(-DAY))
    admin = caller_for("admin")
    for wrong in ("2020-01-01T00:00:00Z", "2100-01-01", "2100-01-01T00:00:00", "soon"):
        assert admin.post("/v1/keys", json={"name": "n", "expires_at": wrong}).status_code in (400, 422), wrong


def test_the_page_and_the_doctor_warn_before_it(browser: Any, keys: ApiKeys, settings: Settings) -> None:
    assert checked("keys", settings).ok
    _, key = keys.create("the nightly <export>", Role.READER, expires_at=_in(20 * DAY))
    assert checked("keys", settings).ok
    _set(settings, key.id, "expires_at", _in(3 * DAY))
    assert "The key the nightly &lt;export&gt; expires on" in browser.get("/admin/keys").text
    found = checked("keys", settings)
    assert found.state == "warn" and "the nightly <export> expires on" in found.detail and "bulkhead key rotate" in found.mend
    _set(settings, key.id, "expires_at", _in(-DAY))
    assert checked("keys", settings).ok, "an expired key is past warning"
    assert ">Expired</span>" in browser.get("/admin/keys").text


def test_an_expiry_is_recorded_once(settings: Settings, store: Store, edges: AppContext) -> None:
    _, key = edges.keys.create("nightly", Role.READER, expires_at=_in(DAY))
    _, kept = edges.keys.create("another", Role.READER)

    def clean() -> int:
        return retention.clean(settings, store, edges.ledger, beat=lambda what: None).expired_keys

    assert clean() == 0
    _set(settings, key.id, "expires_at", _in(-DAY))
    assert (clean(), clean()) == (1, 0)
    (recorded,) = edges.ledger.audit_log.page(Wanted(action="key_expired"))
    assert (recorded["target_id"], recorded["actor_kind"]) == (key.id, "system")
    assert edges.keys.get(kept.id) is not None


# --- rotation ---


def test_both_secrets_work_until_the_overlap_ends(settings: Settings, app: Any, keys: ApiKeys) -> None:
    old, key = keys.create("nightly", Role.READER)
    client, link_to_later = app.test_client(), keys.sign_in_token(key.id)
    follow_link(client, keys.sign_in_token(key.id))
    new, rotated = keys.rotate(key.id, overlap=7 * DAY)
    assert new != old and (rotated.id, rotated.name, rotated.generation) == (key.id, "nightly", 2)
    for text in (old, new):
        assert Caller(app.test_client(), text).get("/v1/imports").status_code == 200
    assert client.get("/imports").status_code == 200
    _set(settings, key.id, "previous_until", _in(-DAY))
    assert Caller(app.test_client(), new).get("/v1/imports").status_code == 200
    detail = Caller(app.test_client(), old).get("/v1/imports").json["detail"]
    assert re.match(r"This API key was replaced on \d{4}-\d\d-\d\d: use the new one\.", detail)
    assert client.get("/imports").location == "/sign-in", "sessions of the old secret end with it"
    fresh = app.test_client()
    follow_link(fresh, link_to_later)
    assert fresh.get("/imports").status_code == 200


def test_without_overlap_and_twice(app: Any, keys: ApiKeys) -> None:
    first, key = keys.create("nightly", Role.READER)
    second, _ = keys.rotate(key.id, overlap=timedelta(0))
    assert [keys.check(text) is not None for text in (first, second)] == [False, True]
    third, _ = keys.rotate(key.id, overlap=DAY)
    fourth, _ = keys.rotate(key.id, overlap=DAY)
    assert [keys.check(text) is not None for text in (second, third, fourth)] == [False, True, True]


def test_what_cannot_be_rotated(settings: Settings, keys: ApiKeys) -> None:
    _, key = keys.create("nightly", Role.READER, expires_at=_in(DAY))
    with pytest.raises(InvalidRequest, match="at most 90 days"):
        keys.rotate(key.id, overlap=91 * DAY)
    with pytest.raises(NotFound):
        keys.rotate(str(uuid.uuid4()), overlap=DAY)
    _set(settings, key.id, "expires_at", _in(-DAY))
    with pytest.raises(InvalidRequest, match=r"expired on .* without another expiry"):
        keys.rotate(key.id, overlap=DAY)
    text, renewed = keys.rotate(key.id, overlap=DAY, expires_at=_in(90 * DAY))
    assert keys.check(text) is not None and renewed.expires_at is not None
    keys.revoke(key.id)
    with pytest.raises(InvalidRequest, match="was revoked"):
        keys.rotate(key.id, overlap=DAY, expires_at=_in(90 * DAY))


def test_over_http(caller_for: Callable[[str], Caller], app: Any, edges: AppContext) -> None:
    admin = caller_for("admin")
    made = admin.post("/v1/keys", json={"name": "n", "expires_at": "2100-01-01T00:00:00Z"}).json
    assert (made["expires_at"], made["is_break_glass"], made["last_address"]) == ("2100-01-01T00:00:00+00:00", False, "")
    again = admin.post(f"/v1/keys/{made['id']}/rotate", json={"overlap_seconds": 3600})
    assert again.status_code == 201 and again.json["key"] != made["key"] and again.json["previous_until"]
    for text in (made["key"], again.json["key"]):
        assert Caller(app.test_client(), text).get("/v1/imports").status_code == 200
    assert admin.post(f"/v1/keys/{uuid.uuid4()}/rotate", json={}).json["code"] == "unknown_key"
    assert admin.post(f"/v1/keys/{made['id']}/rotate", json={"overlap_seconds": 10**9}).status_code == 422
    edges.keys.revoke(made["id"])
    assert admin.post(f"/v1/keys/{made['id']}/rotate", json={}).json["code"] == "unusable"
    listed = next(one for one in admin.get("/v1/keys").json["items"] if one["id"] == made["id"])
    assert listed["last_address"] == "127.0.0.1"
    assert again.json["key"] not in str(listed)


# --- use ---


def test_a_use_is_noted_at_most_once_a_minute(keys: ApiKeys, edges: AppContext, settings: Settings) -> None:
    text, key = keys.create("me", Role.READER)
    written: list[str] = []

    @event.listens_for(edges.engine, "before_cursor_execute")
    def listen(connection: Any, cursor: Any, statement: str, *args: Any) -> None:
        written.extend([statement] if "update access.api_key" in statement else [])

    for _ in range(5):
        assert keys.check(text, "192.0.2.1") is not None
        assert keys.get(key.id, address="192.0.2.2") is not None
    assert len(written) == 1
    assert keys.list()[0].last_address == "192.0.2.1"
    _set(settings, key.id, "last_used_at", _in(-timedelta(minutes=2)))
    keys.get(key.id, address="192.0.2.2")
    assert (len(written), keys.list()[0].last_address) == (2, "192.0.2.2")


# --- the key for emergencies ---


def test_each_use_of_a_break_glass_key_is_recorded_and_told(
    settings: Settings, app: Any, edges: AppContext, keys: ApiKeys
) -> None:
    with pytest.raises(InvalidRequest, match="its role is admin"):
        keys.create("emergency", Role.READER, is_break_glass=True)
    object.__setattr__(edges, "settings", settings.model_copy(update={"email_to": ("ops@example.org",)}))
    object.__setattr__(edges.recipients, "_settings", edges.settings)
    text, key = keys.create("emergency", Role.ADMIN, is_break_glass=True)
    caller = Caller(app.test_client(), text)
    assert caller.get("/v1/imports").status_code == caller.get("/v1/keys").status_code == 200
    assert caller.get("/v1/imports/nothing").status_code == 404
    assert caller.post("/v1/query", json={"sql": "select 1"}).status_code == 200
    used = edges.ledger.audit_log.page(Wanted(actor=key.id))
    assert [(one["action"], one["target_id"], one["result"]) for one in used] == [
        ("sql", "", "ok"),
        ("break_glass", "GET /v1/imports/<name:import_id>", "refused"),
        ("break_glass", "GET /v1/keys", "ok"),
        ("break_glass", "GET /v1/imports", "ok"),
    ]
    assert used[0]["details"]["break_glass"] == "true"
    wait_until(lambda: len([*settings.outbox_dir.glob("*")]) > 0, 300.0)
    assert not keys.is_to_be_told(key.id), "within the hour no further message"
    mail = next(settings.outbox_dir.glob("*")).read_text()
    assert "A break-glass key of Bulkhead is in use" in mail and "emergency" in mail and "127.0.0.1" in mail
    assert text.rsplit("_", 1)[1] not in mail


def test_who_is_told(edges: AppContext, settings: Settings, httpserver: HTTPServer) -> None:
    """The recipients for all datasets; one that fails does not keep the others from it."""
    httpserver.expect_request("/ok").respond_with_data("")
    httpserver.expect_request("/broken").respond_with_data("", 500)
    some = settings.model_copy(update={"webhook_allow_private": True})
    object.__setattr__(edges.recipients, "_settings", some)
    for path, datasets in (("/broken", None), ("/ok", None), ("/places", ["places"])):
        edges.recipients.add(httpserver.url_for(path), datasets)
    use = Use("emergency", "192.0.2.1", datetime.now(UTC))
    assert tell_of(use, edges.recipients, some) == 1
    assert sorted(request.path for request, _ in httpserver.log) == ["/broken", "/ok"]
    sent = json.loads(next(request.data for request, _ in httpserver.log if request.path == "/ok"))
    assert (sent["type"], sent["data"]["key"]) == ("bulkhead.break_glass", "emergency")


# --- by the command line ---


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Runs `bulkhead` on this test's database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BULKHEAD_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    return lambda *args, code=0: _ran(CliRunner().invoke(commands, [str(arg) for arg in args]), code)


def _ran(result: Any, code: int) -> Any:
    assert result.exit_code == code, result.output
    return result


def test_keys_by_the_command_line(run: Callable[..., Any], keys: ApiKeys, edges: AppContext) -> None:
    made = json.loads(run("key", "create", "nightly", "--expires", "90d", "--json").stdout)
    assert timedelta(days=89) < datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC) < timedelta(days=91)
    rotated = run("key", "rotate", made["id"], "--overlap", "7d", "--expires", "2100-01-31")
    assert keys.check(made["key"]) is not None and keys.check(rotated.stdout.strip()) is not None
    assert "The old secret works until" in rotated.stderr
    (listed,) = (one for one in json.loads(run("key", "list", "--json").stdout) if one["id"] == made["id"])
    assert listed["expires_at"].startswith("2100-01-31")
    assert "two secrets" in run("key", "list").stdout.replace("\n", " ") or "two" in run("key", "list").stdout
    glass = json.loads(run("key", "create", "emergency", "--break-glass", "--json").stdout)
    assert (glass["role"], glass["is_break_glass"]) == ("admin", True)
    run("key", "revoke", made["id"])
    for args in (
        ("create", "n", "--expires", "soon"),
        ("create", "n", "--expires", "2001-01-01"),
        ("create", "n", "--break-glass", "--role", "reader"),
        ("rotate", made["id"]),
        ("rotate", str(uuid.uuid4())),
        ("rotate", glass["id"], "--overlap", "1y"),
        ("rotate", glass["id"], "--overlap", "91d"),
    ):
        run("key", *args, code=1)
    events = [(one["action"], one["actor_kind"]) for one in edges.ledger.audit_log.page()]
    assert events == [("key_revoked", "cli"), ("key_created", "cli"), ("key_rotated", "cli"), ("key_created", "cli")]
    assert edges.ledger.audit_log.page()[0]["actor_name"].count("@") == 1


def test_the_audit_log_by_the_command_line(
    run: Callable[..., Any], keys: ApiKeys, edges: AppContext, settings: Settings, tmp_path: Path
) -> None:
    for name in ("a", "b", "=c"):
        keys.create(name, Role.READER)
    keys.revoke(keys.list()[0].id)
    assert len(json.loads(run("audit-log", "list", "--json").stdout)) == 4
    assert len(json.loads(run("audit-log", "list", "--json", "--action", "key_revoked", "--since", "7d").stdout)) == 1
    assert "key_created" in run("audit-log", "list").stdout
    run("audit-log", "list", "--action", "nothing", code=2)
    head = json.loads(run("audit-log", "verify", "--json").stdout)
    assert (head["ok"], head["events"], head["head_seq"]) == (True, 4, 4)
    file = tmp_path / "log.ndjson"
    run("audit-log", "export", "-o", file)
    assert len(file.read_text().splitlines()) == 5, "the export itself is an event, too"
    assert "5 events fit" in run("audit-log", "verify", "--file", file, "--head", head["head_hash"]).stdout
    table = run("audit-log", "export", "--format", "csv", "--until", "2100-01-01").stdout
    assert table.startswith("seq,at,action") and table.count("\n") == 7
    lines = file.read_text().replace('"name": "b"', '"name": "x"')
    file.write_text(lines)
    assert "Event 2 was changed" in run("audit-log", "verify", "--file", file, code=1).stderr
    file.write_text("{}\n")
    assert "Line 1 of the file is no event" in run("audit-log", "verify", "--file", file, code=1).stderr
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("delete from ledger.audit_event where seq = 2")
    assert "Event 2 is missing before event 3." in run("audit-log", "verify", code=1).stderr
    found = json.loads(run("audit-log", "verify", "--json", code=1).stdout)
    assert (found["ok"], found["fault_seq"]) == (False, 3)
    doctors = checked("audit log", settings)
    assert not doctors.ok and "Event 2 is missing" in doctors.detail


def test_a_migration_is_recorded(run: Callable[..., Any], edges: AppContext) -> None:
    assert "ledger at version" in run("migrate").stdout
    (recorded,) = edges.ledger.audit_log.page(Wanted(action="migration"))
    assert (recorded["actor_kind"], recorded["details"]["changed"]) == ("cli", "nothing")
