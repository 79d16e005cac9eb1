"""Logins to the database, with PostgreSQL's own client library: what one reads, what it cannot, and how it ends."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg import errors as pg

from pipeline.database_logins import DatabaseLogins
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Wanted
from pipeline.ledger.database_logins import LIVE_MAX
from pipeline.ledger.sessions import Grant, Identity, ProviderSession
from pipeline.settings import Settings
from tests.support.html_page import EVIL, Page
from tests.support.http import Caller
from tests.support.records import put
from tests.support.waiting import wait_until
from web import create_app
from web.app_context import AppContext


class Desk:
    """Makes keys, and logins with them; all logins are revoked in the end, since roles are of the whole server."""

    def __init__(self, app: Flask, edges: AppContext) -> None:
        self.app, self.edges = app, edges
        self.logins = DatabaseLogins(edges.engine, edges.settings)

    def key(self, *datasets: str, role: str = "reader", **more: Any) -> tuple[Caller, str]:
        """Return a caller with a key for these datasets (none: all), and the key's ID."""
        text, key = self.edges.keys.create("a person", Role(role), datasets or None, **more)
        return Caller(self.app.test_client(), text), key.id

    def login(self, caller: Caller, **body: Any) -> dict[str, Any]:
        """Return a new login of a caller."""
        made = caller.post("/v1/database-logins", json={"label": "psql", **body})
        assert made.status_code == 201, made.text
        return dict(made.json)


@pytest.fixture
def desk(app: Flask, edges: AppContext, settings: Settings) -> Iterator[Desk]:
    put(settings, ("a", None), ("b", "a"))
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "insert into warehouse.places (id, name, kind, _import_id, _row) values ('FR', 'France', 'Country', %s, 1)",
            (uuid.uuid4(),),
        )
    desk = Desk(app, edges)
    yield desk
    for one in desk.logins.list(None):
        desk.logins.end_of(one.owner_id, "The test ended.")


def connected(made: dict[str, Any]) -> psycopg.Connection[Any]:
    return psycopg.connect(made["url"], autocommit=True, connect_timeout=10)


def roles(settings: Settings) -> set[str]:
    with psycopg.connect(settings.database_url) as connection:
        return {name for (name,) in connection.execute("select rolname from pg_roles where rolname like 'bulkhead_login%'")}


CHANGES = (
    "insert into records (id, _import_id, _row) values ('x', gen_random_uuid(), 9)",
    "update records set name = 'x'",
    "delete from records",
    "truncate warehouse.records",
    "drop view records",
    "create table mine (a int)",
    "create table public.mine (a int)",
    "create temporary table mine (a int)",
    "create schema mine",
    "create role mine",
    "alter role current_user createrole",
    "copy records to program 'true'",
)


def test_a_login_reads_its_datasets_and_nothing_else(desk: Desk, settings: Settings) -> None:
    made = desk.login(desk.key("records")[0])
    assert made["datasets"] == ["records"] and made["password"] in made["url"] and made["user"].startswith("bulkhead_login_")
    with connected(made) as connection:
        assert connection.execute("select id from records order by id").fetchall() == [("a",), ("b",)]
        assert connection.execute("select count(*) from import_findings").fetchall() == [(0,)]
        for others in ("places", "warehouse.places", "warehouse.records", "ledger.import", "access.api_key"):
            with pytest.raises((pg.UndefinedTable, pg.InsufficientPrivilege)):
                connection.execute(f"select * from {others}")
        with pytest.raises(pg.InsufficientPrivilege):
            connection.execute("set role bulkhead_reader")
        for is_lifted in (False, True):
            for change in CHANGES:
                if is_lifted:  # a session may say so; it has no right to change anything all the same
                    connection.execute("set default_transaction_read_only = off")
                with pytest.raises((pg.InsufficientPrivilege, pg.ReadOnlySqlTransaction)):
                    connection.execute(change)
        shown = connection.execute(
            "select name, setting from pg_settings where name in ('statement_timeout', 'work_mem', 'lock_timeout')"
        ).fetchall()
        assert dict(shown) == {
            "statement_timeout": f"{int(settings.sql_seconds * 1000)}",
            "work_mem": "16384",
            "lock_timeout": "2000",
        }
    for wrong in (made["url"].replace(made["password"], "x"), made["url"].replace(made["password"], "")):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(wrong, connect_timeout=10)


def test_a_login_for_all_datasets(desk: Desk) -> None:
    with connected(desk.login(desk.key()[0])) as connection:
        assert connection.execute("select (select count(*) from records), (select count(*) from places)").fetchone() == (2, 1)
        with pytest.raises(pg.InsufficientPrivilege):
            connection.execute("select * from ledger.import")
        connection.execute("set default_transaction_read_only = off")
        with pytest.raises(pg.InsufficientPrivilege):
            connection.execute("delete from records")


