"""A Temporal client and worker that run the real workflows with doubles of the activities."""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from pipeline.contracts.messages import (
    Deliveries,
    Delivery,
    DryRunCounts,
    Ending,
    ImportRef,
    NextImport,
    NextImportRequest,
    ObjectArrived,
    ObjectsArrived,
    Outcome,
    PartRef,
    PartResult,
    PauseState,
    Plan,
    QueueRun,
    Verdict,
    Written,
)
from pipeline.contracts.object_keys import dataset_of
from pipeline.contracts.states import State
from pipeline.contracts.steps import TaskQueue, task_queue_name
from pipeline.contracts.workflows import (
    ENQUEUE_SIGNAL,
    QUEUE_WORKFLOW,
    import_workflow_id,
    queue_workflow_id,
)
from pipeline.orchestration.import_workflow import ImportFile
from pipeline.orchestration.notify_workflow import TellUser
from pipeline.orchestration.queue_workflow import DatasetQueue

QUEUE = "bulkhead"


class Steps:
    """Stand-ins that note what was asked of them. Attributes say how the next import behaves."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.endings: dict[str, Ending] = {}
        self.promoted: set[str] = set()
        self.verdict = Verdict(records=400, errors=0, warnings=0)
        self.plan = Plan(records=400, batches=2, parts=1, waves=(1,), parallel=2)
        self.before_part: Callable[[int], None] = lambda part_no: None
        self.before_closing: Callable[[Ending], None] = lambda ending: None
        self.before_registering: Callable[[], None] = lambda: None
        self.before_validating: Callable[[ImportRef], None] = lambda ref: None
        self.before_preparing: Callable[[ImportRef], None] = lambda ref: None
        self.before_watching: Callable[[ImportRef], None] = lambda ref: None
        self.validate_seconds = 0.0
        self.busy = 0
        self.busiest = 0
        self.pause_wanted = False
        self.has_failures = False
        self.searchable = False
        self.given_up: list[tuple[int, str]] = []
        self.registered = 0
        self.known: dict[tuple[str, bool], ImportRef] = {}
        self.over: set[ImportRef] = set()
        self._lock = threading.Lock()

    @property
    def loaded(self) -> list[int]:
        """The parts that were loaded, in the order of their ends."""
        return [int(line.rpartition(" ")[2]) for line in self.log if line.startswith("load ")]

    @activity.defn
    def register(self, arrivals: ObjectsArrived) -> None:
        self.before_registering()
        self.registered += len(arrivals.items)
        for arrival in arrivals.items:
            import_id, dataset = arrival.key.rpartition("/")[2], str(dataset_of(arrival.key))
            ref = ImportRef(import_id, dataset, arrival.bucket, arrival.key, "etag", promoted=import_id in self.promoted)
            self.known.setdefault((import_id, ref.promoted), ref)

    @activity.defn
    def next(self, asked: NextImportRequest) -> NextImport:
        waiting = [ref for ref in self.known.values() if ref.dataset == asked.dataset and ref.import_id not in asked.but]
        return NextImport(next((ref for ref in waiting if ref not in self.over), None), searchable=self.searchable)

    @activity.defn
    async def watch(self, ref: ImportRef) -> None:
        self.log.append(f"watch {ref.import_id}")
        self.before_watching(ref)
        while ref not in self.over:
            activity.heartbeat()
            await asyncio.sleep(0.05)

    @activity.defn
    def validate(self, ref: ImportRef) -> Verdict:
        self.log.append(f"validate {ref.import_id}")
        self.before_validating(ref)
        time.sleep(self.validate_seconds)
        return self.verdict

    @activity.defn
    def preview(self, ref: ImportRef) -> DryRunCounts:
        self.log.append(f"preview {ref.import_id}")
        return DryRunCounts(inserted=400)

    @activity.defn
    def prepare(self, ref: ImportRef) -> Plan:
        self.log.append(f"prepare {ref.import_id}")
        self.before_preparing(ref)
        return self.plan

    @activity.defn(no_thread_cancel_exception=True)
    def load_part(self, part: PartRef) -> PartResult:
        with self._lock:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        try:
            self.before_part(part.part_no)
            self.log.append(f"load {part.ref.import_id} {part.part_no}")
        finally:
            with self._lock:
                self.busy -= 1
        return PartResult(inserted=1)

    @activity.defn
    def give_up_part(self, part: PartRef) -> PartResult:
        self.log.append(f"give up {part.ref.import_id} {part.part_no}")
        self.given_up.append((part.part_no, part.reason))
        return PartResult(failed=200)

    @activity.defn
    def hold(self, ref: ImportRef) -> PauseState:
        self.log.append(f"hold {ref.import_id}")
        return PauseState(self.pause_wanted)

    @activity.defn
    def go_on(self, ref: ImportRef) -> PauseState:
        self.log.append(f"go on {ref.import_id}")
        return PauseState(False)

    @activity.defn
    def finish(self, ending: Ending) -> Outcome:
        self.log.append(f"finish {ending.ref.import_id}")
        if self.has_failures and ending.fault is None:
            return Outcome(ending.ref.import_id, State.LOADING, is_final=False)
        self.endings[ending.ref.import_id] = ending
        self.over.add(ending.ref)
        self.before_closing(ending)
        return Outcome(ending.ref.import_id, ending.state or State.SUCCEEDED, ending.reason)

    @activity.defn
    def close(self, ending: Ending) -> Outcome:
        self.log.append(f"close {ending.ref.import_id}")
        self.endings[ending.ref.import_id] = ending
        self.over.add(ending.ref)
        return Outcome(ending.ref.import_id, ending.state or State.FAILED, ending.reason)

    @activity.defn
    def write_failed(self, ending: Ending) -> Written:
        self.log.append(f"write {ending.ref.import_id}")
        return Written()

    @activity.defn
    def addressees(self, outcome: Outcome) -> Deliveries:
        return Deliveries((Delivery(outcome.import_id, "webhook", "http://a"), Delivery(outcome.import_id, "email", "b")))

    @activity.defn
    def deliver(self, delivery: Delivery) -> None:
        if delivery.channel == "webhook":
            raise ApplicationError("gone", non_retryable=True)
        self.log.append(f"told {delivery.import_id} {delivery.target}")

    @property
    def by_task_queue(self) -> dict[TaskQueue, list[Callable[..., Any]]]:
        return {
            TaskQueue.SHORT: [self.register, self.next, self.hold, self.go_on, self.finish, self.close],
            TaskQueue.FILES: [self.validate, self.preview, self.prepare, self.give_up_part, self.write_failed],
            TaskQueue.PARTS: [self.load_part],
            TaskQueue.WAITS: [self.watch],
            TaskQueue.MESSAGES: [self.addressees, self.deliver],
        }


SHUTDOWN_SECONDS = 30.0
"""The SDK's own wait for a worker's end has no limit, and on a busy machine it has been seen not to return
(as in https://github.com/temporalio/sdk-rust/issues/1297); in production whatever supervises the process kills it then."""

LEFT_BEHIND = "A Temporal worker did not shut down"
"""How the warning begins that pytest's summary has then (pyproject.toml lets it be one)."""

_left_behind: list[asyncio.AbstractEventLoop] = []


def run_story(story: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, and leave workers behind that have not ended: asyncio.run would wait for them."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(story)
    finally:
        if asyncio.all_tasks(loop):
            _left_behind.append(loop)
        else:
            loop.close()


@asynccontextmanager
async def _working(worker: Worker) -> AsyncIterator[None]:
    """Run a worker, and wait for its end for so long."""
    await worker.__aenter__()
    try:
        yield
    finally:
        ended = asyncio.create_task(worker.__aexit__(None))
        if (await asyncio.wait({ended}, timeout=SHUTDOWN_SECONDS))[0]:
            await ended
        else:
            warnings.warn(f"{LEFT_BEHIND} within {SHUTDOWN_SECONDS} s", stacklevel=2)


class Orchestra:
    """A client and a worker on this test's own namespace."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.steps = Steps()
        self._workers = AsyncExitStack()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """A worker, for as long as the block lasts."""
        with ThreadPoolExecutor(16) as pool:
            workers = [
                Worker(
                    self.client,
                    task_queue=task_queue_name(QUEUE, queue),
                    workflows=[] if queue else [DatasetQueue, ImportFile, TellUser],
                    activities=steps,
                    activity_executor=pool,
                )
                for queue, steps in self.steps.by_task_queue.items()
            ]
            async with AsyncExitStack() as self._workers:
                for worker in workers:
                    await self._workers.enter_async_context(_working(worker))
                yield

    @asynccontextmanager
    async def restarted(self) -> AsyncIterator[None]:
        """End the worker, and have another one for as long as the block lasts."""
        await self._workers.aclose()
        async with self.working():
            yield

    async def announce(self, import_id: str, dataset: str = "places") -> WorkflowHandle[Any, Any]:
        return await self.client.start_workflow(
            QUEUE_WORKFLOW.name,
            QueueRun(dataset),
            id=queue_workflow_id(dataset),
            task_queue=QUEUE,
            start_signal=ENQUEUE_SIGNAL,
            start_signal_args=[ObjectArrived("b", f"incoming/{dataset}/{import_id}")],
        )

    def import_run(self, import_id: str) -> WorkflowHandle[Any, Outcome]:
        return self.client.get_workflow_handle(import_workflow_id(import_id), result_type=Outcome)

    async def import_file(self, import_id: str, dataset: str = "places") -> Outcome:
        await (await self.announce(import_id, dataset)).result()
        return await self.import_run(import_id).result()
