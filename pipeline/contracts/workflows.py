"""Names, ids, signals and queries of the workflows."""

from __future__ import annotations

from pipeline.contracts.object_keys import RowOutcome
from pipeline.contracts.states import State

QUEUE_WORKFLOW = "DatasetQueue"
IMPORT_WORKFLOW = "ImportFile"
NOTIFY_WORKFLOW = "TellUser"
RECONCILE_WORKFLOW = "Reconcile"
CLEAN_WORKFLOW = "CleanUp"
RESULTS_WORKFLOW = "WriteResults"
SEND_WORKFLOW = "SendOne"
MARTS_WORKFLOW = "RefreshMarts"
REFRESH_SIGNAL = "refresh"
ENQUEUE_SIGNAL = "enqueue"
PAUSE_SIGNAL = "pause"
RESUME_SIGNAL = "resume"
PROGRESS_QUERY = "progress"


def queue_workflow_id(dataset: str) -> str:
    """One workflow a dataset: Temporal's uniqueness of running ids is what keeps two ingestions apart."""
    return f"ingest/{dataset}"


def import_workflow_id(import_id: str) -> str:
    """The workflow of one file's run."""
    return f"import/{import_id}"


def notify_workflow_id(import_id: str, state: State | None = None) -> str:
    """The workflow that tells the user; apart from the import's, so that a dead receiver holds nothing up.

    A dry run's outcome has one of its own: it may still be told while the import, promoted, has come to its end.
    """
    return f"notify/{import_id}/dry-run" if state is State.VALIDATED else f"notify/{import_id}"


def marts_workflow_id(dataset: str) -> str:
    """The workflow that brings a dataset's marts up to date; apart from imports, so that a mart delays none."""
    return f"marts/{dataset}"


def results_workflow_id(import_id: str, fate: RowOutcome, form: str) -> str:
    """The workflow that writes a file of results which nobody asked for before."""
    return f"results/{import_id}/{fate}/{form}"
