"""Validate the file of an import in the sandbox, on this worker, and store the parts that result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from pipeline.adapters.s3 import Store
from pipeline.contracts.messages import ImportRef
from pipeline.contracts.object_keys import PartSet
from pipeline.datasets.dataset import Dataset, blank_dataset
from pipeline.errors import FileReplaced, RejectedFile
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.orchestration.heartbeat_and_failures import beat
from pipeline.orchestration.import_files import ImportFiles
from pipeline.orchestration.stored_parts import StoredParts
from pipeline.prepare.manifest import BatchSizes, Manifest
from pipeline.report.findings import Counted
from pipeline.sandbox import process, validate_file
from pipeline.settings import Settings
from pipeline.telemetry import tracing
from pipeline.warehouse import existing_edges


class Validator:
    """Runs validations in child processes, which have neither network nor credentials: it answers their questions."""

    def __init__(self, settings: Settings, store: Store, engine: Engine) -> None:
        self._settings = settings
        self.engine = engine
        self._ledger = Ledger(engine)
        self.files = ImportFiles(settings, store, self._ledger)
        self.parts = StoredParts(store, self.files)

    def validate(self, known: ImportRecord, dataset: Dataset, folder: Path) -> Counted:
        """Validate ``folder``/source; write the report to ``folder`` and, if the file is accepted, its parts.

        Raises Crashed if the child process dies or exceeds its limits.
        """
        with tracing.span("validate", import_id=known.id, dataset=dataset.name, size_bytes=known.size_bytes) as span:
            result = process.run(
                validate_file.validate,
                folder,
                dataset,
                known.filename,
                known.id,
                self.batch_sizes(known.id),
                known.options,
                **self._limits(),
                heartbeat=beat,
                answer=lambda _: self._fetch_edges(dataset, folder),  # the child's answer is untrusted: its path is not used
            )
            span.set(records=result.records, errors=result.errors, warnings=result.warnings, quarantined=result.quarantined)
            return result

    def refuse(self, ref: ImportRef, folder: Path, error: RejectedFile) -> Counted:
        """Write the report on a file that is rejected as a whole to ``folder``."""
        try:
            dataset = self.files.dataset(ref)
        except RejectedFile:
            dataset = blank_dataset(ref.dataset)
        return process.run(validate_file.refuse, folder, dataset, error, ref.import_id, **self._limits(), heartbeat=beat)

    def batch_sizes(self, import_id: str) -> BatchSizes:
        """Return the sizes of batches and parts that the settings ask for."""
        return BatchSizes(import_id, self._settings.batch_records, self._settings.batches_per_part)

    def save_quarantine(self, ref: ImportRef, folder: Path, result: Counted) -> None:
        """Enter the quarantined records, or that there are none, in the ledger."""
        rows = folder / validate_file.QUARANTINE if result.quarantined else None
        self._ledger.failures.quarantine(ref.import_id, result.quarantined, rows)

    def make_parts_again(self, ref: ImportRef, parts: PartSet) -> Manifest:
        """Validate the file once more and store its parts, for a step that does not find them in S3.

        Raises FileReplaced if the file is not accepted this time: the warehouse has been changed.
        """
        with self.files.attempt_folder(ref.import_id) as folder:
            known = self.files.fetch(ref, folder / validate_file.SOURCE)
            result = self.validate(known, self.files.dataset(ref), folder)
            self.save_quarantine(ref, folder, result)
            if not result.verdict().accepted:
                raise FileReplaced("The warehouse was changed after the file was validated.", code="file_replaced")
            return self.parts.save(ref.import_id, folder / validate_file.PARTS, parts, beat=beat)

    def _fetch_edges(self, dataset: Dataset, folder: Path) -> Path:
        """Write the edges of the warehouse that the file's validation asks for in ``folder``, and return their path."""
        edges = folder / validate_file.EDGES
        with tracing.span("fetch edges", dataset=dataset.name):
            existing_edges.edges(self.engine, dataset, folder / validate_file.WANTED, edges, beat=beat)
        return edges

    def _limits(self) -> dict[str, Any]:
        return {
            "memory_bytes": self._settings.validation_memory_bytes,
            "seconds": self._settings.validation_seconds,
        }
