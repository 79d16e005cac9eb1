"""All activities of one worker, and the task queue on which each is registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.steps import TaskQueue
from pipeline.ledger.ledger import Ledger
from pipeline.orchestration.audit_activities import AuditActivities
from pipeline.orchestration.dataset_message_activities import DatasetMessageActivities
from pipeline.orchestration.finish_activities import FinishActivities
from pipeline.orchestration.import_activities import ImportActivities
from pipeline.orchestration.maintenance_activities import MaintenanceActivities
from pipeline.orchestration.notify_activities import NotifyActivities
from pipeline.orchestration.part_activities import PartActivities
from pipeline.orchestration.queue_activities import QueueActivities
from pipeline.orchestration.result_files import ResultFiles
from pipeline.orchestration.validator import Validator
from pipeline.settings import Settings

ACTIVITY_CLASSES = (
    QueueActivities,
    ImportActivities,
    PartActivities,
    FinishActivities,
    MaintenanceActivities,
    NotifyActivities,
    DatasetMessageActivities,
    AuditActivities,
)


class Activities:
    """The activities of imports and maintenance, by subject, on one worker's connections."""

    def __init__(self, settings: Settings, store: Store, engine: Engine, temporal: TemporalClient) -> None:
        ledger = Ledger(engine)
        result_files = ResultFiles(settings, store, ledger)
        validator = Validator(settings, store, engine)
        self.queue = QueueActivities(store, ledger, temporal)
        self.files = ImportActivities(settings, store, engine, validator, temporal)
        self.parts = PartActivities(settings, engine, validator)
        self.ending = FinishActivities(settings, store, engine, temporal, validator, result_files)
        self.maintenance = MaintenanceActivities(settings, store, engine, temporal, result_files)
        self.audits = AuditActivities(settings, store, engine, temporal)

    def by_task_queue(self, notify: NotifyActivities) -> dict[TaskQueue, list[Callable[..., Any]]]:
        """Return what a worker registers, with ``notify`` on connections of its own."""
        queue, files, parts, ending, maintenance = self.queue, self.files, self.parts, self.ending, self.maintenance
        short: list[Callable[..., Any]] = [queue.register, queue.next_import, parts.pause, parts.resume]
        short += [ending.finish, ending.close, self.audits.open_audit, self.audits.end_audit]
        return {
            TaskQueue.SHORT: short,
            TaskQueue.FILES: [files.validate, files.prepare, files.dry_run, parts.fail_part, ending.write_failed],
            TaskQueue.PARTS: [parts.load_part],
            TaskQueue.WAITS: [queue.await_import],
            TaskQueue.MESSAGES: notify.all,
            TaskQueue.RESULTS: [maintenance.write_results],
            TaskQueue.RECONCILIATION: [maintenance.reconcile],
            TaskQueue.CLEAN_UP: [maintenance.clean],
            TaskQueue.MARTS: [maintenance.refresh_marts],
            TaskQueue.AUDITS: [self.audits.audit],
        }
