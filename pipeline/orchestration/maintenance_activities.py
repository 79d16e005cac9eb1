"""Activities of maintenance: reconciliation, retention, refresh of marts, and result files on request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Engine
from temporalio import activity

from pipeline import retention
from pipeline.adapters.postgres_errors import DATABASE_ERRORS
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import Cleaned, CleanRun, MartsRun, Reconciled, ResultsWanted
from pipeline.contracts.steps import CLEAN, RECONCILE, REFRESH_MARTS, WRITE_RESULTS
from pipeline.database_logins import DatabaseLogins
from pipeline.errors import BulkheadError
from pipeline.ledger.ledger import Ledger
from pipeline.monitoring.audit_results import AuditResults
from pipeline.monitoring.silences import Silences
from pipeline.orchestration.heartbeat_and_failures import beat, converts_errors
from pipeline.orchestration.maintenance_metrics import count_clean_up, count_reconciliation
from pipeline.orchestration.result_files import ResultFiles
from pipeline.receive.reconciliation import Reconciler
from pipeline.settings import Settings
from pipeline.warehouse import existing_edges
from pipeline.warehouse.dataset_numbers import NumbersOfDatasets
from pipeline.warehouse.dataset_source import DatasetSource
from pipeline.warehouse.marts import Marts

log = structlog.get_logger()

AUDIT_STARTS = timedelta(seconds=30)
"""How long after its request an audit's workflow may not have been started yet."""


class MaintenanceActivities:
    """The steps beside imports, on one worker; each has a task queue of its own."""

    def __init__(
        self, settings: Settings, store: Store, engine: Engine, temporal: TemporalClient, result_files: ResultFiles
    ) -> None:
        self._settings = settings
        self._store = store
        self._engine = engine
        self._temporal = temporal
        self._ledger = Ledger(engine)
        self._marts = Marts(engine)
        self._numbers = NumbersOfDatasets(engine)
        self._datasets = DatasetSource(settings, engine)
        self._reconciler = Reconciler(settings, store, self._ledger, temporal)
        self._silences = Silences(settings, self._ledger.monitoring, temporal)
        self._audit_results = AuditResults(self._ledger.audits, temporal)
        self._result_files = result_files
        self._database_logins = DatabaseLogins(engine, settings)

    @activity.defn(name=RECONCILE.name)
    @converts_errors
    def reconcile(self) -> Reconciled:
        """Start what is not under way though it should be: imports, notifications, refreshes of marts, and audits.

        Also have recipients notified of datasets whose files do not arrive, or in which a scheduled audit found errors, and
        revoke logins to the database whose time or rights have ended.
        """
        for dataset in sorted({*self._marts.due(), *self._numbers.due(self._datasets.names())}):
            self._temporal.refresh_marts(dataset)
        for audit in self._ledger.audits.unfinished(datetime.now(UTC) - AUDIT_STARTS):
            if not self._temporal.audit_is_running(audit.dataset):
                self._temporal.audit(audit)
        found = self._reconciler.reconcile(beat=beat)
        count_reconciliation(found)
        for what, check in (("silences", self._silences.check), ("audits", self._audit_results.check)):
            try:
                check()
            except (BulkheadError, *DATABASE_ERRORS) as error:  # the next run checks again
                log.warning("not checked whether recipients are to be notified", what=what, why=str(error))
        try:
            self._database_logins.keep_up(beat)
        except (BulkheadError, *DATABASE_ERRORS) as error:  # the next run checks again
            log.warning("logins to the database not kept up", why=str(error))
        return found

    @activity.defn(name=CLEAN.name, no_thread_cancel_exception=True)
    @converts_errors
    def clean(self, run: CleanRun) -> Cleaned:
        """Remove what is past its retention time, or with ``dry_run`` only count it."""
        done = retention.clean(self._settings, self._store, self._ledger, dry_run=run.dry_run, beat=beat)
        if not run.dry_run:
            count_clean_up(done)
        return done

    @activity.defn(name=REFRESH_MARTS.name, no_thread_cancel_exception=True)
    @converts_errors
    def refresh_marts(self, run: MartsRun) -> None:
        """Refresh the marts of a dataset, after its planner statistics; then count it, unless that was done just now."""
        existing_edges.analyze(self._engine, run.dataset)
        self._marts.refresh(run.dataset, seconds=self._settings.mart_seconds, beat=beat)
        if self._numbers.due([run.dataset]):
            dataset = self._datasets.load(run.dataset)
            self._numbers.count(dataset, seconds=self._settings.mart_seconds, beat=beat)

    @activity.defn(name=WRITE_RESULTS.name, no_thread_cancel_exception=True)
    @converts_errors
    def write_results(self, wanted: ResultsWanted) -> None:
        """Write a result file that a user requested."""
        self._result_files.write(self._ledger.imports.known(wanted.ref.import_id), {wanted.fate: [wanted.form]}, beat=beat)
