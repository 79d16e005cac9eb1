"""docs/tables.md: the tables and views of a migrated database, by their comments.

With a stack running (``bulkhead up``), write it anew after a migration: python -m docs_site.tables
A test compares it with a database (tests/integration/warehouse/test_tables_page.py).
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import psycopg

from docs_site.pages import cell, code, table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tables.md"
QUERY = """
select
    n.nspname as schema,
    c.relname as relation,
    case c.relkind when 'r' then 'table' when 'p' then 'table' when 'v' then 'view' else 'materialized view' end as kind,
    coalesce(obj_description(c.oid, 'pg_class'), '') as comment,
    a.attname as attribute,
    format_type(a.atttypid, a.atttypmod) as type,
    a.attnotnull as is_required,
    coalesce(col_description(c.oid, a.attnum), '') as meaning
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where n.nspname in ('warehouse', 'ledger', 'access') and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
order by n.nspname desc, c.relname collate "C", a.attnum
"""
INTRO = """# Tables and views

Users of SQL read the schema `warehouse`; a key with a list of datasets reads only theirs ([reads](reads.md#sql)). The schemas
`ledger` and `access` are Bulkhead's own, and their columns may change with any version. What they hold, and for how long, is in
[architecture](architecture.md#what-is-stored-where).
"""


def page(database_url: str) -> str:
    """Return the page for a database."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(QUERY).fetchall()
    parts = [INTRO.rstrip()]
    for schema, of_schema in groupby(rows, lambda row: row[0]):
        parts.append(f"## {schema}")
        for (relation, kind, comment), columns in groupby(of_schema, lambda row: row[1:4]):
            listed = [(code(row[4]), row[5], "yes" if row[6] else "", row[7]) for row in columns]
            has_meaning = any(row[3] for row in listed)
            parts += [f"### {schema}.{relation}", f"A {kind}. {cell(described(comment))}".strip()]
            header = ("column", "type", "not null", "meaning")
            parts.append(table(header, listed) if has_meaning else table(header[:3], (row[:3] for row in listed)))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def described(comment: str) -> str:
    """Return what a comment says: of a mart, which has its whole file as its comment, the first line."""
    first, *_ = comment.splitlines() or [""]
    return first.partition(": ")[2] if first.startswith("--") else comment


if __name__ == "__main__":
    from pipeline.settings import load_settings

    PAGE.write_text(page(load_settings().database_url), encoding="utf-8")
