"""The order of things: which step follows which, how long each may take, what is tried again, and how it all ends.

Five workflows: a dataset's queue, which runs one import at a time; the import of one file; telling the user; the
reconciliation; and the clean-up. They import contracts and temporalio only, so that replay needs nothing else and no
I/O can slip in.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    FailureError,
    is_cancelled_exception,
)

from pipeline.orchestration.queue_workflow import is_not_its_turn
from pipeline.orchestration.steps import (
    APART,
    counted,
    is_long,
    is_lost,
    is_type,
    reason_of,
    run_step,
    run_step_unless_canceled,
    shielded,
    start_notifying,
    wait_for_all,
    wait_for_one,
)

with workflow.unsafe.imports_passed_through():
    from pipeline.contracts.messages import (
        Ending,
        ImportRef,
        ImportRun,
        Outcome,
        PartRef,
        Plan,
        Progress,
    )
    from pipeline.contracts.states import CANCELED_BY_USER, State
    from pipeline.contracts.steps import (
        FINISH,
        GIVE_UP_PART,
        GO_ON,
        HOLD,
        LOAD_PART,
        PREPARE,
        PREVIEW,
        REJECTED_FILE,
        VALIDATE,
        WRITE_FAILED,
    )
    from pipeline.contracts.workflows import (
        IMPORT_WORKFLOW,
        PAUSE_SIGNAL,
        PROGRESS_QUERY,
        RESUME_SIGNAL,
    )


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
        outcome = await run_step(FINISH, ending, limit=timedelta(hours=1), beats=True)
        if not outcome.is_final:
            written = await run_step(WRITE_FAILED, ending, limit=timedelta(hours=6), beats=True)
            ending = replace(ending, fault=written.fault)
            outcome = await run_step(FINISH, ending, limit=timedelta(hours=1), beats=True)
        self._progress = Progress(outcome.state)
        await start_notifying(outcome)
        return outcome

    async def _outcome(self, run: ImportRun) -> Outcome:
        """Go the whole way, and write down how it ended; what the database has lost meanwhile is done again."""
        while True:
            try:
                return await shielded(self._finish(await self._ending(run)))
            except ActivityError as error:
                if not is_lost(error):
                    raise
                run = ImportRun(run.ref, self._plan if is_type(error, "PartsLost") else None)
                self._parts_done = 0

    async def _ending(self, run: ImportRun) -> Ending:
        """Go the whole way, and say how it ended; the counts decide between full and partial success."""
        ref = run.ref
        try:
            plan = run.plan
            if plan is None:
                verdict = await run_step_unless_canceled(VALIDATE, ref, limit=timedelta(hours=6), beats=True)
                if verdict.known:
                    return Ending(ref, State.DUPLICATE, verdict.known)
                if not verdict.accepted:
                    return Ending(ref, State.REJECTED, verdict.refusal or counted(verdict.errors, "error"))
                if verdict.dry_run:
                    await run_step_unless_canceled(PREVIEW, ref, limit=timedelta(hours=6), beats=True)
                    return Ending(ref, State.VALIDATED)
                self._progress = Progress(State.PREPARING)
                plan = await run_step_unless_canceled(PREPARE, ref, limit=timedelta(hours=6), beats=True)
            self._plan = plan
            await self._load(ref, plan)
        except (FailureError, asyncio.CancelledError) as error:
            if is_cancelled_exception(error) or is_type(error, "Canceled"):
                return Ending(ref, State.CANCELED, CANCELED_BY_USER)
            if is_not_its_turn(error):
                raise
            if is_lost(error):
                raise
            if is_type(error, REJECTED_FILE):
                return Ending(ref, State.REJECTED, reason_of(error))
            return Ending(ref, State.FAILED, reason_of(error))
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
                    await wait_for_one(under_way)
                wave = plan.wave_of(part_no)
                if self._pause_wanted or is_long():
                    await wait_for_all(under_way)
                    await self._stand_still(ref, plan, wave)
                    self._go_on_as_new(ref, plan)
                self._show(plan, wave)
                task = asyncio.create_task(self._load_part(ref, part_no, f"part {part_no} of {plan.parts}"))
                under_way[task] = part_no
            await wait_for_all(under_way)
        except BaseException:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)  # what was begun ends before the books are closed
            raise

    async def _load_part(self, ref: ImportRef, part_no: int, summary: str) -> None:
        """A part that is not what was stored is given up at once, with its records; the rest of the import goes on."""
        part = PartRef(ref, part_no)
        try:
            await run_step(LOAD_PART, part, limit=timedelta(minutes=30), beats=True, summary=summary)
        except ActivityError as error:
            if not is_type(error, "DamagedPart"):
                raise
            part = replace(part, reason=reason_of(error))
            await run_step(GIVE_UP_PART, part, limit=timedelta(hours=6), beats=True, summary=f"{summary} is damaged")
        self._parts_done += 1

    async def _stand_still(self, ref: ImportRef, plan: Plan, wave: int) -> None:
        """While somebody wants a pause. Nothing is under way, and the ledger says so."""
        while self._pause_wanted:
            held = await run_step_unless_canceled(HOLD, ref, limit=timedelta(minutes=1), beats=True)
            if held.holds:
                self._show(plan, wave, State.PAUSED)
                await workflow.wait_condition(lambda: not self._pause_wanted)
            else:  # it was resumed meanwhile, and the signal is on its way
                self._pause_wanted = False
            await run_step_unless_canceled(GO_ON, ref, limit=timedelta(minutes=1), beats=True)

    def _go_on_as_new(self, ref: ImportRef, plan: Plan) -> None:
        """Begin a new history if this one has become long. Nothing may be under way."""
        if is_long():
            workflow.continue_as_new(ImportRun(ref, plan, self._parts_done, bool(self._pause_wanted)))

    def _show(self, plan: Plan, wave: int, state: State = State.LOADING) -> None:
        self._progress = Progress(state, plan.parts, self._parts_done, len(plan.waves), wave)
