"""Activities at the end of an import: write the files of what was not imported, and close it with its final state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import Engine
from temporalio import activity

from pipeline.adapters.postgres_errors import DATABASE_ERRORS
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import Ending, ImportRef, Outcome, Written
from pipeline.contracts.object_keys import results_prefix
from pipeline.contracts.states import CANCELED_BY_USER, State
from pipeline.contracts.steps import CLOSE, FINISH, WRITE_FAILED
from pipeline.display import counted
from pipeline.errors import Canceled, PartsLost, Rewound, SystemFault, TransientError
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.load import load_part as load
from pipeline.orchestration.heartbeat_and_failures import converts_errors, ignores_cancellation
from pipeline.orchestration.import_metrics import count_end
from pipeline.orchestration.result_files import ResultFiles
from pipeline.orchestration.validator import Validator
from pipeline.report import findings
from pipeline.settings import Settings
from pipeline.telemetry import tracing
from pipeline.warehouse import existing_edges, foreign_writes
from pipeline.warehouse.dataset_numbers import NumbersOfDatasets
from pipeline.warehouse.marts import Marts

log = structlog.get_logger()


class FinishActivities:
    """The steps that end an import, on one worker."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        temporal: TemporalClient,
        validator: Validator,
        result_files: ResultFiles,
    ) -> None:
        self._settings = settings
        self._store = store
        self._engine = engine
        self._temporal = temporal
        self._ledger = Ledger(engine)
        self._marts = Marts(engine)
        self._numbers = NumbersOfDatasets(engine)
        self._files = validator.files
        self._parts = validator.parts
        self._result_files = result_files

    @activity.defn(name=FINISH.name, no_thread_cancel_exception=True)
    @ignores_cancellation
    def finish(self, ending: Ending) -> Outcome:
        """End the import: check that the counts balance, store its summary, and record its final state. Idempotent.

        Marts are refreshed by a workflow of their own. Raises PartsLost or Rewound if the database has lost what was done.
        """
        ref = ending.ref
        known = self._ledger.imports.known(ref.import_id)
        if known.state.is_final:  # an earlier attempt completed, and its answer was lost
            return Outcome(known.id, known.state, known.reason)
        if known.promoted and not ref.promoted:  # the same, and the dry run has been promoted since
            return Outcome(known.id, State.VALIDATED)
        outcome = self._finish(known, ending)
        if outcome.is_final:
            self._files.remove(ref.import_id)
        return outcome

    def _finish(self, known: ImportRecord, ending: Ending) -> Outcome:
        if ending.state is None:
            self._demand_all_parts(known)
        known = self._ledger.imports.close(known.id)
        state, reason = _final_state(known, ending)
        fault = ending.fault
        if fault is None and self._result_files.has_to_write(known):
            if ending.apart:
                return Outcome(known.id, known.state, is_final=False)
            fault = self._result_files.write_at_once(replace(known, reason=reason), beat=activity.heartbeat)
        if fault:
            state, reason = (state, f"{reason}; {fault}") if state is State.CANCELED else (State.FAILED, fault)
        if state in (State.SUCCEEDED, State.PARTIALLY_SUCCEEDED) and (damage := self._damage(known)):
            state, reason = State.FAILED, damage
        self._store_summary(known, state, reason)
        has_changes = bool(known.inserted or known.updated)
        is_wanted = has_changes and any([self._marts.want(known.dataset), self._numbers.want(known.dataset)])
        try:
            unprocessed = known.records_total - known.processed
            is_changed = self._ledger.imports.move(known.id, state, reason, unprocessed=unprocessed)
        except Canceled:  # requested since the import was closed for further parts
            ending = replace(ending, state=State.CANCELED, reason=CANCELED_BY_USER)
            return self._finish(self._ledger.imports.known(known.id), ending)
        tracing.annotate(state=state, records=known.records_total, **_counts(known))
        if is_changed:
            count_end(self._ledger, known, state)
        if has_changes:
            self._serve_readers(known.ref, is_wanted=is_wanted)
        log.info("finished", import_id=known.id, state=state, **known.counts)
        return Outcome(known.id, state, reason)

    def _damage(self, known: ImportRecord) -> str:
        """Return what other clients' writes to the warehouse did to the imported records; empty if nothing."""
        if not (known.inserted or known.updated):
            return ""
        with self._engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            return foreign_writes.damage(raw, self._files.dataset(known.ref), known.id, known.inserted + known.updated)

    def _demand_all_parts(self, known: ImportRecord) -> None:
        """Raise PartsLost or Rewound if the ledger lacks what the workflow has seen done, as after a failover."""
        if known.state in load.NOT_YET:
            raise Rewound
        if len(self._ledger.imports.part_numbers(known.id)) < len(self._parts.cached_manifest(known.id).parts):
            raise PartsLost

    def _serve_readers(self, ref: ImportRef, *, is_wanted: bool) -> None:
        """Have marts and numbers refreshed if wanted, or planner statistics; the import has ended: a failure is only logged."""
        try:
            if is_wanted:
                self._temporal.refresh_marts(ref.dataset)
            else:
                existing_edges.analyze(self._engine, ref.dataset)
        except (TransientError, SystemFault, *DATABASE_ERRORS) as error:  # reconciliation will, and autovacuum
            log.warning("not refreshed yet", dataset=ref.dataset, why=str(error))

    def _store_summary(self, known: ImportRecord, state: State, reason: str) -> None:
        """Store the import as the API shows it beside its result files."""
        summary = replace(known, state=state, reason=reason).to_json(self._settings.url)
        self._store.put_bytes(
            results_prefix(known.id) + "summary.json", findings.as_json(summary), content_type="application/json"
        )

    @activity.defn(name=WRITE_FAILED.name, no_thread_cancel_exception=True)
    @ignores_cancellation
    def write_failed(self, ending: Ending) -> Written:
        """Write the result files of the records that failed or were not processed."""
        known = self._ledger.imports.known(ending.ref.import_id)
        if known.state.is_final:
            return Written()
        _, reason = _final_state(known, ending)
        return Written(self._result_files.write_at_once(replace(known, reason=reason), beat=activity.heartbeat))

    @activity.defn(name=CLOSE.name)
    @converts_errors
    def close(self, ending: Ending) -> Outcome:
        """End an import whose runs end without doing so. Idempotent. Uses only the ledger, so that nothing else can fail."""
        known = self._ledger.imports.known(ending.ref.import_id)
        if known.state.is_final:
            return Outcome(known.id, known.state, known.reason)
        known = self._ledger.imports.close(known.id)
        state, reason = _final_state(known, ending)
        try:
            unprocessed = known.records_total - known.processed
            is_changed = self._ledger.imports.move(known.id, state, reason, unprocessed=unprocessed)
        except Canceled:  # requested since the import was closed for further parts
            return self.close(ending)
        if is_changed:
            count_end(self._ledger, known, state)
        log.warning("closed", import_id=known.id, state=state, reason=reason)
        return Outcome(known.id, state, reason)


def _counts(known: ImportRecord) -> dict[str, int]:
    names = ("inserted", "updated", "unchanged", "failed", "quarantined")
    return {name: getattr(known, name) for name in names}


def _final_state(known: ImportRecord, ending: Ending) -> tuple[State, str]:
    """Return the final state and its reason. It is a success only if every record is accounted for.

    A requested cancellation takes precedence over everything else.
    """
    if known.cancel_requested:
        return State.CANCELED, CANCELED_BY_USER
    if ending.state is not None:
        return ending.state, ending.reason
    processed = known.processed
    if processed != known.records_total:
        return State.FAILED, (
            f"The counts do not balance: {counted(known.records_total, 'record')} in the file, {processed:,} accounted for."
            " This is a fault of the system, not of the file; please report it."
        )
    if not known.failed:
        return State.SUCCEEDED, ""
    held, refused, total = known.quarantined, known.failed - known.quarantined, counted(processed, "record")
    reasons = [f"{held:,} of {total} {'is' if held == 1 else 'are'} in quarantine."] if held else []
    reasons += [f"The warehouse refused {refused:,} of {total}."] if refused else []
    return State.PARTIALLY_SUCCEEDED, " ".join(reasons)
