"""Store the records, the key, the import and the files that the examples of the API description name."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.object_keys import RowOutcome, audit_prefix, report_prefix, results_key
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.settings import Settings
from web.api.openapi_examples import AUDIT_ID, CSV, IMPORT_ID, KEY_ID, LOGIN_ID, SCHEMAS, UPLOAD_KEY
from web.app_context import AppContext

DONE = (State.VALIDATING, State.PREPARING, State.LOADING, State.PARTIALLY_SUCCEEDED)


def populate(edges: AppContext, settings: Settings, way: tuple[State, ...] = DONE, *, dry_run: bool = False) -> None:
    """Store what the examples name: records, a key, an import that went through the states of ``way``, and its files."""
    _records(settings)
    _a_key(settings)
    _a_database_login(settings)
    _an_import(edges, way, dry_run=dry_run)
    _its_files(edges)


def an_audit(edges: AppContext, *, ended: bool = True) -> None:
    """Store the audit of the examples; one that has ``ended`` with its report."""
    shown, attempt = SCHEMAS["AuditModel"], datetime.now(UTC)
    edges.ledger.audits.open(AUDIT_ID, dataset="places")
    if not ended:
        return
    summary = {
        "records": 3,
        "invalid": 1,
        "errors": 1,
        "warnings": 0,
        "invalid_percent": 33.3333,
        "rules_version": "5b1d0c9a7e2f",
    }
    edges.ledger.audits.take_up(AUDIT_ID, attempt)
    edges.ledger.audits.succeed(
        AUDIT_ID, attempt, summary={**summary, "codes": shown["codes"], "rules": shown["rules"]}, reading={"format": "table"}
    )
    _report_files(edges, audit_prefix("places", AUDIT_ID))


def _records(settings: Settings) -> None:
    with psycopg.connect(settings.database_url) as connection:
        for row, (record_id, parent, name) in enumerate([("FR", None, "France"), ("FR-75C", "FR", "Paris")], 1):
            connection.execute(
                'insert into warehouse.places (id, "parentId", name, kind, _import_id, _row) values (%s, %s, %s, %s, %s, %s)',
                (record_id, parent, name, "Country", IMPORT_ID, row),
            )


def _a_key(settings: Settings) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "insert into access.api_key (id, name, role, secret_hash) values (%s, 'n', 'reader', 'x')", (KEY_ID,)
        )


def _a_database_login(settings: Settings) -> None:
    """Store the row of a login whose role is gone already: to revoke it is to note that."""
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "insert into access.database_login (id, role, reader, label, owner_kind, owner_id, owner_name, unmask, expires_at)"
            " values (%s, 'bulkhead_login_none', 'bulkhead_reader', 'DBeaver', 'key', %s, 'me', false, 'tomorrow')",
            (LOGIN_ID, KEY_ID),
        )


def _an_import(edges: AppContext, way: tuple[State, ...], *, dry_run: bool) -> None:
    edges.ledger.imports.open(
        IMPORT_ID,
        dataset="places",
        filename="places.csv",
        bucket=edges.store.bucket,
        key=UPLOAD_KEY,
        options=Options(dry_run=dry_run),
    )
    edges.ledger.uploads.complete(IMPORT_ID, size_bytes=len(CSV), sha256="", etag="e")
    for state in way:
        edges.ledger.imports.move(IMPORT_ID, state)
    if way == DONE:
        edges.ledger.imports.update(IMPORT_ID, records_total=3, records_valid=2, findings_errors=1, parts_total=1)
        columns = ["id", "parentId", "name", "kind"]
        reading = {"columns": columns, "original_columns": columns}
        edges.ledger.imports.update(IMPORT_ID, findings_by_code={"missing_parent": 1}, reading=reading)
    if dry_run:
        edges.ledger.imports.update(IMPORT_ID, preview={"inserted": 1, "updated": 0, "unchanged": 0, "moved": 0})


def _report_files(edges: AppContext, prefix: str) -> None:
    finding, sink = SCHEMAS["Finding"], io.BytesIO()
    strings = pa.list_(pa.string())
    fields = [(name, pa.string()) for name in ("code", "severity", "message", "id", "column", "value", "hint")]
    schema = pa.schema([*fields, ("row", pa.int64()), ("line", pa.int64()), ("related", strings), ("cycle", strings)])
    pq.write_table(pa.Table.from_pylist([finding], schema), sink)
    edges.store.put_bytes(f"{prefix}findings.parquet", sink.getvalue())
    edges.store.put_bytes(f"{prefix}groups.json", json.dumps(SCHEMAS["FindingGroups"]).encode())
    edges.store.put_bytes(f"{prefix}docs/index.html", b"<p>Report")
    edges.store.put_bytes(f"{prefix}docs/validation.json", b'{"success": false}')


def _its_files(edges: AppContext) -> None:
    edges.store.put_bytes(UPLOAD_KEY, CSV.encode())
    _report_files(edges, report_prefix(IMPORT_ID))
    for fate, form in ((RowOutcome.SUCCEEDED, "csv"), (RowOutcome.UNPROCESSED, "native")):
        edges.store.put_bytes(results_key(IMPORT_ID, fate, form, {}), CSV.encode())
