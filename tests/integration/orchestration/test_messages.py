"""Messages, reconciliation, clean-up and files of results hold up no queue, and what Temporal loses is found again.

The receivers that hang are real sockets, the messages go through the real postman; where only the queue's pace matters, the
other steps are stand-ins.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pytest_httpserver import HTTPServer
from temporalio import activity, workflow
from temporalio.api.operatorservice.v1 import DeleteNamespaceRequest
from temporalio.client import Client
from temporalio.worker import Worker
from werkzeug import Request, Response

from pipeline import retention
from pipeline.adapters import postgres
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import CleanRun, Delivery, Outcome, Reconciled, ResultsWanted
from pipeline.contracts.object_keys import RowOutcome
from pipeline.contracts.options import OnError, Options
from pipeline.contracts.states import State
from pipeline.contracts.steps import DELIVER, TaskQueue
from pipeline.contracts.workflows import CLEAN_WORKFLOW, notify_workflow_id
from pipeline.ledger.ledger import Ledger
from pipeline.notify.recipients import Recipients, recipient_id
from pipeline.orchestration.notify_activities import NotifyActivities
from pipeline.orchestration.worker import serving, threads_of
from pipeline.receive.reconciliation import Reconciler
from pipeline.sandbox import write_results as results
from pipeline.settings import ROOT, Settings
from tests.support.bulkhead import HEADER, Bulkhead, tree
from tests.support.import_steps import ended, slow, upload
from tests.support.temporal_namespace import register_namespace
from tests.support.waiting import wait_until
from tests.support.workers import running_worker
from tests.support.workflow_double import QUEUE, Orchestra, Steps, run_story

pytestmark = pytest.mark.early

DATASETS = ("places", "records", "third", "fourth")
UPLOADS = 100
PACED = 16
HOSTS = 50
PACE_RATIO_MAX = 1.5
MEASURED_MAX = 3
"""What else the machine does may begin or end in the middle of a measurement, which counts for nothing then."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Receivers on this machine are let, and a task queue of its own."""
    return settings.model_copy(update={"webhook_allow_private": True, "task_queue": f"messages-{uuid.uuid4().hex[:8]}"})


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    engine = postgres.connect(settings.database_url)
    yield Ledger(engine)
    engine.dispose()


@pytest.fixture
def orchestrator(settings: Settings) -> Iterator[TemporalClient]:
    with closing(TemporalClient.of(settings)) as one:
        yield one


@pytest.fixture
def bulkhead(settings: Settings, store: Store) -> Iterator[Bulkhead]:
    with closing(Bulkhead(settings, store)) as one:
        yield one


@contextmanager
def hanging(hosts: int) -> Iterator[list[str]]:
    """Addresses of receivers, on so many hosts, that take a connection and never say anything."""
    with ExitStack() as listening:
        servers = [
            listening.enter_context(socket.create_server((f"127.0.1.{number}", 0), backlog=128))
            for number in range(1, hosts + 1)
        ]
        yield ["http://{}:{}/hook".format(*server.getsockname()) for server in servers]


def over(ledger: Ledger, store: Store, notify: Sequence[str] = (), dataset: str = "places") -> str:
    """The id of an import that has come to its end, as far as the ledger knows."""
    import_id = str(uuid.uuid4())
    key = f"incoming/{dataset}/{import_id}/a.csv"
    options = Options(notify=tuple(notify))
    place = {"dataset": dataset, "filename": "a.csv", "bucket": store.bucket, "key": key}
    ledger.imports.open(import_id, state=State.QUEUED, options=options, **place)
    ledger.imports.move(import_id, State.VALIDATING)
    ledger.imports.move(import_id, State.REJECTED, "3 errors")
    return import_id


# --- the pace of a queue ---


