"""The order of things: which step follows which, how long each may take, what is tried again, and how it all ends.

Five workflows: a dataset's queue, which runs one import at a time; the import of one file; telling the user; the
reconciliation; and the clean-up. They import contracts and temporalio only, so that replay needs nothing else and no
I/O can slip in.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

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
    from pipeline.contracts.messages import (
        ADDRESSEES,
        CANCELED_BY_USER,
        CLEAN,
        CLEAN_WORKFLOW,
        CLOSE,
        DELIVER,
        ENQUEUE_SIGNAL,
        FINISH,
        GIVE_UP_PART,
        GO_ON,
        HEARTBEAT_SECONDS,
        HOLD,
        IMPORT_WORKFLOW,
        LOAD_PART,
        MARTS_WORKFLOW,
        NEXT,
        NOTIFY_WORKFLOW,
        PAUSE_SIGNAL,
        PREPARE,
        PREVIEW,
        PROGRESS_QUERY,
        QUEUE_WORKFLOW,
        RECONCILE,
        RECONCILE_WORKFLOW,
        REFRESH_MARTS,
        REFRESH_SIGNAL,
        REGISTER,
        RESULTS_WORKFLOW,
        RESUME_SIGNAL,
        SEND_WORKFLOW,
        TRY_RECEIVER,
        VALIDATE,
        WATCH,
        WRITE_FAILED,
        WRITE_RESULTS,
        Arrival,
        Arrivals,
        Asked,
        Cleaned,
        CleanRun,
        Delivery,
        Ending,
        ImportRef,
        ImportRun,
        MartsRun,
        Outcome,
        PartRef,
        Plan,
        Progress,
        QueueRun,
        Reconciled,
        ResultsWanted,
        State,
        Step,
        Told,
        import_workflow_id,
        notify_workflow_id,
        task_queue_of,
    )

Takes = TypeVar("Takes")
Gives = TypeVar("Gives")

BACKOFF = RetryPolicy(initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10))
"""Exponential, and without a number of attempts: what ends it is the step's own limit of time. Which errors are worth a
retry is decided where they are raised (activities.py): the file's faults never are. An attempt costs little, so the longest
interval is short: what has passed is not waited for much longer."""

APART = "results-apart"
"""Name of a patch: files of results that are written before an import ends are a step of their own, which has its own lane."""

GIVE_UP = timedelta(days=1)
REGISTERED_AT_ONCE = 100
"""Arrivals in one step: as many as a step looks at in a second or so."""

CARRIED_BYTES = 128 << 10
"""Of arrivals that are carried into a new run: Temporal refuses an input of 2 MB. Reconciliation finds the others."""

RUNS = 3
"""An import whose run ended before the import did is begun again; after so many runs in a row its books are closed."""

BETWEEN_TRIES = timedelta(minutes=1)

BEGUN_AGAIN, WATCHED_AGAIN = "begun-again", "watched-again"
CANCEL_IS_KEPT, FINISHED_ANYWAY = "cancel-is-kept", "finished-anyway"
"""Patches: histories that were recorded before these ways of a workflow are replayed without them."""

HEARTBEAT = timedelta(seconds=HEARTBEAT_SECONDS)
"""A step that says nothing for so long has died with its worker; attempt.py speaks five times as often."""


async def _step(
    step: Step[Takes, Gives],
    given: Takes,
    *,
    limit: timedelta,
    beats: bool = False,
    summary: str = "",
    give_up: timedelta | None = GIVE_UP,
) -> Gives:
    """Run a step by name. ``limit`` is for one attempt, ``give_up`` for all of them together.

    A step that ``beats`` is known dead after HEARTBEAT.
    """
    result: Gives = await workflow.execute_activity(
        step.name,
        given,
        task_queue=task_queue_of(workflow.info().task_queue, step.lane),
        result_type=step.gives,
        start_to_close_timeout=limit,
        schedule_to_close_timeout=give_up,
        heartbeat_timeout=HEARTBEAT if beats else None,
        retry_policy=BACKOFF,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary or None,
    )
    return result


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
    def enqueue(self, arrival: Arrival) -> None:
        """An object arrived, perhaps not for the first time; the ledger knows whether it still has to be imported."""
        self._arrived[arrival] = None

    @workflow.run
    async def run(self, run: QueueRun) -> None:
        """Import what was announced, one after the other, until nothing is left; a later announcement starts the queue anew."""
        registrar = asyncio.create_task(self._keep_registering())
        over = self._watch(self._running) if self._running else None  # begun by the run before this one
        while over or (over := await self._begin_next()):
            over = await self._until_over(over)
            if _is_long():
                await self._go_on_as_new(over)
            self._last, self._running, over = self._running, None, None
        registrar.cancel()

    async def _keep_registering(self) -> None:
        """Have the ledger know what arrived, in the order of the events."""
        while True:
            await workflow.wait_condition(lambda: bool(self._arrived) and not _is_long())
            some = tuple(self._arrived)[:REGISTERED_AT_ONCE]
            self._looking = True
            try:
                summary = f"{len(some)} from {some[0].key}"
                await _step(REGISTER, Arrivals(some), limit=timedelta(minutes=5), beats=True, summary=summary)
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
            if _is_long():
                await self._go_on_as_new(None)
            looked = self._looked
            asked = Asked(self._dataset, tuple(self._stuck))
            ref = (await _step(NEXT, asked, limit=timedelta(minutes=1), beats=True)).ref
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
            outcome = await _step(CLOSE, Ending(ref, State.FAILED, reason), limit=timedelta(minutes=1), beats=True)
            await _have_told(outcome)
        except ActivityError as error:
            workflow.logger.warning("the books of %s could not be closed: %s", ref.import_id, error.__cause__)
            await workflow.sleep(BETWEEN_TRIES)

    async def _until_over(self, over: asyncio.Task[None]) -> asyncio.Task[None]:
        """Wait until the import is over, or until this history is long; what is returned is done in the first case only."""
        while True:
            await _done_or_long(over)
            error = over.exception() if over.done() else None
            if error is None or self._running is None or not workflow.patched(WATCHED_AGAIN):
                return over
            workflow.logger.warning("import %s could not be watched: %s", self._running.import_id, error)
            over = self._watch(self._running)

    async def _until_looked(self) -> None:
        looked = self._looked
        await workflow.wait_condition(lambda: self._looked > looked or _is_long())

    def _watch(self, ref: ImportRef) -> asyncio.Task[None]:
        """Wait for the end of its run, however long that takes: an import may be paused for weeks."""
        return asyncio.create_task(_step(WATCH, ref, limit=timedelta(days=1), give_up=None, beats=True, summary=ref.key))

    async def _go_on_as_new(self, over: asyncio.Task[None] | None) -> None:
        """Begin a new history, with what is under way."""
        await workflow.wait_condition(lambda: not self._looking)
        running = self._running if over and not over.done() else None
        carried = _few_of(self._arrived)
        if len(carried) < len(self._arrived):
            workflow.logger.warning("%d arrivals are left to reconciliation", len(self._arrived) - len(carried))
        last = self._running or self._last
        workflow.continue_as_new(QueueRun(self._dataset, running, carried, last, self._begun))


def _is_long() -> bool:
    """Temporal holds that this history ought to end."""
    return workflow.info().is_continue_as_new_suggested()


async def _done_or_long(over: asyncio.Task[None]) -> None:
    await workflow.wait_condition(lambda: over.done() or _is_long())


def _few_of(arrivals: Iterable[Arrival]) -> tuple[Arrival, ...]:
    """The first of them, as many as fit CARRIED_BYTES as JSON."""
    few, room = [], CARRIED_BYTES
    for arrival in arrivals:
        room -= len(json.dumps(vars(arrival)))
        if room < 0:
            break
        few.append(arrival)
    return tuple(few)


async def _have_told(outcome: Outcome) -> None:
    """Have the user told of an import's end; that goes on whatever becomes of this run."""
    try:
        await workflow.start_child_workflow(
            NOTIFY_WORKFLOW,
            outcome,
            id=notify_workflow_id(outcome.import_id, outcome.state),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )
    except WorkflowAlreadyStartedError:
        workflow.logger.info("import %s is being told of already", outcome.import_id)


