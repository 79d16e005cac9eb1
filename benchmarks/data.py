"""Generate files to measure with: every run measures the same data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import duckdb

DATASET = "bench"
COLUMNS = {
    "id": "varchar",
    "parentId": "varchar",
    "name": "varchar",
    "kind": "varchar",
    "amount": "decimal(12,2)",
    "note": "varchar",
}
"""The columns of every file, with their types in DuckDB."""

_TREE = "case when i > 0 then (i - 1) // 4 end"
SHAPES: Mapping[str, str] = {
    "tree": _TREE,  # four children each
    "flat": "null",
    "star": "case when i > 0 then 0 end",
    "chain": "case when i > 0 then i - 1 end",
    "ring": "(i + 1) % n",
    "pairs": "i + 1 - 2 * (i % 2)",  # circles of two, as many as a tenth of the records need: the others are roots
}
"""The parent of record i of n, by shape, as SQL."""

_TABLE = """
create table if not exists warehouse.bench (
    id text primary key,
    "parentId" text,
    name text not null,
    kind text,
    amount numeric(12, 2),
    note text,
    _import_id uuid not null,
    _row bigint not null,
    _loaded_at timestamptz not null default now()
);

create index if not exists "bench_parentId_id" on warehouse.bench ("parentId", id);
"""
_SUITE = {
    "name": DATASET,
    "meta": {"key": "id", "parent": "parentId"},
    "expectations": [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "id"}, "meta": {"code": "missing_id"}},
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "name"}},
        {"type": "expect_column_value_lengths_to_be_between", "kwargs": {"column": "name", "min_value": 1, "max_value": 200}},
        {
            "type": "expect_column_values_to_be_in_set",
            "kwargs": {"column": "kind", "value_set": [f"kind {k}" for k in range(7)]},
        },
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "amount", "min_value": 0}},
        {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "id", "regex": "^[0-9]+$"}},
    ],
}


def make_dataset(root: Path, shipped: Path, *names: str) -> None:
    """A root with the dataset ``bench``, or with others like it, and the shipped checks below it."""
    (root / "expectations").mkdir(parents=True)
    (root / "sql" / "tables").mkdir(parents=True)
    (root / "sql" / "checks").symlink_to(shipped / "sql" / "checks")
    for name in names or (DATASET,):
        (root / "expectations" / f"{name}.json").write_text(json.dumps({**_SUITE, "name": name}))
        (root / "sql" / "tables" / f"{name}.sql").write_text(_TABLE.replace(DATASET, name))


def make_file(to: Path, records: int, shape: str = "tree", *, shuffled: bool = False, bad: bool = False, seed: int = 0) -> Path:
    """A CSV of so many records of 6 columns, about 88 bytes each. ``bad``: every record breaks two rules of the suite.

    Another ``seed`` gives another order, if shuffled, and other amounts.
    """
    parent = SHAPES[shape] if shape != "pairs" else f"case when i < {records // 5} then {SHAPES['pairs']} end"
    kind = "'nothing known'" if bad else "'kind ' || i % 7"
    amount = "-1.5" if bad else f"((i + {seed}) % 100000) / 100"
    order = f"order by hash(i + {seed << 40})" if shuffled else ""
    duckdb.execute(
        f"""copy (
            select i::varchar as id, ({parent})::varchar as "parentId", 'Record number ' || i as name, {kind} as kind,
                ({amount})::decimal(12, 2) as amount, 'What is to be said of the record number ' || i as note
            from (select range as i, {records} as n from range({records})) {order}
        ) to '{to}' (format csv, header true)"""
    )
    return to
