"""What is around an import misbehaves, on the real parts: it goes on when that has passed, or ends with a clear reason."""

from __future__ import annotations

import asyncio
import errno
import io
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from botocore.client import BaseClient
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError
from temporalio import activity
from temporalio.client import Client

from pipeline.adapters import postgres_sessions
from pipeline.adapters.postgres import connect
from pipeline.adapters.postgres_sessions import Session
from pipeline.adapters.s3 import Store
from pipeline.contracts import steps
from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.object_keys import part_key
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.contracts.workflows import import_workflow_id
from pipeline.ledger.imports import Imports
from pipeline.orchestration import heartbeat_and_failures
from pipeline.sandbox import process
from pipeline.settings import Settings
from pipeline.warehouse.marts import Marts
from tests.support.bulkhead import SMALL_PARTS, Bulkhead, balance, tree
from tests.support.import_steps import ORPHANS, ended, known, slow, upload
from tests.support.imports import imports_of
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until
from tests.support.workers import running_worker

pytestmark = pytest.mark.settings(**SMALL_PARTS)


@pytest.fixture
def bulkhead(settings: Settings, store: Store) -> Iterator[Bulkhead]:
    """Without a worker."""
    one = Bulkhead(settings, store)
    yield one
    one.close()


@pytest.fixture
def postgres(settings: Settings) -> Iterator[Proxy]:
    """Between a worker and PostgreSQL."""
    url = make_url(settings.database_url)
    with Proxy(str(url.host), int(url.port or 5432)) as proxy:
        yield proxy


def through(settings: Settings, proxy: Proxy) -> Settings:
    """The settings of a worker whose PostgreSQL is behind the proxy."""
    url = make_url(settings.database_url).set(host="127.0.0.1", port=proxy.port)
    return settings.model_copy(update={"database_url": url.render_as_string(hide_password=False)})


# --- PostgreSQL falls silent ---


@pytest.mark.parametrize("for_all", [False, True], ids=["its successor answers at once", "nothing answers for a while"])
def test_a_postgresql_that_falls_silent_delays_an_import_and_loses_no_thread(
    bulkhead: Bulkhead, settings: Settings, postgres: Proxy, monkeypatch: pytest.MonkeyPatch, for_all: bool
) -> None:
    """Thirty seconds of silence are three here. The connections of before are held for ever, as by a host that is gone."""
    monkeypatch.setattr(Session, "silence_seconds", 3.0)
    monkeypatch.setattr(postgres_sessions, "SECOND_LOOK_SECONDS", 0.5)
    monkeypatch.setattr(postgres_sessions, "BEGIN_SECONDS", 3.0)
    slow(bulkhead, 0.1)
    with running_worker(through(settings, postgres)):
        one = upload(bulkhead, tree(8000), Options(), wait=False)  # 20 parts, at most two at once
        for parts in (2, 8):  # a slot that was lost would be missed by the second time
            wait_until(lambda parts=parts: known(bulkhead, one.id).parts_done >= parts, 300.0)  # type: ignore[misc]
            postgres.fall_silent(for_all=for_all)
            if for_all:
                time.sleep(5.0)
                postgres.answer_again()
        done = ended(bulkhead, one.id, 300.0)
        assert (done.state, done.inserted) == (State.SUCCEEDED, 8000), done.reason
        assert balance(done)
        assert upload(bulkhead, tree(300, name="x"), Options()).state is State.SUCCEEDED
    assert bulkhead.rows("select count(*), sum(records) from ledger.part where import_id = '" + one.id + "'") == [(21, 8000)]


def test_a_session_waits_for_a_server_that_is_at_work_however_long(database: str) -> None:
    engine = connect(database, silence_seconds=0.3)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("select pg_sleep(2), 7").one()[1] == 7
    engine.dispose()


def test_a_long_statement_ends_when_its_step_is_to_stop(database: str) -> None:
    engine, stop = connect(database), threading.Event()
    token = postgres_sessions.stop_asked.set(stop.is_set)
    threading.Timer(0.5, stop.set).start()
    began = time.monotonic()
    with pytest.raises(OperationalError, match="canceling statement"), engine.connect() as connection:
        connection.exec_driver_sql("select pg_sleep(60)")
    assert time.monotonic() - began < 30
    postgres_sessions.stop_asked.reset(token)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("select 1").scalar() == 1
    engine.dispose()