@workflow.defn(name=IMPORT_WORKFLOW)
class ImportFile:
    """The import of one file: validate, prepare, load wave by wave, finish, and have the user told. A dry run loads nothing."""

    @workflow.init
    def __init__(self, run: ImportRun) -> None:
        plan = run.plan
        self._progress = Progress(State.LOADING if plan else State.VALIDATING)
        self._parts_done = run.parts_done
        self._plan = plan
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
        outcome = await self._outcome(run)
        if outcome.state is State.CANCELED and workflow.cancellation_reason() is not None:
            raise CancelledError(outcome.reason)
        if outcome.state in (State.REJECTED, State.FAILED, State.CANCELED):
            raise ApplicationError(outcome.reason, type=outcome.state, non_retryable=True)
        return outcome

    async def _finish(self, ending: Ending) -> Outcome:
        """Close the books. What takes as long as the file is large does not hold up the short steps of others."""
        ending = replace(ending, apart=workflow.patched(APART))
        outcome = await _step(FINISH, ending, limit=timedelta(hours=1), beats=True)
        if not outcome.is_final:
            written = await _step(WRITE_FAILED, ending, limit=timedelta(hours=6), beats=True)
            ending = replace(ending, fault=written.fault)
            outcome = await _step(FINISH, ending, limit=timedelta(hours=1), beats=True)
        self._progress = Progress(outcome.state)
        await _have_told(outcome)
        return outcome

    async def _outcome(self, run: ImportRun) -> Outcome:
        """Go the whole way, and write down how it ended; what the database has lost meanwhile is done again."""
        while True:
            try:
                return await _to_its_end(self._finish(await self._ending(run)))
            except ActivityError as error:
                if not _is_lost(error):
                    raise
                run = ImportRun(run.ref, self._plan if _is_type(error, "PartsLost") else None)
                self._parts_done = 0

    async def _ending(self, run: ImportRun) -> Ending:
        """Go the whole way, and say how it ended; the counts decide between full and partial success."""
        ref = run.ref
        try:
            plan = run.plan
            if plan is None:
                verdict = await _step_unless_canceled(VALIDATE, ref, limit=timedelta(hours=6), beats=True)
                if verdict.known:
                    return Ending(ref, State.DUPLICATE, verdict.known)
                if not verdict.accepted:
                    return Ending(ref, State.REJECTED, verdict.refusal or _count(verdict.errors, "error"))
                if verdict.dry_run:
                    await _step_unless_canceled(PREVIEW, ref, limit=timedelta(hours=6), beats=True)
                    return Ending(ref, State.VALIDATED)
                self._progress = Progress(State.PREPARING)
                plan = await _step_unless_canceled(PREPARE, ref, limit=timedelta(hours=6), beats=True)
            self._plan = plan
            await self._load(ref, plan)
        except (FailureError, asyncio.CancelledError) as error:
            if is_cancelled_exception(error) or _is_type(error, "Canceled"):
                return Ending(ref, State.CANCELED, CANCELED_BY_USER)
            if _is_not_its_turn(error):
                raise
            if _is_lost(error):
                raise
            if _is_type(error, "FileIsWrong"):
                return Ending(ref, State.REJECTED, _cause(error))
            return Ending(ref, State.FAILED, _cause(error))
        return Ending(ref)

    async def _load(self, ref: ImportRef, plan: Plan) -> None:
        """All parts in their order, at most ``plan.parallel`` at once. If one fails for good, the others under way end first.

        Each is begun when all it needs is in the warehouse: no reader ever sees a record whose parent is not there.
        """
        if self._pause_wanted is None:
            self._pause_wanted = plan.pause_wanted
        under_way: dict[asyncio.Task[None], int] = {}
        try:
            for part_no in range(self._parts_done + 1, plan.parts + 1):
                while under_way and (len(under_way) >= plan.parallel or min(under_way.values()) <= plan.needed_by(part_no)):
                    await _one_of(under_way)
                wave = plan.wave_of(part_no)
                if self._pause_wanted or _is_long():
                    await _all_of(under_way)
                    await self._stand_still(ref, plan, wave)
                    self._go_on_as_new(ref, plan)
                self._show(plan, wave)
                task = asyncio.create_task(self._load_part(ref, part_no, f"part {part_no} of {plan.parts}"))
                under_way[task] = part_no
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
            held = await _step_unless_canceled(HOLD, ref, limit=timedelta(minutes=1), beats=True)
            if held.holds:
                self._show(plan, wave, State.PAUSED)
                await workflow.wait_condition(lambda: not self._pause_wanted)
            else:  # it was resumed meanwhile, and the signal is on its way
                self._pause_wanted = False
            await _step_unless_canceled(GO_ON, ref, limit=timedelta(minutes=1), beats=True)

    def _go_on_as_new(self, ref: ImportRef, plan: Plan) -> None:
        """Begin a new history if this one has become long. Nothing may be under way."""
        if _is_long():
            workflow.continue_as_new(ImportRun(ref, plan, self._parts_done, bool(self._pause_wanted)))

    def _show(self, plan: Plan, wave: int, state: State = State.LOADING) -> None:
        self._progress = Progress(state, plan.parts, self._parts_done, len(plan.waves), wave)


