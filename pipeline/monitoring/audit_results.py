"""Scheduled audits that find errors: have the recipients notified of each, and once when an audit finds none any more."""

from __future__ import annotations

import structlog

from pipeline.contracts.dataset_messages import AuditResult, CodeCount, DatasetMessage
from pipeline.ledger.audits import AuditMessage, Audits, UndecidedAudit
from pipeline.ledger.models import rfc3339
from pipeline.monitoring.notifier import Notifier

log = structlog.get_logger()


class AuditResults:
    """Decide for each audit that succeeded what recipients get to know."""

    def __init__(self, audits: Audits, notifier: Notifier) -> None:
        self._audits = audits
        self._notifier = notifier

    def check(self) -> list[DatasetMessage]:
        """Have recipients notified of the audits that succeeded since the last check, and return the messages.

        A message is started before the ledger records it. If this ends between the two, the next check starts the same
        workflow again, which Temporal refuses.
        """
        known: dict[str, str | None] = {}
        sent = []
        for audit in self._audits.undecided():
            before = known.setdefault(audit.dataset, audit.known)
            decided = decide(audit, before)
            if decided is not AuditMessage.NONE:
                message = message_about(audit)
                log.warning("audit", dataset=audit.dataset, audit_id=audit.id, errors=audit.findings_errors)
                self._notifier.notify_of_dataset(message)
                known[audit.dataset] = decided
                sent.append(message)
            self._audits.decide(audit.id, decided)
        return sent


def decide(audit: UndecidedAudit, known: str | None) -> AuditMessage:
    """Return what recipients get to know of an audit. ``known`` is what they know of the one before.

    The user who requested an audit sees its errors on its page. That there are none any more is said after any audit.
    """
    if audit.findings_errors:
        return AuditMessage.ERRORS if audit.scheduled else AuditMessage.NONE
    return AuditMessage.CLEAN if known == AuditMessage.ERRORS else AuditMessage.NONE


def message_about(audit: UndecidedAudit) -> DatasetMessage:
    """Return the message: counts, and no value of a record."""
    counts = tuple(CodeCount(one["code"], one["severity"], one["findings"], one["records"]) for one in audit.codes)
    return DatasetMessage(
        audit.dataset,
        audit=AuditResult(
            audit.id,
            finished_at=rfc3339(audit.finished_at) or "",
            records=audit.records,
            invalid=audit.invalid,
            errors=audit.findings_errors,
            warnings=audit.findings_warnings,
            codes=counts,
        ),
    )
