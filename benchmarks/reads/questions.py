"""What is asked of the table, and how long PostgreSQL and the client take to answer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, text

from benchmarks.reads.report import in_short, percentiles
from benchmarks.reads.table import Table
from pipeline.warehouse.query import Records

PAGE = 50

_BARE = """
select *
from warehouse.bench
where "parentId" = :parent and id > :after
order by id
limit :limit
"""
FLOOR = "select sum(i) from generate_series(1, 4000) as i"
"""About half a millisecond of PostgreSQL's that touches no table: how it fares tells what the machine does to all others."""
CHILDREN = f"page of {PAGE} children"

Question = tuple[str, Callable[[], dict[str, Any]]]
"""A query of sql/queries/records/*.sql, and what makes its values, at random."""


def questions(table: Table) -> dict[str, Question]:
    """Return what is asked, by the name that it has in the results."""

    def wide() -> str:
        return str(random.randrange(table.wide))

    def inner() -> str:
        return str(random.randrange(table.wide, table.tree // 4 - 1))

    return {
        CHILDREN: ("children", lambda: {"parent": wide(), "after": "", "limit": PAGE}),
        "page of 4 children": ("children", lambda: {"parent": inner(), "after": "", "limit": PAGE}),
        "count of 104 children": ("children_counts", lambda: {"ids": [wide()], "most": None}),
        f"counts of {PAGE} parents": ("children_counts", lambda: {"ids": [inner() for _ in range(PAGE)], "most": None}),
        "ancestors of a leaf": ("ancestors", lambda: {"id": str(random.randrange(table.tree // 4, table.tree)), "limit": 100}),
    }


def asked(connection: Connection, sql: str, values: Callable[[], dict[str, Any]], rounds: int) -> dict[str, Any]:
    """Return the milliseconds in the database (planning and execution, as it says itself), and until the rows are here."""
    explain = text(f"explain (analyze, timing off, summary on, format json) {sql}")
    inside, outside = [], []
    for _ in range(rounds):
        (plan,) = connection.execute(explain, values()).scalar_one()
        inside.append(plan["Planning Time"] + plan["Execution Time"])
        began = time.perf_counter()
        connection.execute(text(sql), values()).all()
        outside.append((time.perf_counter() - began) * 1000)
    return {"database": percentiles(inside), "client": percentiles(outside), "plan": in_short(plan["Plan"])}


def descendants(engine: Engine, table: Table, rounds: int) -> dict[str, Any]:
    """Time a page in reading order; it takes several statements, so only the client's time is measured."""
    records, seen = Records(engine), []
    for _ in range(rounds):
        above = str(random.randrange(table.wide, table.tree // 64))
        began = time.perf_counter()
        records.descendants(table.dataset, above, cursor=None, limit=PAGE)
        seen.append((time.perf_counter() - began) * 1000)
    return {"client": percentiles(seen)}


def without_index(engine: Engine, table: Table, rounds: int, scans: int) -> dict[str, Any]:
    """Time the bare page of children with the index on the parent, and without it: it is gone for that transaction only.

    Bare: it does not ask whether the children have children, which would be a scan for each."""
    _, values = questions(table)[CHILDREN]
    with engine.connect() as connection:
        quick = asked(connection, _BARE, values, rounds)
        connection.exec_driver_sql('drop index warehouse."bench_parentId_id"')
        slow = asked(connection, _BARE, values, scans)
    ratio = round(slow["database"]["p50_ms"] / quick["database"]["p50_ms"])
    return {"with": quick, "without": slow, "ratio": ratio}