@workflow.defn(name=NOTIFY_WORKFLOW)
class TellUser:
    """Tell everybody who wants to know; apart from the import, so that a dead receiver holds up nothing."""

    @workflow.run
    async def run(self, outcome: Outcome) -> None:
        """Each receiver is tried on its own, for three days. The step itself says when the next attempt is due."""
        told: Told = await _step(ADDRESSEES, outcome, limit=timedelta(minutes=1), beats=True)
        await asyncio.gather(*(self._deliver(delivery) for delivery in told.deliveries))

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            await workflow.execute_activity(
                DELIVER.name,
                delivery,
                task_queue=task_queue_of(workflow.info().task_queue, DELIVER.lane),
                start_to_close_timeout=timedelta(minutes=1),
                schedule_to_close_timeout=timedelta(days=3),
                heartbeat_timeout=HEARTBEAT,
                retry_policy=BACKOFF,
                summary=delivery.channel,  # the address may be a secret
            )
        except ActivityError as error:
            workflow.logger.warning("a %s of %s did not arrive: %s", delivery.channel, delivery.import_id, error.__cause__)


@workflow.defn(name=SEND_WORKFLOW)
class SendOne:
    """Send one message again, or a test, once: somebody waits to hear how it went, and can ask again."""

    @workflow.run
    async def run(self, delivery: Delivery) -> str:
        """What stood against it; nothing if it arrived."""
        step = DELIVER if delivery.import_id else TRY_RECEIVER
        try:
            await workflow.execute_activity(
                step.name,
                replace(delivery, asked=True),
                task_queue=task_queue_of(workflow.info().task_queue, step.lane),
                start_to_close_timeout=timedelta(minutes=1),
                schedule_to_close_timeout=timedelta(minutes=2),
                retry_policy=RetryPolicy(maximum_attempts=1),
                summary=delivery.channel,
            )
        except ActivityError as error:
            return _cause(error)
        return ""


