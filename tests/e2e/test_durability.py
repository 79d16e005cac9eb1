"""Whatever is killed, whenever: the table ends as in an undisturbed run, and the counts balance."""

from __future__ import annotations

import random
import time
from pathlib import Path

import psutil
import pytest

from pipeline.adapters.s3 import Store
from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.states import State
from pipeline.ledger.ledger import Ledger
from pipeline.settings import Settings
from tests.support.durability import announce, current, digest, orphans_and_rows, places_of_a_tree, wait_until_over
from tests.support.worker_process import closing_worker

pytestmark = [pytest.mark.early, pytest.mark.schedules]  # the worker is a process, which keeps its schedules

RECORDS = 100_000
KILLS = 3


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
        one = wait_until_over(ledger, arrival)
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
        process.wait(30)
    except psutil.TimeoutExpired:
        return False
    return True


def test_a_worker_that_is_stopped_exits_without_an_error(
    settings: Settings, store: Store, ledger: Ledger, environment: dict[str, str], tmp_path: Path
) -> None:
    with closing_worker(environment, tmp_path) as worker:
        arrival = announce(settings, store, places_of_a_tree(5_000))
        while current(ledger, arrival) is None:
            time.sleep(0.05)
        assert worker.stop() == 0
        worker.start()
        assert wait_until_over(ledger, arrival).state is State.SUCCEEDED
