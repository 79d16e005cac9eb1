"""Object keys: where each file of an import is stored in S3, and what a key says about the import."""

from __future__ import annotations

import re
import uuid
from collections.abc import Container, Mapping, Sequence
from enum import StrEnum
from typing import Any

INCOMING = "incoming"
DATASET_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""A dataset is also a table, a suite and a piece of a path: one strict spelling serves them all."""

_IMPORT_ID_NAMESPACE = uuid.UUID("5f1d4c52-7f0e-5d0b-9c39-3f8b6c0c7a11")


def incoming_key(dataset: str, import_id: str, filename: str) -> str:
    """Where an uploaded file lands."""
    return f"{INCOMING}/{dataset}/{import_id}/{filename}"


def dataset_of(key: str) -> str | None:
    """The dataset that an object's key names, or None if the key is not an incoming file's."""
    head, _, rest = key.partition("/")
    dataset, _, name = rest.partition("/")
    if head != INCOMING or not name or name.endswith("/") or not DATASET_NAME.fullmatch(dataset):
        return None
    return dataset


def import_id_in(key: str) -> str | None:
    """The import id in an uploaded file's key, or None if somebody dropped the file under a name of their own."""
    pieces = key.split("/")
    if len(pieces) < 4:
        return None
    try:
        return str(uuid.UUID(pieces[2]))
    except ValueError:
        return None


def import_id_for(bucket: str, key: str, etag: str, modified: str) -> str:
    """The import id of a dropped file: the same object gives the same id, however often and by whom it is announced."""
    return str(uuid.uuid5(_IMPORT_ID_NAMESPACE, "\n".join((bucket, key, etag, modified))))


def batches_prefix(import_id: str) -> str:
    """Under this prefix: an import's parts, and their manifest."""
    return f"batches/{import_id}/"


QUARANTINE_PART_NO = 0
"""The quarantine is a part of its own in the ledger; the parts that are loaded are numbered from 1."""


def part_key(import_id: str, part_no: int) -> str:
    """Where a part of an import lies, counted from 1."""
    return f"{batches_prefix(import_id)}part-{part_no:06d}.parquet"


def manifest_key(import_id: str) -> str:
    """Where the manifest of an import's parts lies."""
    return f"{batches_prefix(import_id)}manifest.json"


def report_prefix(import_id: str) -> str:
    """Under this prefix: findings.csv, findings.json, findings.parquet and docs/ (Great Expectations' pages)."""
    return f"reports/{import_id}/"


def results_prefix(import_id: str) -> str:
    """Under this prefix: what became of the records, a file a kind and format, and summary.json."""
    return f"results/{import_id}/"


class RowOutcome(StrEnum):
    """What became of a row of a file."""

    SUCCEEDED = "succeeded"  # it is in the warehouse as the file has it
    FAILED = "failed"  # held back, or refused by the warehouse for good
    UNPROCESSED = "unprocessed"  # nobody came to it


RESULTS_FORMS = ("native", "parquet", "csv", "json")
"""Files of results: exact ones, in the format that was uploaded and in Parquet; and for people, as CSV and JSON."""


def results_file(fate: RowOutcome, form: str, reading: Mapping[str, Any]) -> str:
    """The name of the file with the rows of that fate, in one of RESULTS_FORMS, of a file that was read as ``reading`` says."""
    return f"{fate}-exact.{native_format(reading)}" if form == "native" else f"{fate}.{form}"


def results_key(import_id: str, fate: RowOutcome, form: str, reading: Mapping[str, Any]) -> str:
    """Where that file lies."""
    return f"{results_prefix(import_id)}{results_file(fate, form, reading)}"


def native_format(reading: Mapping[str, Any]) -> str:
    """The format of an import's file, without its compression: csv, tsv, json, ndjson, parquet or xlsx."""
    return str(reading.get("format") or "csv")


def added_names(originals: Sequence[str]) -> tuple[str, ...]:
    """What a results file calls the columns that it adds to a file's own ``originals``: row, code, reason, and text.

    The last holds a row that could not be taken apart, where there is one. A name that the file has itself gets an underscore.
    """
    taken = {name.casefold() for name in originals}
    return tuple(_free(name, taken) for name in ("row", "code", "reason", "text"))


def _free(name: str, taken: Container[str]) -> str:
    return _free(f"_{name}", taken) if name in taken else name


class Kept(StrEnum):
    """What is kept of an import for as long as a setting says; the counts and moves in the ledger are kept for ever."""

    BATCHES = "batches"
    RESULTS = "results"
    REPORT = "report"
    SOURCE = "source"

    @property
    def setting(self) -> str:
        """The name of that setting."""
        return {"report": "BULKHEAD_KEEP_REPORTS", "source": "BULKHEAD_KEEP_SOURCES"}.get(self, f"BULKHEAD_KEEP_{self.upper()}")
