"""The order of things: which step follows which, how long each may take, what is tried again, and how it all ends.

Five workflows: a dataset's queue, which runs one import at a time; the import of one file; telling the user; the
reconciliation; and the clean-up. They import contracts and temporalio only, so that replay needs nothing else and no
I/O can slip in.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from pipeline.contracts import (
        ADDRESSEES,
        CLEAN,
        CLEAN_WORKFLOW,
        DELIVER,
        ENQUEUE_SIGNAL,
        FINISH,
        GIVE_UP_PART,
        GO_ON,
        HOLD,
        IMPORT_WORKFLOW,
        LOAD_PART,
        NOTIFY_WORKFLOW,
        PAUSE_SIGNAL,
        PREPARE,
        PREVIEW,
        PROGRESS_QUERY,
        QUEUE_WORKFLOW,
        RECONCILE,
        RECONCILE_WORKFLOW,
        REGISTER,
        RESUME_SIGNAL,
        VALIDATE,
        Arrival,
        Cleaned,
        CleanRun,
        Delivery,
        Ending,
        ImportRef,
        ImportRun,
        Outcome,
        PartRef,
        Plan,
        Progress,
        QueueRun,
        Reconciled,
        State,
        Step,
        Told,
        import_workflow_id,
        notify_workflow_id,
    )

Takes = TypeVar("Takes")
Gives = TypeVar("Gives")

BACKOFF = RetryPolicy(initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=1))
"""Exponential, and without a number of attempts: what ends it is the step's own limit of time. Which errors are worth a
retry is decided where they are raised (activities.py): the file's faults never are."""

POSTMAN_BACKOFF = RetryPolicy(
    initial_interval=timedelta(seconds=5), backoff_coefficient=4.0, maximum_interval=timedelta(hours=10)
)
"""The rhythm of Standard Webhooks, roughly: seconds, minutes, then hours, for three days."""

GIVE_UP = timedelta(days=1)
HEARTBEAT = timedelta(seconds=10)
"""A step that says nothing for so long has died with its worker; activities.py speaks five times as often."""


async def _step(step: Step[Takes, Gives], given: Takes, *, limit: timedelta, beats: bool = False, summary: str = "") -> Gives:
    """Run a step by name. ``limit`` is for one attempt; a step that ``beats`` is known dead after HEARTBEAT."""
    result: Gives = await workflow.execute_activity(
        step.name,
        given,
        result_type=step.gives,
        start_to_close_timeout=limit,
        schedule_to_close_timeout=GIVE_UP,
        heartbeat_timeout=HEARTBEAT if beats else None,
        retry_policy=BACKOFF,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary or None,
    )
    return result


@workflow.defn(name=QUEUE_WORKFLOW)
class DatasetQueue:
    """A dataset's queue. Temporal allows one running workflow an id, so there is never a second ingestion beside it."""

    @workflow.init
    def __init__(self, run: QueueRun) -> None:
        self._waiting = deque(run.waiting)
        self._running: ImportRef | None = None
        self._register = asyncio.Lock()  # first come, first served: registrations keep the order of the events

    @workflow.run
    async def run(self, run: QueueRun) -> None:
        """Import what was announced, one after the other, until nothing is left."""
        while await self._something_waits():
            self._running = self._waiting.popleft()
            await self._import(self._running)
            self._running = None
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(QueueRun(run.dataset, tuple(self._waiting)))

    async def _something_waits(self) -> bool:
        """False once no announcement is being looked at either; a later one starts the queue anew."""
        await workflow.wait_condition(lambda: bool(self._waiting) or workflow.all_handlers_finished())
        return bool(self._waiting)

    async def _import(self, ref: ImportRef) -> None:
        """Whatever becomes of one import is in the ledger; the queue goes on."""
        try:
            await workflow.execute_child_workflow(
                IMPORT_WORKFLOW, ImportRun(ref), id=import_workflow_id(ref.import_id), result_type=Outcome
            )
        except (ChildWorkflowError, WorkflowAlreadyStartedError) as error:
            workflow.logger.info("import %s did not succeed: %s", ref.import_id, error.__cause__ or error)

    @workflow.signal(name=ENQUEUE_SIGNAL)
    async def enqueue(self, arrival: Arrival) -> None:
        """An object arrived, perhaps not for the first time; the ledger knows whether it still has to be imported."""
        try:
            async with self._register:
                registration = await _step(REGISTER, arrival, limit=timedelta(minutes=1), summary=arrival.key)
        except ActivityError as error:
            workflow.logger.warning("%s could not be registered; reconciliation will: %s", arrival.key, error.__cause__)
            return
        ref = registration.ref
        if ref and registration.admitted and ref not in self._waiting and ref != self._running:
            self._waiting.append(ref)


