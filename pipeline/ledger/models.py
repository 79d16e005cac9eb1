"""Rows of the ledger as Python objects, and an import as the JSON of the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from pipeline.contracts.messages import ImportRef
from pipeline.contracts.object_keys import Kept
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.display import masked


@dataclass(frozen=True)
class ImportRecord:
    """One import as the ledger knows it now. Counts of loaded records are live sums over its parts."""

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
    reading: dict[str, Any] = field(default_factory=dict)  # how the file was read; empty before it was
    preview: dict[str, int] | None = None  # what a dry run foresees
    quarantined: int = 0  # of the failed, those that validation held back
    retry_of: str | None = None  # the import whose failed records this one tries again
    duplicate_of: str | None = None  # the earlier import that had loaded this very content
    pause_wanted: bool = False  # no further part is begun until somebody resumes it
    cancel_requested_at: datetime | None = None  # from then on no step does anything but close the books
    batches_removed_at: datetime | None = None  # when the clean-up removed what; what is left may go on for a moment
    results_removed_at: datetime | None = None
    report_removed_at: datetime | None = None
    source_removed_at: datetime | None = None
    created_by_name: str | None = None  # what the key is called that it came with
    warnings: Sequence[str] = ()  # what went wrong beside it: marts that its records are not in, and why

    @property
    def cancel_requested(self) -> bool:
        """Its cancellation was asked for while it was at work."""
        return self.cancel_requested_at is not None

    @property
    def processed(self) -> int:
        """How many records are in the books, one way or another."""
        return self.inserted + self.updated + self.unchanged + self.failed

    def removed_at(self, what: Kept) -> datetime | None:
        """When that was removed; None if it is kept, or never was there."""
        found: datetime | None = getattr(self, f"{what}_removed_at")
        return found

    @property
    def removed(self) -> dict[str, str | None]:
        """The same of all that a user may ask for; nobody asks for batches."""
        return {str(what): _rfc3339(self.removed_at(what)) for what in Kept if what is not Kept.BATCHES}

    @property
    def ref(self) -> ImportRef:
        """What the workflow carries of it."""
        return ImportRef(self.id, self.dataset, self.bucket, self.key, self.etag, self.promoted)

    @property
    def promoted(self) -> bool:
        """It was a dry run first."""
        return self.preview is not None and not self.options.dry_run

    @property
    def counts(self) -> dict[str, int]:
        """The counts that the user sees; total = valid + invalid, and the quarantined are among the failed."""
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
        """What the file is; once it was read, also how: its format, compression, encoding, delimiter, ..."""
        inner = ("records", "columns", "original_columns", "letters", "lines", "sheets", "asked", "rules")
        read = {name: value for name, value in self.reading.items() if name not in inner}
        return {
            **{"filename": self.filename, "size_bytes": self.size_bytes, "sha256": self.sha256, "key": self.key},
            **read,
        }

    def _options_shown(self) -> dict[str, Any]:
        """What was asked for; of addresses, nothing that may be a secret."""
        asked = {name: value for name, value in vars(self.options).items() if name != "dry_run"}
        return {**asked, "notify": [masked(address) for address in self.options.notify]}

    def to_json(self, base_url: str) -> dict[str, Any]:
        """The import as the API shows it; times in RFC 3339, links absolute."""
        self_link = f"{base_url.rstrip('/')}/v1/imports/{self.id}"
        return {
            "id": self.id,
            "dataset": self.dataset,
            "state": str(self.state),
            "reason": self.reason,
            "dry_run": self.options.dry_run,
            "options": self._options_shown(),
            "retry_of": self.retry_of,
            "duplicate_of": self.duplicate_of,
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
            "created_at": _rfc3339(self.created_at),
            "created_by": {"id": self.created_by, "name": self.created_by_name} if self.created_by else None,
            "started_at": _rfc3339(self.started_at),
            "finished_at": _rfc3339(self.finished_at),
            "links": {
                "self": self_link,
                "errors": f"{self_link}/errors",
                "report": f"{self_link}/report/",
                "results": f"{self_link}/results",
            },
        }


@dataclass(frozen=True)
class Trace:
    """What reconciliation and clean-up ask of an import; they ask of a thousand at once."""

    id: str
    state: State
    key: str
    etag: str
    finished_at: datetime | None

    def ended_by(self, moment: datetime) -> bool:
        """It was over by then, for good."""
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
    """What validation said of one file."""

    id: str
    filename: str
    created_at: datetime
    state: State
    records: int
    errors: int
    warnings: int
    by_code: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """The run as the API shows it."""
        return {**asdict(self), "state": str(self.state), "created_at": _rfc3339(self.created_at)}


def _rfc3339(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
