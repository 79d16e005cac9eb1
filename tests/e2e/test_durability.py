"""Whatever is killed, whenever: the table ends as in an undisturbed run, and the counts balance."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from pipeline.adapters import postgres
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.states import State
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.settings import Settings
from tests.support.imports import imports_of

pytestmark = pytest.mark.early

ROOT = Path(__file__).resolve().parents[2]
RECORDS = 100_000
KILLS = 3


class Worker:
    """A worker process that can be killed and started again."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = {**environment, "BULKHEAD_BATCHES_PER_PART": "10"}
        self.log = log
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.orchestration.worker"],
                env=self._environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the process, and of the group that it leads."""
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def family(self) -> list[psutil.Process]:
        return [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(60)


@contextmanager
def closing_worker(environment: dict[str, str], folder: Path) -> Iterator[Worker]:
    worker = Worker(environment, folder / "worker.log")
    try:
        yield worker
    finally:
        worker.stop()


def places_of_a_tree(count: int) -> list[tuple[str, str, str]]:
    return [(f"r{i}", f"r{(i - 1) // 4}" if i else "", f"name {i}") for i in range(count)]


def digest(rows: list[tuple[str, str, str]]) -> str:
    return hashlib.sha256("\n".join("|".join(row) for row in sorted(rows)).encode()).hexdigest()


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    engine = postgres.connect(settings.database_url)
    yield Ledger(engine)
    engine.dispose()


def announce(settings: Settings, store: Store, rows: list[tuple[str, str, str]]) -> ObjectArrived:
    key = "incoming/records/tree.csv"
    shuffled = random.Random(7).sample(rows, len(rows))
    store.put_bytes(key, ("id,parentId,name\n" + "".join(f"{','.join(row)}\n" for row in shuffled)).encode())
    arrival, orchestrator = ObjectArrived(store.bucket, key), TemporalClient.of(settings)
    orchestrator.announce(arrival)
    orchestrator.close()
    return arrival


def current(ledger: Ledger, arrival: ObjectArrived) -> ImportRecord | None:
    return next(iter(imports_of(ledger, arrival.key)), None)


def wait_for(ledger: Ledger, arrival: ObjectArrived, seconds: float = 200.0) -> ImportRecord:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        one = current(ledger, arrival)
        if one and one.state.is_final:
            return one
        time.sleep(0.2)
    raise AssertionError(f"not over after {seconds} s: {one}")


def orphans_and_rows(settings: Settings) -> tuple[int, list[tuple[str, str, str]]]:
    with psycopg.connect(settings.database_url) as connection:
        orphans = connection.execute(
            """select count(*) from warehouse.records child where child."parentId" is not null
            and not exists (select 1 from warehouse.records parent where parent.id = child."parentId")"""
        ).fetchone()
        rows = connection.execute("""select id, coalesce("parentId", ''), name from warehouse.records""").fetchall()
    assert orphans is not None
    return orphans[0], rows


@pytest.mark.timeout(400)
def test_a_worker_killed_in_the_middle_changes_nothing(
    settings: Settings, store: Store, ledger: Ledger, environment: dict[str, str], tmp_path: Path
) -> None:
    rows, chance = places_of_a_tree(RECORDS), random.Random(2026)
    with closing_worker(environment, tmp_path) as worker:
        arrival = announce(settings, store, rows)
        for kill in range(KILLS):
            _wait_until_loading(ledger, arrival, more_than=kill * 15)
            time.sleep(chance.uniform(0.0, 0.4))
            family = worker.family()
            worker.kill()
            found, _ = orphans_and_rows(settings)
            assert found == 0, "at no moment is there a record without its parent"
            worker.start()
            assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE and not _ends(p)]
        one = wait_for(ledger, arrival)
    assert (one.state, one.inserted, one.records_total) == (State.SUCCEEDED, RECORDS, RECORDS)
    assert one.updated == one.unchanged == one.failed == 0
    orphans, loaded = orphans_and_rows(settings)
    assert orphans == 0
    assert digest(loaded) == digest(rows)


def _wait_until_loading(ledger: Ledger, arrival: ObjectArrived, *, more_than: int) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        one = current(ledger, arrival)
        if one and one.state is State.LOADING and one.parts_done > more_than:
            return
        assert one is None or not one.state.is_final, f"it was over before it could be killed: {one}"
        time.sleep(0.02)
    raise AssertionError(f"it never came to loading: {one}")


def _ends(process: psutil.Process) -> bool:
    try:
        process.wait(10)
    except psutil.TimeoutExpired:
        return False
    return True


def test_a_worker_that_is_told_to_stop_does_so_and_says_no_error(
    settings: Settings, store: Store, ledger: Ledger, environment: dict[str, str], tmp_path: Path
) -> None:
    with closing_worker(environment, tmp_path) as worker:
        arrival = announce(settings, store, places_of_a_tree(5_000))
        while current(ledger, arrival) is None:
            time.sleep(0.05)
        assert worker.stop() == 0
        worker.start()
        assert wait_for(ledger, arrival).state is State.SUCCEEDED
