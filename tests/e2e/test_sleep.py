"""A worker that falls asleep past its heartbeat, in the middle of a part, and wakes up when another has done its work."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from pipeline.adapters.s3 import Store
from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.states import State
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.orchestration.steps import HEARTBEAT
from pipeline.orchestration.worker import IDLE_SECONDS
from pipeline.settings import Settings
from tests.support.durability import announce, current, digest, orphans_and_rows, places_of_a_tree, wait_until_over
from tests.support.worker_process import Worker, closing_worker

pytestmark = [pytest.mark.early, pytest.mark.schedules]  # the worker is a process, which keeps its schedules


RECORDS = 60_000  # 30 parts
PART_SECONDS = 1.0
HELD = """select part_no from generate_series(1, %(parts)s) as part_no
    join pg_locks on locktype = 'advisory' and granted and pid = any(%(sessions)s)
        and objid::bigint = hashtextextended(%(import_id)s || '/' || part_no::text, 0) & 4294967295"""
"""The parts whose transaction is open in one of these sessions."""


class Database:
    """What PostgreSQL knows of the workers' sessions."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values).fetchall()  # type: ignore[call-overload, no-any-return]

    def close(self) -> None:
        self._connection.close()

    def slow_parts(self) -> None:
        self._connection.execute(
            f"""create function slow() returns trigger language plpgsql as
            $$ begin perform pg_sleep({PART_SECONDS}); return null; end $$"""
        )
        self._connection.execute(
            "create trigger slow before insert on warehouse.records for each statement execute function slow()"
        )

    def sessions_of(self, worker: Worker) -> list[int]:
        ports = [one.laddr.port for one in worker.family()[0].net_connections("tcp")]
        query = "select pid from pg_stat_activity where client_port = any(%(ports)s) and datname = current_database()"
        return [pid for (pid,) in self.rows(query, ports=ports)]

    def parts_held(self, import_id: str, parts: int, sessions: list[int]) -> list[int]:
        return [part for (part,) in self.rows(HELD, import_id=import_id, parts=parts, sessions=sessions)]

    def entries(self, parts: list[int]) -> list[tuple[Any, ...]]:
        """What the ledger says of these parts, with the transaction that wrote it."""
        query = "select part_no, xmin::text, inserted from ledger.part where part_no = any(%(parts)s) order by part_no"
        return self.rows(query, parts=parts)


@pytest.fixture
def database_seen(settings: Settings) -> Iterator[Database]:
    one = Database(settings.database_url)
    yield one
    one.close()


def until(holds: Any, seconds: float = 60.0) -> Any:
    """What ``holds`` returns, once that is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


def asleep_in_a_part(
    workers: list[Worker], seen: Database, one: ImportRecord, *, whole_group: bool
) -> tuple[Worker, list[int]]:
    """Stop a worker while it has the transaction of a part open; which one, and the parts that it was at."""

    def stopped() -> tuple[Worker, list[int]] | None:
        for worker in workers:
            sessions = seen.sessions_of(worker)
            if not seen.parts_held(one.id, one.parts_total, sessions):
                continue
            send(worker, signal.SIGSTOP, whole_group=whole_group)
            until(lambda worker=worker: psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED)
            if held := seen.parts_held(one.id, one.parts_total, sessions):
                return worker, held
            send(worker, signal.SIGCONT, whole_group=whole_group)  # it came to the part's end just before
        return None

    return until(stopped)  # type: ignore[no-any-return]


def send(worker: Worker, what: signal.Signals, *, whole_group: bool) -> None:
    if whole_group:
        os.killpg(worker.pid, what)
    else:
        os.kill(worker.pid, what)


@pytest.mark.parametrize("whole_group", [False, True], ids=["its process alone", "its process group"])
def test_a_worker_that_slept_past_its_heartbeat_writes_nothing_when_it_wakes(
    settings: Settings,
    store: Store,
    ledger: Ledger,
    database_seen: Database,
    environment: dict[str, str],
    tmp_path: Path,
    whole_group: bool,
) -> None:
    rows = places_of_a_tree(RECORDS)
    database_seen.slow_parts()
    with ExitStack() as workers:
        both = [workers.enter_context(on_a_machine_of_its_own(environment, tmp_path / name)) for name in ("one", "two")]
        until(lambda: all((tmp_path / name / "home" / "worker.ready").exists() for name in ("one", "two")))
        arrival = announce(settings, store, rows)
        one = until(lambda: loading(ledger, arrival), 120)
        sleeper, asleep = asleep_in_a_part(both, database_seen, one, whole_group=whole_group)
        workers.callback(send, sleeper, signal.SIGCONT, whole_group=whole_group)  # or else it could not be ended
        began = time.monotonic()
        taken_over = until(lambda: len(found := database_seen.entries(asleep)) == len(asleep) and found)
        slept = time.monotonic() - began
        assert slept < IDLE_SECONDS, "its heartbeat was waited for, and nothing else"
        time.sleep(max(0.0, HEARTBEAT.total_seconds() + 1 - slept))
        assert not ledger.imports.known(one.id).state.is_final, "it wakes up in the middle of the import"
        send(sleeper, signal.SIGCONT, whole_group=whole_group)
        ended = wait_until_over(ledger, arrival)
    assert (ended.state, ended.inserted, ended.records_total) == (State.SUCCEEDED, RECORDS, RECORDS)
    assert ended.updated == ended.unchanged == ended.failed == ended.unprocessed == 0
    assert database_seen.entries(asleep) == taken_over, "the sleeper added nothing to its parts"
    assert database_seen.rows("select count(*), sum(records), sum(inserted) from ledger.part") == [
        (ended.parts_total, RECORDS, RECORDS)
    ]
    assert database_seen.rows("select count(*) from ledger.claim") == [(0,)]
    orphans, loaded = orphans_and_rows(settings)
    assert orphans == 0
    assert digest(loaded) == digest(rows)


def on_a_machine_of_its_own(environment: dict[str, str], folder: Path) -> Any:
    """A worker with a disk and a process group of its own."""
    folder.mkdir()
    return closing_worker({**environment, "BULKHEAD_HOME": str(folder / "home")}, folder)


def loading(ledger: Ledger, arrival: ObjectArrived) -> Any:
    one = current(ledger, arrival)
    assert one is None or not one.state.is_final, f"it was over before anybody slept: {one}"
    return one if one and one.state is State.LOADING and one.parts_done >= 2 else None
