"""The workflows by name and types, their ids, signals and queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.contracts.audits import AuditRun
from pipeline.contracts.dataset_messages import DatasetMessage
from pipeline.contracts.messages import (
    Cleaned,
    CleanRun,
    Delivery,
    ImportRun,
    MartsRun,
    Outcome,
    QueueRun,
    Reconciled,
    ResultsWanted,
)
from pipeline.contracts.object_keys import RowOutcome
from pipeline.contracts.states import State

Takes = TypeVar("Takes")
Gives = TypeVar("Gives")


@dataclass(frozen=True)
class Workflow(Generic[Takes, Gives]):
    """A workflow by name and types: clients start it without importing its code. Names are in recorded histories."""

    name: str
    takes: type[Takes]
    gives: type[Gives]

    def arguments(self, given: Takes) -> list[Takes]:
        """Return the arguments of a run: ``given``, or none if the workflow takes none."""
        return [] if given is None else [given]


QUEUE_WORKFLOW = Workflow("DatasetQueue", QueueRun, type(None))
IMPORT_WORKFLOW = Workflow("ImportFile", ImportRun, Outcome)
NOTIFY_WORKFLOW = Workflow("TellUser", Outcome, type(None))
RECONCILE_WORKFLOW = Workflow("Reconcile", type(None), Reconciled)
CLEAN_WORKFLOW = Workflow("CleanUp", CleanRun, Cleaned)
RESULTS_WORKFLOW = Workflow("WriteResults", ResultsWanted, type(None))
SEND_WORKFLOW = Workflow("SendOne", Delivery, str)
MARTS_WORKFLOW = Workflow("RefreshMarts", MartsRun, type(None))
DATASET_MESSAGE_WORKFLOW = Workflow("TellSilence", DatasetMessage, type(None))
AUDIT_WORKFLOW = Workflow("AuditDataset", AuditRun, type(None))
SCHEDULED_AUDIT_WORKFLOW = Workflow("ScheduledAudit", AuditRun, type(None))
AUDIT_SIGNAL = "audit"
CANCEL_AUDIT_SIGNAL = "cancel_audit"
REFRESH_SIGNAL = "refresh"
ENQUEUE_SIGNAL = "enqueue"
PAUSE_SIGNAL = "pause"
RESUME_SIGNAL = "resume"
PROGRESS_QUERY = "progress"
DATASET_ATTRIBUTE = "BulkheadDataset"
"""Search attribute (Keyword) of an import's workflow: its dataset. Search attributes are never encrypted."""


def queue_workflow_id(dataset: str) -> str:
    """Return the id of a dataset's queue. Temporal runs one workflow an id at most, so two queues never run side by side."""
    return f"ingest/{dataset}"


def import_workflow_id(import_id: str) -> str:
    """Return the id of an import's workflow."""
    return f"import/{import_id}"


def notify_workflow_id(import_id: str, state: State | None = None) -> str:
    """Return the id of the workflow that notifies of an import's end; it is not the import's, so no receiver delays that.

    A dry run has an id of its own: its messages may still be under way when the promoted import ends. So has an import's start,
    of which only data lineage is notified.
    """
    if state is State.VALIDATING:
        return f"notify/{import_id}/start"
    return f"notify/{import_id}/dry-run" if state is State.VALIDATED else f"notify/{import_id}"


def dataset_message_workflow_id(message: DatasetMessage) -> str:
    """Return the id of the workflow that sends a message about a dataset: of an audit, a silence, or the end of a silence."""
    if message.audit is not None:
        return f"audit-message/{message.audit.audit_id}"
    return f"silence/{message.dataset}/{message.since}/{'end' if message.ended_at else 'begin'}"


def marts_workflow_id(dataset: str) -> str:
    """Return the id of the workflow that refreshes a dataset's marts; it is not an import's, so no mart delays one."""
    return f"marts/{dataset}"


def audit_workflow_id(dataset: str) -> str:
    """Return the id of the workflow that audits a dataset, one audit at a time."""
    return f"audit/{dataset}"


def audit_schedule_id(dataset: str) -> str:
    """Return the id of the schedule of a dataset's audits."""
    return f"audit/{dataset}"


def results_workflow_id(import_id: str, fate: RowOutcome, form: str) -> str:
    """Return the id of the workflow that writes a result file on request."""
    return f"results/{import_id}/{fate}/{form}"