def test_every_session_is_bounded_whatever_the_database_says(database: str) -> None:
    name = make_url(database).database
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"alter database {name} set default_transaction_isolation = 'repeatable read'")  # type: ignore[call-overload]
    engine = connect(database, idle_seconds=7)
    with engine.connect() as connection:
        settings = ("transaction_isolation", "statement_timeout", "idle_in_transaction_session_timeout")
        found = [connection.exec_driver_sql(f"show {one}").scalar() for one in settings]
        raw = connection.connection.driver_connection
        assert raw is not None
        parameters = raw.info.get_parameters()
    assert found == ["read committed", "1min", "7s"]
    assert {name: parameters[name] for name in ("keepalives_idle", "tcp_user_timeout")} == {
        "keepalives_idle": "15",
        "tcp_user_timeout": "30000",
    }
    assert "options" not in parameters, "a pooler would refuse them"
    engine.dispose()


# --- Everything is slow ---

SCALE = 5
"""Twelve seconds, where a heartbeat is waited for ten, are 2.4 of two here."""


def test_what_answers_after_more_than_a_heartbeat_costs_no_second_attempt(
    bulkhead: Bulkhead, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call of S3, and the first statements of each step."""
    monkeypatch.setattr(steps, "HEARTBEAT_SECONDS", 10 / SCALE)
    monkeypatch.setattr(heartbeat_and_failures, "BEAT_SECONDS", heartbeat_and_failures.BEAT_SECONDS / SCALE)
    monkeypatch.setattr(process, "BEAT_SECONDS", process.BEAT_SECONDS / SCALE)
    asked: Counter[tuple[str, int]] = Counter()
    call, execute = BaseClient._make_api_call, psycopg.Cursor.execute  # type: ignore[attr-defined]

    def slow_call(client: Any, operation: str, given: Any) -> Any:
        time.sleep(12 / SCALE)
        return call(client, operation, given)

    def slow_execute(cursor: Any, *args: Any, **options: Any) -> Any:
        if activity.in_activity() and activity.info().heartbeat_timeout:
            step = (activity.info().activity_type, activity.info().attempt)
            asked[step] += 1
            if asked[step] <= 2:
                time.sleep(12 / SCALE)
        return execute(cursor, *args, **options)

    monkeypatch.setattr(BaseClient, "_make_api_call", slow_call)
    monkeypatch.setattr(psycopg.Cursor, "execute", slow_execute)
    with running_worker(settings):
        one = ended(bulkhead, upload(bulkhead, tree(300), Options(), wait=False).id, 300.0)
    assert (one.state, one.inserted) == (State.SUCCEEDED, 300), one.reason
    assert {name for name, _ in asked} >= {"validate", "prepare", "load_part", "finish"}
    assert attempts(settings, one.id) == {1}


def attempts(settings: Settings, import_id: str) -> set[int]:
    """The numbers of the attempts at the steps of an import."""

    async def read() -> set[int]:
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
        history = await client.get_workflow_handle(import_workflow_id(import_id)).fetch_history()
        started = [event.activity_task_started_event_attributes for event in history.events]
        return {one.attempt for one in started if one.attempt}

    return asyncio.run(read())


def test_an_import_can_be_canceled_in_a_long_download(bulkhead: Bulkhead, settings: Settings) -> None:
    host, port = str(settings.s3_endpoint).removeprefix("http://").split(":")
    with Proxy(host, int(port)) as s3:
        s3.bytes_per_second = 50_000
        slowly = settings.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{s3.port}"})
        with running_worker(slowly):
            one = upload(bulkhead, tree(300_000), Options(), wait=False)  # minutes at this pace
            wait_until(lambda: known(bulkhead, one.id).state is State.VALIDATING)
            wait_until(lambda: bulkhead.orchestrator.cancel(one.id))
            s3.bytes_per_second = 500_000  # it has to write that down, too
            done = ended(bulkhead, one.id, 300.0)
    assert (done.state, done.sha256) == (State.CANCELED, one.sha256)
    assert done.records_total == 0, "it was not read"


# --- No space is left ---


def test_a_full_disk_is_waited_for(bulkhead: Bulkhead, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    full = iter([OSError(errno.ENOSPC, "No space left on device"), psycopg.errors.DiskFull("could not extend file")])
    fetch = Store.get_file

    def get_file(store: Store, *args: Any, **options: Any) -> Any:
        for error in full:
            raise error
        return fetch(store, *args, **options)

    monkeypatch.setattr(Store, "get_file", get_file)
    with running_worker(settings):
        one = upload(bulkhead, tree(300), Options())
    assert (one.state, one.inserted, one.reason) == (State.SUCCEEDED, 300, "")
    assert max(attempts(settings, one.id)) == 3


# --- A failover loses the last commits ---


@pytest.mark.parametrize("which", ["the first part", "the last part", "all, and that it was being loaded"])
def test_what_a_failover_lost_is_loaded_again(bulkhead: Bulkhead, settings: Settings, which: str) -> None:
    slow(bulkhead)
    with running_worker(settings):
        one = upload(bulkhead, tree(4000), Options(), wait=False)  # 10 parts
        wait_until(lambda: known(bulkhead, one.id).parts_done >= 2)
        bulkhead.ledger.imports.pause(one.id, wanted=True)
        bulkhead.orchestrator.pause(one.id, wanted=True)
        wait_until(lambda: known(bulkhead, one.id).state is State.PAUSED)
        done = bulkhead.ledger.imports.part_numbers(one.id)
        lost = {"the first part": done[:1], "the last part": done[-1:]}.get(which, done)
        for part_no in lost:
            lose(bulkhead, one.id, part_no)
        if which.startswith("all"):
            with bulkhead.engine.begin() as connection:
                connection.exec_driver_sql("update ledger.import set state = 'preparing'")
        bulkhead.ledger.imports.pause(one.id, wanted=False)
        bulkhead.orchestrator.pause(one.id, wanted=False)
        ready = ended(bulkhead, one.id, 300.0)
    assert (ready.state, ready.inserted, ready.parts_done) == (State.SUCCEEDED, 4000, 11), ready.reason
    assert bulkhead.rows("select count(*) from warehouse.records") == [(4000,)]
    assert bulkhead.rows(ORPHANS) == [(0,)]


def lose(bulkhead: Bulkhead, import_id: str, part_no: int) -> None:
    """As if the part's transaction had never been committed."""
    part = pq.read_table(io.BytesIO(bulkhead.store.get_bytes(part_key(import_id, part_no))), columns=["id"])
    with bulkhead.engine.begin() as connection:
        ids = {"ids": part.column("id").to_pylist(), "import_id": import_id, "part_no": part_no}
        connection.execute(text("delete from warehouse.records where id = any(:ids)"), ids)
        connection.execute(text("delete from ledger.part where import_id = :import_id and part_no = :part_no"), ids)


# --- Marts ---


def mart(bulkhead: Bulkhead, query: str) -> None:
    with bulkhead.engine.begin() as connection:
        connection.exec_driver_sql(f"create materialized view warehouse.made as {query} with no data")


def test_a_mart_that_fails_is_a_warning_and_no_failure(bulkhead: Bulkhead, settings: Settings) -> None:
    mart(bulkhead, "select 1 / (case when id = 'boom' then 0 else 1 end) as one from warehouse.records")
    with running_worker(settings):
        first = upload(bulkhead, "id,parentId,name\nboom,,n\n", Options())
        assert (first.state, first.reason) == (State.SUCCEEDED, "")
        wait_until(lambda: bool(known(bulkhead, first.id).warnings))
        (warning,) = known(bulkhead, first.id).warnings
        assert "mart made could not be refreshed: division by zero (22012)" in warning
        assert "sql/marts/made.sql" in warning
        assert known(bulkhead, first.id).to_json("")["warnings"] == [warning]
        assert [(one.name, one.state, one.error) for one in Marts(bulkhead.engine).states("records")] == [
            ("made", "failed", warning)
        ]
        with bulkhead.engine.begin() as connection:
            connection.exec_driver_sql("delete from warehouse.records")
        second = upload(bulkhead, "id,parentId,name\nfine,,n\n", Options())
        wait_until(lambda: Marts(bulkhead.engine).states("records")[0].state == "fresh")
    assert bulkhead.rows("select * from warehouse.made") == [(1,)]
    assert [list(known(bulkhead, one.id).warnings) for one in (first, second)] == [[], []]


def test_a_mart_that_takes_too_long_delays_no_import(bulkhead: Bulkhead, settings: Settings) -> None:
    mart(bulkhead, "select pg_sleep(600)::text as slept from warehouse.records")
    refreshing = "select count(*) from pg_stat_activity where query like 'refresh%' and state = 'active'"
    with running_worker(settings.model_copy(update={"mart_seconds": 15.0})):
        imports = [upload(bulkhead, f"id,parentId,name\n{name},,n\n", Options(), wait=False) for name in "abc"]
        assert {ended(bulkhead, one.id).state for one in imports} == {State.SUCCEEDED}
        wait_until(lambda: bulkhead.rows(refreshing) == [(1,)])
        assert not any(known(bulkhead, one.id).warnings for one in imports), "the imports ended before it did"
        wait_until(lambda: all(known(bulkhead, one.id).warnings for one in imports))
    assert "BULKHEAD_MART_SECONDS" in known(bulkhead, imports[-1].id).warnings[0]


def test_a_mart_with_a_unique_index_is_read_while_it_is_refreshed(bulkhead: Bulkhead) -> None:
    found = bulkhead.rows("select indexdef from pg_indexes where tablename = 'places_tree'")
    assert ["UNIQUE" in row[0] for row in found] == [True]
    marts = Marts(bulkhead.engine)
    with psycopg.connect(bulkhead.settings.database_url) as reader:
        reader.execute("select * from warehouse.places_tree")  # and its transaction stays open
        marts.refresh("places", seconds=20.0)
    assert [(one.name, one.state) for one in marts.states("places")] == [("places_tree", "fresh")]


def test_marts_that_were_forgotten_are_found_by_reconciliation(bulkhead: Bulkhead, settings: Settings) -> None:
    assert Marts(bulkhead.engine).want("places")
    assert not Marts(bulkhead.engine).want("records"), "it has none"
    assert Marts(bulkhead.engine).due() == [], "it has only just been asked for"
    with bulkhead.engine.begin() as connection:
        connection.exec_driver_sql("update ledger.mart_wanted set wanted_at = wanted_at - interval '1 minute'")
    assert Marts(bulkhead.engine).states("places")[0].state == "waiting"
    with running_worker(settings):
        bulkhead.orchestrator.reconcile()
        wait_until(lambda: Marts(bulkhead.engine).states("places")[0].state == "fresh")
    assert Marts(bulkhead.engine).due() == []


# --- What PostgreSQL cannot hold ---


def test_an_arrival_that_cannot_be_registered_holds_up_no_other(
    bulkhead: Bulkhead, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Imports.open

    def open_(imports: Imports, import_id: str, **given: Any) -> bool:
        bad = "\0" if given["filename"] == "bad.csv" else ""
        return opened(imports, import_id, **{**given, "filename": given["filename"] + bad})

    monkeypatch.setattr(Imports, "open", open_)
    keys = [
        bulkhead.drop(f"id,parentId,name\n{name},,n\n", name=f"{name}.csv", announce=False) for name in ("bad", "good", "fine")
    ]
    for key in keys:
        bulkhead.orchestrator.announce(ObjectArrived(bulkhead.store.bucket, key))
    with running_worker(settings):
        for key in keys[1:]:
            assert bulkhead.import_of(key).state is State.SUCCEEDED
    assert imports_of(bulkhead.ledger, keys[0]) == []


def test_a_nul_in_a_reason_or_a_name_is_written_as_text(bulkhead: Bulkhead) -> None:
    bulkhead.ledger.imports.open("11111111-1111-7111-8111-111111111111", dataset="records", filename="a", bucket="b", key="k")
    bulkhead.ledger.imports.update("11111111-1111-7111-8111-111111111111", reading={"columns": ["a\0b"]})
    bulkhead.ledger.imports.move("11111111-1111-7111-8111-111111111111", State.CANCELED, "broken \0 off")
    one = known(bulkhead, "11111111-1111-7111-8111-111111111111")
    assert (one.reason, one.reading) == ("broken \\u0000 off", {"columns": ["a\\u0000b"]})


def test_what_is_not_set_up_ends_the_import_with_a_sentence(
    bulkhead: Bulkhead, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat_and_failures, "FEW_ATTEMPTS", 2)
    with bulkhead.engine.begin() as connection:
        connection.exec_driver_sql("alter table warehouse.records rename to gone")
    with running_worker(settings):
        one = upload(bulkhead, tree(300), Options())
    assert one.state is State.FAILED
    assert "PostgreSQL refuses a statement" in one.reason
    assert "42P01" in one.reason
    assert "bulkhead migrate" in one.reason
    assert "\n" not in one.reason
