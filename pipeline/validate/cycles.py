"""Find circular references (cycles) in the tree that would result: the file's edges laid over the warehouse's.

The records without a root are found by pointer jumping (staging/ancestors.py): they are on a cycle or below one. Only those on
cycles are read into numpy, where the cycles are told apart and their paths are written out.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.staging import ancestors

PATH_SHOWN = 10_000
"""Of a longer cycle the first and last ids are shown, and its length."""

ROWS_SHOWN = 50
OLD_SHOWN = 5


def _first(values: str, most: int) -> str:
    """Return the SQL of a list's first values. DuckDB 2.0.0 takes fifty times as long to cut a list that is not longer."""
    return f"case when len({values}) > {most} then {values}[1:{most}] else {values} end"


_UP = "select number, nullif(above, number) as above from edges"
"""Each record's parent; a record that is its own parent is a finding of its own, and no cycle here."""

_UP_OF_PARENTS = f"{_UP} semi join (select distinct above as number from edges) parents using (number)"
_ON_CYCLES = """
select number, above from edges semi join (select distinct reached from unrooted) c on number = reached order by number
"""

# A cycle's path starts at its smallest id; the middle of a long one is left out.
_STARTS = """
select cycle, arg_min(number, id) as start, count(*) as length
from circling join edges using (number) group by cycle order by cycle
"""
_CYCLES = f"""
insert into cycles
with described as (
    select steps.cycle, steps.place, steps.gap, edges.id, edges._row, edges.id || ' → ' || edges.parent as edge
    from steps join edges using (number)
),
paths as (
    select
        cycle,
        list(case when gap is not null then gap else id end order by place) as path,
        list(_row::varchar order by place) filter (where _row is not null and gap is null) as rows,
        list(edge order by place) filter (where _row is null and gap is null) as old
    from described group by cycle
),
firsts as (
    select cycle, coalesce(min(_row) filter (where within), min(_row)) as any_row
    from (select cycle, _row, true as within from cycle_rows union all select cycle, _row, false from below_cycles)
    group by cycle
)
select
    paths.cycle,
    coalesce(paths.rows[1]::bigint, firsts.any_row),
    list_append(paths.path, paths.path[1]),
    starts.length,
    coalesce({_first("paths.rows", ROWS_SHOWN)}, []),
    coalesce({_first("paths.old", OLD_SHOWN)}, [])
from paths join starts using (cycle) left join firsts using (cycle)
order by paths.path[1]
"""
_BELOW = """
create or replace table below_cycles as
select edges._row, circling.cycle
from unrooted
anti join circling already on unrooted.number = already.number
join circling on unrooted.reached = circling.number
join edges on unrooted.number = edges.number
where edges._row is not null
"""


def find_cycles(connection: duckdb.DuckDBPyConnection) -> int:
    """Find the cycles in ``edges`` (number, id, parent, _row, above); return how many there are.

    Makes ``cycles`` (cycle, _row, path, length, rows, old), one row a cycle: its path from its smallest id up to the same id
    again, its first rows in the file, and those of its edges that are in the warehouse already; ``cycle_rows`` (cycle, _row),
    all of the file's rows on cycles; ``below_cycles`` (cycle, _row), the file's records that are only descendants of a cycle;
    and ``unrooted`` (number, reached), all records on cycles or below them. The _row of a cycle that is in the warehouse alone
    is that of its first descendant in the file, or null if it has none.
    """
    connection.execute(
        """create or replace table cycles
        (cycle bigint, _row bigint, path varchar[], length bigint, rows varchar[], old varchar[])"""
    )
    for name in ("cycle_rows", "below_cycles"):
        connection.execute(f"create or replace table {name} (cycle bigint, _row bigint)")
    if not _find_unrooted(connection):
        return 0
    numbers, above = (_column(connection, _ON_CYCLES, place) for place in (0, 1))
    up = np.searchsorted(numbers, above)
    _keep(connection, "circling", number=numbers, cycle=ancestors.smallest_on_cycle(up))
    connection.execute(_BELOW)
    connection.execute(
        "insert into cycle_rows select cycle, _row from circling join edges using (number) where _row is not null"
    )
    connection.execute(f"create or replace temp table starts as {_STARTS}")
    starts = np.searchsorted(numbers, _column(connection, "select start from starts order by cycle", 0))
    names, lengths = (_column(connection, "select cycle, length from starts order by cycle", place) for place in (0, 1))
    _keep_steps(connection, numbers, up, names, starts, lengths)
    connection.execute(_CYCLES)
    return len(names)


def _find_unrooted(connection: duckdb.DuckDBPyConnection) -> bool:
    """Make ``unrooted`` (number, reached): the records on a cycle or below one, each with a record of its cycle.

    Return whether there are any. Three of four records, in many files, are parents of no other and so on no cycle: the search
    starts without them.
    """
    found = ancestors.without_root(connection, _UP_OF_PARENTS, into="rising") > 0
    if found:
        ancestors.without_root(connection, _UP, into="rising")
        ancestors.reach_cycles(connection, "rising")
    connection.execute("create or replace table unrooted as from rising")
    return found


def _keep_steps(
    connection: duckdb.DuckDBPyConnection,
    numbers: np.ndarray,
    up: np.ndarray,
    names: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
) -> None:
    """Make ``steps`` (cycle, place, number, gap): each path from its start, the middle of a long one left out.

    ``gap`` is the text for the ids that are left out there.
    """
    down = np.empty_like(up)
    down[up] = np.arange(len(up))
    half, is_long = PATH_SHOWN // 2, lengths > PATH_SHOWN
    ahead = _walk(starts, np.where(is_long, half, lengths), up)
    back = _walk(down[starts], np.where(is_long, half, 0), down)
    left_out = lengths[is_long] - 2 * half
    which = np.concatenate([ahead[0], back[0], np.flatnonzero(is_long)])
    places = np.concatenate([ahead[1], lengths[back[0]] - 1 - back[1], np.full(len(left_out), half)])
    at = np.concatenate([ahead[2], back[2], starts[is_long]])
    gaps = [None] * (len(at) - len(left_out)) + [f"({count:,} more)" for count in left_out.tolist()]
    _keep(connection, "steps", cycle=names[which], place=places, number=numbers[at], gap=pa.array(gaps, pa.string()))


def _walk(starts: np.ndarray, steps: np.ndarray, onward: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Walk ``steps`` (n,) steps from ``starts`` (n,); return (which start, steps walked before, node), one entry a step."""
    gone = [(np.empty(0, int), np.empty(0, int), np.empty(0, int))]
    who, at = np.arange(len(starts)), starts
    for step in range(int(steps.max(initial=0))):
        on = steps[who] > step
        who, at = who[on], at[on]
        gone.append((who, np.full(len(who), step), at))
        at = onward[at]
    walked = [np.concatenate(pieces) for pieces in zip(*gone, strict=True)]
    return walked[0], walked[1], walked[2]


def _column(connection: duckdb.DuckDBPyConnection, query: str, place: int) -> np.ndarray:
    columns = [np.asarray(column) for column in connection.execute(query).fetchnumpy().values()]
    return columns[place]


def _keep(connection: duckdb.DuckDBPyConnection, table: str, **columns: object) -> None:
    connection.register("arriving", pa.table(columns))
    connection.execute(f"create or replace temp table {table} as select * from arriving")
    connection.unregister("arriving")
