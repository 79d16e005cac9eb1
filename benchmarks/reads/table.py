"""The table that is read: records that PostgreSQL writes itself, most in a tree, a fifth with hundreds of siblings."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

import psycopg

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.search_columns import index_name, indexed_columns, search_indexes

WIDE_CHILDREN = 100
"""A fifth of the records are the children of few parents, a hundred each, scattered over the table: a page of 50 is full and
each of its records lies in another place. The others are a tree of fours."""

_FILL = """
insert into warehouse.bench (id, "parentId", name, kind, amount, note, _import_id, _row)
select
    i::text,
    case when i >= {tree} then ((i - {tree}) % {wide})::text when i > 0 then ((i - 1) / 4)::text end,
    'Record number ' || i,
    'kind ' || i % 7,
    (i % 100000) / 100.0,
    'What is to be said of the record number ' || i,
    '{import_id}',
    i + 1
from generate_series(0, {records} - 1) as i
"""


@dataclass(frozen=True)
class Table:
    """The records 0 to ``tree`` - 1 are a tree of fours; the others are further children of its first ``wide``."""

    url: str
    dataset: Dataset
    records: int

    @property
    def tree(self) -> int:
        """Return how many are in the tree of fours."""
        return self.records * 4 // 5

    @property
    def wide(self) -> int:
        """Return how many have a hundred more children."""
        return (self.records - self.tree) // WIDE_CHILDREN

    def fill(self) -> float:
        """Write all records, then the indexes, which is quickest. Return the seconds."""
        began = time.perf_counter()
        import_id = new_import(self.url)
        filled = _FILL.format(tree=self.tree, wide=self.wide, records=self.records, import_id=import_id)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("set maintenance_work_mem = '1GB'")
            connection.execute('drop index warehouse."bench_parentId_id"')
            connection.execute("alter table warehouse.bench drop constraint bench_pkey")
            for name in indexed_columns(self.dataset):
                connection.execute(f'drop index warehouse."{index_name(self.dataset, name)}"')
            connection.execute(filled)
            connection.execute("alter table warehouse.bench add primary key (id)")
            connection.execute('create index "bench_parentId_id" on warehouse.bench ("parentId", id)')
            if searched := search_indexes(self.dataset, "warehouse"):
                connection.execute(searched)
            connection.execute("vacuum (analyze) warehouse.bench")
        return time.perf_counter() - began


def new_import(url: str) -> str:
    """Begin an import that is being loaded, in place of an earlier one: a dataset has one at a time."""
    import_id = str(uuid.uuid4())
    with psycopg.connect(url) as connection:
        connection.execute("update ledger.import set state = 'succeeded' where dataset = 'bench'")
        connection.execute("insert into ledger.import (id, dataset, state) values (%s, 'bench', 'loading')", (import_id,))
    return import_id
