"""Apply the plan that brings a dataset's table to its file, while the table is read and loaded."""

from __future__ import annotations

from collections.abc import Callable

from psycopg import errors as pg

from pipeline.adapters.postgres_errors import with_detail
from pipeline.datasets.search_columns import search_indexes
from pipeline.errors import Conflict
from pipeline.sqlfiles import quoted
from pipeline.warehouse.lock_waits import lock_holders, wait_at_most, with_locks
from pipeline.warehouse.table_plan import OURS, Plan, in_schema, interim_name
from pipeline.warehouse.table_state import SCHEMA, Connection, Index, check_fit, read_state

Say = Callable[[str], None]

INDEX_TRIES = 5
"""How often the build of an index is tried if PostgreSQL ends it because of a deadlock."""


def apply(connection: Connection, plan: Plan, *, say: Say = lambda line: None) -> list[str]:
    """Do what is planned and return in words what was done. Each step is atomic, so an interrupted run can be repeated.

    Raises Unreachable if a lock cannot be had, Conflict if the data do not allow a unique index. ``connection`` is in
    autocommit mode; ``say`` is given what takes long.
    """
    if plan.is_new:
        with connection.transaction():
            connection.execute(plan.dataset.table_sql)
            check_fit(connection, plan.dataset, plan.table)
            connection.execute(search_indexes(plan.dataset, SCHEMA))
            for name in read_state(connection, plan.table, SCHEMA).indexes:
                _mark(connection, plan, name)
        return ["made"]
    done = list(plan.altered)
    with_locks(lambda seconds: _alter(connection, plan, seconds), plan.called, lambda: lock_holders(connection, plan.table))
    for index in plan.build:
        _build(connection, plan, index, index.name, say)
        done.append(f"index {index.name} built")
    for index in plan.replace:
        _build(connection, plan, index, interim_name(index.name), say)
    for index in [*plan.replace, *plan.rename]:
        connection.execute(f"drop index concurrently if exists {in_schema(index.name)}")
        connection.execute(f"alter index {in_schema(interim_name(index.name))} rename to {quoted(index.name)}")
        done.append(f"index {index.name} built anew")
    for name in plan.drop:
        connection.execute(f"drop index concurrently if exists {in_schema(name)}")
        done.append(f"index {name} dropped")
    return done + plan.notes


def _alter(connection: Connection, plan: Plan, seconds: float) -> None:
    """Do all that needs an exclusive lock on the table, for a moment, in one statement."""
    with connection.transaction():
        connection.execute(wait_at_most(seconds))
        if plan.others:
            connection.execute(plan.others)
        if plan.alter:
            connection.execute(f"alter table {plan.table} {', '.join(plan.alter)}")
        for name in plan.adopt:
            _mark(connection, plan, name)


def _build(connection: Connection, plan: Plan, index: Index, name: str, say: Say) -> None:
    """Build an index without blocking reads and loads, in place of what an interrupted build may have left under ``name``."""
    say(f"Building the index {index.name} of {plan.called} while the table stays in use ...")
    for left in range(INDEX_TRIES - 1, -1, -1):
        connection.execute(f"drop index concurrently if exists {in_schema(name)}")
        unique = "unique " if index.is_unique else ""
        try:
            connection.execute(
                f"create {unique}index concurrently {quoted(name)} on {plan.table} {index.what}",
            )
            return _mark(connection, plan, name)
        except pg.DeadlockDetected:  # with a client that began before us and wants to change the table too
            if not left:
                raise
        except (pg.IntegrityError, pg.DataError, pg.ProgramLimitExceeded) as error:
            connection.execute(f"drop index concurrently if exists {in_schema(name)}")
            raise Conflict(f"{plan.called}: the index {index.name} cannot be built: {with_detail(error)}.") from error


def _mark(connection: Connection, plan: Plan, name: str) -> None:
    connection.execute(f"comment on index {in_schema(name)} is '{OURS}{plan.dataset.name}.sql'")
