"""The audit log: one chain, whatever writes at the same time, and whatever is done to it is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors as pg
from sqlalchemy import Engine

from pipeline.adapters.postgres import connect
from pipeline.ledger.audit_chain import REMOVAL, digest
from pipeline.ledger.audit_log import SYSTEM, Action, Actor, AuditLog, Event, Result, Wanted, append, to_json
from tests.support.audit_events import chained, insert, without_triggers

EVENTS = 20


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """An engine with as many connections as there are writers."""
    engine = connect(database, pool_size=50)
    yield engine
    engine.dispose()


@pytest.fixture
def log(engine: Engine) -> AuditLog:
    """The log in this test's database."""
    return AuditLog(engine)


@pytest.fixture
def filled(log: AuditLog) -> AuditLog:
    """A log of some events."""
    for number in range(EVENTS):
        log.record(_event(number))
    return log


def _event(number: int, action: Action = Action.SQL) -> Event:
    actor = Actor("key", f"key-{number % 3}", f"Key {number % 3}")
    return Event(action, actor, "warehouse", f"t{number}", details={"do": "run", "é": 'a "b"\\ \u2603 \U0001f600'})


def test_an_event_is_kept_as_it_was_recorded(log: AuditLog) -> None:
    log.record(
        Event(
            Action.CANCEL,
            Actor("key", "k1", "Ann's <key>\x00\x1b[31m"),
            "import",
            "i1",
            result=Result.REFUSED,
            status=409,
            reason="already_finished",
            address="192.0.2.1",
            user_agent="x" * 500 + "\r\nInjected: yes",
            request_id="r",
            trace_id="t" * 32,
            details={"b": "2", "a": "1"},
        )
    )
    (row,) = log.page()
    assert row["seq"] == 1 and row["previous"] == "" and row["hash"] == digest(row)
    assert (row["actor_name"], len(row["user_agent"]), row["status"]) == ("Ann's <key>  [31m", 120, 409)
    assert abs(datetime.now(UTC) - row["at"]) < timedelta(minutes=5)
    assert digest(to_json(row)) == row["hash"], "as JSON it can be verified just as well"


def test_details_are_texts_and_values_are_refused(engine: Engine) -> None:
    with pytest.raises(Exception, match="the details of an audit event are texts"), engine.begin() as connection:
        connection.exec_driver_sql(
            "insert into ledger.audit_event (action, actor_kind, result, details) values ('sql', 'key', 'ok', '{\"a\": 1}')"
        )


def test_what_a_client_sets_of_the_chain_is_ignored(engine: Engine, filled: AuditLog) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "insert into ledger.audit_event (seq, at, action, actor_kind, result, previous, hash)"
            " values (1000, '2001-01-01', 'sql', 'key', 'ok', 'x', 'y')"
        )
    newest = filled.page(limit=1)[0]
    assert newest["seq"] == EVENTS + 1 and newest["at"].year > 2001
    assert filled.verify().ok


def test_an_action_and_its_event_happen_both_or_neither(engine: Engine, log: AuditLog) -> None:
    with pytest.raises(RuntimeError), engine.begin() as connection:
        append(connection, _event(1))
        raise RuntimeError
    assert list(log.page()) == []
    log.record(_event(2))
    assert log.page()[0]["seq"] == 1, "an event that was rolled back leaves no gap"


def test_fifty_writers_make_one_chain(log: AuditLog) -> None:
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda number: [log.record(_event(number)) for _ in range(6)], range(50)))
    verdict = log.verify()
    assert (verdict.ok, verdict.events, verdict.first_seq, verdict.head_seq) == (True, 300, 1, 300)


# --- filters ---