@workflow.defn(name=IMPORT_WORKFLOW)
class ImportFile:
    """The import of one file: validate, prepare, load wave by wave, finish, and have the user told. A dry run loads nothing."""

    @workflow.init
    def __init__(self, run: ImportRun) -> None:
        plan = run.plan
        self._progress = Progress(State.LOADING if plan else State.VALIDATING)
        self._parts_done = run.parts_done
        self._pause_wanted: bool | None = run.pause_wanted if plan else None  # None: nobody has said anything so far

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> Progress:
        """Where the import stands."""
        return self._progress

    @workflow.signal(name=PAUSE_SIGNAL)
    def pause(self) -> None:
        """Begin no further part; those under way come to their end."""
        self._pause_wanted = True

    @workflow.signal(name=RESUME_SIGNAL)
    def resume(self) -> None:
        """Go on."""
        self._pause_wanted = False

    @workflow.run
    async def run(self, run: ImportRun) -> Outcome:
        """Fails, as a workflow, if the file is rejected or the system gives up; both are written down before."""
        outcome = await _step(FINISH, await self._ending(run), limit=timedelta(hours=1), beats=True)
        self._progress = Progress(outcome.state)
        await workflow.start_child_workflow(
            NOTIFY_WORKFLOW,
            outcome,
            id=notify_workflow_id(outcome.import_id, outcome.state),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )
        if outcome.state in (State.REJECTED, State.FAILED):
            raise ApplicationError(outcome.reason, type=outcome.state, non_retryable=True)
        if outcome.state is State.CANCELED:
            raise CancelledError(outcome.reason)
        return outcome

    async def _ending(self, run: ImportRun) -> Ending:
        """Go the whole way, and say how it ended; the counts decide between full and partial success."""
        ref = run.ref
        try:
            plan = run.plan
            if plan is None:
                verdict = await _step(VALIDATE, ref, limit=timedelta(hours=6), beats=True)
                if verdict.known:
                    return Ending(ref, State.DUPLICATE, verdict.known)
                if not verdict.accepted:
                    return Ending(ref, State.REJECTED, verdict.refusal or _count(verdict.errors, "error"))
                if verdict.dry_run:
                    await _step(PREVIEW, ref, limit=timedelta(hours=6), beats=True)
                    return Ending(ref, State.VALIDATED)
                self._progress = Progress(State.PREPARING)
                plan = await _step(PREPARE, ref, limit=timedelta(hours=6), beats=True)
            await self._load(ref, plan)
        except (FailureError, asyncio.CancelledError) as error:
            if is_cancelled_exception(error):
                return Ending(ref, State.CANCELED, "canceled by the user")
            if _is_type(error, "IllegalMove"):  # it was ended from outside while it waited for its turn
                raise
            if _is_type(error, "FileIsWrong"):
                return Ending(ref, State.REJECTED, _cause(error))
            return Ending(ref, State.FAILED, _cause(error))
        return Ending(ref)

    async def _load(self, ref: ImportRef, plan: Plan) -> None:
        """Wave by wave, so that no reader ever sees a record whose parent is not there."""
        if self._pause_wanted is None:
            self._pause_wanted = plan.pause_wanted
        for wave, last in enumerate(plan.waves, start=1):
            await self._load_wave(ref, plan, wave, range(self._parts_done + 1, last + 1))

    async def _load_wave(self, ref: ImportRef, plan: Plan, wave: int, parts: range) -> None:
        """All of ``parts``, at most ``plan.parallel`` at once. If one fails for good, the others under way end first."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            for part_no in parts:
                if self._pause_wanted or workflow.info().is_continue_as_new_suggested():
                    await _all_of(under_way)
                    await self._stand_still(ref, plan, wave)
                    self._go_on_as_new(ref, plan)
                self._show(plan, wave)
                under_way.add(asyncio.create_task(self._load_part(ref, part_no, f"part {part_no} of {plan.parts}")))
                if len(under_way) == plan.parallel:
                    under_way = await _one_of(under_way)
            await _all_of(under_way)
        except BaseException:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)  # what was begun ends before the books are closed
            raise

    async def _load_part(self, ref: ImportRef, part_no: int, summary: str) -> None:
        """A part that is not what was stored is given up at once, with its records; the rest of the import goes on."""
        part = PartRef(ref, part_no)
        try:
            await _step(LOAD_PART, part, limit=timedelta(minutes=30), beats=True, summary=summary)
        except ActivityError as error:
            if not _is_type(error, "DamagedPart"):
                raise
            part = replace(part, reason=_cause(error))
            await _step(GIVE_UP_PART, part, limit=timedelta(hours=6), beats=True, summary=f"{summary} is damaged")
        self._parts_done += 1

    async def _stand_still(self, ref: ImportRef, plan: Plan, wave: int) -> None:
        """While somebody wants a pause. Nothing is under way, and the ledger says so."""
        while self._pause_wanted:
            held = await _step(HOLD, ref, limit=timedelta(minutes=1))
            if held.holds:
                self._show(plan, wave, State.PAUSED)
                await workflow.wait_condition(lambda: not self._pause_wanted)
            else:  # it was resumed meanwhile, and the signal is on its way
                self._pause_wanted = False
            await _step(GO_ON, ref, limit=timedelta(minutes=1))

    def _go_on_as_new(self, ref: ImportRef, plan: Plan) -> None:
        """Begin a new history if this one has become long. Nothing may be under way."""
        if workflow.info().is_continue_as_new_suggested():
            workflow.continue_as_new(ImportRun(ref, plan, self._parts_done, bool(self._pause_wanted)))

    def _show(self, plan: Plan, wave: int, state: State = State.LOADING) -> None:
        self._progress = Progress(state, plan.parts, self._parts_done, len(plan.waves), wave)


@workflow.defn(name=NOTIFY_WORKFLOW)
class TellUser:
    """Tell everybody who wants to know; apart from the import, so that a dead receiver holds up nothing."""

    @workflow.run
    async def run(self, outcome: Outcome) -> None:
        """Each receiver is tried on its own, for three days."""
        told: Told = await _step(ADDRESSEES, outcome, limit=timedelta(minutes=1))
        await asyncio.gather(*(self._deliver(delivery) for delivery in told.deliveries))

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            await workflow.execute_activity(
                DELIVER.name,
                delivery,
                start_to_close_timeout=timedelta(minutes=1),
                schedule_to_close_timeout=timedelta(days=3),
                retry_policy=POSTMAN_BACKOFF,
                summary=f"{delivery.channel} to {delivery.target}",
            )
        except ActivityError as error:
            workflow.logger.warning("%s %s was not reached: %s", delivery.channel, delivery.target, error.__cause__)


@workflow.defn(name=RECONCILE_WORKFLOW)
class Reconcile:
    """Find what no event announced: events are sometimes lost, and so are runs."""

    @workflow.run
    async def run(self) -> Reconciled:
        """Return what was found."""
        found: Reconciled = await workflow.execute_activity(
            RECONCILE.name,
            result_type=Reconciled,
            start_to_close_timeout=timedelta(minutes=30),
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RetryPolicy(maximum_attempts=3),
        )
        return found


@workflow.defn(name=CLEAN_WORKFLOW)
class CleanUp:
    """Remove what is not kept any longer. What one run does not come to, the next one does."""

    @workflow.run
    async def run(self, run: CleanRun) -> Cleaned:
        """Return what was removed."""
        removed: Cleaned = await workflow.execute_activity(
            CLEAN.name,
            run,
            result_type=Cleaned,
            start_to_close_timeout=timedelta(hours=6),
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RetryPolicy(maximum_attempts=3),
        )
        return removed


async def _one_of(tasks: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Wait until one of ``tasks`` is over; those that are not yet. Raises what it raised."""
    over, left = await workflow.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*over)
    return set(left)


async def _all_of(tasks: set[asyncio.Task[None]]) -> None:
    """Wait for all ``tasks``, and leave none in the set. Raises what the first to fail raised."""
    await asyncio.gather(*tasks)
    tasks.clear()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _is_type(error: BaseException, name: str) -> bool:
    cause = error.__cause__
    return isinstance(cause, ApplicationError) and cause.type == name


def _cause(error: BaseException) -> str:
    """What the user is told of a failure: the message that an activity worded for that, or else the innermost."""
    while error.__cause__ is not None and not isinstance(error, ApplicationError):
        error = error.__cause__
    return error.message if isinstance(error, FailureError) else str(error)
