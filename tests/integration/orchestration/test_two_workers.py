"""Two workers that share no disk: no two steps for a file in a row run on the same one, and each file is validated once."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from pipeline.adapters import postgres
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import ImportRef
from pipeline.contracts.object_keys import batches_prefix, manifest_key, part_key
from pipeline.contracts.options import OnError, Options
from pipeline.contracts.states import State
from pipeline.contracts.steps import TaskQueue
from pipeline.ledger.ledger import Ledger
from pipeline.load import load_part
from pipeline.notify.recipients import Recipients
from pipeline.orchestration.activities import Activities
from pipeline.orchestration.notify_activities import NotifyActivities
from pipeline.orchestration.worker import serving, threads_of
from pipeline.prepare.manifest import Manifest
from pipeline.settings import Settings
from tests.support.bulkhead import HEADER, SMALL_PARTS, Bulkhead, balance, tree
from tests.support.import_steps import DRY_RUN, ended, flipped, pause, paused_before_loading, promote, upload
from tests.support.waiting import wait_until
from tests.support.workers import running_worker

pytestmark = pytest.mark.settings(**SMALL_PARTS)


class Turns:
    """Which worker, by its home, ran each step for a file; the next step of that file is another worker's turn."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str, Path]] = []  # import, step, home
        self.before: Callable[[str, str], None] = lambda import_id, step: None
        self._lock = threading.Lock()

    def take(self, import_id: str, step: str, home: Path) -> bool:
        """Note the step and return True, unless the worker ran the import's last one."""
        with self._lock:
            last = next((where for one, _, where in reversed(self.steps) if one == import_id), None)
            if last == home:
                return False
            self.steps.append((import_id, step, home))
        self.before(import_id, step)
        return True

    def of(self, import_id: str) -> list[str]:
        return [step for one, step, _ in self.steps if one == import_id]


class one_of_two(running_worker):  # noqa: N801 - reads as a statement
    """A worker that leaves a step for a file to the other one if it has run the step before."""

    def __init__(self, settings: Settings, turns: Turns) -> None:
        super().__init__(settings)
        self._turns = turns

    async def _run(self) -> None:
        settings = self._settings
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
        engine, store = postgres.connect(settings.database_url, pool_size=20), Store.of(settings)
        with closing(TemporalClient.of(settings)) as temporal:
            notify = NotifyActivities(settings, store, Ledger(engine), Recipients(engine, settings))
            steps = Activities(settings, store, engine, temporal).by_task_queue(notify)
            steps[TaskQueue.FILES] = [self._in_turn(step) for step in steps[TaskQueue.FILES]]
            async with serving(client, settings.task_queue, steps, threads_of(settings)):
                self._ready.set()
                await self._stop.wait()
        engine.dispose()

    def _in_turn(self, step: Any) -> Callable[..., Any]:
        name = vars(step.__func__)["__temporal_activity_definition"].name

        @activity.defn(name=name, no_thread_cancel_exception=True)
        @functools.wraps(step, updated=())
        def run(given: Any) -> Any:
            ref = given if isinstance(given, ImportRef) else given.ref
            if not self._turns.take(ref.import_id, name, self._settings.home):
                raise ApplicationError("It is the other worker's turn.", next_retry_delay=timedelta(milliseconds=50))
            return step(given)

        return run


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
def bulkhead(settings: Settings, store: Store, turns: Turns) -> Iterator[Bulkhead]:
    """With two workers in threads of this process, each with a home of its own."""
    with ExitStack() as running, closing(Bulkhead(settings, store)) as one:
        for name in ("one", "other"):
            running.enter_context(one_of_two(settings.model_copy(update={"home": settings.home / name}), turns))
        yield one


def scratch(bulkhead: Bulkhead) -> list[Path]:
    """What is left in the scratch folders of both workers."""
    homes = bulkhead.settings.home.iterdir()
    return [path for home in homes for path in (home / "work").rglob("*") if path.is_file()]


def test_each_file_is_validated_once(bulkhead: Bulkhead, turns: Turns, validated: list[str]) -> None:
    done = [bulkhead.ingest(tree(1000, name=f"n{number}-"), name=f"{number}.csv") for number in range(4)]
    assert [one.state for one in done] == [State.SUCCEEDED] * 4
    assert all(balance(one) and one.parts_total == one.parts_done == 4 for one in done)
    assert validated == [one.id for one in done]
    for one in done:
        assert turns.of(one.id) == ["validate", "prepare"]
        homes = [home for import_id, _, home in turns.steps if import_id == one.id]
        assert homes[0] != homes[1]
    assert scratch(bulkhead) == []