class Paced(Orchestra):
    """The task_queues of a real worker, with doubles of all steps but those that notify."""

    def __init__(self, client: Client, settings: Settings, postman: NotifyActivities) -> None:
        super().__init__(client)
        self._settings = settings
        self._postman = postman
        self.steps: Timed = Timed()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        task_queues: dict[TaskQueue, list[Callable[..., Any]]] = {queue: [] for queue in TaskQueue} | self.steps.by_task_queue
        task_queues[TaskQueue.MESSAGES] = self._postman.all
        idle = {queue: [_nothing(queue)] for queue in TaskQueue if not task_queues[queue]}
        async with serving(self.client, QUEUE, task_queues | idle, threads_of(self._settings)):
            yield

    async def until(self, true: Callable[[], bool]) -> None:
        await asyncio.to_thread(wait_until, true, 120.0)

    async def pace(self, ids: Sequence[str]) -> float:
        """Return the lower quartile of the seconds between ends of imports of one dataset, when all are uploaded
        at once. What else the machine does lengthens some gaps; a queue that is held up has none that is short."""
        queues = [await self.announce(import_id, DATASETS[number % len(DATASETS)]) for number, import_id in enumerate(ids)]
        for queue in queues[-len(DATASETS) :]:
            await queue.result()
        gaps = list[float]()
        for number in range(len(DATASETS)):
            ends = sorted(self.steps.ended[import_id] for import_id in ids[number :: len(DATASETS)])
            gaps += [later - sooner for sooner, later in itertools.pairwise(ends)]
        return statistics.quantiles(gaps, n=4)[0]


