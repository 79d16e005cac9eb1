"""A row of ledger.audit as a Python object, and as the JSON of the API."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.contracts.audits import AuditRef, AuditState
from pipeline.contracts.object_keys import audit_prefix
from pipeline.ledger.models import rfc3339


@dataclass(frozen=True)
class AuditRecord:
    """One audit, as it is in the ledger now. ``records``: read so far, at the end all of them."""

    id: str
    dataset: str
    state: AuditState
    step: str  # one of AuditStep while it runs
    records: int
    invalid: int
    findings_errors: int
    findings_warnings: int
    summary: dict[str, Any]  # of audit.json: codes, rules, rules_version
    reading: dict[str, Any]
    reason: str
    scheduled: bool
    created_by: str | None
    created_by_name: str | None
    cancel_requested_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    report_removed_at: datetime | None

    @property
    def ref(self) -> AuditRef:
        """Return what names it in messages."""
        return AuditRef(self.id, self.dataset)

    @property
    def prefix(self) -> str:
        """Return the prefix of its report in S3."""
        return audit_prefix(self.dataset, self.id)

    @property
    def codes(self) -> list[dict[str, Any]]:
        """Return the counts of each code: code, severity, findings, records, percent; the most frequent first."""
        return list(self.summary.get("codes", ()))

    @property
    def rules(self) -> list[dict[str, Any]]:
        """Return the rules: rule, severity, met, records, percent, column."""
        return list(self.summary.get("rules", ()))

    @property
    def findings_by_code(self) -> dict[str, int]:
        """Return how many findings each code has."""
        found = Counter[str]()
        for one in self.codes:
            found[one["code"]] += one["findings"]
        return dict(found)

    @property
    def invalid_percent(self) -> float:
        """Return the share of records with errors in percent."""
        return float(self.summary.get("invalid_percent", 0.0))

    def to_json(self, base_url: str) -> dict[str, Any]:
        """Return the audit as the API shows it; times in RFC 3339, links absolute."""
        self_link = f"{base_url.rstrip('/')}/v1/datasets/{self.dataset}/audits/{self.id}"
        return {
            "id": self.id,
            "dataset": self.dataset,
            "state": str(self.state),
            "reason": self.reason,
            "scheduled": self.scheduled,
            "cancel_requested": self.cancel_requested_at is not None,
            "progress": {"step": self.step or None, "records": self.records},
            "records": self.records,
            "invalid": self.invalid,
            "invalid_percent": self.invalid_percent,
            "findings": {
                "errors": self.findings_errors,
                "warnings": self.findings_warnings,
                "by_code": self.findings_by_code,
            },
            "codes": self.codes,
            "rules": self.rules,
            "rules_version": self.summary.get("rules_version"),
            "report_removed_at": rfc3339(self.report_removed_at),
            "created_at": rfc3339(self.created_at),
            "created_by": {"id": self.created_by, "name": self.created_by_name} if self.created_by else None,
            "started_at": rfc3339(self.started_at),
            "finished_at": rfc3339(self.finished_at),
            "links": {
                "self": self_link,
                "errors": f"{self_link}/errors",
                "report": f"{self_link}/report/",
                "workbook": f"{self_link}/errors?format=xlsx",
                "csv": f"{self_link}/errors?format=csv",
                "json": f"{self_link}/errors?format=json",
            },
        }
