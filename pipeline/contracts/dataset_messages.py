"""Messages about a dataset as a whole: files that do not arrive, and what its scheduled audits find."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CodeCount:
    """The findings of one code in an audit, and how many records have them."""

    code: str
    severity: str
    findings: int
    records: int


@dataclass(frozen=True)
class AuditResult:
    """What an audit found, in counts; no value of a record. Without errors: those that recipients know of are gone."""

    audit_id: str
    finished_at: str  # RFC 3339
    records: int
    invalid: int
    errors: int
    warnings: int
    codes: tuple[CodeCount, ...] = ()


@dataclass(frozen=True)
class DatasetMessage:
    """What a dataset's recipients are notified of: the result of an audit, or else a silence.

    A silence: files do not arrive as the suite's expect_every says; or, with ``ended_at``, they do again. Times are in
    RFC 3339. ``since``: the last arrival before the silence; without one, since when files are expected.

    Recorded histories have silences with the first four fields only, so fields are added with a default.
    """

    dataset: str
    since: str = ""
    expected_seconds: int = 0
    ended_at: str = ""
    audit: AuditResult | None = None


@dataclass(frozen=True)
class DatasetDelivery:
    """One message to one recipient, by the recipient's id; ``channel`` is ``webhook`` or ``email``."""

    silence: DatasetMessage  # any message: recorded histories have this name
    channel: str
    receiver: str

    @property
    def message(self) -> DatasetMessage:
        """Return what the recipient is notified of."""
        return self.silence


@dataclass(frozen=True)
class DatasetDeliveries:
    """The deliveries of a message."""

    deliveries: tuple[DatasetDelivery, ...] = ()
