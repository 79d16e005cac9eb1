"""Pointer jumping: follow every node of a forest to its root, or to the nearest marked ancestor, in O(log depth) rounds.

Each node holds a pointer, at first to its parent. In each round the pointer of every node is replaced by the pointer of the
node it points to, so after k rounds it points 2^k levels up: a chain of a million records takes twenty rounds, where going up
or down level by level would take a million. What lies on the way (a number of levels, a mark) is combined in the same step.
This is pointer jumping, also called pointer doubling (W. D. Hillis and G. L. Steele, "Data Parallel Algorithms", Communications
of the ACM 29 (12), 1986; J. JáJá, "An Introduction to Parallel Algorithms", Addison-Wesley, 1992, section 2.2). A round is one
join of a table with itself.

Nodes on a cycle, and those below one, have no root. They are recognised without counting rounds: if a node at distance d from
its root is not done, nodes at every smaller distance exist. So each round finishes at least one node, unless none of those
that are left has a root.

In the SQL below ``edges`` is a query that gives (number, above) for each node, ``above`` null for a root; every table is made
anew, as a temporary table of the connection, under the name ``into``.
"""

from __future__ import annotations

import duckdb
import numpy as np

from pipeline.staging.database import number


def without_root(connection: duckdb.DuckDBPyConnection, edges: str, *, into: str) -> int:
    """Make ``into`` (number, reached): the nodes on a cycle or below one; return how many they are.

    ``reached`` is one of the same nodes, some way up from the first.
    """
    connection.execute(
        f"create or replace temp table {into} as select number, above as reached from ({edges}) where above is not null"
    )
    return _jump(connection, _drop_finished(into), unfinished=f"select count(*) from {into}")


def reach_cycles(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Go on in a table of ``without_root`` until every ``reached`` is on a cycle, and every node of a cycle is reached.

    The nodes reached become fewer with each round until only the cycles are left; there a round gives each another one.
    """
    _jump(connection, _drop_finished(table), unfinished=f"select count(distinct reached) from {table}")


def _drop_finished(table: str) -> str:
    """Return the round that goes on from the nodes reached, which drops the nodes that meet a root."""
    return f"""create or replace temp table {table} as
        select low.number, high.reached from {table} low join {table} high on low.reached = high.number"""


def find_root(connection: duckdb.DuckDBPyConnection, edges: str, *, into: str) -> None:
    """Make ``into`` (number, root, moved) for nodes that all have a root, which is a root's own number for itself."""
    connection.execute(
        f"""create or replace temp table {into} as
        select number, coalesce(above, number) as root, above is not null as moved from ({edges})"""
    )
    _jump(
        connection,
        f"""create or replace temp table {into} as
        select low.number, high.root, low.root != high.root as moved
        from {into} low join {into} high on low.root = high.number""",
        unfinished=f"select count(*) from {into} where moved",
    )


def depth(connection: duckdb.DuckDBPyConnection, edges: str, *, into: str) -> int:
    """Make ``into`` (number, reached, depth): how many ancestors a node has; return how many nodes have no root.

    ``reached`` is null for every node that has a root.
    """
    connection.execute(
        f"""create or replace temp table {into} as
        select number, above as reached, (above is not null)::bigint as depth from ({edges})"""
    )
    return _jump(
        connection,
        f"""create or replace temp table {into} as
        select low.number, high.reached, low.depth + high.depth as depth
        from {into} low join {into} high on low.reached = high.number
        union all
        select number, reached, depth from {into} where reached is null""",
        unfinished=f"select count(*) from {into} where reached is not null",
    )


def nearest_marked(connection: duckdb.DuckDBPyConnection, steps: str, *, into: str) -> int:
    """Make ``into`` (number, met, reached): the nearest marked ancestor of each node; return how many nodes are on a cycle, or
    below one, without a mark.

    ``steps`` is a query of the first step: ``met`` is the parent if it is marked, ``reached`` the parent if it is not, and both
    are null for a root. In the end ``met`` is null for a node without a marked ancestor.
    """
    connection.execute(f"create or replace temp table {into} as select number, met, reached from ({steps})")
    return _jump(
        connection,
        f"""create or replace temp table {into} as
        select low.number, coalesce(low.met, high.met) as met, high.reached
        from {into} low left join {into} high on low.reached = high.number""",
        unfinished=f"select count(*) from {into} where reached is not null",
    )


def smallest_on_cycle(ahead: np.ndarray) -> np.ndarray:
    """Return for each node of a permutation the smallest node of its cycle; ``ahead`` (n,) leads from each node to the next."""
    smallest, jump = np.arange(len(ahead)), ahead
    while True:
        smaller = np.minimum(smallest, smallest[jump])
        if np.array_equal(smaller, smallest):
            return smallest
        smallest, jump = smaller, jump[jump]


def _jump(connection: duckdb.DuckDBPyConnection, round_: str, *, unfinished: str) -> int:
    """Run rounds while they finish nodes; return how many nodes no round can finish, by the count ``unfinished``."""
    left, before = number(connection, unfinished), -1
    while left and left != before:
        connection.execute(round_)
        before, left = left, number(connection, unfinished)
    return left
