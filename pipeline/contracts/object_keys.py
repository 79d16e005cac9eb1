"""Object keys: where each file of an import is stored in S3, and what a key says about the import."""

from __future__ import annotations

import re
import uuid
from collections.abc import Container, Mapping, Sequence
from enum import StrEnum
from typing import Any

INCOMING = "incoming"
DATASET_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""A dataset name is also the name of a table and a suite, and a segment of a path: one strict pattern is valid for all."""

_IMPORT_ID_NAMESPACE = uuid.UUID("5f1d4c52-7f0e-5d0b-9c39-3f8b6c0c7a11")


def incoming_key(dataset: str, import_id: str, filename: str) -> str:
    """Return the key of an uploaded file."""
    return f"{INCOMING}/{dataset}/{import_id}/{filename}"


def dataset_of(key: str) -> str | None:
    """Return the dataset that an object's key names, or None if it is not the key of an incoming file."""
    head, _, rest = key.partition("/")
    dataset, _, name = rest.partition("/")
    if head != INCOMING or not name or name.endswith("/") or not DATASET_NAME.fullmatch(dataset):
        return None
    return dataset


def import_id_in(key: str) -> str | None:
    """Return the import id in the key of an uploaded file, or None for a file that was put into the bucket directly."""
    pieces = key.split("/")
    if len(pieces) < 4:
        return None
    try:
        return str(uuid.UUID(pieces[2]))
    except ValueError:
        return None


def is_import_id(name: str) -> bool:
    """Return whether a name is an import ID as the ledger writes it."""
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


def import_id_for(bucket: str, key: str, etag: str, modified: str) -> str:
    """Return the import id of a file that was put into the bucket directly.

    It depends on the object alone, so announcing the object again is idempotent.
    """
    return str(uuid.uuid5(_IMPORT_ID_NAMESPACE, "\n".join((bucket, key, etag, modified))))


def batches_prefix(import_id: str) -> str:
    """Return the prefix of all parts of an import, and of their manifests."""
    return f"batches/{import_id}/"


QUARANTINE_PART_NO = 0
"""The number of the quarantine, a part of its own in the ledger; parts that are loaded are numbered from 1."""


class PartSet(StrEnum):
    """The sets of parts that an import may have in S3; the value is the name of their folder under its prefix."""

    LOAD = ""  # what is loaded
    DRY_RUN = "dry-run"  # what a dry run compares with the warehouse; removed when it has
    REPLACEMENT = "replacement"  # made again from the file, to say which records a damaged part of LOAD has


def parts_prefix(import_id: str, parts: PartSet = PartSet.LOAD) -> str:
    """Return the prefix of a set of parts and its manifest."""
    return batches_prefix(import_id) + (f"{parts}/" if parts else "")


def part_key(import_id: str, part_no: int, parts: PartSet = PartSet.LOAD) -> str:
    """Return the key of a part of an import. Parts are numbered from 1."""
    return f"{parts_prefix(import_id, parts)}part-{part_no:06d}.parquet"


def manifest_key(import_id: str, parts: PartSet = PartSet.LOAD) -> str:
    """Return the key of the manifest of an import's parts."""
    return f"{parts_prefix(import_id, parts)}manifest.json"


def report_prefix(import_id: str) -> str:
    """Return the prefix of findings.csv, findings.json, findings.parquet and docs/ (Great Expectations' pages)."""
    return f"reports/{import_id}/"


AUDITS = "audits"


def audits_prefix(dataset: str) -> str:
    """Return the prefix of all audits of a dataset."""
    return f"{AUDITS}/{dataset}/"


def audit_prefix(dataset: str, audit_id: str) -> str:
    """Return the prefix of an audit's report: what report_prefix has of an import, and audit.json, its counts."""
    return f"{audits_prefix(dataset)}{audit_id}/"


DRAFTS = "drafts"


def draft_key(owner_id: str, draft_id: str) -> str:
    """Return the key of a draft: a file that a dataset is to be made of, kept for the key or the person who sent it."""
    return f"{DRAFTS}/{owner_id}/{draft_id}/file"


DROPPED = "dropped"


def dropped_prefix(dataset: str, dump_id: str) -> str:
    """Return the prefix of the dump of a dataset that was dropped: its table, and the two files that defined it."""
    return f"{DROPPED}/{dataset}/{dump_id}/"


def results_prefix(import_id: str) -> str:
    """Return the prefix of the result files, one for each outcome and format, and of summary.json."""
    return f"results/{import_id}/"


class RowOutcome(StrEnum):
    """The outcome of a row of a file."""

    SUCCEEDED = "succeeded"  # in the warehouse as the file has it
    FAILED = "failed"  # in quarantine, or refused by the warehouse permanently
    UNPROCESSED = "unprocessed"  # not reached, as after a cancellation


RESULTS_FORMS = ("native", "parquet", "csv", "json")
"""Formats of result files: exact ones, in the format of the upload and in Parquet; and for people, CSV and JSON."""


def results_file(fate: RowOutcome, form: str, reading: Mapping[str, Any]) -> str:
    """Return the name of a result file: the rows with the outcome ``fate``, in one of RESULTS_FORMS.

    ``reading``: how the import's file was read, as the ledger has it.
    """
    return f"{fate}-exact.{native_format(reading)}" if form == "native" else f"{fate}.{form}"


def results_key(import_id: str, fate: RowOutcome, form: str, reading: Mapping[str, Any]) -> str:
    """Return the key of a result file."""
    return f"{results_prefix(import_id)}{results_file(fate, form, reading)}"


def native_format(reading: Mapping[str, Any]) -> str:
    """Return the format of an import's file without its compression: csv, tsv, json, ndjson, parquet or xlsx."""
    return str(reading.get("format") or "csv")


def added_names(originals: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns that a result file adds to a file's own ``originals``: row, code, reason and text.

    ``text`` holds a row that could not be split into columns. A name that the file has itself is prefixed with an underscore.
    """
    taken = {name.casefold() for name in originals}
    return tuple(_free(name, taken) for name in ("row", "code", "reason", "text"))


def _free(name: str, taken: Container[str]) -> str:
    return _free(f"_{name}", taken) if name in taken else name


class Kept(StrEnum):
    """What retention removes of an import, each after a time of its own. Counts and moves in the ledger are never removed."""

    BATCHES = "batches"
    RESULTS = "results"
    REPORT = "report"
    SOURCE = "source"

    @property
    def setting(self) -> str:
        """Return the name of that setting."""
        return {"report": "BULKHEAD_KEEP_REPORTS", "source": "BULKHEAD_KEEP_SOURCES"}.get(self, f"BULKHEAD_KEEP_{self.upper()}")
