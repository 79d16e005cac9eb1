"""Activities for a whole file: validate it, prepare the load, or compare it with the warehouse in a dry run.

Each works from S3, the ledger and the warehouse alone, so the steps of one import may run on different workers. The validation
stores the parts to load, and the steps after it fetch what they need of them (docs/decisions/0025).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine
from temporalio import activity

from pipeline.adapters.s3 import NotThere, Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import DryRunCounts, ImportRef, Outcome, Plan, Verdict
from pipeline.contracts.object_keys import PartSet, report_prefix, results_prefix
from pipeline.contracts.states import State
from pipeline.contracts.steps import DRY_RUN, PREPARE, VALIDATE
from pipeline.datasets.dataset import Dataset
from pipeline.errors import Crashed, DamagedPart, InternalInconsistency, RejectedFile, Unreachable
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.lineage import sender
from pipeline.load import dry_run
from pipeline.orchestration import reuse_verdict
from pipeline.orchestration.heartbeat_and_failures import beat, converts_errors
from pipeline.orchestration.import_metrics import count_validation
from pipeline.orchestration.validator import Validator
from pipeline.prepare.manifest import Manifest
from pipeline.report.findings import Counted
from pipeline.sandbox import validate_file
from pipeline.settings import Settings
from pipeline.telemetry import tracing
from pipeline.warehouse.dataset_source import DatasetSource

log = structlog.get_logger()

PREFETCHED_PARTS = 1
"""Parts to schedule beyond those that may be loaded at once, so that the worker never waits for the workflow."""

CRASHES_MAX = 3
"""A child process may die for reasons of the machine; a file that ends so many of them is rejected."""


class ImportActivities:
    """The steps for a whole file, on one worker."""

    def __init__(
        self, settings: Settings, store: Store, engine: Engine, validator: Validator, temporal: TemporalClient
    ) -> None:
        self._settings = settings
        self._datasets = DatasetSource(settings, engine)
        self._temporal = temporal
        self._store = store
        self._engine = engine
        self._ledger = Ledger(engine)
        self._validator = validator
        self._files = validator.files
        self._parts = validator.parts

    # --- validate ---

    @activity.defn(name=VALIDATE.name, no_thread_cancel_exception=True)
    @converts_errors
    def validate(self, ref: ImportRef) -> Verdict:
        """Check the file against its dataset's rules and the warehouse; store report, findings and the parts to load."""
        self._ledger.imports.take_up(ref.import_id, activity.info().current_attempt_scheduled_time)
        self._announce_start(ref)
        self._files.remove(ref.import_id)  # what earlier attempts left
        with self._files.attempt_folder(ref.import_id) as folder:
            result = self._result(ref, folder)
            if isinstance(result, Counted):
                self._save(ref, folder, result)
                return result.verdict(dry_run=self._ledger.imports.known(ref.import_id).options.dry_run)
            return self._duplicate(ref, result)

    def _announce_start(self, ref: ImportRef) -> None:
        """Have the OpenLineage event of the start sent, by a workflow of its own. Without it the import is none the worse."""
        if sender.is_on(self._settings):
            try:
                self._temporal.notify(Outcome(ref.import_id, State.VALIDATING))
            except Unreachable as error:
                log.warning("lineage of the start not sent", import_id=ref.import_id, why=str(error))

    def _result(self, ref: ImportRef, folder: Path) -> Counted | ImportRecord:
        """Return what validation found, or the earlier import of which this one is a duplicate."""
        try:
            dataset = self._files.dataset(ref)
            if dataset.definition_version is not None:
                self._ledger.imports.update(ref.import_id, definition_version=dataset.definition_version)
            known = self._files.fetch(ref, folder / validate_file.SOURCE)
            earlier = self._loaded_before(known, dataset)
            if earlier and not known.options.force and not self._ledger.imports.changed_since(earlier):
                return earlier
            return (earlier and self._reused(known, earlier, dataset)) or self._validator.validate(known, dataset, folder)
        except RejectedFile as error:
            return self._validator.refuse(ref, folder, error)
        except Crashed as error:
            return self._refuse_after_crash(ref, folder, error)

    def _loaded_before(self, known: ImportRecord, dataset: Dataset) -> ImportRecord | None:
        """Return the earlier import that loaded the same content, if that matters.

        It does not for a dry run, which asks what a load would do, nor for its promotion: the user has seen the answer.
        """
        if known.options.dry_run or known.promoted:
            return None
        return self._ledger.imports.loaded_before(known, dataset.version)

    def _duplicate(self, ref: ImportRef, earlier: ImportRecord) -> Verdict:
        """Record the import as a duplicate of an earlier one."""
        self._ledger.imports.update(ref.import_id, duplicate_of=earlier.id)
        reason = (
            f"Import {earlier.id} ({earlier.filename}) has already imported this content, and no import has changed"
            f" {ref.dataset} since. To import it again, upload it with force."
        )
        return Verdict(0, 0, 0, known=reason)

    def _reused(self, known: ImportRecord, earlier: ImportRecord, dataset: Dataset) -> Counted | None:
        """Copy the verdict, report and parts of an earlier import; None if they may differ now, or are not kept any more."""
        try:
            manifest = self._parts.manifest(earlier.id)
            result = reuse_verdict.earlier_result(earlier, manifest, dataset, self._validator.batch_sizes(known.id))
            if result:
                reuse_verdict.copy_report(self._store, earlier.id, known.id, beat=beat)
                copied = reuse_verdict.copy_parts(self._store, manifest, known.id, beat=beat)
                self._parts.save_manifest(copied, beat=beat)
            return result
        except (NotThere, InternalInconsistency):
            return None

    def _refuse_after_crash(self, ref: ImportRef, folder: Path, crash: Crashed) -> Counted:
        """Reject a file that ends every child process that reads it. Raises ``crash`` while another attempt may succeed."""
        if activity.info().attempt < CRASHES_MAX:
            raise crash
        log.warning("file rejected after crashes", import_id=ref.import_id, why=str(crash))
        hint = "Export it again, in another format perhaps, or upload it in several files."
        return self._validator.refuse(ref, folder, RejectedFile(f"The file could not be read: {crash}", hint=hint))

    def _save(self, ref: ImportRef, folder: Path, result: Counted) -> None:
        """Store what validation found: the quarantine, the report, the parts, the findings and the counts."""
        report = folder / validate_file.REPORT
        self._validator.save_quarantine(ref, folder, result)
        self._save_report(ref, report)
        if (folder / validate_file.PARTS).exists():
            self._parts.save(ref.import_id, folder / validate_file.PARTS, self._part_set(ref), beat=beat)
        if ref.promoted:
            self._store.delete_prefix(results_prefix(ref.import_id))  # those of the dry run
        if reuse_verdict.TAKEN_OVER_FROM not in result.reading:  # a reused verdict has no findings
            self._ledger.findings.store(ref.import_id, report / "findings.parquet", beat=beat)
        self._ledger.imports.update(
            ref.import_id,
            reading=result.reading,
            quarantined=result.quarantined,
            records_total=result.records,
            records_valid=result.records - result.invalid,
            records_invalid=result.invalid,
            findings_errors=result.errors,
            findings_warnings=result.warnings,
            findings_by_code=result.by_code,
        )
        log.info("validated", import_id=ref.import_id, records=result.records, errors=result.errors)
        count_validation(self._ledger.imports.known(ref.import_id), result.by_code)

    def _save_report(self, ref: ImportRef, report: Path) -> None:
        """Store the report's files in S3."""
        files = sorted(path for path in report.rglob("*") if path.is_file())
        prefix = report_prefix(ref.import_id)
        with tracing.span("store report", import_id=ref.import_id):
            self._store.put_files([(prefix + path.relative_to(report).as_posix(), path) for path in files], beat=beat)

    def _part_set(self, ref: ImportRef) -> PartSet:
        return PartSet.DRY_RUN if self._ledger.imports.known(ref.import_id).options.dry_run else PartSet.LOAD

    # --- prepare ---

    @activity.defn(name=PREPARE.name, no_thread_cancel_exception=True)
    @converts_errors
    def prepare(self, ref: ImportRef) -> Plan:
        """Begin the load of the stored parts and return their plan. Idempotent."""
        self._ledger.imports.check_canceled(ref.import_id)
        if (
            self._ledger.imports.known(ref.import_id).state is State.LOADING
        ):  # an earlier attempt completed, and its answer was lost
            manifest = self._parts.manifest(ref.import_id)
        else:
            self._ledger.imports.move(ref.import_id, State.PREPARING)
            manifest = self._find_or_make_parts(ref, PartSet.LOAD)
            self._ledger.imports.update(ref.import_id, parts_total=len(manifest.parts))
            self._ledger.imports.move(ref.import_id, State.LOADING)
        tracing.annotate(records=manifest.records, parts=len(manifest.parts))
        pause_wanted = self._ledger.imports.known(ref.import_id).pause_wanted
        parallel = (self._settings.max_parts_per_import or self._settings.max_parallel_parts) + PREFETCHED_PARTS
        return replace(manifest.plan, parallel=parallel, pause_wanted=pause_wanted)

    def _find_or_make_parts(self, ref: ImportRef, parts: PartSet) -> Manifest:
        """Return the manifest of the parts that the validation stored; without them, as of earlier releases, validate again."""
        known = self._ledger.imports.known(ref.import_id)
        found = self._parts.find(ref.import_id, parts, records=known.records_total - known.quarantined)
        return found or self._make_parts_again(ref, parts)

    def _make_parts_again(self, ref: ImportRef, parts: PartSet) -> Manifest:
        log.warning("validated again: stored parts are missing", import_id=ref.import_id)
        return self._validator.make_parts_again(ref, parts)

    # --- dry run ---

    @activity.defn(name=DRY_RUN.name, no_thread_cancel_exception=True)
    @converts_errors
    def dry_run(self, ref: ImportRef) -> DryRunCounts:
        """Compare the parts with the warehouse as the load would, without writing there; then remove them."""
        self._ledger.imports.check_canceled(ref.import_id)
        manifest = self._find_or_make_parts(ref, PartSet.DRY_RUN)
        try:
            counts = self._compare(ref, manifest)
        except DamagedPart:
            counts = self._compare(ref, self._make_parts_again(ref, PartSet.DRY_RUN))
        self._ledger.imports.update(ref.import_id, preview=counts.to_json())
        self._parts.remove(ref.import_id, PartSet.DRY_RUN)  # a promotion validates again: the warehouse may have changed
        return counts

    def _compare(self, ref: ImportRef, manifest: Manifest) -> DryRunCounts:
        """Return what the load of these parts would do. Raises DamagedPart if one is not what was stored."""
        dataset = self._datasets.load(ref.dataset)
        with self._engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            return dry_run.preview(raw, dataset, self._parts.fetch_each(manifest, PartSet.DRY_RUN, beat=beat), beat=beat)