def test_filters_and_pages(filled: AuditLog) -> None:
    assert [row["seq"] for row in filled.page(limit=3)] == [20, 19, 18]
    assert [row["seq"] for row in filled.page(before=18, limit=2)] == [17, 16]
    assert {row["actor_id"] for row in filled.page(Wanted(actor="key-1"))} == {"key-1"}
    assert {row["actor_id"] for row in filled.page(Wanted(actor="KEY 2"))} == {"key-2"}
    assert [row["seq"] for row in filled.page(Wanted(target="t4"))] == [5]
    assert list(filled.page(Wanted(action="cancel"))) == list(filled.page(Wanted(result="failed"))) == []
    at = filled.page(before=11, limit=1)[0]["at"]
    assert [row["seq"] for row in filled.in_order(Wanted(since=at))] == [*range(10, 21)]
    assert [row["seq"] for row in filled.in_order(Wanted(until=at))] == [*range(1, 10)]


# --- tampering ---


TAMPERED: dict[str, tuple[str, str]] = {
    "a changed text": ("update ledger.audit_event set actor_name = 'another' where seq = 7", "Event 7 was changed"),
    "a changed time": ("update ledger.audit_event set at = at - interval '1 s' where seq = 7", "Event 7 was changed"),
    "a changed detail": ('update ledger.audit_event set details = details || \'{"do": "plan"}\' where seq = 7', "Event 7 was"),
    "a detail that is a number": ("update ledger.audit_event set details = '{\"do\": 1}' where seq = 7", "Event 7 was changed"),
    "a deleted event": ("delete from ledger.audit_event where seq = 7", "Event 7 is missing before event 8"),
    "deleted events": ("delete from ledger.audit_event where seq between 7 and 9", "Events 7 to 9 are missing before event 10"),
    "the first events deleted": ("delete from ledger.audit_event where seq < 7", "The events before event 7 are missing"),
    "two events exchanged": (
        "update ledger.audit_event set seq = 15 - seq + 1000 where seq in (7, 8);"
        " update ledger.audit_event set seq = seq - 1000 where seq > 1000",
        "Event 7 was changed",
    ),
    "a hash put right": (
        "update ledger.audit_event set actor_name = 'another' where seq = 7;"
        " update ledger.audit_event as e set hash ="
        " encode(sha256(convert_to(ledger.audit_event_json(e), 'UTF8')), 'hex') where seq = 7",
        "Event 8 does not follow event 7",
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_what_a_superuser_does_without_triggers_is_found(how: str, filled: AuditLog, database: str) -> None:
    statements, said = TAMPERED[how]
    with without_triggers(database) as connection:
        for statement in statements.split(";"):
            connection.execute(statement)  # type: ignore[arg-type]
    verdict = filled.verify()
    assert not verdict.ok
    assert verdict.fault.startswith(said)
    filled.record(_event(99))
    assert not filled.verify().ok, "further events do not hide it"


def test_a_cut_tail_needs_a_hash_that_was_noted_elsewhere(filled: AuditLog, database: str) -> None:
    noted = filled.verify().head_hash
    assert filled.verify(noted).ok
    filled.record(_event(99))
    assert filled.verify(noted).ok, "the log may have grown since"
    with without_triggers(database) as connection:
        connection.execute("delete from ledger.audit_event where seq > 15")
    assert filled.verify().ok, "nothing in the log refers to its end"
    verdict = filled.verify(noted)
    assert not verdict.ok and verdict.fault.startswith(f"No event has the hash {noted}.")


@pytest.mark.parametrize(
    "statement",
    [
        "update ledger.audit_event set action = 'x'",
        "update ledger.audit_event set action = 'x' where false",
        "delete from ledger.audit_event",
        "truncate ledger.audit_event",
    ],
)
def test_triggers_refuse_changes_even_by_a_superuser(statement: str, filled: AuditLog, database: str) -> None:
    with psycopg.connect(database) as connection, pytest.raises(pg.InsufficientPrivilege, match="append-only"):
        connection.execute("select set_config('bulkhead.audit_log', 'remove', false)")
        connection.execute(statement)  # type: ignore[arg-type]
    assert filled.verify().events == EVENTS


# --- retention ---


def _times(*ages: timedelta) -> list[datetime]:
    return [datetime.now(UTC) - age for age in ages]


DAY = timedelta(days=1)


def test_retention_removes_the_oldest_and_leaves_an_anchor(log: AuditLog, database: str) -> None:
    insert(database, chained(_times(500 * DAY, 450 * DAY, 402 * DAY, 300 * DAY, DAY)))
    kept = timedelta(days=400)
    assert log.remove(kept, dry_run=True) == 3
    assert log.verify().events == 5
    assert log.remove(kept) == 3
    verdict = log.verify()
    assert (verdict.ok, verdict.first_seq, verdict.head_seq) == (True, 4, 6)
    newest = log.page(limit=1)[0]
    assert (newest["action"], newest["actor_kind"]) == (REMOVAL, "system")
    assert newest["details"]["removed"] == newest["details"]["last_seq"] == "3"
    assert log.remove(kept) == 0
    with without_triggers(database) as connection:
        connection.execute("delete from ledger.audit_event where seq = 4")
    assert log.verify().fault.startswith("The events before event 5 are missing")


def test_retention_of_a_log_of_which_nothing_is_young(log: AuditLog, database: str) -> None:
    insert(database, chained(_times(500 * DAY, 450 * DAY)))
    assert log.remove(timedelta(days=400)) == 2
    log.record(_event(1))
    verdict = log.verify()
    assert (verdict.ok, verdict.first_seq, verdict.events) == (True, 3, 2)


def test_only_a_prefix_is_removed_if_the_clock_was_put_back(log: AuditLog, database: str) -> None:
    insert(database, chained(_times(500 * DAY, DAY, 450 * DAY, DAY)))
    assert log.remove(timedelta(days=400)) == 1
    assert log.verify().ok


def test_less_than_a_day_is_left_for_later(log: AuditLog, database: str) -> None:
    insert(database, chained(_times(400 * DAY + timedelta(hours=5), DAY)))
    assert log.remove(timedelta(days=400)) == 0


def test_nothing_younger_than_thirty_days_can_be_removed(log: AuditLog, database: str) -> None:
    insert(database, chained(_times(40 * DAY, 29 * DAY, DAY)))
    assert log.remove(timedelta(0)) == 1, "what is asked for is at least 30 days"
    with psycopg.connect(database) as connection, pytest.raises(pg.CheckViolation, match="30 days at least"):
        connection.execute("select ledger.remove_audit_events(interval '1 day', false)")


# --- in a transaction with what it records ---


def test_no_event_no_action(engine: Engine, database: str, keys: Any) -> None:
    """A key is not made if the audit log cannot be written."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("alter table ledger.audit_event add constraint broken check (action <> 'key_created') not valid")
        before = connection.execute("select count(*) from access.api_key").fetchone()
        with pytest.raises(Exception, match="broken"):
            keys.create("never made", "reader", event=Event(Action.KEY_CREATED, SYSTEM))
        assert connection.execute("select count(*) from access.api_key").fetchone() == before


def test_readers_of_sql_see_nothing_of_it(edges: Any, filled: AuditLog, refused: Callable[[str], None]) -> None:
    for sql in ("select * from ledger.audit_event", "select ledger.remove_audit_events('400 days', false)"):
        refused(sql)


@pytest.fixture
def refused(edges: Any) -> Callable[[str], None]:
    """Checks that users' SQL may not do that: neither by the guard, nor by PostgreSQL itself."""

    def check(sql: str) -> None:
        from pipeline.warehouse.query import QueryRefused

        with pytest.raises(QueryRefused):
            edges.console.run(sql)
        with pytest.raises(Exception, match="permission denied"), edges.sql_logins.of_all.engine.connect() as connection:
            connection.exec_driver_sql(sql)

    return check
