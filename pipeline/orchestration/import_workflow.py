"""The import of one file: which step follows which, how long each may take, and how the import ends.

Workflow code imports contracts and temporalio only: it is replayed, so it must be deterministic and do no I/O.
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
        DRY_RUN,
        FAIL_PART,
        FINISH,
        LOAD_PART,
        PAUSE,
        PREPARE,
        REJECTED_FILE,
        RESUME,
        VALIDATE,
        WRITE_FAILED,
    )
    from pipeline.contracts.workflows import (
        IMPORT_WORKFLOW,
        PAUSE_SIGNAL,
        PROGRESS_QUERY,
        RESUME_SIGNAL,
    )


@workflow.defn(name=IMPORT_WORKFLOW.name)
class ImportFile:
    """Validate, prepare, load wave by wave, finish, and start the notifications. A dry run loads nothing."""

    @workflow.init
    def __init__(self, run: ImportRun) -> None:
        plan = run.plan
        self._progress = Progress(State.LOADING if plan else State.VALIDATING)
        self._parts_done = run.parts_done
        self._plan = plan
        self._pause_wanted: bool | None = run.pause_wanted if plan else None  # None: no signal has been received

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> Progress:
        """Return the progress of the import."""
        return self._progress

    @workflow.signal(name=PAUSE_SIGNAL)
    def pause(self) -> None:
        """Start no further part; parts that are being loaded complete."""
        self._pause_wanted = True

    @workflow.signal(name=RESUME_SIGNAL)
    def resume(self) -> None:
        """Continue loading."""
        self._pause_wanted = False

    @workflow.run
    async def run(self, run: ImportRun) -> Outcome:
        """Run the import. The workflow fails if the file is rejected or the import fails, after the ledger says so."""
        outcome = await self._outcome(run)
        if outcome.state is State.CANCELED and workflow.cancellation_reason() is not None:
            raise CancelledError(outcome.reason)
        if outcome.state in (State.REJECTED, State.FAILED, State.CANCELED):
            raise ApplicationError(outcome.reason, type=outcome.state, non_retryable=True)
        return outcome

    async def _finish(self, ending: Ending) -> Outcome:
        """End the import in the ledger. Writing result files may take long, so it is a step on another task queue."""
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
        """Run all steps and record how the import ended; repeat what the database has lost meanwhile."""
        while True:
            try:
                return await shielded(self._finish(await self._ending(run)))
            except ActivityError as error:
                if not is_lost(error):
                    raise
                run = ImportRun(run.ref, self._plan if is_type(error, "PartsLost") else None)
                self._parts_done = 0

    async def _ending(self, run: ImportRun) -> Ending:
        """Run all steps before the end, and return how they ended; the counts decide between full and partial success."""
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
                    await run_step_unless_canceled(DRY_RUN, ref, limit=timedelta(hours=6), beats=True)
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
        """Load all parts in order, at most ``plan.parallel`` at once. If one fails, wait for the others that are being loaded.

        A part is started when all it needs is loaded, so that no reader ever sees a record without its parent.
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
                    await self._wait_while_paused(ref, plan, wave)
                    self._continue_as_new_if_long(ref, plan)
                self._show(plan, wave)
                task = asyncio.create_task(self._load_part(ref, part_no, f"part {part_no} of {plan.parts}"))
                under_way[task] = part_no
            await wait_for_all(under_way)
        except BaseException:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)  # parts that were started end before the import does
            raise

    async def _load_part(self, ref: ImportRef, part_no: int, summary: str) -> None:
        """Load a part. If it is damaged in S3, enter its records as failed and continue with the other parts."""
        part = PartRef(ref, part_no)
        try:
            await run_step(LOAD_PART, part, limit=timedelta(minutes=30), beats=True, summary=summary)
        except ActivityError as error:
            if not is_type(error, "DamagedPart"):
                raise
            part = replace(part, reason=reason_of(error))
            await run_step(FAIL_PART, part, limit=timedelta(hours=6), beats=True, summary=f"{summary} is damaged")
        self._parts_done += 1

    async def _wait_while_paused(self, ref: ImportRef, plan: Plan, wave: int) -> None:
        """Wait while a pause is wanted, with the import paused in the ledger. No part may be being loaded."""
        while self._pause_wanted:
            paused = await run_step_unless_canceled(PAUSE, ref, limit=timedelta(minutes=1), beats=True)
            if paused.holds:
                self._show(plan, wave, State.PAUSED)
                await workflow.wait_condition(lambda: not self._pause_wanted)
            else:  # it was resumed meanwhile, and the signal will follow
                self._pause_wanted = False
            await run_step_unless_canceled(RESUME, ref, limit=timedelta(minutes=1), beats=True)

    def _continue_as_new_if_long(self, ref: ImportRef, plan: Plan) -> None:
        """Continue as new if the history is long. No part may be being loaded."""
        if is_long():
            workflow.continue_as_new(ImportRun(ref, plan, self._parts_done, bool(self._pause_wanted)))

    def _show(self, plan: Plan, wave: int, state: State = State.LOADING) -> None:
        self._progress = Progress(state, plan.parts, self._parts_done, len(plan.waves), wave)
