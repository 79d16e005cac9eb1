"""The queue of a dataset: register what has arrived, run one import at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
)

with workflow.unsafe.imports_passed_through():
    from pipeline.contracts.messages import (
        Ending,
        ImportRef,
        ImportRun,
        NextImport,
        NextImportRequest,
        ObjectArrived,
        ObjectsArrived,
        Outcome,
        QueueRun,
    )
    from pipeline.contracts.states import State
    from pipeline.contracts.steps import (
        AWAIT_IMPORT,
        CLOSE,
        NEXT_IMPORT,
        REGISTER,
        VALIDATE,
    )
    from pipeline.contracts.workflows import (
        ENQUEUE_SIGNAL,
        IMPORT_WORKFLOW,
        QUEUE_WORKFLOW,
        import_workflow_id,
    )
from pipeline.orchestration.steps import (
    BEGUN_AGAIN,
    CLOSE_INTERVAL,
    WATCHED_AGAIN,
    done_or_long,
    is_long,
    is_type,
    run_step,
    start_child,
    start_notifying,
)

REGISTERED_AT_ONCE = 100
"""Arrivals in one step: as many as it registers in about a second."""

CARRIED_BYTES = 128 << 10
"""Bytes of arrivals carried across continue-as-new: Temporal refuses an input of 2 MB. Reconciliation finds the others."""

RUNS = 3
"""An import whose run ended before the import did is started again; after so many runs in a row it is closed as failed."""


@workflow.defn(name=QUEUE_WORKFLOW.name)
class DatasetQueue:
    """Import the files of one dataset, one after the other. Temporal runs one workflow an id, so there is no second queue.

    Which imports wait is in the ledger: the queue registers arrivals and asks for the next import. So its history depends on
    recent activity, not on the queue's length, and many arrivals cost one event each and one step per hundred.
    """

    @workflow.init
    def __init__(self, run: QueueRun) -> None:
        self._dataset = run.dataset
        self._arrived = dict.fromkeys(run.arrived)  # in order, without duplicates
        self._looking = False  # a registration is running
        self._looked = 0  # how many registrations have completed
        self._running = run.running
        self._last = run.last
        self._begun = run.begun  # how often in a row the running import, or else the last one, was started
        self._why = ""  # the reason of the last run, if it failed
        self._stuck: list[str] = []  # only used in old histories

    @workflow.signal(name=ENQUEUE_SIGNAL)
    def enqueue(self, arrival: ObjectArrived) -> None:
        """Note that an object arrived. Idempotent: the ledger knows whether it still has to be imported."""
        self._arrived[arrival] = None

    @workflow.run
    async def run(self, run: QueueRun) -> None:
        """Import what is queued until nothing is left. The next arrival starts the workflow again."""
        registrar = asyncio.create_task(self._keep_registering())
        over = self._start_waiting(self._running) if self._running else None  # started by the previous run
        while over or (over := await self._start_next()):
            over = await self._until_ended(over)
            if is_long():
                await self._continue_as_new(over)
            self._last, self._running, over = self._running, None, None
        registrar.cancel()

    async def _keep_registering(self) -> None:
        """Register arrivals in the order of their events, until canceled."""
        while True:
            await workflow.wait_condition(lambda: bool(self._arrived) and not is_long())
            some = tuple(self._arrived)[:REGISTERED_AT_ONCE]
            self._looking = True
            try:
                summary = f"{len(some)} from {some[0].key}"
                await run_step(REGISTER, ObjectsArrived(some), limit=timedelta(minutes=5), beats=True, summary=summary)
            except ActivityError as error:
                workflow.logger.warning("arrivals could not be registered; reconciliation will: %s", error.__cause__)
            for one in some:
                del self._arrived[one]
            self._looking, self._looked = False, self._looked + 1

    async def _start_next(self) -> asyncio.Task[None] | None:
        """Start the next import and return a task that is done when it has ended; None if nothing is queued or arrives."""
        while True:
            if self._arrived:
                await self._until_looked()
            if is_long():
                await self._continue_as_new(None)
            looked = self._looked
            asked = NextImportRequest(self._dataset, tuple(self._stuck))
            found = await run_step(NEXT_IMPORT, asked, limit=timedelta(minutes=1), beats=True)
            ref = found.ref
            if ref and ref == self._last and not workflow.patched(BEGUN_AGAIN):
                self._stuck.append(ref.import_id)
            elif ref and ref == self._last and self._begun >= RUNS:
                await self._close(ref)
            elif ref:
                self._begun = self._begun + 1 if ref == self._last else 1
                self._running = ref
                return await self._start(ref, found)
            elif not self._arrived and looked == self._looked:
                return None

    async def _start(self, ref: ImportRef, found: NextImport) -> asyncio.Task[None]:
        """Start an import and return a task that waits for its end. It continues if this run ends, and is found by its id."""
        try:
            dataset = self._dataset if found.searchable else None
            run = ImportRun(ref, traceparent=found.traceparent)
            child = await start_child(IMPORT_WORKFLOW, run, import_workflow_id(ref.import_id), dataset=dataset)
        except WorkflowAlreadyStartedError:
            self._begun -= 1
            return self._start_waiting(ref)
        return asyncio.create_task(self._ended(child, ref))

    async def _ended(self, child: workflow.ChildWorkflowHandle[Any, Outcome], ref: ImportRef) -> None:
        """Wait for the end of an import. Its result is in the ledger; a failure does not stop the queue."""
        self._why = ""
        try:
            await child
        except ChildWorkflowError as error:
            self._why = str(error.__cause__ or error)
            workflow.logger.info("import %s did not succeed: %s", ref.import_id, self._why)

    async def _close(self, ref: ImportRef) -> None:
        """Close an import whose runs end before it does, so that the queue can continue; wait a minute if that fails too."""
        why = f" The last error: {self._why}" if self._why else ""
        reason = f"The import was started {RUNS} times, and no run completed.{why}"
        try:
            outcome = await run_step(CLOSE, Ending(ref, State.FAILED, reason), limit=timedelta(minutes=1), beats=True)
            await start_notifying(outcome)
        except ActivityError as error:
            workflow.logger.warning("import %s could not be closed: %s", ref.import_id, error.__cause__)
            await workflow.sleep(CLOSE_INTERVAL)

    async def _until_ended(self, over: asyncio.Task[None]) -> asyncio.Task[None]:
        """Wait until the import has ended or the history is long. The returned task is done in the first case only."""
        while True:
            await done_or_long(over)
            error = over.exception() if over.done() else None
            if error is None or self._running is None or not workflow.patched(WATCHED_AGAIN):
                return over
            workflow.logger.warning("waiting for import %s failed: %s", self._running.import_id, error)
            over = self._start_waiting(self._running)

    async def _until_looked(self) -> None:
        looked = self._looked
        await workflow.wait_condition(lambda: self._looked > looked or is_long())

    def _start_waiting(self, ref: ImportRef) -> asyncio.Task[None]:
        """Return a task that waits for an import's end, without a timeout: it may be paused for weeks."""
        return asyncio.create_task(
            run_step(AWAIT_IMPORT, ref, limit=timedelta(days=1), give_up=None, beats=True, summary=ref.key)
        )

    async def _continue_as_new(self, over: asyncio.Task[None] | None) -> None:
        """Continue as new with the current state."""
        await workflow.wait_condition(lambda: not self._looking)
        running = self._running if over and not over.done() else None
        carried = _first_of(self._arrived)
        if len(carried) < len(self._arrived):
            workflow.logger.warning("%d arrivals are left to reconciliation", len(self._arrived) - len(carried))
        last = self._running or self._last
        workflow.continue_as_new(QueueRun(self._dataset, running, carried, last, self._begun))


def _first_of(arrivals: Iterable[ObjectArrived]) -> tuple[ObjectArrived, ...]:
    """Return the first arrivals, as many as fit CARRIED_BYTES as JSON."""
    few, room = [], CARRIED_BYTES
    for arrival in arrivals:
        room -= len(json.dumps(vars(arrival)))
        if room < 0:
            break
        few.append(arrival)
    return tuple(few)


def is_not_its_turn(error: BaseException) -> bool:
    """Return whether the import cannot start now: it was ended while it waited, or another one of its dataset is active.

    Then the queue continues. Only VALIDATE, which starts the import, can fail so; in any other step it is a fault.
    """
    is_taking_up = isinstance(error, ActivityError) and error.activity_type == VALIDATE.name
    return is_taking_up and (is_type(error, "IllegalMove") or is_type(error, "DatasetBusy"))
