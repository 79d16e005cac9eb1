"""Activities of a dataset's queue: register arrivals, find the next import, wait for its end."""

from __future__ import annotations

import asyncio

import structlog
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from pipeline.adapters.postgres_errors import is_passing
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import ImportRef, NextImport, NextImportRequest, ObjectsArrived
from pipeline.contracts.steps import AWAIT_IMPORT, NEXT_IMPORT, REGISTER
from pipeline.contracts.workflows import import_workflow_id
from pipeline.errors import PermanentError
from pipeline.ledger.ledger import Ledger
from pipeline.orchestration.heartbeat_and_failures import BEAT_SECONDS, converts_errors
from pipeline.receive.arrivals import Arrivals

log = structlog.get_logger()


class QueueActivities:
    """The steps of a dataset's queue, on one worker."""

    def __init__(self, store: Store, ledger: Ledger, temporal: TemporalClient) -> None:
        self._ledger = ledger
        self._temporal = temporal
        self._arrivals = Arrivals(store, ledger)

    @activity.defn(name=REGISTER.name, no_thread_cancel_exception=True)
    @converts_errors
    def register(self, arrivals: ObjectsArrived) -> None:
        """Enter objects that arrived in the ledger. Idempotent.

        An object that cannot be registered is logged and does not delay the others. Raises the last error if none can be: then
        the objects are not at fault.
        """
        failures = 0
        for arrival in arrivals.items:
            try:
                self._arrivals.register(arrival)
            except PermanentError as error:
                log.warning("not registered", key=arrival.key, why=str(error))
            except Exception as error:
                failures += 1
                if is_passing(error) or failures == len(arrivals.items):
                    raise
                log.warning("not registered", key=arrival.key, why=str(error), exc_info=True)

    @activity.defn(name=NEXT_IMPORT.name)
    @converts_errors
    def next_import(self, request: NextImportRequest) -> NextImport:
        """Return the import of the dataset whose run was lost, or else the one that has waited longest."""
        found = self._ledger.imports.next(request.dataset, request.but)
        if found is None:
            return NextImport()
        return NextImport(found.ref, searchable=self._temporal.is_searchable(), traceparent=found.traceparent)

    @activity.defn(name=AWAIT_IMPORT.name)
    async def await_import(self, ref: ImportRef) -> None:
        """Wait until the workflow of an import has ended, whatever its result. Asynchronous, so it occupies no thread."""
        ended = asyncio.create_task(_end_of(activity.client(), import_workflow_id(ref.import_id)))
        try:
            while not ended.done():
                activity.heartbeat()
                await asyncio.wait([ended], timeout=BEAT_SECONDS)
            await ended
        finally:
            ended.cancel()


async def _end_of(client: Client, workflow_id: str) -> None:
    """Wait for the end of a workflow; one that Temporal does not know (any more) has ended."""
    try:
        await client.get_workflow_handle(workflow_id).result()
    except WorkflowFailureError:
        return
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
