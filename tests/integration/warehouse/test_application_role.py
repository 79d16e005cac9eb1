"""The application as a role that does not own the ledger: it does all that it has to, and cannot change the audit log."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg import errors as pg
from sqlalchemy import make_url

from pipeline.adapters.postgres import connect
from pipeline.cli.doctor import checked
from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.states import State
from pipeline.errors import NotReady
from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.ledger.audit_log import SYSTEM, Action, AuditLog, Event
from pipeline.settings import Settings
from pipeline.warehouse import application_role, migrate
from pipeline.warehouse.dataset_roles import DatasetRole
from pipeline.warehouse.sql_reader import grant
from tests.support.bulkhead import Bulkhead
from tests.support.http import Caller
from tests.support.waiting import wait_until
from web import create_app
from web.app_context import AppContext

CSV = b"id,parentId,name,kind\nFR,,France,Country\nFR-1,FR,Paris,City\n"


@pytest.fixture
def owner_url(database: str) -> str:
    """The URL of the role that owns the ledger."""
    return database


@pytest.fixture
def role(owner_url: str) -> Iterator[str]:
    """A role as an administrator would create it. Its password is that of the readers' role, which all databases here share."""
    name = f"app_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(f"create role {name} login createrole password '{make_url(owner_url).password}'")  # type: ignore[arg-type]
        yield name
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s",
            (name,),
        )
        connection.execute(f"drop owned by {name} cascade")  # type: ignore[arg-type]
        connection.execute(f"drop role {name}")  # type: ignore[arg-type]


@pytest.fixture
def settings(settings: Settings, owner_url: str, role: str) -> Settings:
    """Settings of the application, in a database that was its owner's before, and is migrated.

    The role of the readers of places belongs to the whole server: it is made before. Another test might make it meanwhile, as
    an administrator, and then it is none that this role may alter.
    """
    engine = connect(settings.database_url, pool_size=1)
    grant(engine, settings, DatasetRole(("places",)))
    engine.dispose()
    url = make_url(owner_url).set(username=role).render_as_string(hide_password=False)
    migrate.migrate(url, owner=owner_url)
    return settings.model_copy(update={"database_url": url})


FORBIDDEN = (
    "update ledger.audit_event set action = 'x'",
    "delete from ledger.audit_event",
    "truncate ledger.audit_event",
    "drop table ledger.audit_event",
    "drop schema ledger cascade",
    "alter table ledger.audit_event disable trigger all",
    "alter table ledger.audit_event owner to current_user",
    "drop trigger audit_event_chain on ledger.audit_event",
    "create or replace function ledger.audit_event_json(one ledger.audit_event) returns text language sql as $$ select '' $$",
    "set session_replication_role = replica",
    "select set_config('bulkhead.audit_log', 'remove', false); delete from ledger.audit_event",
    "alter table ledger.import add column x text",
)


