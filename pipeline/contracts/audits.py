"""Audits of what is loaded: their states, and the messages of their steps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AuditState(StrEnum):
    """The state of an audit. The first two are active, the others final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"  # everything was checked, whatever was found
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """Return whether no other state follows."""
        return self not in (AuditState.QUEUED, AuditState.RUNNING)


class AuditStep(StrEnum):
    """What a running audit does at the moment."""

    READING = "reading"  # the table, from the warehouse
    CHECKING = "checking"
    STORING = "storing"  # the report


@dataclass(frozen=True)
class AuditRef:
    """One audit."""

    audit_id: str
    dataset: str


@dataclass(frozen=True)
class AuditRun:
    """The run of a dataset's audits, one after the other; the requests arrive as signals."""

    dataset: str
    waiting: tuple[str, ...] = ()  # the ids of audits that have not ended


@dataclass(frozen=True)
class AuditEnding:
    """The end of an audit that did not end by itself."""

    ref: AuditRef
    state: AuditState
    reason: str = ""
