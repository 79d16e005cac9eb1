"""Write the messages about an audit that found errors, or none any more: counts and a link, no values of records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pipeline.contracts.dataset_messages import AuditResult, CodeCount
from pipeline.display import counted


def audit_payload(dataset: str, audit: AuditResult, *, page: str) -> dict[str, Any]:
    """Return the body of a webhook: ``dataset.audited``, or ``dataset.clean``."""
    return {
        "type": "dataset.audited" if audit.errors else "dataset.clean",
        "timestamp": datetime.now(tz=UTC).isoformat(),
        "data": {
            "dataset": dataset,
            "audit_id": audit.audit_id,
            "finished_at": audit.finished_at,
            "records": audit.records,
            "records_invalid": audit.invalid,
            "errors": audit.errors,
            "warnings": audit.warnings,
            "codes": [
                {"code": one.code, "severity": one.severity, "findings": one.findings, "records": one.records}
                for one in audit.codes
            ],
            "links": {"page": page},
        },
    }


def audit_subject_and_text(dataset: str, audit: AuditResult, *, page: str) -> tuple[str, str]:
    """Return the subject and the text of an e-mail."""
    checked = f"An audit of {dataset} has checked {counted(audit.records, 'record')}"
    link = f"The audit: {page}\n"
    if not audit.errors:
        return f"No errors in {dataset} any more", f"{checked} and found no errors.\n\n{link}"
    records = f"{audit.invalid:,} of them {'has' if audit.invalid == 1 else 'have'} errors"
    return (
        f"{counted(audit.errors, 'error')} in {dataset}",
        f"{checked}. {records}.\n\n{_table(audit.codes)}\n\n"
        f"They are in the table now. Correct the records and load them again, or change the rules.\n\n{link}",
    )


def _table(codes: tuple[CodeCount, ...]) -> str:
    return "\n".join(f"  {one.code} ({one.severity}): {counted(one.findings, 'finding')}" for one in codes)