def _is_allowed(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> bool:
    try:
        connection.execute(statement)  # type: ignore[call-overload]
    except pg.InsufficientPrivilege:
        return False
    return True


def test_it_cannot_change_the_audit_log(settings: Settings) -> None:
    engine = connect(settings.database_url, pool_size=1)
    log = AuditLog(engine)
    log.record(Event(Action.SQL, SYSTEM))
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("grant update on ledger.audit_event to current_user")  # which only warns that it grants nothing
        allowed = [statement for statement in FORBIDDEN if _is_allowed(connection, statement)]
    found, verdict = log.protection(), log.verify()
    engine.dispose()
    assert allowed == []
    assert verdict.ok
    assert found is not None
    assert not (found["is_superuser"] or found["is_owner"] or found["may_change"])
    said = checked("audit log", settings)
    assert said.ok and "may only read and append" in said.detail


def test_it_does_all_the_rest(settings: Settings, owner_url: str, bulkhead: Bulkhead) -> None:
    """Upload, load, marts, SQL of a key for all and of a key for some datasets, keys, and a doctor who finds nothing."""
    app = create_app(settings)
    context = app.extensions["bulkhead"]
    keys: ApiKeys = context.keys
    admin = Caller(app.test_client(), keys.create("Ann", Role.ADMIN)[0])
    import_id = admin.upload(CSV).json["id"]
    known = context.ledger.imports.known(import_id)
    bulkhead.orchestrator.announce(ObjectArrived(known.bucket, known.key, import_id))
    wait_until(lambda: context.ledger.imports.known(import_id).state.is_final, 300.0)
    assert context.ledger.imports.known(import_id).state is State.SUCCEEDED
    sql = {"sql": "select count(*)::int from places"}
    assert admin.post("/v1/query", json=sql).json["rows"] == [[2]]
    some = Caller(app.test_client(), keys.create("some", Role.READER, ["places"])[0])
    assert some.post("/v1/query", json=sql).json["rows"] == [[2]]
    assert some.post("/v1/query", json={"sql": "select * from import_findings"}).status_code == 200
    context.marts.refresh("places", seconds=60)
    assert checked("tables", settings).ok
    migrate.migrate(settings.database_url, owner=owner_url)
    assert some.post("/v1/query", json=sql).json["rows"] == [[2]]
    assert context.ledger.audit_log.verify().ok
    context.close()


@pytest.fixture
def two_names(owner_url: str) -> Iterator[tuple[str, str]]:
    """Names of an owner of an empty database, who is no superuser, and of an application's role that does not exist."""
    owner, role = f"owner_{uuid.uuid4().hex[:12]}", f"app_{uuid.uuid4().hex[:12]}"
    password = make_url(owner_url).password
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(f"create role {owner} login createrole password '{password}'".encode())
        connection.execute(f"create database {owner} owner {owner}".encode())
        yield owner, role
        connection.execute(f"drop database {owner} with (force)".encode())
        for name in (role, owner):
            if connection.execute("select 1 from pg_roles where rolname = %s", (name,)).fetchone():
                connection.execute(f"drop owned by {name} cascade".encode())  # privileges on parameters, roles of readers
                connection.execute(f"drop role {name}".encode())


def test_an_owner_that_may_creates_the_role_which_a_migration_can_use(two_names: tuple[str, str], owner_url: str) -> None:
    """Roles are shared by all databases here, those of readers too, which a new server would not have yet."""
    owner, role = two_names
    app_url, url = (make_url(owner_url).set(username=name, database=owner) for name in (role, owner))
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        assert application_role.create_missing(connection, role, str(app_url.password))
        assert not application_role.create_missing(connection, role, str(app_url.password))
    with psycopg.connect(owner_url, autocommit=True) as connection:
        stored = connection.execute("select rolpassword from pg_authid where rolname = %s", (role,)).fetchone()
        assert stored is not None and stored[0].startswith("SCRAM-SHA-256$")
        application_role._let_limit_readers(connection, role)
        application_role._administer_readers(connection, role)
    migrate.migrate(app_url.render_as_string(hide_password=False), owner=url.render_as_string(hide_password=False))
    with psycopg.connect(app_url.render_as_string(hide_password=False), autocommit=True) as connection:
        assert [statement for statement in FORBIDDEN if _is_allowed(connection, statement)] == []
        found = connection.execute("select rolsuper, rolcreaterole, rolcanlogin from pg_roles where rolname = current_user")
        assert found.fetchone() == (False, True, True)


def test_a_role_that_is_missing_is_named_where_the_owner_may_not_create_it(two_names: tuple[str, str], owner_url: str) -> None:
    owner, role = two_names
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(f"alter role {owner} nocreaterole".encode())
    urls = [
        make_url(owner_url).set(username=name, database=owner).render_as_string(hide_password=False) for name in (role, owner)
    ]
    with pytest.raises(NotReady, match=f"no role {role}, which DATABASE_URL names, and the owner may not create roles"):
        migrate.migrate(urls[0], owner=urls[1])


def test_it_makes_and_revokes_logins_to_the_database(settings: Settings) -> None:
    with closing(AppContext.of(settings)) as edges:
        app = create_app(settings, context=edges)
        for datasets in (None, ["places"]):
            caller = Caller(app.test_client(), edges.keys.create("me", Role.READER, datasets)[0])
            made = caller.post("/v1/database-logins", json={"label": "psql"})
            assert made.status_code == 201, made.text
            with psycopg.connect(made.json["url"], autocommit=True) as connection:
                assert connection.execute("select count(*) from places").fetchone() == (0,)
                assert caller("DELETE", f"/v1/database-logins/{made.json['id']}").status_code == 204
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("select 1")
            with psycopg.connect(settings.database_url) as connection:
                found = connection.execute("select to_regrole(%s)", (made.json["user"],)).fetchone()
            assert found == (None,), "its role is gone"
