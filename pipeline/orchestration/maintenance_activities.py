"""Activities of maintenance: reconciliation, retention, refresh of marts, and result files on request."""

from __future__ import annotations

from sqlalchemy import Engine
from temporalio import activity

from pipeline import retention
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import Cleaned, CleanRun, MartsRun, Reconciled, ResultsWanted
from pipeline.contracts.steps import CLEAN, RECONCILE, REFRESH_MARTS, WRITE_RESULTS
from pipeline.ledger.ledger import Ledger
from pipeline.orchestration.heartbeat_and_failures import beat, converts_errors
from pipeline.orchestration.result_files import ResultFiles
from pipeline.receive.reconciliation import Reconciler
from pipeline.settings import Settings
from pipeline.warehouse import existing_edges
from pipeline.warehouse.marts import Marts


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
        self._reconciler = Reconciler(settings, store, self._ledger, temporal)
        self._result_files = result_files

    @activity.defn(name=RECONCILE.name)
    @converts_errors
    def reconcile(self) -> Reconciled:
        """Start what is not under way though it should be: imports and notifications, and refreshes of marts."""
        for dataset in self._marts.due():
            self._temporal.refresh_marts(dataset)
        return self._reconciler.reconcile(beat=beat)

    @activity.defn(name=CLEAN.name, no_thread_cancel_exception=True)
    @converts_errors
    def clean(self, run: CleanRun) -> Cleaned:
        """Remove what is past its retention time, or with ``dry_run`` only count it."""
        return retention.clean(self._settings, self._store, self._ledger, dry_run=run.dry_run, beat=beat)

    @activity.defn(name=REFRESH_MARTS.name, no_thread_cancel_exception=True)
    @converts_errors
    def refresh_marts(self, run: MartsRun) -> None:
        """Refresh the marts of a dataset, after its planner statistics."""
        existing_edges.analyze(self._engine, run.dataset)
        self._marts.refresh(run.dataset, seconds=self._settings.mart_seconds, beat=beat)

    @activity.defn(name=WRITE_RESULTS.name, no_thread_cancel_exception=True)
    @converts_errors
    def write_results(self, wanted: ResultsWanted) -> None:
        """Write a result file that a user requested."""
        self._result_files.write(self._ledger.imports.known(wanted.ref.import_id), {wanted.fate: [wanted.form]}, beat=beat)
