"""Workflows that are under way survive a change of the code: histories that every released version recorded still replay.

A change that breaks this needs ``workflow.patched``; new paths get a history by ``pytest --record-histories``. Each folder of
tests/histories/ is a version; ``next`` is the one that is not released yet.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from pipeline.contracts.messages import ImportRun, Outcome
from pipeline.contracts.workflows import IMPORT_WORKFLOW
from pipeline.orchestration.audit_workflow import AuditDataset, ScheduledAudit
from pipeline.orchestration.dataset_message_workflow import TellDataset
from pipeline.orchestration.import_workflow import ImportFile
from pipeline.orchestration.maintenance_workflow import CleanUp, Reconcile
from pipeline.orchestration.notify_workflow import TellUser
from pipeline.orchestration.queue_workflow import DatasetQueue

FOLDER = Path(__file__).parents[2] / "histories"
HISTORIES = sorted(FOLDER.rglob("*.json"))
WORKFLOWS = [DatasetQueue, ImportFile, TellUser, Reconcile, CleanUp, TellDataset, AuditDataset, ScheduledAudit]


def history(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, json.loads(path.read_text()))


def test_there_is_a_history_of_every_way_an_import_can_go() -> None:
    assert {path.stem for path in HISTORIES} >= {
        *("import_succeeded", "import_rejected", "import_failed", "import_canceled", "import_in_waves", "import_by_needs"),
        *("import_dry_run", "import_quarantined", "import_with_failures"),
        *("queue_of_one", "queue_of_three", "notify_one_receiver_gone", "silence_begun"),
        *("audit_succeeded", "audit_canceled", "audit_failed", "audit_scheduled"),
    }


def test_every_released_version_has_histories_and_its_revision() -> None:
    versions = {path.name for path in FOLDER.iterdir() if path.is_dir()}
    assert "0.1.0" in versions
    for version in versions - {"next"}:
        assert list((FOLDER / version).glob("*.json")), version
        assert (FOLDER / version / "revision").read_text().strip(), f"{version}: which commit or tag is it?"


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: str(path.relative_to(FOLDER).with_suffix("")))
def test_a_recorded_history_replays(path: Path) -> None:
    replayer = Replayer(workflows=WORKFLOWS)
    asyncio.run(replayer.replay_workflow(history(path)))


@workflow.defn(name=IMPORT_WORKFLOW.name, sandboxed=False)
class Hasty:
    """An import that forgets to validate: replay must notice."""

    @workflow.run
    async def run(self, run: ImportRun) -> Outcome:
        await workflow.sleep(1)
        raise AssertionError("not reached")


def test_a_workflow_that_does_something_else_does_not_replay() -> None:
    path = next(path for path in HISTORIES if path.stem == "import_succeeded")
    with pytest.raises(workflow.NondeterminismError):
        asyncio.run(Replayer(workflows=[Hasty]).replay_workflow(history(path)))
