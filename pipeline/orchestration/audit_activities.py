"""Activities of audits: audit a dataset, record how an audit ended, request one by schedule."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import structlog
from sqlalchemy import Engine
from temporalio import activity

from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.audits import AuditEnding, AuditRef, AuditRun, AuditStep
from pipeline.contracts.object_keys import audit_prefix
from pipeline.contracts.steps import AUDIT, END_AUDIT, OPEN_AUDIT
from pipeline.datasets.dataset import Dataset
from pipeline.errors import Crashed, NotReady, PermanentError, UnknownDataset
from pipeline.ledger.audits import AuditAtWork
from pipeline.ledger.ledger import Ledger
from pipeline.orchestration.heartbeat_and_failures import beat, converts_errors
from pipeline.report.findings import Counted
from pipeline.sandbox import audit_table, process
from pipeline.settings import Settings
from pipeline.warehouse.dataset_source import DatasetSource
from pipeline.warehouse.existing_edges import with_tables
from pipeline.warehouse.table_export import export_table

log = structlog.get_logger()

CRASHES_MAX = 3
"""A child process may die for reasons of the machine; an audit that ends so many of them has failed."""

NOTE_SECONDS = 1.0
"""How often a running audit records its progress, and looks whether it is to end."""

_SCHEDULED = uuid.UUID("0c3b0b1e-5d0a-5c55-9e57-0d0a6f3f7f55")


class AuditActivities:
    """The steps of audits, on one worker."""

    def __init__(self, settings: Settings, store: Store, engine: Engine, temporal: TemporalClient) -> None:
        self._settings = settings
        self._datasets = DatasetSource(settings, engine)
        self._store = store
        self._engine = engine
        self._temporal = temporal
        self._ledger = Ledger(engine)

    @activity.defn(name=AUDIT.name, no_thread_cancel_exception=True)
    @converts_errors
    def audit(self, ref: AuditRef) -> None:
        """Check all that is loaded by the dataset's rules; store the report, the findings and the counts.

        An attempt whose worker is lost is followed by another one, which begins again.
        """
        attempt = activity.info().current_attempt_scheduled_time
        if not self._ledger.audits.take_up(ref.audit_id, attempt):
            return
        dataset, progress = self._dataset(ref), _Progress(self._ledger, ref, attempt)
        with self._scratch_folder(ref) as folder:
            exported = export_table(self._engine, dataset, folder / audit_table.TABLE, beat=progress.read)
            progress.begin(AuditStep.CHECKING)
            result = self._check(ref, dataset, folder, exported.records, exported.longest_bytes, progress)
            progress.begin(AuditStep.STORING)
            self._save(ref, attempt, folder / audit_table.REPORT, result, progress)

    def _dataset(self, ref: AuditRef) -> Dataset:
        """Return the dataset. Raises UnknownDataset, InvalidConfiguration, or NotReady if it has no table."""
        dataset = self._datasets.load(ref.dataset)
        if dataset.name not in with_tables(self._engine, [dataset.name]):
            raise NotReady(f"The dataset {dataset.name} has no table yet. Run bulkhead migrate to create it.")
        return dataset

    def _check(
        self, ref: AuditRef, dataset: Dataset, folder: Path, records: int, longest_bytes: int, progress: _Progress
    ) -> Counted:
        """Check the exported table in a child process. Raises Crashed while another attempt may succeed."""
        try:
            return process.run(
                audit_table.audit,
                *(folder, dataset, ref.audit_id, records, longest_bytes),
                memory_bytes=self._settings.validation_memory_bytes,
                seconds=self._settings.validation_seconds,
                heartbeat=progress.tick,
            )
        except Crashed as crash:
            if activity.info().attempt < CRASHES_MAX:
                raise
            limits = "BULKHEAD_VALIDATION_MEMORY_BYTES and BULKHEAD_VALIDATION_SECONDS limit what it may use."
            raise PermanentError(f"The check of the records did not end: {crash} {limits}") from crash

    def _save(self, ref: AuditRef, attempt: datetime, report: Path, result: Counted, progress: _Progress) -> None:
        """Store the report in S3, its findings in the ledger, and last the counts."""
        prefix = audit_prefix(ref.dataset, ref.audit_id)
        files = sorted(path for path in report.rglob("*") if path.is_file())
        self._store.put_files([(prefix + file.relative_to(report).as_posix(), file) for file in files], beat=progress.tick)
        self._ledger.audit_findings.store(ref.audit_id, report / "findings.parquet", beat=beat)
        summary = json.loads((report / audit_table.SUMMARY).read_bytes())
        self._ledger.audits.succeed(ref.audit_id, attempt, summary=summary, reading=result.reading)
        log.info("audited", audit_id=ref.audit_id, dataset=ref.dataset, records=result.records, errors=result.errors)

    @contextmanager
    def _scratch_folder(self, ref: AuditRef) -> Iterator[Path]:
        """Make a scratch folder for this attempt, after removing those of earlier ones on this worker; remove it at last."""
        home = self._settings.work_dir / ref.audit_id
        shutil.rmtree(home, ignore_errors=True)
        folder = home / f"attempt-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(home, ignore_errors=True)

    @activity.defn(name=END_AUDIT.name)
    @converts_errors
    def end_audit(self, ending: AuditEnding) -> None:
        """Record that an audit failed or was canceled. What it may have stored is removed with the report's retention."""
        self._ledger.audits.end(ending.ref.audit_id, ending.state, ending.reason)
        log.info("audit ended", audit_id=ending.ref.audit_id, dataset=ending.ref.dataset, state=str(ending.state))

    @activity.defn(name=OPEN_AUDIT.name)
    @converts_errors
    def open_audit(self, run: AuditRun) -> None:
        """Request an audit of the dataset; nothing happens if it has one that has not ended, or is not defined any more."""
        info = activity.info()
        audit_id = str(uuid.uuid5(_SCHEDULED, f"{info.workflow_id}\n{info.workflow_run_id}"))
        try:
            self._datasets.load(run.dataset)
            if self._ledger.audits.get(audit_id) is None:  # an earlier attempt may have been interrupted
                self._ledger.audits.open(audit_id, dataset=run.dataset, scheduled=True)
        except (AuditAtWork, UnknownDataset) as error:
            log.info("no audit", dataset=run.dataset, why=str(error))
            return
        self._temporal.audit(AuditRef(audit_id, run.dataset))


class _Progress:
    """Records how far an attempt is, at most once in NOTE_SECONDS. Every method raises Canceled if the audit is to end."""

    def __init__(self, ledger: Ledger, ref: AuditRef, attempt: datetime) -> None:
        self._ledger, self._audit_id, self._attempt = ledger, ref.audit_id, attempt
        self._step, self._records, self._due = AuditStep.READING, 0, time.monotonic() + NOTE_SECONDS

    def begin(self, step: AuditStep) -> None:
        """Begin another step."""
        self._step, self._due = step, 0.0
        self.tick()

    def read(self, records: int) -> None:
        """Go on reading: so many records were read so far."""
        self._records = records
        self.tick()

    def tick(self) -> None:
        """Go on with the step."""
        beat()
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + NOTE_SECONDS
            self._ledger.audits.note(self._audit_id, self._attempt, self._step, self._records)
