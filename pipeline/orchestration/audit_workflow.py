"""Audits: at most one at a time for each dataset, on a task queue of their own, so that no import waits for one."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from pipeline.contracts.audits import AuditEnding, AuditRef, AuditRun, AuditState
    from pipeline.contracts.steps import AUDIT, END_AUDIT, OPEN_AUDIT
    from pipeline.contracts.workflows import AUDIT_SIGNAL, AUDIT_WORKFLOW, CANCEL_AUDIT_SIGNAL, SCHEDULED_AUDIT_WORKFLOW
from pipeline.orchestration.steps import is_long, is_type, reason_of, run_step

CANCELED = "Canceled"
"""Error type of an audit whose cancellation was requested (pipeline.errors)."""

MOMENT = timedelta(minutes=1)


@workflow.defn(name=AUDIT_WORKFLOW.name)
class AuditDataset:
    """Run the audits of one dataset that were requested, one after the other."""

    @workflow.init
    def __init__(self, run: AuditRun) -> None:
        self._waiting = list(run.waiting)
        self._at_work: asyncio.Task[None] | None = None

    @workflow.signal(name=AUDIT_SIGNAL)
    def audit(self, audit_id: str) -> None:
        """Request the audit of that id. Asking again has no effect."""
        if audit_id not in self._waiting:
            self._waiting.append(audit_id)

    @workflow.signal(name=CANCEL_AUDIT_SIGNAL)
    def cancel(self, audit_id: str) -> None:
        """Cancel the step of an audit that is running. One that waits will do nothing, since it is canceled in the ledger."""
        if self._at_work is not None and self._waiting[0] == audit_id:
            self._at_work.cancel()

    @workflow.run
    async def run(self, run: AuditRun) -> None:
        """Run until no audit waits."""
        while self._waiting:
            await self._audit(AuditRef(self._waiting[0], run.dataset))
            self._waiting.pop(0)
            if self._waiting and is_long():
                workflow.continue_as_new(AuditRun(run.dataset, tuple(self._waiting)))

    async def _audit(self, ref: AuditRef) -> None:
        """Run one audit; if it does not succeed, record why."""
        step = run_step(AUDIT, ref, limit=timedelta(hours=6), beats=True, summary=ref.dataset)
        self._at_work = asyncio.create_task(step)
        try:
            await self._at_work
        except (ActivityError, asyncio.CancelledError) as error:
            await run_step(END_AUDIT, _ending(ref, error), limit=MOMENT)
        finally:
            self._at_work = None


def _ending(ref: AuditRef, error: BaseException) -> AuditEnding:
    if is_type(error, CANCELED) or is_cancelled_exception(error):
        return AuditEnding(ref, AuditState.CANCELED)
    return AuditEnding(ref, AuditState.FAILED, reason_of(error))


@workflow.defn(name=SCHEDULED_AUDIT_WORKFLOW.name)
class ScheduledAudit:
    """Request an audit when a schedule says so. The audit itself is the dataset's AuditDataset's."""

    @workflow.run
    async def run(self, run: AuditRun) -> None:
        """Request the audit; nothing happens if the dataset has one that has not ended."""
        await run_step(OPEN_AUDIT, run, limit=MOMENT, give_up=timedelta(hours=1))
