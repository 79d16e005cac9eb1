"""Audit a table and store the audit with all its results."""

from __future__ import annotations

import csv
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

from pipeline.adapters.s3 import Store
from pipeline.contracts.object_keys import audit_prefix
from pipeline.datasets.dataset import load_dataset
from pipeline.sandbox import audit_table, process
from tests.support.rejected_import import LIMITS
from web.app_context import AppContext


def audit_text(
    edges: AppContext, store: Store, folder: Path, text: str, *, dataset: str = "places", created_by: str | None = None
) -> str:
    """Audit the table that PostgreSQL writes as ``text``, store all that an audit leaves, and return its id."""
    audit_id, attempt = edges.ledger.audits.open(str(uuid.uuid4()), dataset=dataset, created_by=created_by), datetime.now(UTC)
    edges.ledger.audits.take_up(audit_id, attempt)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / audit_table.TABLE).write_text(text, encoding="utf-8")
    records = len([*csv.reader(text.splitlines())])
    counted = process.run(audit_table.audit, folder, load_dataset(dataset), audit_id, records, 1000, **LIMITS)
    report = folder / audit_table.REPORT
    for path in report.rglob("*"):
        if path.is_file():
            store.put_file(f"{audit_prefix(dataset, audit_id)}{path.relative_to(report).as_posix()}", path)
    edges.ledger.audit_findings.store(audit_id, report / "findings.parquet", beat=lambda: None)
    summary = json.loads((report / audit_table.SUMMARY).read_bytes())
    edges.ledger.audits.succeed(audit_id, attempt, summary=summary, reading=counted.reading)
    return audit_id
