"""Plan the changes that bring a dataset's table to what its file declares.

A plan has only changes that do not rewrite the table and do not keep readers or loads waiting. Anything else is refused, with
the statement that a person can run by hand.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import psycopg
from psycopg import errors as pg

from pipeline.adapters.postgres_errors import with_detail
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.search_columns import search_indexes
from pipeline.errors import InvalidConfiguration
from pipeline.sqlfiles import quoted
from pipeline.warehouse.lock_waits import lock_holders, wait_at_most, with_locks
from pipeline.warehouse.table_state import (
    SCHEMA,
    SCRATCH,
    Column,
    Connection,
    Index,
    State,
    check_fit,
    file_statements,
    read_state,
)

OURS = "bulkhead: declared in sql/tables/"
"""How the comment of an index that we made begins: only such an index is dropped once its declaration is gone."""

_INTERIM = "_bulkhead_"


def interim_name(name: str) -> str:
    """Return the name of an index until it replaces the one that has its final name."""
    return f"{_INTERIM}{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def in_schema(name: str) -> str:
    """Return a name as SQL with the warehouse's schema."""
    return f"{SCHEMA}.{quoted(name)}"


@dataclass
class Plan:
    """The changes to one table, and those that are ``refused`` (a sentence each). ``notes`` are reported, not done."""

    dataset: Dataset
    is_new: bool = False
    others: str = ""  # statements of the file that make neither the table nor its indexes
    alter: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)  # the same in words
    adopt: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    build: list[Index] = field(default_factory=list)
    replace: list[Index] = field(default_factory=list)
    rename: list[Index] = field(default_factory=list)  # built by an earlier run, under its interim name
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def table(self) -> str:
        """The table's name as SQL has it."""
        return f"{SCHEMA}.{quoted(self.dataset.name)}"

    @property
    def called(self) -> str:
        """The table's name for people."""
        return f"{SCHEMA}.{self.dataset.name}"


def plan(connection: Connection, dataset: Dataset) -> Plan:
    """Return what brings the dataset's table to its file. Changes nothing; ``connection`` is in autocommit mode.

    Raises InvalidConfiguration if the file is not SQL that makes this table.
    """
    own, others = file_statements(dataset)
    empty = Plan(dataset)
    kind = connection.execute("select relkind::text from pg_class where oid = to_regclass(%s)", (empty.table,)).fetchone()
    if kind is None:
        return Plan(dataset, is_new=True)
    if kind[0] != "r":
        return Plan(dataset, refused=[f"{empty.called} is there, but it is not a table. Give one of them another name."])
    return with_locks(
        lambda seconds: _compare(connection, Plan(dataset, others=others), own, seconds),
        empty.called,
        lambda: lock_holders(connection, empty.table),
    )


class _Undone(Exception):
    """Rolls back a transaction that was only for looking."""


def _compare(connection: Connection, made: Plan, own: str, seconds: float) -> Plan:
    """Return ``made`` with the differences between the table and what ``own``, its file moved to SCRATCH, declares."""
    scratch = f"{SCRATCH}.{quoted(made.dataset.name)}"
    there = read_state(connection, made.table, SCHEMA)
    try:
        with connection.transaction():
            connection.execute(wait_at_most(seconds))
            connection.execute(f"create schema {SCRATCH}")
            connection.execute(own)
            found = connection.execute("select to_regclass(%s)", (scratch,)).fetchone()
            if found is None or found[0] is None:
                raise InvalidConfiguration(f"sql/tables/{made.dataset.name}.sql does not make the table {made.called}.")
            check_fit(connection, made.dataset, scratch)
            connection.execute(search_indexes(made.dataset, SCRATCH))
            declared = read_state(connection, scratch, SCRATCH)
            _compare_columns(connection, made, there, declared)
            _compare_constraints(made, there, declared)
            _compare_indexes(connection, made, there, declared)
            raise _Undone
    except _Undone:
        return made
    except (pg.LockNotAvailable, pg.DeadlockDetected):
        raise
    except psycopg.Error as error:
        if not error.sqlstate or error.sqlstate[:2] in ("08", "53", "55", "57"):
            raise
        raise InvalidConfiguration(
            f"sql/tables/{made.dataset.name}.sql is not as PostgreSQL wants it: {with_detail(error)}."
        ) from error


def _compare_columns(connection: Connection, plan: Plan, there: State, declared: State) -> None:
    for name, column in declared.columns.items():
        if name in there.columns:
            _compare_column(plan, there.columns[name], column)
        else:
            _add_column(connection, plan, column)
    for name in there.columns.keys() - declared.columns.keys():
        _refuse(plan, f"the column {name} is not declared any more", f"alter table {plan.table} drop column {quoted(name)};")


