"""Write a part's records into the dataset's table: all at once where nothing stands against it, or a range of them.

Each way rewrites only rows that changed and counts exactly what it did.
"""

from __future__ import annotations

import psycopg

from pipeline.contracts.messages import PartResult
from pipeline.load.arriving import PartLoad, copy_into, fill_arriving
from pipeline.load.transaction import is_refusal
from pipeline.telemetry import tracing

SAMPLE = 64
"""How many of a part's records are looked up to tell whether the part is new."""


def load_at_once(load: PartLoad) -> PartResult | None:
    """Write all records within one savepoint; return None, with nothing written, if the warehouse refuses one of them.

    If the table seems to have none of the records they are copied straight into it, in half the time of an upsert
    (docs/performance.md). If it has one of them after all, they are merged.
    """
    try:
        with load.connection.transaction():
            return (insert_all(load) if looks_new(load) else None) or merge_all(load)
    except psycopg.Error as error:
        if not is_refusal(error):
            raise
        return None


def looks_new(load: PartLoad) -> bool:
    """Return whether the table has none of a sample of the records."""
    sample = load.records.table.column(load.dataset.key)[:: max(1, load.size // SAMPLE)]
    row = load.merge("looks_new", ids=[str(id_) for id_ in sample.to_pylist()]).fetchone()
    return bool(row and row[0])


def insert_all(load: PartLoad) -> PartResult | None:
    """COPY all records into the table; return None, with nothing written, if it has one of them."""
    names = ("_import_id", "_row", *load.target.names)
    slices = load.records.sorted_slices(load.import_id)  # by key, as the other statements write
    try:
        with load.connection.transaction():
            return PartResult(inserted=copy_into(load.connection, load.target.identifier, names, slices))
    except psycopg.errors.UniqueViolation:
        return None


def merge_all(load: PartLoad) -> PartResult:
    """Look up every record: update those that changed, insert those that are new."""
    fill_arriving(load, typed=True)
    with tracing.span("upsert") as span:
        load.merge("by_index")
        row = load.merge("compare").fetchone()
        assert row is not None
        new, changed = row
        updated = load.merge("update").rowcount if changed else 0
        inserted = load.merge("insert_new").rowcount if new else 0
        span.set(inserted=inserted, updated=updated)
    return PartResult(inserted, updated, load.size - inserted - updated)


def upsert_range(load: PartLoad, first: int, last: int) -> PartResult:
    """Upsert what ``arriving`` (text) still has of the places first..last-1, by one statement."""
    with tracing.span("upsert") as span:
        row = load.merge("upsert", typed=False, first=first, last=last).fetchone()
        assert row is not None
        inserted, updated, taken = row
        span.set(inserted=inserted, updated=updated)
    return PartResult(inserted, updated, taken - inserted - updated)
