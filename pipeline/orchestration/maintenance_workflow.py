"""Maintenance: reconciliation, retention, result files on request, and refreshing of marts."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
)

with workflow.unsafe.imports_passed_through():
    from pipeline.contracts.messages import (
        Cleaned,
        CleanRun,
        MartsRun,
        Reconciled,
        ResultsWanted,
    )
    from pipeline.contracts.steps import (
        CLEAN,
        RECONCILE,
        REFRESH_MARTS,
        WRITE_RESULTS,
        task_queue_of,
    )
    from pipeline.contracts.workflows import (
        CLEAN_WORKFLOW,
        MARTS_WORKFLOW,
        RECONCILE_WORKFLOW,
        REFRESH_SIGNAL,
        RESULTS_WORKFLOW,
    )
from pipeline.orchestration.steps import HEARTBEAT, is_long, reason_of, run_step


@workflow.defn(name=RESULTS_WORKFLOW)
class WriteResults:
    """Write a file of results that somebody asked for."""

    @workflow.run
    async def run(self, wanted: ResultsWanted) -> None:
        """Fails with what stands against it."""
        try:
            await run_step(
                WRITE_RESULTS, wanted, limit=timedelta(hours=6), beats=True, summary=f"{wanted.fate} as {wanted.form}"
            )
        except ActivityError as error:
            raise ApplicationError(reason_of(error), non_retryable=True) from error


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
            await run_step(REFRESH_MARTS, run, limit=timedelta(hours=6), beats=True)
            if is_long():
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