def _add_column(connection: Connection, plan: Plan, column: Column) -> None:
    name = quoted(column.name)
    if column.required and column.default_value is None and not column.made:
        _refuse(
            plan,
            f"the new column {column.name} may not be null and has no default, which the records there cannot meet",
            f"add it without NOT NULL, fill it, then: alter table {plan.table} alter column {name} set not null;",
        )
        return
    default = f" default {column.default_value}" if column.default_value is not None else ""
    clause = f"add column {name} {column.type}{default}{' not null' if column.required else ''}"
    if column.made or _rewrites(connection, plan, clause):
        _refuse(
            plan,
            f"the new column {column.name} has another value for each record, so that the table would be written anew",
            f"alter table {plan.table} add column {name} {column.type}; then fill it in pieces, and set its default.",
        )
        return
    plan.alter.append(clause)
    plan.altered.append(f"column {column.name} added")


def _rewrites(connection: Connection, plan: Plan, clause: str) -> bool:
    """Return whether PostgreSQL would rewrite a table like this one, tried on an empty copy of it."""
    copy, file = f'{SCRATCH}."the table as it is"', "select pg_relation_filenode(%s::regclass)"
    connection.execute(f"create table {copy} (like {plan.table})")
    before = connection.execute(file, (copy,)).fetchone()
    connection.execute(f"alter table {copy} {clause}")
    after = connection.execute(file, (copy,)).fetchone()
    connection.execute(f"drop table {copy}")
    return before != after


def _compare_column(plan: Plan, there: Column, declared: Column) -> None:
    name, alter = quoted(there.name), f"alter column {quoted(there.name)}"
    if there.type != declared.type:
        _refuse(
            plan,
            f"the column {there.name} is {there.type}, declared is {declared.type}",
            f"alter table {plan.table} {alter} type {declared.type} using {name}::{declared.type}; (no reads meanwhile)",
        )
    if (there.made, there.default_value if there.made else None) != (
        declared.made,
        declared.default_value if declared.made else None,
    ):
        _refuse(plan, f"how the column {there.name} is generated has changed", "make it anew under another name.")
    elif there.default_value != declared.default_value:
        says = f"set default {declared.default_value}" if declared.default_value is not None else "drop default"
        plan.alter.append(f"{alter} {says}")
        plan.altered.append(f"column {there.name}: {says}")
    if there.required and not declared.required:
        plan.alter.append(f"{alter} drop not null")
        plan.altered.append(f"column {there.name} may be null")
    if declared.required and not there.required:
        _refuse(
            plan,
            f"the column {there.name} may be null, declared is NOT NULL",
            f"alter table {plan.table} add constraint no_null check ({name} is not null) not valid; alter table {plan.table}"
            f" validate constraint no_null; alter table {plan.table} {alter} set not null, drop constraint no_null;",
        )


def _compare_constraints(plan: Plan, there: State, declared: State) -> None:
    if there.key() != declared.key():
        _refuse(
            plan,
            f"the key is {there.key() or 'none'}, declared is {declared.key() or 'none'}",
            f"create a unique index concurrently, then: alter table {plan.table} drop constraint ..., add primary key using"
            " index ...; in one statement, while nothing is loaded.",
        )
    has = {one.what for one in there.constraints}
    wants = {one.what for one in declared.constraints}
    for one in declared.constraints:
        if one.kind != "p" and one.what not in has:
            says = f"add constraint {quoted(one.name)} {one.what}"
            later = (
                f"alter table {plan.table} {says} not valid; alter table {plan.table} validate constraint {quoted(one.name)};"
                if one.kind in "cf"
                else f"alter table {plan.table} {says}; (writes wait meanwhile)"
            )
            _refuse(plan, f"the constraint {one.name} is new: {one.what}", later)
    for one in there.constraints:
        if one.kind != "p" and one.what not in wants:
            plan.notes.append(f"constraint {one.name} is not declared; left as it is")


def _compare_indexes(connection: Connection, plan: Plan, there: State, declared: State) -> None:
    for name, index in declared.indexes.items():
        now, begun = there.indexes.get(name), there.indexes.get(interim_name(name))
        if now is None and _is_taken(connection, name):
            _refuse(plan, f"the index {name} cannot be made: something else is called so", "give one of them another name.")
        elif now is not None and now.is_valid and now.is_as(index):
            plan.adopt += [] if now.note else [name]
        elif begun is not None and begun.is_valid and begun.is_as(index):
            plan.rename.append(index)
        else:
            in_place = now is None or not now.is_valid
            (plan.build if in_place else plan.replace).append(index)
    rebuilt = {interim_name(index.name) for index in [*plan.replace, *plan.rename]}
    for name, index in there.indexes.items():
        if name in declared.indexes or name in rebuilt:
            continue
        if index.note.startswith(OURS) or name.startswith(_INTERIM):
            plan.drop.append(name)
        else:
            plan.notes.append(f"index {name} is not declared, and not ours; left as it is")


def _is_taken(connection: Connection, name: str) -> bool:
    row = connection.execute("select to_regclass(%s) is not null", (in_schema(name),)).fetchone()
    return bool(row and row[0])


def _refuse(plan: Plan, what: str, by_hand: str) -> None:
    plan.refused.append(f"{plan.called}: {what}. By hand: {by_hand}")