def test_a_revoked_login_ends_with_its_sessions(desk: Desk, settings: Settings) -> None:
    caller, _ = desk.key("records")
    made, other = desk.login(caller), desk.login(caller)
    with connected(made) as connection, connected(other) as second:
        assert connection.execute("select 1").fetchone() == (1,)
        assert caller("DELETE", f"/v1/database-logins/{made['id']}").status_code == 204
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
        assert second.execute("select count(*) from records").fetchone() == (2,), "the other login goes on"
    with pytest.raises(psycopg.OperationalError):
        connected(made)
    assert made["user"] not in roles(settings) and other["user"] in roles(settings)
    again = caller("DELETE", f"/v1/database-logins/{made['id']}")
    assert (again.status_code, again.json["code"]) == (404, "unknown_login")
    listed = caller.get("/v1/database-logins")
    assert [one["revoked_because"] for one in listed.json["items"]] == ["", "Revoked by a person."]
    assert made["password"] not in listed.text and other["password"] not in listed.text


def test_logins_are_of_their_owner(desk: Desk) -> None:
    mine, others, admin = desk.key("records")[0], desk.key("records")[0], desk.key(role="admin")[0]
    made = desk.login(mine)
    assert others.get("/v1/database-logins").json["items"] == []
    assert others("DELETE", f"/v1/database-logins/{made['id']}").status_code == 404
    assert [one["id"] for one in admin.get("/v1/database-logins").json["items"]] == [made["id"]]
    with connected(made) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    assert admin("DELETE", f"/v1/database-logins/{made['id']}").status_code == 204


def test_a_login_ends_with_its_key(desk: Desk, settings: Settings) -> None:
    caller, key_id = desk.key("records")
    made = desk.login(caller)
    assert desk.key(role="admin")[0]("DELETE", f"/v1/keys/{key_id}").status_code == 204
    with pytest.raises(psycopg.OperationalError):
        connected(made)
    assert made["user"] not in roles(settings)


def test_what_the_worker_ends(desk: Desk, settings: Settings) -> None:
    """A key that was revoked elsewhere or has expired, a login past its time, and one whose columns are masked now."""
    soon = datetime.now(UTC) + timedelta(days=2)
    (revoked, revoked_id), (expiring, expiring_id), (kept, _) = (
        desk.key("records"),
        desk.key("records", expires_at=soon),
        desk.key("records"),
    )
    of_revoked, of_expiring, past, stays = desk.login(revoked), desk.login(expiring), desk.login(kept, days=1), desk.login(kept)
    assert datetime.fromisoformat(of_expiring["expires_at"]) == soon, "it does not outlast its key"
    assert desk.logins.keep_up() == 0
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("update access.api_key set revoked_at = now() where id = %s", (revoked_id,))
        connection.execute("update access.api_key set expires_at = now() where id = %s", (expiring_id,))
        connection.execute("update access.database_login set expires_at = now() where id = %s", (past["id"],))
    assert desk.logins.keep_up() == 3
    assert roles(settings) & {one["user"] for one in (of_revoked, of_expiring, past, stays)} == {stays["user"]}
    assert {one.revoked_because for one in desk.logins.list(None)} == {
        "",
        "It has expired.",
        "Its API key was revoked or has expired.",
    }
    events = desk.edges.ledger.audit_log.page(Wanted(action="database_login_revoked"))
    assert [one["actor_kind"] for one in events] == ["system"] * 3
    assert desk.logins.keep_up() == 0


