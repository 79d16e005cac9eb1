"""Sorts a file's rows by what became of them, and stores the files of each kind: those that a retry takes at once, others when
somebody asks for them.

That a row failed, the ledger says; that nobody came to it, the parts that are not in the books. All others were loaded. The
file itself is read once more, in the sandbox (results.py), and what was written must add up with the ledger's counts.
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
from pipeline.datasets.dataset import load_dataset
from pipeline.errors import Crashed, FileReplaced, InternalInconsistency, PermanentError, RejectedFile
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.sandbox import process, write_results
from pipeline.settings import Settings

log = structlog.get_logger()

FATES_SCHEMA = pa.schema([("row", pa.int64()), ("fate", pa.string()), ("code", pa.string()), ("reason", pa.string())])
NOT_PROCESSED = "not_processed"

Wanted = Mapping[RowOutcome, Sequence[str]]
Beat = Callable[..., None]


class ResultFiles:
    """On one worker's edges. Each import's results take a child, and memory as a validation does; task_queues bound how
    many."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger

    def has_to_write(self, known: ImportRecord) -> bool:
        """Whether write_at_once would write anything."""
        return bool(_at_once(known))

    def write_at_once(self, known: ImportRecord, *, beat: Beat) -> str:
        """The files that are small or that a retry takes: of what failed, and of what was left over of a load.

        What is wrong if they do not add up. That the file is not there any more, or ends whoever sorts it, costs the import
        nothing but these files.
        """
        try:
            if wanted := _at_once(known):
                self.write(known, wanted, beat=beat)
        except (RejectedFile, Crashed) as error:
            log.warning("no results", import_id=known.id, why=str(error))
        except PermanentError as error:
            return str(error)
        return ""

    def write(self, known: ImportRecord, wanted: Wanted, *, beat: Beat) -> None:
        """Write and store these files, of each fate in these forms.

        Raises RejectedFile if the file is not there any more, InternalInconsistency if its rows do not add up with
        the ledger's counts.
        """
        folder = self._settings.work_dir / known.id / f"results-{uuid.uuid4().hex[:8]}"
        try:
            folder.mkdir(parents=True)
            self._fetch(known.ref, folder / write_results.SOURCE, beat)
            others = self._write_fates(known, folder / write_results.FATES, beat)
            _demand_balance(self._sort(known, folder, others, wanted, beat), known)
            for file in sorted((folder / write_results.RESULTS).iterdir()):
                self._store.put_file(results_prefix(known.id) + file.name, file)
                beat()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _sort(
        self, known: ImportRecord, folder: Path, others: write_results.DefaultOutcome, wanted: Wanted, beat: Beat
    ) -> dict[RowOutcome, int]:
        dataset = load_dataset(known.dataset, self._settings.datasets_root).for_upload(known.options)
        return process.run(
            write_results.write_results,
            *(folder, dataset, known.options.delimiter, others, wanted),
            memory_bytes=self._settings.validation_memory_bytes,
            seconds=self._settings.validation_seconds,
            heartbeat=beat,
        )

    def _fetch(self, ref: ImportRef, to: Path, beat: Beat) -> None:
        """The import's object, if it is still the one that was imported."""
        try:
            self._store.get_file(ref.key, to, etag=ref.etag, beat=beat)
        except NotThere as error:
            raise FileReplaced("The file was removed.", code="file_removed") from error

    def _write_fates(self, known: ImportRecord, to: Path, beat: Beat) -> write_results.DefaultOutcome:
        """Say of each row what became of it, if that is not what became of all others, which is returned."""
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
        """Why rows of a rejected file were not loaded, as far as it is their own fault."""
        try:
            report = io.BytesIO(self._store.get_bytes(report_prefix(import_id) + "findings.parquet"))
        except NotThere:
            return
        for batch in pq.ParquetFile(report).iter_batches(columns=["row", "severity", "code", "message"]):
            found = [one for one in batch.to_pylist() if one["severity"] == "error" and one["row"] is not None]
            codes, reasons = [one["code"] for one in found], [one["message"] for one in found]
            yield _fates([one["row"] for one in found], RowOutcome.UNPROCESSED, codes, reasons)

    def _rows_of(self, ref: ImportRef, part_no: int) -> list[int]:
        """The file's rows that a part holds."""
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
    """The files that an import has at its end."""
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
    """Raises InternalInconsistency if these numbers of rows are not those of the ledger."""
    unprocessed = known.records_total - known.processed
    booked = {
        RowOutcome.SUCCEEDED: known.processed - known.failed,
        RowOutcome.FAILED: known.failed,
        RowOutcome.UNPROCESSED: unprocessed,
    }
    found = {fate: counted.get(fate, 0) for fate in booked}
    if found != booked:
        told = "; ".join(f"{found[fate]:,} rows {fate}, by the ledger {rows:,}" for fate, rows in booked.items())
        fault = "This is a fault of the system, not of the file; please report it."
        raise InternalInconsistency(f"The results do not add up: {told}. {fault}")
