"""Write the result files of an import: its rows by outcome. Those that a retry needs are written at once, others on request.

The ledger says which rows failed. Rows of parts that are not in the ledger are unprocessed; all others succeeded. The file is
read again in the sandbox (sandbox/write_results.py), and the rows that are written must add up to the ledger's counts.
"""

from __future__ import annotations

import io
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from pipeline.adapters.s3 import NotThere, Store
from pipeline.contracts.messages import ImportRef
from pipeline.contracts.object_keys import RESULTS_FORMS, RowOutcome, part_key, report_prefix, results_prefix
from pipeline.errors import Crashed, FileReplaced, InternalInconsistency, PermanentError, RejectedFile
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.orchestration.import_files import fetch_correction
from pipeline.sandbox import process, write_results
from pipeline.settings import Settings
from pipeline.telemetry import tracing
from pipeline.warehouse.dataset_source import DatasetSource

log = structlog.get_logger()

FATES_SCHEMA = pa.schema([("row", pa.int64()), ("fate", pa.string()), ("code", pa.string()), ("reason", pa.string())])
NOT_PROCESSED = "not_processed"

Wanted = Mapping[RowOutcome, Sequence[str]]
Beat = Callable[..., None]


class ResultFiles:
    """Writes result files on one worker. Each import's take a child process, and as much memory as a validation."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger) -> None:
        self._settings = settings
        self._datasets = DatasetSource(settings, ledger.engine)
        self._store = store
        self._ledger = ledger

    def has_to_write(self, known: ImportRecord) -> bool:
        """Return whether write_at_once would write anything."""
        return bool(_at_once(known))

    def write_at_once(self, known: ImportRecord, *, beat: Beat) -> str:
        """Write the files of failed rows and of rows that a load has not reached; return the error if they do not add up.

        If the source file is gone, or ends every process that reads it, the import has no such files, which is no error.
        """
        try:
            if wanted := _at_once(known):
                with tracing.span("write results", import_id=known.id, dataset=known.dataset, failed=known.failed):
                    self.write(known, wanted, beat=beat)
        except (RejectedFile, Crashed) as error:
            log.warning("no result files", import_id=known.id, why=str(error))
        except PermanentError as error:
            return str(error)
        return ""

    def write(self, known: ImportRecord, wanted: Wanted, *, beat: Beat) -> None:
        """Write and store these files: for each outcome, these formats.

        Raises RejectedFile if the source file is gone, InternalInconsistency if its rows do not add up to the ledger's counts.
        """
        folder = self._settings.work_dir / known.id / f"results-{uuid.uuid4().hex[:8]}"
        try:
            folder.mkdir(parents=True)
            self._fetch(known, folder / write_results.SOURCE, beat)
            others = self._write_fates(known, folder / write_results.FATES, beat)
            _demand_balance(self._sort(known, folder, others, wanted, beat), known)
            written = folder / write_results.RESULTS
            for file in sorted(path for path in written.rglob("*") if path.is_file()):
                self._store.put_file(results_prefix(known.id) + file.relative_to(written).as_posix(), file)
                beat()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _sort(
        self, known: ImportRecord, folder: Path, others: write_results.DefaultOutcome, wanted: Wanted, beat: Beat
    ) -> dict[RowOutcome, int]:
        dataset = self._datasets.load(known.dataset).for_upload(known.options)
        return process.run(
            write_results.write_results,
            *(folder, dataset, known.options, others, wanted),
            memory_bytes=self._settings.validation_memory_bytes,
            seconds=self._settings.validation_seconds,
            heartbeat=beat,
        )

    def _fetch(self, known: ImportRecord, to: Path, beat: Beat) -> None:
        """Download the import's object, and its edits. Raises FileReplaced if it is not the one that was imported."""
        try:
            stored = self._store.get_file(known.key, to, etag=known.etag, beat=beat)
            fetch_correction(self._store, known, stored.sha256, to.parent)
        except NotThere as error:
            raise FileReplaced("The file was removed.", code="file_removed") from error

    def _write_fates(self, known: ImportRecord, to: Path, beat: Beat) -> write_results.DefaultOutcome:
        """Write the outcome of each row that is not that of all others; return the others' outcome."""
        loaded = set(self._ledger.imports.part_numbers(known.id))
        with pq.ParquetWriter(to, FATES_SCHEMA) as file:
            after = 0
            while page := self._ledger.failures.reasons(known.id, after_row=after):
                file.write_table(_failed(page))
                after = page[-1]["row"]
                beat()
            if not loaded and not known.failed and known.findings_errors:
                for errors in self._errors(known.id):
                    file.write_table(errors)
            if not loaded:
                return write_results.DefaultOutcome(RowOutcome.UNPROCESSED, NOT_PROCESSED, known.reason)
            for part_no in sorted({*range(1, known.parts_total + 1)} - loaded):
                file.write_table(_unprocessed(self._rows_of(known.ref, part_no), known.reason))
                beat()
        return write_results.DefaultOutcome(RowOutcome.SUCCEEDED)

    def _errors(self, import_id: str) -> Iterator[pa.Table]:
        """Yield the errors of a rejected file's rows as the reasons why they were not loaded."""
        try:
            report = io.BytesIO(self._store.get_bytes(report_prefix(import_id) + "findings.parquet"))
        except NotThere:
            return
        for batch in pq.ParquetFile(report).iter_batches(columns=["row", "severity", "code", "message"]):
            found = [one for one in batch.to_pylist() if one["severity"] == "error" and one["row"] is not None]
            codes, reasons = [one["code"] for one in found], [one["message"] for one in found]
            yield _fates([one["row"] for one in found], RowOutcome.UNPROCESSED, codes, reasons)

    def _rows_of(self, ref: ImportRef, part_no: int) -> list[int]:
        """Return the file's rows that are in a part."""
        try:
            part = io.BytesIO(self._store.get_bytes(part_key(ref.import_id, part_no)))
            table = pq.read_table(part, columns=["_row"], page_checksum_verification=True)
        except NotThere as error:
            raise FileReplaced("The import's parts are not kept any more.", code="file_removed") from error
        except (pa.ArrowException, OSError) as error:
            raise FileReplaced(f"The stored part {part_no} is damaged: {error}", code="part_damaged") from error
        found: list[int] = table.column("_row").to_pylist()
        return found


