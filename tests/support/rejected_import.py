"""Validate a broken file and store the rejected import with all its results."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from pipeline.adapters.s3 import Store
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.datasets.dataset import load_dataset
from pipeline.sandbox import process, validate_file
from web.app_context import AppContext

LIMITS: dict[str, Any] = {"memory_bytes": 4 << 30, "seconds": 60}


def reject_file(edges: AppContext, store: Store, folder: Path, text: str, filename: str = "broken.csv") -> str:
    """Validate the text as a file, store all that validation leaves, and return the id of the rejected import."""
    import_id = str(uuid.uuid4())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / validate_file.SOURCE).write_text(text, encoding="utf-8")
    found = process.run(
        validate_file.validate,
        folder,
        load_dataset("places"),
        filename,
        import_id,
        None,
        Options(),
        answer=lambda parents: None,
        **LIMITS,
    )
    for path in (folder / "report").rglob("*"):
        if path.is_file():
            store.put_file(f"reports/{import_id}/{path.relative_to(folder / 'report')}", path)
    key = f"incoming/places/{import_id}/x"
    edges.ledger.imports.open(import_id, dataset="places", filename=filename, bucket=store.bucket, key=key)
    edges.ledger.uploads.complete(import_id, size_bytes=len(text), sha256="ab" * 32, etag="e")
    edges.ledger.imports.move(import_id, State.VALIDATING)
    edges.ledger.imports.move(
        import_id,
        State.REJECTED,
        records_total=found.records,
        records_valid=found.records - found.invalid,
        records_invalid=found.invalid,
        findings_errors=found.errors,
        findings_warnings=found.warnings,
        findings_by_code=found.by_code,
        reading=found.reading,
    )
    edges.ledger.findings.store(import_id, folder / "report" / "findings.parquet", beat=lambda: None)
    return import_id
