"""Rows of the ledger as Python objects, and an import as the JSON of the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from pipeline.contracts.messages import ImportRef
from pipeline.contracts.object_keys import Kept
from pipeline.contracts.options import Options
from pipeline.contracts.patches import applied_in
from pipeline.contracts.states import State
from pipeline.display import masked


@dataclass(frozen=True)
class ImportRecord:
    """One import, as it is in the ledger now. Counts of loaded records are live sums over its parts."""

    id: str
    dataset: str
    state: State
    filename: str
    size_bytes: int
    sha256: str
    bucket: str
    key: str
    etag: str
    records_total: int
    records_valid: int
    records_invalid: int
    inserted: int
    updated: int
    unchanged: int
    failed: int
    unprocessed: int
    parts_total: int
    parts_done: int
    findings_errors: int
    findings_warnings: int
    findings_by_code: dict[str, int]
    reason: str
    created_by: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    queue_position: int | None
    options: Options = field(default_factory=Options)
    reading: dict[str, Any] = field(default_factory=dict)  # how the file was read; empty until then
    preview: dict[str, int] | None = None  # the result of a dry run
    quarantined: int = 0  # of the failed, those that validation put into quarantine
    retry_of: str | None = None  # the import whose records this one retries
    retried_by: Sequence[str] = ()  # the imports that retry it or its records, oldest first
    duplicate_of: str | None = None  # the earlier import that loaded the same content
    definition_version: int | None = None  # of the dataset's definition in the database that the file was validated with
    pause_wanted: bool = False  # no further part is started until it is resumed
    cancel_requested_at: datetime | None = None  # from then on every step only ends the import
    batches_removed_at: datetime | None = None  # when retention began to remove them; some may remain for a moment
    results_removed_at: datetime | None = None
    report_removed_at: datetime | None = None
    source_removed_at: datetime | None = None
    created_by_name: str | None = None  # the name of the API key that created it
    traceparent: str | None = None  # the span that it belongs to
    warnings: Sequence[str] = ()  # marts that do not have its records yet, and why

    @property
    def cancel_requested(self) -> bool:
        """Return whether its cancellation was requested while it was at work."""
        return self.cancel_requested_at is not None

    @property
    def processed(self) -> int:
        """Return how many records have an outcome."""
        return self.inserted + self.updated + self.unchanged + self.failed

    def removed_at(self, what: Kept) -> datetime | None:
        """Return when that was removed; None if it is kept, or never existed."""
        found: datetime | None = getattr(self, f"{what}_removed_at")
        return found

    @property
    def removed(self) -> dict[str, str | None]:
        """Return the same for all that the API shows; batches are internal."""
        return {str(what): rfc3339(self.removed_at(what)) for what in Kept if what is not Kept.BATCHES}

    @property
    def ref(self) -> ImportRef:
        """Return the reference that workflows carry."""
        return ImportRef(self.id, self.dataset, self.bucket, self.key, self.etag, self.promoted)

    @property
    def promoted(self) -> bool:
        """Return whether it was a dry run first."""
        return self.preview is not None and not self.options.dry_run

    @property
    def patch(self) -> dict[str, Any] | None:
        """Return whose edits it was read with, and their version; None if the file was read as it is."""
        found = applied_in(self.options.patch or "")
        return {"import_id": found[0], "version": found[1]} if found else None

    @property
    def counts(self) -> dict[str, int]:
        """Return the counts that the API shows; total = valid + invalid, and the quarantined are among the failed."""
        return {
            "total": self.records_total,
            "valid": self.records_valid,
            "invalid": self.records_invalid,
            "inserted": self.inserted,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "failed": self.failed,
            "quarantined": self.quarantined,
            "unprocessed": self.unprocessed,
        }

    @property
    def source(self) -> dict[str, Any]:
        """Return what the API shows of the file; once it was read also its format, compression, encoding, delimiter, ..."""
        inner = (
            "records",
            "columns",
            "original_columns",
            "letters",
            "lines",
            "sheets",
            "asked",
            "rules",
            "left_out",
            "expectations",
        )
        read = {name: value for name, value in self.reading.items() if name not in inner}
        return {
            **{"filename": self.filename, "size_bytes": self.size_bytes, "sha256": self.sha256, "key": self.key},
            **read,
        }

    def _options_shown(self) -> dict[str, Any]:
        """Return the options, with the secret parts of addresses masked."""
        asked = {name: value for name, value in vars(self.options).items() if name not in ("dry_run", "patch")}
        return {**asked, "notify": [masked(address) for address in self.options.notify]}

    def to_json(self, base_url: str) -> dict[str, Any]:
        """Return the import as the API shows it; times in RFC 3339, links absolute."""
        imports = f"{base_url.rstrip('/')}/v1/imports"
        self_link = f"{imports}/{self.id}"
        return {
            "id": self.id,
            "dataset": self.dataset,
            "state": str(self.state),
            "reason": self.reason,
            "dry_run": self.options.dry_run,
            "options": self._options_shown(),
            "retry_of": self.retry_of,
            "retried_by": list(self.retried_by),
            "patch": self.patch,
            "duplicate_of": self.duplicate_of,
            "definition_version": self.definition_version,
            "pause_requested": self.pause_wanted,
            "cancel_requested": self.cancel_requested,
            "source": self.source,
            "counts": self.counts,
            "preview": self.preview,
            "parts": {"total": self.parts_total, "done": self.parts_done},
            "findings": {
                "errors": self.findings_errors,
                "warnings": self.findings_warnings,
                "by_code": self.findings_by_code,
            },
            "warnings": list(self.warnings),
            "queue_position": self.queue_position,
            "removed": self.removed,
            "created_at": rfc3339(self.created_at),
            "created_by": {"id": self.created_by, "name": self.created_by_name} if self.created_by else None,
            "started_at": rfc3339(self.started_at),
            "finished_at": rfc3339(self.finished_at),
            "links": {
                "self": self_link,
                "errors": f"{self_link}/errors",
                "report": f"{self_link}/report/",
                "results": f"{self_link}/results",
                "patch": f"{self_link}/patch",
                "retry_of": f"{imports}/{self.retry_of}" if self.retry_of else None,
                "retried_by": [f"{imports}/{retry}" for retry in self.retried_by],
            },
        }


@dataclass(frozen=True)
class Trace:
    """The part of an import that reconciliation and retention read, a thousand at a time."""

    id: str
    state: State
    key: str
    etag: str
    finished_at: datetime | None

    def ended_by(self, moment: datetime) -> bool:
        """Return whether it was settled by then: no state can follow."""
        return self.state.is_settled and self.finished_at is not None and self.finished_at <= moment


@dataclass(frozen=True)
class Move:
    """One change of state."""

    at: datetime
    from_state: str | None
    to_state: str
    reason: str


@dataclass(frozen=True)
class ValidationRun:
    """The verdict of validation on one file."""

    id: str
    filename: str
    created_at: datetime
    state: State
    records: int
    errors: int
    warnings: int
    by_code: dict[str, int]
    expectations: dict[str, Any] | None = None  # evaluated, met, and which were not; None: before that was stored

    def to_json(self) -> dict[str, Any]:
        """Return the run as the API shows it."""
        return {**asdict(self), "state": str(self.state), "created_at": rfc3339(self.created_at)}


def rfc3339(moment: datetime | None) -> str | None:
    """Return a time as the API writes it."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None
