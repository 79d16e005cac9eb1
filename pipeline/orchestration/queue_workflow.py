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
        NextImportRequest,
        ObjectArrived,
        ObjectsArrived,
        Outcome,
        QueueRun,
    )
    from pipeline.contracts.states import State
    from pipeline.contracts.steps import (
        CLOSE,
        NEXT,
        REGISTER,
        VALIDATE,
        WATCH,
    )
    from pipeline.contracts.workflows import (
        ENQUEUE_SIGNAL,
        IMPORT_WORKFLOW,
        QUEUE_WORKFLOW,
        import_workflow_id,
    )
from pipeline.orchestration.steps import (
    BEGUN_AGAIN,
    BETWEEN_TRIES,
    WATCHED_AGAIN,
    done_or_long,
    is_long,
    is_type,
    run_step,
    start_notifying,
)

REGISTERED_AT_ONCE = 100
"""Arrivals in one step: as many as a step looks at in a second or so."""

CARRIED_BYTES = 128 << 10
"""Of arrivals that are carried into a new run: Temporal refuses an input of 2 MB. Reconciliation finds the others."""

RUNS = 3
"""An import whose run ended before the import did is begun again; after so many runs in a row its books are closed."""


@workflow.defn(name=QUEUE_WORKFLOW)
class DatasetQueue:
    """A dataset's queue. Temporal allows one running workflow an id, so there is never a second ingestion beside it.

    The ledger knows who waits; the queue looks at what arrives, and asks who is next. So its history is as long as what went on
    of late, not as the queue, and a flood of events costs an event each and a step a hundred.
    """

    @workflow.init
    def __init__(self, run: QueueRun) -> None:
        self._dataset = run.dataset
        self._arrived = dict.fromkeys(run.arrived)  # in their order, each once
        self._looking = False  # at some of what arrived
        self._looked = 0  # how often
        self._running = run.running
        self._last = run.last
        self._begun = run.begun  # how often in a row the import that runs, or else the last one, was begun
        self._why = ""  # its last run ended, if it did not end well
        self._stuck: list[str] = []  # only in histories of earlier

    @workflow.signal(name=ENQUEUE_SIGNAL)
    def enqueue(self, arrival: ObjectArrived) -> None:
        """An object arrived, perhaps not for the first time; the ledger knows whether it still has to be imported."""
        self._arrived[arrival] = None

    @workflow.run
    async def run(self, run: QueueRun) -> None:
        """Import what was announced, one after the other, until nothing is left; a later announcement starts the queue anew."""
        registrar = asyncio.create_task(self._keep_registering())
        over = self._watch(self._running) if self._running else None  # begun by the run before this one
        while over or (over := await self._begin_next()):
            over = await self._until_over(over)
            if is_long():
                await self._go_on_as_new(over)
            self._last, self._running, over = self._running, None, None
        registrar.cancel()

    async def _keep_registering(self) -> None:
        """Have the ledger know what arrived, in the order of the events."""
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

    async def _begin_next(self) -> asyncio.Task[None] | None:
        """Begin the next import; what is returned is done when it is over. None if nothing waits, and nothing has arrived."""
        while True:
            if self._arrived:
                await self._until_looked()
            if is_long():
                await self._go_on_as_new(None)
            looked = self._looked
            asked = NextImportRequest(self._dataset, tuple(self._stuck))
            ref = (await run_step(NEXT, asked, limit=timedelta(minutes=1), beats=True)).ref
            if ref and ref == self._last and not workflow.patched(BEGUN_AGAIN):
                self._stuck.append(ref.import_id)
            elif ref and ref == self._last and self._begun >= RUNS:
                await self._close(ref)
            elif ref:
                self._begun = self._begun + 1 if ref == self._last else 1
                self._running = ref
                return await self._begin(ref)
            elif not self._arrived and looked == self._looked:
                return None

    async def _begin(self, ref: ImportRef) -> asyncio.Task[None]:
        """It goes on whatever becomes of this run of the queue, and is found again by its id."""
        try:
            child = await workflow.start_child_workflow(
                IMPORT_WORKFLOW,
                ImportRun(ref),
                id=import_workflow_id(ref.import_id),
                result_type=Outcome,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            self._begun -= 1
            return self._watch(ref)
        return asyncio.create_task(self._ended(child, ref))

    async def _ended(self, child: workflow.ChildWorkflowHandle[Any, Outcome], ref: ImportRef) -> None:
        """Whatever becomes of one import is in the ledger; the queue goes on."""
        self._why = ""
        try:
            await child
        except ChildWorkflowError as error:
            self._why = str(error.__cause__ or error)
            workflow.logger.info("import %s did not succeed: %s", ref.import_id, self._why)

    async def _close(self, ref: ImportRef) -> None:
        """Close the books of an import whose runs end before it does, so that its dataset goes on; try again later if not even
        that is possible now."""
        why = f" The last one said: {self._why}" if self._why else ""
        reason = f"It was begun {RUNS} times, and no run came to its end.{why}"
        try:
            outcome = await run_step(CLOSE, Ending(ref, State.FAILED, reason), limit=timedelta(minutes=1), beats=True)
            await start_notifying(outcome)
        except ActivityError as error:
            workflow.logger.warning("the books of %s could not be closed: %s", ref.import_id, error.__cause__)
            await workflow.sleep(BETWEEN_TRIES)

    async def _until_over(self, over: asyncio.Task[None]) -> asyncio.Task[None]:
        """Wait until the import is over, or until this history is long; what is returned is done in the first case only."""
        while True:
            await done_or_long(over)
            error = over.exception() if over.done() else None
            if error is None or self._running is None or not workflow.patched(WATCHED_AGAIN):
                return over
            workflow.logger.warning("import %s could not be watched: %s", self._running.import_id, error)
            over = self._watch(self._running)

    async def _until_looked(self) -> None:
        looked = self._looked
        await workflow.wait_condition(lambda: self._looked > looked or is_long())

    def _watch(self, ref: ImportRef) -> asyncio.Task[None]:
        """Wait for the end of its run, however long that takes: an import may be paused for weeks."""
        return asyncio.create_task(run_step(WATCH, ref, limit=timedelta(days=1), give_up=None, beats=True, summary=ref.key))

    async def _go_on_as_new(self, over: asyncio.Task[None] | None) -> None:
        """Begin a new history, with what is under way."""
        await workflow.wait_condition(lambda: not self._looking)
        running = self._running if over and not over.done() else None
        carried = _few_of(self._arrived)
        if len(carried) < len(self._arrived):
            workflow.logger.warning("%d arrivals are left to reconciliation", len(self._arrived) - len(carried))
        last = self._running or self._last
        workflow.continue_as_new(QueueRun(self._dataset, running, carried, last, self._begun))


def _few_of(arrivals: Iterable[ObjectArrived]) -> tuple[ObjectArrived, ...]:
    """The first of them, as many as fit CARRIED_BYTES as JSON."""
    few, room = [], CARRIED_BYTES
    for arrival in arrivals:
        room -= len(json.dumps(vars(arrival)))
        if room < 0:
            break
        few.append(arrival)
    return tuple(few)


def is_not_its_turn(error: BaseException) -> bool:
    """The import was ended from outside while it waited, or another one of its dataset is at work: then the queue goes on.

    Only VALIDATE, which takes the import up, can say so; of any other step an illegal move is a fault.
    """
    is_taking_up = isinstance(error, ActivityError) and error.activity_type == VALIDATE.name
    return is_taking_up and (is_type(error, "IllegalMove") or is_type(error, "DatasetBusy"))