def test_a_removal_that_was_interrupted_is_finished(desk: Desk, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    caller, _ = desk.key("records")
    made = desk.login(caller)
    with monkeypatch.context() as change:
        change.setattr("pipeline.warehouse.login_roles.drop", lambda *_: (_ for _ in ()).throw(pg.LockNotAvailable("busy")))
        assert caller("DELETE", f"/v1/database-logins/{made['id']}").status_code == 204
    assert made["user"] in roles(settings)
    with pytest.raises(psycopg.OperationalError):
        connected(made)
    desk.logins.keep_up()
    assert made["user"] not in roles(settings)


def test_sessions_beyond_their_limits_are_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session may lift its own time limit, and take a lock by a number that is ours."""
    monkeypatch.setattr("pipeline.warehouse.login_roles.UNRULY_AFTER", -1_000)
    made = desk.login(desk.key("records")[0])
    with ExitStack() as held:
        locking, slow, idle = (held.enter_context(connected(made)) for _ in range(3))
        locking.execute("select pg_advisory_lock(727074002)")
        slow.execute("set statement_timeout = 0")
        ended = threading.Event()

        def sleep() -> None:
            with suppress(psycopg.Error):
                slow.execute("select pg_sleep(600)")
            ended.set()

        threading.Thread(target=sleep, daemon=True).start()

        def is_ended() -> bool:
            desk.logins.keep_up()
            return ended.is_set()

        wait_until(is_ended, 300.0)
        with pytest.raises(psycopg.OperationalError):
            locking.execute("select 1")
        assert idle.execute("select 1").fetchone() == (1,)


def test_a_person_whose_datasets_change(desk: Desk, settings: Settings) -> None:
    rules = '[{"claim": "sub", "equals": "x", "role": "reader"}]'
    given = {"oidc_issuer": "https://id.example", "oidc_client_id": "x", "oidc_rules": rules}
    app, sessions = create_app(settings.model_copy(update=given), context=desk.edges), desk.edges.sessions
    person = sessions.know(Identity("https://id.example", "x", "Eve Example"))

    def signed_in(*datasets: str) -> FlaskClient:
        grant = Grant(Role.READER, datasets, app.extensions["sso"].digest)
        token = sessions.open(person, grant, ProviderSession("", ""), limit=timedelta(hours=1), address="")
        client = app.test_client()
        with client.session_transaction() as session:
            session["sso"] = token
        return client

    from web.http import sso

    client = signed_in("records")
    with client.session_transaction() as session:
        session[sso.TOKEN] = session.pop("sso")
    token = Page(client.get("/connect").text).field("csrf_token")
    made = client.post("/connect", data={"csrf_token": token, "label": "DBeaver", "days": "30"})
    assert made.status_code == 201
    (login,) = desk.logins.list(person)
    assert (login.owner_kind, login.owner_name, login.datasets) == ("user", "Eve Example", ("records",))
    assert client.post("/connect", data={"csrf_token": token, "label": "DBeaver", "days": "90"}).status_code == 400
    assert desk.logins.keep_up() == 0
    signed_in("places")
    assert desk.logins.keep_up() == 1
    assert desk.logins.list(person)[0].revoked_because == "The datasets of its owner have changed."


def test_on_the_page(desk: Desk, browser: FlaskClient, settings: Settings) -> None:
    def post(to: str, **fields: str) -> Any:
        return browser.post(to, data={"csrf_token": Page(browser.get("/connect").text).field("csrf_token"), **fields})

    made = post("/connect", label=EVIL, days="7")
    page = Page(made.text)
    page.assert_tame()
    assert made.status_code == 201
    (login,) = desk.logins.list(None)
    assert login.role in page.text and "Copy the password now" in page.text
    again = browser.get("/connect").text
    assert "Copy the password now" not in again and "psql" in again and "USER:PASSWORD" in again
    for wrong in ({"label": "", "days": "7"}, {"label": "x", "days": "91"}, {"label": "x", "days": "a"}, {"label": "x" * 81}):
        assert post("/connect", **wrong).status_code == 400
    assert browser.post("/connect", data={"label": "x"}).status_code == 403
    assert post(f"/connect/{login.id}/revoke").status_code == 303
    assert "Revoked by a user of a test." in browser.get("/connect").text
    assert post(f"/connect/{login.id}/revoke").status_code == 404
    assert post("/connect/x/revoke").status_code == 404


def test_its_events_have_no_secret(desk: Desk) -> None:
    caller, key_id = desk.key("records")
    made = desk.login(caller)
    caller("DELETE", f"/v1/database-logins/{made['id']}")
    for action in ("database_login_created", "database_login_revoked"):
        (event,) = desk.edges.ledger.audit_log.page(Wanted(action=action))
        assert (event["actor_id"], event["target_id"], event["details"]["user"]) == (key_id, made["id"], made["user"])
        assert made["password"] not in str(event)


def test_there_are_not_too_many(desk: Desk) -> None:
    caller, _ = desk.key("records")
    for _ in range(LIVE_MAX):
        desk.login(caller)
    refused = caller.post("/v1/database-logins", json={"label": "x"})
    assert (refused.status_code, refused.json["code"]) == (400, "unusable") and "which is the limit" in refused.json["detail"]


def test_switched_off(desk: Desk, settings: Settings) -> None:
    caller, _ = desk.key("records")
    made = desk.login(caller)
    off = settings.model_copy(update={"connect_address": "off"})
    assert DatabaseLogins(desk.edges.engine, off).keep_up() == 1
    with pytest.raises(psycopg.OperationalError):
        connected(made)


@pytest.mark.settings(connect_address="off")
def test_the_page_says_that_it_is_off(browser: FlaskClient) -> None:
    assert "switched off here" in browser.get("/connect").text
    token = Page(browser.get("/").text).field("csrf_token")
    refused = browser.post("/connect", data={"csrf_token": token, "label": "x"})
    assert refused.status_code == 400 and "switched off here" in refused.text