def test_a_file_with_a_quarantine_is_validated_once(bulkhead: Bulkhead, validated: list[str]) -> None:
    rows = tree(500).replace("r499,r124,", "r499,missing,")
    one = upload(bulkhead, rows, Options(on_error=OnError.QUARANTINE))
    assert (one.state, one.inserted, one.quarantined) == (State.PARTIALLY_SUCCEEDED, 499, 1)
    assert validated == [one.id]


def test_a_dry_run_is_validated_once_and_its_promotion_once_more(
    bulkhead: Bulkhead, turns: Turns, validated: list[str]
) -> None:
    one = upload(bulkhead, tree(1000), DRY_RUN)
    assert (one.state, one.preview) == (State.VALIDATED, {"inserted": 1000, "updated": 0, "unchanged": 0, "moved": 0})
    assert (turns.of(one.id), validated) == (["validate", "preview"], [one.id])
    assert list(bulkhead.store.list(batches_prefix(one.id))) == [], "nothing is kept of a comparison"
    loaded = promote(bulkhead, one.id)
    assert (loaded.state, loaded.inserted) == (State.SUCCEEDED, 1000)
    assert turns.of(one.id) == ["validate", "preview", "validate", "prepare"]
    assert validated == [one.id, one.id]
    assert scratch(bulkhead) == []


@pytest.mark.parametrize("step", ["prepare", "preview"])
def test_without_stored_parts_the_file_is_validated_again(
    bulkhead: Bulkhead, turns: Turns, validated: list[str], step: str
) -> None:
    """As for an import that an earlier release has validated."""

    lost: list[int] = []

    def lose_parts(import_id: str, name: str) -> None:
        if name == step:
            lost.append(bulkhead.store.delete_prefix(batches_prefix(import_id)))

    turns.before = lose_parts
    one = upload(bulkhead, tree(1000), DRY_RUN if step == "preview" else Options())
    assert one.state is (State.VALIDATED if step == "preview" else State.SUCCEEDED)
    assert (one.preview or one.counts)["inserted"] == 1000
    assert (lost, validated) == ([5], [one.id, one.id])


def test_a_damaged_part_is_made_again_for_its_records_to_fail(bulkhead: Bulkhead, turns: Turns, validated: list[str]) -> None:
    one = paused_before_loading(bulkhead, tree(2000))
    assert validated == [one.id]
    key = part_key(one.id, 5)
    lost = Manifest.from_json(bulkhead.store.get_bytes(manifest_key(one.id)).decode()).part(5).records
    bulkhead.store.put_bytes(key, flipped(bulkhead.store.get_bytes(key)))
    pause(bulkhead, one.id, wanted=False)
    done = ended(bulkhead, one.id)
    assert (done.state, done.inserted, done.failed) == (State.PARTIALLY_SUCCEEDED, 2000 - lost, lost)
    assert turns.of(one.id) == ["validate", "prepare", "give_up_part", "write_failed"]
    assert validated == [one.id, one.id]
    assert scratch(bulkhead) == []


def test_a_rejected_file_leaves_no_parts(bulkhead: Bulkhead, validated: list[str]) -> None:
    one = bulkhead.ingest(HEADER + "1,missing,a\n")
    assert (one.state, validated) == (State.REJECTED, [one.id])
    assert list(bulkhead.store.list(batches_prefix(one.id))) == []
    assert scratch(bulkhead) == []


@pytest.mark.parametrize(("most", "expected"), [(0, 2), (3, 3)])
def test_one_import_is_loaded_by_as_many_workers_at_once_as_it_may(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch, most: int, expected: int
) -> None:
    at_work, begun, busiest, lock, real = 0, 0, 0, threading.Lock(), load_part.load_part

    def load(*args: Any, **options: Any) -> Any:
        """Note how many parts are being loaded; all but the first, which the others need, wait for a third to join them."""
        nonlocal at_work, begun, busiest
        with lock:
            at_work, begun = at_work + 1, begun + 1
            busiest = max(busiest, at_work)
        if begun > 1:
            with suppress(AssertionError):
                wait_until(lambda: busiest >= 3, 60.0 if most else 0.5)
        try:
            return real(*args, **options)
        finally:
            with lock:
                at_work -= 1

    monkeypatch.setattr(load_part, "load_part", load)
    limits = {"max_parallel_parts": 1, "max_parts_per_import": most}
    with ExitStack() as running, closing(Bulkhead(settings, store)) as bulkhead:
        for name in ("one", "two", "three"):
            running.enter_context(running_worker(settings.model_copy(update={"home": settings.home / name, **limits})))
        one = bulkhead.ingest(tree(2000))
    assert (one.state, one.parts_total, balance(one)) == (State.SUCCEEDED, one.parts_done, True)
    assert busiest == expected, "parts at once, the one that is prefetched included"
