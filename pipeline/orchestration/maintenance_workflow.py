"""Maintenance: reconciliation, retention, result files on request, and refresh of marts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

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
        Step,
        task_queue_name,
    )
    from pipeline.contracts.workflows import (
        CLEAN_WORKFLOW,
        MARTS_WORKFLOW,
        RECONCILE_WORKFLOW,
        REFRESH_SIGNAL,
        RESULTS_WORKFLOW,
    )
from pipeline.orchestration.steps import HEARTBEAT, Gives, is_long, reason_of, run_step


@workflow.defn(name=RESULTS_WORKFLOW.name)
class WriteResults:
    """Write a result file that a user requested."""

    @workflow.run
    async def run(self, wanted: ResultsWanted) -> None:
        """Write the file. The workflow fails with the reason if that is not possible."""
        try:
            await run_step(
                WRITE_RESULTS, wanted, limit=timedelta(hours=6), beats=True, summary=f"{wanted.fate} as {wanted.form}"
            )
        except ActivityError as error:
            raise ApplicationError(reason_of(error), non_retryable=True) from error


@workflow.defn(name=MARTS_WORKFLOW.name)
class RefreshMarts:
    """Refresh the marts of a dataset after imports. At most one runs for each dataset, and it delays no import."""

    @workflow.init
    def __init__(self, run: MartsRun) -> None:
        self._is_wanted = True

    @workflow.signal(name=REFRESH_SIGNAL)
    def refresh(self) -> None:
        """Request another refresh. All requests during a refresh are served by the next one."""
        self._is_wanted = True

    @workflow.run
    async def run(self, run: MartsRun) -> None:
        """Refresh as long as it is wanted. A mart that cannot be refreshed is in the ledger with the reason."""
        while self._is_wanted:
            self._is_wanted = False
            await run_step(REFRESH_MARTS, run, limit=timedelta(hours=6), beats=True)
            if is_long():
                workflow.continue_as_new(run)


@workflow.defn(name=RECONCILE_WORKFLOW.name)
class Reconcile:
    """Start what no event has started: events can be lost, and so can workflow runs."""

    @workflow.run
    async def run(self) -> Reconciled:
        """Run one reconciliation and return what it found."""
        return await _run_scheduled(RECONCILE, limit=timedelta(minutes=30))


@workflow.defn(name=CLEAN_WORKFLOW.name)
class CleanUp:
    """Remove what is past its retention time. What one run leaves, the next one removes."""

    @workflow.run
    async def run(self, run: CleanRun) -> Cleaned:
        """Run one clean-up and return what it removed."""
        return await _run_scheduled(CLEAN, run, limit=timedelta(hours=6))


async def _run_scheduled(step: Step[Any, Gives], *given: object, limit: timedelta) -> Gives:
    """Run a step of a schedule and return its result. Three attempts are enough: the schedule runs it again anyway."""
    result: Gives = await workflow.execute_activity(
        step.name,
        args=given,
        task_queue=task_queue_name(workflow.info().task_queue, step.queue),
        result_type=step.gives,
        start_to_close_timeout=limit,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=RetryPolicy(maximum_attempts=3),
    )
    return result