def _at_once(known: ImportRecord) -> Wanted:
    """Return the files that an import has at its end."""
    unprocessed = known.records_total - known.processed
    there = {RowOutcome.FAILED: known.failed > 0, RowOutcome.UNPROCESSED: 0 < unprocessed < known.records_total}
    return {fate: RESULTS_FORMS for fate, is_there in there.items() if is_there}


def _failed(page: Sequence[Mapping[str, Any]]) -> pa.Table:
    return _fates(
        [one["row"] for one in page], RowOutcome.FAILED, [one["code"] for one in page], [one["reason"] for one in page]
    )


def _unprocessed(rows: Sequence[int], reason: str) -> pa.Table:
    return _fates(rows, RowOutcome.UNPROCESSED, [NOT_PROCESSED] * len(rows), [reason] * len(rows))


def _fates(rows: Sequence[int], fate: RowOutcome, codes: Sequence[str], reasons: Sequence[str]) -> pa.Table:
    columns = (rows, [str(fate)] * len(rows), codes, reasons)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, FATES_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=FATES_SCHEMA)


def _demand_balance(counted: Mapping[RowOutcome, int], known: ImportRecord) -> None:
    """Raise InternalInconsistency if these numbers of rows differ from the ledger's."""
    unprocessed = known.records_total - known.processed
    booked = {
        RowOutcome.SUCCEEDED: known.processed - known.failed,
        RowOutcome.FAILED: known.failed,
        RowOutcome.UNPROCESSED: unprocessed,
    }
    found = {fate: counted.get(fate, 0) for fate in booked}
    if found != booked:
        differences = "; ".join(f"{found[fate]:,} rows {fate}, by the ledger {rows:,}" for fate, rows in booked.items())
        fault = "This is a fault of the system, not of the file; please report it."
        raise InternalInconsistency(f"The results do not add up: {differences}. {fault}")