@workflow.defn(name=RESULTS_WORKFLOW)
class WriteResults:
    """Write a file of results that somebody asked for."""

    @workflow.run
    async def run(self, wanted: ResultsWanted) -> None:
        """Fails with what stands against it."""
        try:
            await _step(WRITE_RESULTS, wanted, limit=timedelta(hours=6), beats=True, summary=f"{wanted.fate} as {wanted.form}")
        except ActivityError as error:
            raise ApplicationError(_cause(error), non_retryable=True) from error


@workflow.defn(name=MARTS_WORKFLOW)
class RefreshMarts:
    """Bring a dataset's materialized views up to date, after imports and apart from them. There is one at most a dataset."""

    @workflow.init
    def __init__(self, run: MartsRun) -> None:
        self._is_wanted = True

    @workflow.signal(name=REFRESH_SIGNAL)
    def refresh(self) -> None:
        """Do so once more; requests that come while one refresh runs are all met by the next."""
        self._is_wanted = True

    @workflow.run
    async def run(self, run: MartsRun) -> None:
        """A view that cannot be refreshed is in the ledger with the reason; what passes by itself is tried again."""
        while self._is_wanted:
            self._is_wanted = False
            await _step(REFRESH_MARTS, run, limit=timedelta(hours=6), beats=True)
            if _is_long():
                workflow.continue_as_new(run)


