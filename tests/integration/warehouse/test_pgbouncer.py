"""Everything through a real PgBouncer in transaction mode, with fewer sessions than there are clients."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import psycopg
import pytest
from sqlalchemy import make_url

from pipeline.adapters import postgres
from pipeline.adapters.postgres_access import DatabaseAccess, to_database
from pipeline.adapters.s3 import Store
from pipeline.contracts.states import State
from pipeline.errors import InvalidRequest
from pipeline.ledger.api_keys import Role
from pipeline.ledger.models import ImportRecord
from pipeline.settings import Settings
from pipeline.warehouse import role_limits, sql_reader
from pipeline.warehouse.dataset_roles import DatasetRole
from pipeline.warehouse.migrate import migrate
from pipeline.warehouse.query import QueryRefused, QueryStopped
from tests.support.bulkhead import HEADER, SMALL_PARTS, Bulkhead, balance, tree
from tests.support.http import Caller
from tests.support.imports import imports_of
from tests.support.postgresql import pgbouncer
from tests.support.sql_statements import DENIED, SLOW
from tests.support.waiting import wait_until
from tests.support.workers import running_worker
from web import create_app
from web.app_context import AppContext

SESSIONS = 6
"""Of each database and role. The worker and the app together open more connections than that."""

PATIENCE_SECONDS = 240.0
"""For an import whose validation waits for a processor, beside other tests."""


@pytest.fixture
def pooled(settings: Settings, database: str) -> Iterator[Settings]:
    """The settings of an operator with PgBouncer before PostgreSQL."""
    with pgbouncer(database, default_pool_size=str(SESSIONS)) as port:
        url = make_url(database).set(port=port).render_as_string(hide_password=False)
        yield settings.model_copy(update={"database_url": url, "database_pooler": "transaction"})


@pytest.mark.settings(**SMALL_PARTS)
def test_imports_end_as_they_do_without_a_pooler(pooled: Settings, store: Store, database: str) -> None:
    with closing(Bulkhead(pooled, store)) as bulkhead, running_worker(pooled):
        first = _ingest(bulkhead, tree(1000))
        assert (first.state, first.inserted, first.parts_total) == (State.SUCCEEDED, 1000, 4), first.reason
        again = _ingest(bulkhead, tree(1000).replace("n7\n", "changed\n"))
        assert (again.updated, again.unchanged) == (1, 999), again.reason
        rejected = _ingest(bulkhead, HEADER + "1,,root\n2,9,orphan\n")
        assert (rejected.state, rejected.reason) == (State.REJECTED, "1 error")
        with psycopg.connect(database) as connection:
            connection.execute("alter table warehouse.records add constraint short check (length(name) < 20)")
        partly = _ingest(bulkhead, tree(500, name="m").replace("m100\n", "a name that is far too long\n"))
        assert (partly.state, partly.failed, balance(partly)) == (State.PARTIALLY_SUCCEEDED, 5, True), partly.reason
        _cancel(bulkhead, database)


def _ingest(bulkhead: Bulkhead, text: str) -> ImportRecord:
    key = bulkhead.drop(text, name=f"{uuid.uuid4()}.csv")
    return bulkhead.import_of(key, seconds=PATIENCE_SECONDS)


def _cancel(bulkhead: Bulkhead, database: str) -> None:
    with psycopg.connect(database) as connection:  # a slow warehouse
        connection.execute(
            """create function slow() returns trigger language plpgsql as
            $$ begin perform pg_sleep(0.5); return null; end $$"""
        )
        connection.execute("create trigger slow after insert or update on warehouse.records execute function slow()")
    key = bulkhead.drop(tree(8000, name="c"), name="canceled.csv")
    wait_until(lambda: any(one.state is State.LOADING for one in imports_of(bulkhead.ledger, key)), PATIENCE_SECONDS)
    (loading,) = imports_of(bulkhead.ledger, key)
    assert bulkhead.orchestrator.cancel(loading.id)
    one = bulkhead.import_of(key, seconds=PATIENCE_SECONDS)
    assert (one.state, balance(one), one.unprocessed > 0) == (State.CANCELED, True, True), one.reason


def test_sql_of_users_is_as_limited_as_without_a_pooler(pooled: Settings, database: str) -> None:
    hasty = pooled.model_copy(update={"sql_seconds": 0.5, "sql_rows": 10})
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into warehouse.records (id, _import_id, _row)"
            " select 'r' || n, gen_random_uuid(), n from generate_series(1, 20) n"
        )
    with closing(AppContext.of(hasty)) as context:
        console = context.console
        answer = console.run("select id from records order by _row")
        assert (len(answer.rows), answer.truncated) == (10, True)
        assert console.plan("select id from records")
        for _ in range(3):  # the next query runs in the session of the one that was stopped
            with pytest.raises(QueryStopped):
                console.run(SLOW)
            assert console.run("select count(*) from records").rows == [(20,)]
        for statement in DENIED:
            with pytest.raises((QueryRefused, InvalidRequest)):
                console.run(statement)
        with pytest.raises(QueryRefused):
            console.plan("select 1; select 2")
        of_places = context.sql_logins.of(("places",))
        assert of_places.console.run("select count(*) from places").rows == [(0,)]
        with pytest.raises(QueryRefused):
            of_places.console.run("select * from records")
    with psycopg.connect(_as_reader(hasty), autocommit=True) as reader:  # PostgreSQL itself, without the guard
        for attempt in ("insert into warehouse.records (id) values ('x')", "select * from access.api_key"):
            with pytest.raises(psycopg.Error):
                reader.execute(attempt)


def _as_reader(settings: Settings) -> str:
    return make_url(settings.database_url).set(username="bulkhead_reader").render_as_string(hide_password=False)


def test_the_app_answers_from_the_ledger_and_the_warehouse(pooled: Settings) -> None:
    with closing(AppContext.of(pooled)) as context:
        api = Caller(create_app(pooled, context=context).test_client(), context.keys.create("a test", Role.ADMIN)[0])
        for path in ("/v1/imports", "/v1/datasets", "/v1/datasets/records/records", "/v1/keys", "/readyz"):
            for _ in range(8):  # psycopg prepares what it runs a sixth time, unless it is told not to
                assert api.get(path).status_code == 200, path


def test_a_migration_needs_no_session_and_runs_alone(pooled: Settings, database: str) -> None:
    name = f"{make_url(database).database}_new"
    direct, through = (make_url(url).set(database=name) for url in (database, pooled.database_url))
    to = DatabaseAccess(through.render_as_string(hide_password=False), pooled=True)
    said: list[str] = []
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f'create database "{name}"')  # type: ignore[call-overload]
        try:
            with psycopg.connect(direct.render_as_string(hide_password=False)) as other:
                other.execute("select pg_advisory_xact_lock(727074001)")  # another migration
                waiting = threading.Thread(target=migrate, args=(to,), kwargs={"say": said.append})
                waiting.start()
                wait_until(lambda: bool(said))
            waiting.join()
            assert said[0] == "Another migration is running; waiting for it to end ..."
            assert all(not one.done for one in migrate(to) if one.what.startswith("table "))
            index = 'drop index warehouse."records_parentId_id"'
            with psycopg.connect(direct.render_as_string(hide_password=False)) as other:
                other.execute(index)  # type: ignore[call-overload]
            assert any("built" in str(one) for one in migrate(to)), "concurrently, with the lock of migrations held"
        finally:
            owner.execute(f'drop database "{name}" with (force)')  # type: ignore[call-overload]


def test_limits_hold_in_each_transaction_and_stay_in_no_session(pooled: Settings, database: str) -> None:
    engine = postgres.connect(to_database(pooled), statement_seconds=7, idle_seconds=8, pool_size=2)
    shown = ("transaction_isolation", "statement_timeout", "idle_in_transaction_session_timeout")
    with engine.connect() as connection:
        for _ in range(2):
            assert [connection.exec_driver_sql(f"show {one}").scalar() for one in shown] == ["read committed", "7s", "8s"]
            connection.commit()
    engine.dispose()
    with psycopg.connect(pooled.database_url) as other:
        assert other.execute("show statement_timeout").fetchone() == ("0",)


def test_a_session_waits_for_a_statement_that_is_at_work_and_cancels_one_that_is_to_stop(pooled: Settings) -> None:
    engine = postgres.connect(to_database(pooled), silence_seconds=0.3)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("select pg_sleep(2), 7").one()[1] == 7
        raw = postgres.driver_connection(connection)
        timer = threading.Timer(0.5, raw.cancel_safe)
        timer.start()
        with pytest.raises(Exception, match="canceling statement"):
            connection.exec_driver_sql("select pg_sleep(60)")
        timer.join()
    engine.dispose()


def test_sql_runs_while_other_processes_renew_the_role(pooled: Settings) -> None:
    """PgBouncer logs in with keys from the password's verifier that it saw, and after a refusal not again for 15 seconds."""
    hasty = pooled.model_copy(update={"sql_seconds": 0.2})
    is_over = threading.Event()
    with closing(AppContext.of(hasty)) as context:
        role = DatasetRole(("records",))
        console = context.sql_logins.of(role.datasets).console

        def renew() -> None:
            while not is_over.is_set():
                sql_reader.grant(context.engine, pooled, role)

        renewing = threading.Thread(target=renew)
        renewing.start()
        try:
            for _ in range(15):
                with pytest.raises(QueryStopped):  # its session ends, and PgBouncer opens another one for the next query
                    console.run(SLOW)
        finally:
            is_over.set()
            renewing.join()


def test_a_password_that_is_right_is_left_alone(database: str) -> None:
    role = f"role_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"create role {role} login")  # type: ignore[call-overload]
        try:
            seen = []
            for password in ("one", "one", "another", "another", "", "another"):
                role_limits.set_password(owner, role, password)
                (row,) = owner.execute("select rolpassword from pg_authid where rolname = %s", [role]).fetchall()
                seen.append(row[0])
            assert [before == after for before, after in pairwise(seen)] == [True, False, True, False, False]
            assert seen[4] is None and seen[5].startswith("SCRAM-SHA-256$")
        finally:
            owner.execute(f"drop role {role}")  # type: ignore[call-overload]
