"""Circular references in the tree that would result: the file's edges laid over the warehouse's.

Walking down from the roots takes a round for each level, which a chain of a million records makes a million rounds. So the
walk goes up, and doubles its stride: after k rounds everybody knows their ancestor 2^k steps above, and who passed a root is
done. Who never does walks in circles, or hangs below one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import pyarrow as pa

PATH_SHOWN = 50
"""A longer circle is shown by its first and last ids, and its length."""

OLD_SHOWN = 5

_START = """
create or replace temp table climbers as
select e.number, p.number as reached
from edges e join edges p on e.parent = p.id where e.parent != e.id
"""
_STRIDE = """
create or replace temp table climbers as
select c.number, further.reached from climbers c join climbers further on c.reached = further.number
"""
_ON_CYCLES = """
select e.id, e.parent, e._row from edges e semi join (select distinct reached from climbers) c on e.number = c.reached
"""


@dataclass(frozen=True)
class Cycle:
    """One circle of records, from its smallest id up to the same id again.

    ``rows`` are those in the file; ``old`` are those of its edges that the warehouse has already.
    """

    path: tuple[str, ...]
    rows: tuple[int, ...]
    old: tuple[str, ...]


def find_cycles(connection: duckdb.DuckDBPyConnection) -> int:
    """Make ``cycles`` (_row, path, length, rows, old) from ``edges`` (number, id, parent, _row); how many there are."""
    connection.execute(
        "create or replace table cycles (_row bigint, path varchar[], length bigint, rows varchar[], old varchar[])"
    )
    if not _walk_up(connection):
        return 0
    above: dict[str, str] = {}
    rows: dict[str, int | None] = {}
    for id_, parent, row in connection.execute(_ON_CYCLES).fetchall():
        above[id_], rows[id_] = parent, row
    found = list(_circles(above, rows))
    texts = pa.list_(pa.string())
    schema = pa.schema([("_row", pa.int64()), ("path", texts), ("length", pa.int64()), ("rows", texts), ("old", texts)])
    columns = [
        [cycle.rows[0] if cycle.rows else None for cycle in found],
        [shortened(cycle.path) for cycle in found],
        [len(cycle.path) - 1 for cycle in found],
        [[str(row) for row in cycle.rows] for cycle in found],
        [list(cycle.old[:OLD_SHOWN]) for cycle in found],
    ]
    arrays = [pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)]
    connection.register("found", pa.Table.from_arrays(arrays, schema=schema))
    connection.execute("insert into cycles select * from found")
    connection.unregister("found")
    return len(found)


def _walk_up(connection: duckdb.DuckDBPyConnection) -> bool:
    """Leave in ``climbers`` those who never meet a root, each with a record on a circle as reached; True if there are any.

    Above a record of depth 2s there is one of every smaller depth. So if doubling a stride of s makes nobody meet a root,
    nobody left ever will. From then on, those reached grow fewer until only the circles themselves are reached, on which a
    stride leads everybody to a place of their own.
    """
    connection.execute(_START)
    left = _count(connection, "*")
    while left:
        connection.execute(_STRIDE)
        before, left = left, _count(connection, "*")
        if left == before:
            break
    reached = _count(connection, "distinct reached")
    while reached:
        connection.execute(_STRIDE)
        before, reached = reached, _count(connection, "distinct reached")
        if reached == before:
            break
    return left > 0


def _count(connection: duckdb.DuckDBPyConnection, what: str) -> int:
    ((number,),) = connection.execute(f"select count({what}) from climbers").fetchall()
    return int(number)


def _circles(above: dict[str, str], rows: dict[str, int | None]) -> Iterator[Cycle]:
    """Each circle once, in the order of their smallest ids."""
    seen: set[str] = set()
    for start in sorted(above):
        if start in seen:
            continue
        path = [start]
        while path[-1] not in seen:
            seen.add(path[-1])
            path.append(above[path[-1]])
        in_file = [row for row in (rows[one] for one in path[:-1]) if row is not None]
        old = [f"{one} → {above[one]}" for one in path[:-1] if rows[one] is None]
        yield Cycle(tuple(path), tuple(in_file), tuple(old))


def shortened(path: tuple[str, ...]) -> list[str]:
    """The path as it is shown: a long one without its middle."""
    if len(path) <= PATH_SHOWN:
        return list(path)
    half = PATH_SHOWN // 2
    return [*path[:half], f"({len(path) - 2 * half:,} more)", *path[-half:]]