@workflow.defn(name=RECONCILE_WORKFLOW)
class Reconcile:
    """Find what no event announced: events are sometimes lost, and so are runs."""

    @workflow.run
    async def run(self) -> Reconciled:
        """Return what was found."""
        found: Reconciled = await workflow.execute_activity(
            RECONCILE.name,
            task_queue=task_queue_of(workflow.info().task_queue, RECONCILE.lane),
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
            task_queue=task_queue_of(workflow.info().task_queue, CLEAN.lane),
            result_type=Cleaned,
            start_to_close_timeout=timedelta(hours=6),
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RetryPolicy(maximum_attempts=3),
        )
        return removed


async def _one_of(under_way: dict[asyncio.Task[None], int]) -> None:
    """Wait until one of the tasks is over, and leave only those that are not. Raises what it raised."""
    over, _ = await workflow.wait(list(under_way), return_when=asyncio.FIRST_COMPLETED)
    for task in over:
        del under_way[task]
    await asyncio.gather(*over)


async def _all_of(under_way: dict[asyncio.Task[None], int]) -> None:
    """Wait for all of the tasks, and leave none. Raises what the first to fail raised."""
    await asyncio.gather(*under_way)
    under_way.clear()


async def _step_unless_canceled(step: Step[Takes, Gives], given: Takes, **options: Any) -> Gives:
    """Run a step of an import. Raises CancelledError if the workflow's cancellation was requested meanwhile, also if the step
    ended before it heard of that: Temporal delivers one request only."""
    result = await _step(step, given, **options)
    if workflow.cancellation_reason() is not None and workflow.patched(CANCEL_IS_KEPT):
        raise asyncio.CancelledError
    return result


async def _to_its_end(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Wait for the end of what must not be broken off, even if the workflow's cancellation is requested meanwhile."""
    task = asyncio.create_task(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not workflow.patched(FINISHED_ANYWAY):
                task.cancel()
    return task.result()


def _is_not_its_turn(error: BaseException) -> bool:
    """The import was ended from outside while it waited, or another one of its dataset is at work: then the queue goes on.

    Only VALIDATE, which takes the import up, can say so; of any other step an illegal move is a fault.
    """
    is_taking_up = isinstance(error, ActivityError) and error.activity_type == VALIDATE.name
    return is_taking_up and (_is_type(error, "IllegalMove") or _is_type(error, "DatasetBusy"))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _is_type(error: BaseException, name: str) -> bool:
    cause = error.__cause__
    return isinstance(cause, ApplicationError) and cause.type == name


def _is_lost(error: BaseException) -> bool:
    """The database has lost what this import had done, as a failover may: parts, or all since it was taken up."""
    return _is_type(error, "PartsLost") or _is_type(error, "Rewound")


def _cause(error: BaseException) -> str:
    """What the user is told of a failure: the message that an activity worded for that, or else the innermost."""
    while error.__cause__ is not None and not isinstance(error, ApplicationError):
        error = error.__cause__
    return error.message if isinstance(error, FailureError) else str(error)
