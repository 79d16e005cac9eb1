"""The fixtures that the tests of the API and of the pages share."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.adapters.postgres import connect
from pipeline.adapters.s3 import Store
from pipeline.contracts.states import State
from pipeline.settings import Settings
from pipeline.warehouse.query import Console
from pipeline.warehouse.sql_reader import sql_url
from tests.support.html_page import EVIL
from tests.support.imports import MakeImport
from tests.support.records import IMPORT_ID
from web.app_context import AppContext

RECORDS = 200_000
CHILDREN_EACH = 8


@pytest.fixture
def large(edges: AppContext, settings: Settings) -> Iterator[Any]:
    """A connection to a table so large that the query plan matters, of which the planner has no statistics yet."""
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("alter table warehouse.records set (autovacuum_enabled = false)")
        connection.execute(
            'insert into warehouse.records (id, "parentId", _import_id, _row)'
            " select 'r' || n, case when n > 1 then 'r' || ((n - 2) / %s + 1) end, %s, n from generate_series(1, %s) n",
            (CHILDREN_EACH, IMPORT_ID, RECORDS),
        )
    with edges.engine.connect() as connection:
        yield connection


@pytest.fixture
def hasty(settings: Settings) -> Iterator[Console]:
    """A console whose time limit is half a second."""
    engine = connect(sql_url(settings), pool_size=3)
    yield Console(engine, seconds=0.5, rows_max=100)
    engine.dispose()


@pytest.fixture
def evil_import(edges: AppContext, store: Store, settings: Settings) -> str:
    """An import in which every text is markup with a script."""
    import_id = str(uuid.uuid4())
    key = f"incoming/places/{import_id}/x"
    edges.ledger.imports.open(import_id, dataset="places", filename=EVIL, bucket=store.bucket, key=key)
    edges.ledger.uploads.complete(import_id, size_bytes=10, sha256="ab", etag="e")
    for state in (State.VALIDATING, State.PREPARING, State.LOADING):
        edges.ledger.imports.move(import_id, state, EVIL)
    finding = dict.fromkeys(("code", "message", "id", "column", "value", "hint"), EVIL)
    fields = {**finding, "severity": "error", "row": 1, "line": 2, "related": [EVIL], "cycle": [EVIL, "b", EVIL]}
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([fields]), sink)
    store.put_bytes(f"reports/{import_id}/findings.parquet", sink.getvalue())
    group = {
        **dict.fromkeys(("code", "message", "column"), EVIL),
        "severity": "error",
        "kind": "text",
        "hint": None,
        "count": 9,
    }
    groups = {"items": [{**group, "first": [fields]}], "groups": 1, "total": 9}
    store.put_bytes(f"reports/{import_id}/groups.json", json.dumps(groups).encode())
    store.put_bytes(f"reports/{import_id}/docs/index.html", b"<p>")
    counts = {"records_total": 2, "records_valid": 2, "findings_errors": 9, "findings_by_code": {EVIL: 9}}
    edges.ledger.imports.move(import_id, State.FAILED, EVIL, **counts)
    edges.ledger.imports.update(import_id, reading={"columns": ["id", EVIL], "original_columns": ["id", EVIL]})
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            'insert into ledger.finding (import_id, finding_no, code, severity, message, row, "column", hint, cycle, cells)'
            " values (%s, 1, %s, 'error', %s, 1, %s, %s, %s, %s)",
            (import_id, EVIL, EVIL, EVIL, EVIL, [EVIL, "b", EVIL], [EVIL, EVIL]),
        )
        connection.execute("insert into ledger.part values (%s, 1, 2, 1, 0, 0, 1)", (import_id,))
        connection.execute(
            "insert into ledger.failure (import_id, _row, part_no, batch_no, id, code, message)"
            " values (%s, 1, 1, 1, %s, %s, %s)",
            (import_id, EVIL, EVIL, EVIL),
        )
        connection.execute(
            "insert into ledger.delivery (import_id, channel, target, message_id, last_error) values (%s, %s, %s, %s, %s)",
            (import_id, EVIL, EVIL, EVIL, EVIL),
        )
        connection.execute(
            "insert into warehouse.records (id, name, _import_id, _row) values (%s, %s, %s, 1)", (EVIL, EVIL, import_id)
        )
    return import_id


@pytest.fixture
def make_import(edges: AppContext) -> MakeImport:
    """Makes an import that went through the given states."""

    def make(*way: State, dataset: str = "places", filename: str = "f.csv", **columns: Any) -> str:
        import_id = str(uuid.uuid4())
        key = f"incoming/{dataset}/{import_id}/{filename}"
        edges.ledger.imports.open(import_id, dataset=dataset, filename=filename, bucket=edges.store.bucket, key=key)
        edges.ledger.uploads.complete(import_id, size_bytes=10, sha256="ab", etag="e")
        for state in way:
            edges.ledger.imports.move(import_id, state)
        edges.ledger.imports.update(import_id, **columns)
        return import_id

    return make