class Timed(Steps):
    """Stand-ins that note when each import has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: dict[str, float] = {}
        self.before_closing = lambda ending: self.ended.update({ending.ref.import_id: time.monotonic()})


def _nothing(queue: TaskQueue) -> Callable[..., Any]:
    """A worker needs an activity."""

    @activity.defn(name=f"nothing in {queue}")
    def nothing() -> None:
        return None

    return nothing


@pytest.mark.thorough
@pytest.mark.alone
def test_hanging_receivers_leave_a_queue_its_pace(settings: Settings, ledger: Ledger, store: Store) -> None:
    orchestrator = TemporalClient.of(settings.model_copy(update={"task_queue": QUEUE}))
    postman = NotifyActivities(settings, store, ledger, Recipients(ledger.engine, settings))

    def some(number: int, urls: Sequence[str] = ()) -> list[str]:
        five = [[urls[(5 * one + n) % len(urls)] for n in range(5)] if urls else [] for one in range(number)]
        return [over(ledger, store, named, DATASETS[one % len(DATASETS)]) for one, named in enumerate(five)]

    ratios: list[float] = []

    async def story() -> None:
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
        o = Paced(client, settings, postman)
        async with o.working():
            before = await o.pace(some(PACED))
            with hanging(HOSTS) as urls:
                ended = some(UPLOADS - PACED, urls)
                for import_id in ended:
                    await asyncio.to_thread(orchestrator.notify, outcome_of(ledger, import_id))
                await o.until(lambda: all(ledger.deliveries.of_import(one) for one in ended))
                beside = await o.pace(some(PACED, urls))
                tried = [row["attempts"] for one in ended for row in ledger.deliveries.of_import(one)]
                assert len(tried) == 5 * len(ended)
                assert 0 in tried, "they still hang"
            after = await o.pace(some(PACED))
        print(f"{before:.3f} s an import, {beside:.3f} s beside hanging receivers, then {after:.3f} s; {sum(tried)} attempts")
        ratios.append(beside / statistics.mean((before, after)))

    with closing(orchestrator):
        while len(ratios) < MEASURED_MAX and (not ratios or ratios[-1] > PACE_RATIO_MAX):
            run_story(story())
    assert ratios[-1] <= PACE_RATIO_MAX, ratios


def test_clean_ups_and_files_of_results_that_take_for_ever_hold_up_neither_imports_nor_reconciliation(
    settings: Settings, bulkhead: Bulkhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, entered = threading.Event(), threading.Semaphore(0)

    def hang(*_: Any, beat: Callable[..., None], **__: Any) -> Any:
        entered.release()
        while not let_go.wait(0.5):
            beat()
        return retention.Cleaned()

    async def begin(workflow_name: str, given: Any, number: int) -> None:
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
        await client.start_workflow(workflow_name, given, id=f"{workflow_name}/{number}", task_queue=settings.task_queue)

    with running_worker(settings):
        one = upload(bulkhead, HEADER + "1,,a\n", Options())
        monkeypatch.setattr(retention, "clean", hang)
        monkeypatch.setattr("pipeline.orchestration.result_files.ResultFiles.write", hang)
        for number in range(10):
            asyncio.run(begin(CLEAN_WORKFLOW.name, CleanRun(), number))
        for fate in RowOutcome:
            for form in ("native", "csv", "json", "parquet"):
                bulkhead.orchestrator.write_results(ResultsWanted(one.ref, fate, form))
        assert entered.acquire(timeout=300)
        assert entered.acquire(timeout=300)
        assert bulkhead.orchestrator.reconcile(seconds=20).seen == 1
        assert upload(bulkhead, HEADER + "2,,b\n", Options()).state is State.SUCCEEDED
        let_go.set()


def test_a_large_file_of_failures_does_not_delay_the_end_of_another_import(
    settings: Settings, bulkhead: Bulkhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "write_results", patiently)
    quarantine = Options(on_error=OnError.QUARANTINE)
    with running_worker(settings):
        large = upload(bulkhead, HEADER + "1,,a\n2,9,b\n", quarantine, wait=False)
        wait_until(lambda: list(settings.work_dir.glob(f"{large.id}/results-*")) != [], seconds=600.0)
        small = upload(bulkhead, "id,parentId,name,kind\nFR,,France,Country\nX,XX,x,Country\n", quarantine, dataset="places")
        assert small.state is State.PARTIALLY_SUCCEEDED
        assert not bulkhead.ledger.imports.known(large.id).state.is_final
        (settings.work_dir / "go on").touch()
        assert ended(bulkhead, large.id).state is State.PARTIALLY_SUCCEEDED


def patiently(folder: Path, dataset: Any, *rest: Any) -> Any:
    """In the child: sort the rows of ``records`` only when the test lets it."""
    while dataset.name == "records" and not (folder.parents[1] / "go on").exists():
        time.sleep(0.05)
    from pipeline.sandbox.write_results import write_results

    return write_results(folder, dataset, *rest)


# --- messages beside one another ---


def test_messages_to_other_hosts_arrive_while_some_hang_and_waiting_is_no_try(
    settings: Settings, store: Store, ledger: Ledger, orchestrator: TemporalClient, httpserver: HTTPServer
) -> None:
    seen: list[Request] = []
    httpserver.expect_request("/good").respond_with_handler(lambda request: seen.append(request) or Response())  # type: ignore[func-returns-value]
    good = f"http://127.0.0.1:{httpserver.port}/good"
    with running_worker(settings), hanging(1) as (dead,):
        late = [over(ledger, store, [f"{dead}/{number}-{n}" for n in range(5)]) for number in range(20)]
        for import_id in late:
            orchestrator.notify(outcome_of(ledger, import_id))
        wait_until(lambda: sum(len(ledger.deliveries.of_import(one)) for one in late) == 100)
        of_the_same, of_another = over(ledger, store, [good]), over(ledger, store, [good], dataset="records")
        for import_id in (of_the_same, of_another):
            orchestrator.notify(outcome_of(ledger, import_id))
        wait_until(lambda: len(seen) == 2)
        tries = sum(row["attempts"] for one in late for row in ledger.deliveries.of_import(one))
        assert tries <= 3, "a message that waits for a place was not tried"


def outcome_of(ledger: Ledger, import_id: str) -> Outcome:
    known = ledger.imports.known(import_id)
    return Outcome(import_id, known.state, known.reason)


async def history_of(settings: Settings, workflow_id: str) -> str:
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    handle = client.get_workflow_handle(workflow_id)
    await handle.result()
    return (await handle.fetch_history()).to_json()


def test_no_address_is_in_a_workflow_history(
    settings: Settings, store: Store, ledger: Ledger, orchestrator: TemporalClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/s3cret").respond_with_data("")
    url = httpserver.url_for("/s3cret")
    import_id = over(ledger, store, [url])
    with running_worker(settings):
        orchestrator.notify(outcome_of(ledger, import_id))
        told = asyncio.run(history_of(settings, notify_workflow_id(import_id)))
        assert orchestrator.send(Delivery(import_id, "webhook", receiver=recipient_id("webhook", url))) == ""
    assert [row["attempts"] for row in ledger.deliveries.of_import(import_id)] == [2]
    assert "TellUser" in told
    assert str(httpserver.port) not in told


@workflow.defn(name="Old", sandboxed=False)
class Old:
    """What a workflow did that began before messages had a task queue of their own."""

    @workflow.run
    async def run(self, delivery: Delivery) -> None:
        await workflow.execute_activity(
            DELIVER.name, delivery, task_queue=workflow.info().task_queue[4:], start_to_close_timeout=timedelta(minutes=1)
        )


def test_messages_that_were_under_way_before_are_served_on_the_queue_that_they_had(
    settings: Settings, store: Store, ledger: Ledger, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    url = httpserver.url_for("/hook")
    import_id = over(ledger, store, [url])
    ledger.deliveries.open(import_id, "webhook", url, "msg_1")

    async def story() -> None:
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
        queue = f"old-{settings.task_queue}"
        async with Worker(client, task_queue=queue, workflows=[Old]):
            await client.execute_workflow("Old", Delivery(import_id, "webhook", url), id="old", task_queue=queue)

    with running_worker(settings):
        asyncio.run(story())
    assert [(row["attempts"], row["last_error"]) for row in ledger.deliveries.of_import(import_id)] == [(1, "")]


# --- what was lost is found ---


def aged(settings: Settings, seconds: int = 120) -> None:
    """All that the ledger knows was so much earlier."""
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(f"update ledger.import set finished_at = finished_at - interval '{seconds} seconds'")
        connection.execute(f"update ledger.delivery set due_at = due_at - interval '{seconds} seconds'")


def test_reconciliation_starts_lost_notifications_and_none_twice(
    settings: Settings, store: Store, ledger: Ledger, orchestrator: TemporalClient, httpserver: HTTPServer
) -> None:
    seen: list[Request] = []
    httpserver.expect_request("/hook").respond_with_handler(lambda request: seen.append(request) or Response())  # type: ignore[func-returns-value]
    url = httpserver.url_for("/hook")
    reconciler = Reconciler(settings, store, ledger, orchestrator)
    tell = lambda: reconciler.reconcile(beat=lambda _: None).told  # noqa: E731
    never_noted, noted, given_up = over(ledger, store, [url]), over(ledger, store, [url]), over(ledger, store, [url])
    for one in (noted, given_up):
        ledger.deliveries.open(one, "webhook", url, f"msg_{one}")
        ledger.deliveries.mark_planned(one, State.REJECTED)
    ledger.deliveries.record_attempt(given_up, "webhook", url, "it is gone", is_last=True)
    assert tell() == 0, "it has ended a moment ago"
    aged(settings)
    assert tell() == 2
    with running_worker(settings):
        wait_until(lambda: len(seen) == 2)
        wait_until(lambda: all(ledger.deliveries.of_import(one)[0]["delivered_at"] for one in (never_noted, noted)))
        aged(settings, 600)
        assert tell() == 0, "all have been told"
        for one in (never_noted, noted, given_up):
            orchestrator.notify(outcome_of(ledger, one))
        asyncio.run(history_of(settings, notify_workflow_id(given_up)))
    assert len({request.headers["webhook-id"] for request in seen}) == len(seen) == 2


def test_an_end_long_ago_and_one_without_a_run_are_left_alone(
    settings: Settings, store: Store, ledger: Ledger, orchestrator: TemporalClient
) -> None:
    over(ledger, store)
    aged(settings, 4 * 86_400)
    waiting = str(uuid.uuid4())
    ledger.imports.open(waiting, dataset="places", filename="a", bucket=store.bucket, key="k", state=State.QUEUED)
    ledger.imports.move(waiting, State.CANCELED, "the user canceled")
    aged(settings)
    assert Reconciler(settings, store, ledger, orchestrator).reconcile(beat=lambda _: None).told == 0


def test_a_bucket_too_large_for_one_run_is_listed_over_several(
    settings: Settings, store: Store, ledger: Ledger, orchestrator: TemporalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"incoming/places/{number}.csv" for number in range(7)]
    for key in keys:
        store.put_bytes(key, b"id,parentId,name,kind\nFR,,France,Country\n")
    listed = store._s3.get_paginator
    monkeypatch.setattr(store._s3, "get_paginator", lambda name: Small(listed(name)))
    monkeypatch.setattr(orchestrator, "announce", lambda arrival: announced.append(arrival.key))
    announced: list[str] = []
    reconciler = Reconciler(settings, store, ledger, orchestrator)
    whole = reconciler.reconcile(beat=lambda _: None)
    assert (whole.seen, whole.is_whole, announced) == (7, True, keys)
    monkeypatch.setattr("pipeline.receive.reconciliation.LISTING_SECONDS", 0.0)
    announced.clear()
    runs: list[Reconciled] = [reconciler.reconcile(beat=lambda _: None) for _ in range(6)]
    assert [run.seen for run in runs] == [2, 2, 2, 1, 0, 2], "each goes on where the one before it stopped"
    assert announced == [*keys, *keys[:2]]
    assert not any(run.is_whole for run in runs)


class Small:
    """A paginator of two objects a page."""

    def __init__(self, paginator: Any) -> None:
        self._paginator = paginator

    def paginate(self, **given: Any) -> Any:
        return self._paginator.paginate(**given, PaginationConfig={"PageSize": 2})


@pytest.mark.schedules
def test_schedules_follow_the_settings_and_stay_paused(settings: Settings, orchestrator: TemporalClient) -> None:
    async def schedule(pause: bool = False) -> tuple[timedelta, str, bool]:
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
        handle = client.get_schedule_handle("reconcile")
        if pause:
            await handle.pause()
        there = (await handle.describe()).schedule
        return there.spec.intervals[0].every, there.action.task_queue, there.state.paused  # type: ignore[union-attr]

    orchestrator.schedule_reconciliation(60)
    assert asyncio.run(schedule()) == (timedelta(seconds=60), settings.task_queue, False)
    orchestrator.schedule_reconciliation(7)
    assert asyncio.run(schedule(pause=True)) == (timedelta(seconds=7), settings.task_queue, True)
    other = settings.model_copy(update={"task_queue": "another"})
    with closing(TemporalClient.of(other)) as another:
        another.schedule_reconciliation(7)
    assert asyncio.run(schedule()) == (timedelta(seconds=7), "another", True)


@pytest.mark.schedules
def test_a_namespace_that_is_lost_under_a_running_worker_costs_a_minute(
    settings: Settings, environment: Mapping[str, str], bulkhead: Bulkhead, httpserver: HTTPServer
) -> None:
    seen: list[Request] = []
    httpserver.expect_request("/hook").respond_with_handler(lambda request: seen.append(request) or Response())  # type: ignore[func-returns-value]
    slow(bulkhead, 1.0)
    more = {
        "BULKHEAD_WEBHOOK_ALLOW_PRIVATE": "true",
        "BULKHEAD_TASK_QUEUE": settings.task_queue,
        "BULKHEAD_BATCHES_PER_PART": "1",
        "BULKHEAD_RECONCILE_SECONDS": "5",
        "PYTHONPATH": str(ROOT),
    }
    worker = subprocess.Popen([sys.executable, "-m", "pipeline.orchestration.worker"], env={**environment, **more}, cwd=ROOT)
    try:
        one = upload(bulkhead, tree(4000), Options(notify=(httpserver.url_for("/hook"),)), wait=False)
        wait_until(lambda: bulkhead.ledger.imports.known(one.id).parts_done >= 2, seconds=600.0)
        told = over(bulkhead.ledger, bulkhead.store, [httpserver.url_for("/hook")])
        asyncio.run(lose_namespace(settings))
        time.sleep(12)  # until the server has noticed, and refuses the worker's polls
        loaded, lost = bulkhead.ledger.imports.known(one.id).parts_done, time.monotonic()
        asyncio.run(register_namespace(settings.temporal_address, settings.temporal_namespace))
        wait_until(
            lambda: bulkhead.ledger.imports.known(one.id).parts_done > loaded, seconds=600.0
        )  # 42 to 52 s, measured on a busy machine
        print(f"it went on {time.monotonic() - lost:.1f} s after the namespace was there again")
        slow(bulkhead, 0.0)
        assert ended(bulkhead, one.id).state is State.SUCCEEDED
        wait_until(lambda: len(seen) == 2, seconds=600.0)
        assert bulkhead.rows("select count(*) from warehouse.records") == [(4000,)]
        assert ended(bulkhead, told).state is State.REJECTED
    finally:
        worker.terminate()
        worker.wait(60)


async def lose_namespace(settings: Settings) -> None:
    """As after Temporal's database was lost: nothing of it is left, and it answers that there is no such namespace."""
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    await client.operator_service.delete_namespace(DeleteNamespaceRequest(namespace=settings.temporal_namespace))
