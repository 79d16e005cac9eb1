"""A dataset's table, brought to what its file declares, while it is read and loaded.

The file is the declaration. It is executed once in a schema that nobody ever sees (its transaction is rolled back), so that
PostgreSQL itself spells both what is declared and what is there; the differences make a plan. A plan holds only what is done
without writing the table anew and without keeping readers or loads waiting; anything else is refused before the first step.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import psycopg
import sqlglot
from psycopg import errors as pg
from psycopg.rows import namedtuple_row
from sqlalchemy.exc import DBAPIError
from sqlglot import Token, TokenType
from sqlglot.errors import TokenError

from pipeline.datasets.dataset import Dataset
from pipeline.errors import Conflict, InvalidConfiguration, Unreachable
from pipeline.sqlfiles import load, quoted

Connection = psycopg.Connection[Any]
Say = Callable[[str], None]
Given = TypeVar("Given")

SCHEMA = "warehouse"
SCRATCH = "bulkhead_declared"
"""Where a table file is executed to see what it means; it never outlives its transaction."""

OURS = "bulkhead: declared in sql/tables/"
"""The comment of an index that we made begins so: only such an index is dropped once its declaration is gone."""

LOCK_SECONDS = (0.2, 0.5, 1.0, *[2.0] * 40)
"""How long one try waits for a lock that keeps others waiting behind it. Between tries, as long again, everybody gets in. The
longest is some ten times what loading a part takes."""

INDEX_TRIES = 5


class Column(NamedTuple):
    """A column as PostgreSQL has it. ``made``: it is generated or an identity."""

    name: str
    required: bool
    type: str
    default_value: str | None
    made: str


class Index(NamedTuple):
    """An index as PostgreSQL has it. ``what`` is its definition from USING on."""

    name: str
    is_unique: bool
    is_valid: bool
    note: str
    what: str

    def is_as(self, other: Index) -> bool:
        """Both say the same."""
        return (self.is_unique, self.what) == (other.is_unique, other.what)


class Constraint(NamedTuple):
    """A constraint as PostgreSQL has it."""

    name: str
    kind: str
    what: str


@dataclass(frozen=True)
class State:
    """A table as it is, or as it is declared."""

    columns: dict[str, Column]
    indexes: dict[str, Index]
    constraints: tuple[Constraint, ...]

    def key(self) -> str:
        """The primary key's definition; empty if there is none."""
        return next((one.what for one in self.constraints if one.kind == "p"), "")


@dataclass
class Plan:
    """What is to be done to one table, and what cannot be (``refused``, a sentence each). ``notes`` are told, not done."""

    dataset: Dataset
    is_new: bool = False
    others: str = ""  # statements of the file that are neither the table nor its indexes
    alter: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)  # the same in words
    adopt: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    build: list[Index] = field(default_factory=list)
    replace: list[Index] = field(default_factory=list)
    rename: list[Index] = field(default_factory=list)  # built by an earlier run, under its other name
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def table(self) -> str:
        """The table's name as SQL has it."""
        return f"{SCHEMA}.{quoted(self.dataset.name)}"

    @property
    def called(self) -> str:
        """The same for people."""
        return f"{SCHEMA}.{self.dataset.name}"


def plan(connection: Connection, dataset: Dataset) -> Plan:
    """What brings the dataset's table to its file. Changes nothing; ``connection`` is in autocommit mode.

    Raises InvalidConfiguration if the file is not SQL that makes this table.
    """
    own, others = _statements(dataset)
    empty = Plan(dataset)
    kind = connection.execute("select relkind::text from pg_class where oid = to_regclass(%s)", (empty.table,)).fetchone()
    if kind is None:
        return Plan(dataset, is_new=True)
    if kind[0] != "r":
        return Plan(dataset, refused=[f"{empty.called} is there, but it is not a table. Give one of them another name."])
    return patiently(
        lambda seconds: _compare(connection, Plan(dataset, others=others), own, seconds),
        empty.called,
        lambda: _held_by(connection, empty.table),
    )


def apply(connection: Connection, plan: Plan, *, say: Say = lambda line: None) -> list[str]:
    """Do what is planned; says in words what was done. Each step is whole by itself, so a run that is cut off can be repeated.

    Raises Unreachable if a lock could not be had, Conflict if the data do not allow a unique index. ``connection`` is in
    autocommit mode.
    """
    if plan.is_new:
        with connection.transaction():
            connection.execute(plan.dataset.table_sql)
            _check_fit(connection, plan.dataset, plan.table)
            for name in _state(connection, plan.table, SCHEMA).indexes:
                _mark(connection, plan, name)
        return ["made"]
    done = list(plan.altered)
    patiently(lambda seconds: _alter(connection, plan, seconds), plan.called, lambda: _held_by(connection, plan.table))
    for index in plan.build:
        _build(connection, plan, index, index.name, say)
        done.append(f"index {index.name} built")
    for index in plan.replace:
        _build(connection, plan, index, _other_name(index.name), say)
    for index in [*plan.replace, *plan.rename]:
        connection.execute(f"drop index concurrently if exists {_named(index.name)}")
        connection.execute(f"alter index {_named(_other_name(index.name))} rename to {quoted(index.name)}")
        done.append(f"index {index.name} built anew")
    for name in plan.drop:
        connection.execute(f"drop index concurrently if exists {_named(name)}")
        done.append(f"index {name} dropped")
    return done + plan.notes


def patiently(attempt: Callable[[float], Given], what: str, holders: Callable[[], str] = lambda: "") -> Given:
    """What ``attempt`` gives, tried until it gets its locks.

    It is told how many seconds it may wait for one, and leaves nothing behind if it fails.
    A statement that waits for a lock holds up everybody who comes after it; so each try waits but briefly.
    """
    for seconds in LOCK_SECONDS:
        try:
            return attempt(seconds)
        except (psycopg.Error, DBAPIError) as error:
            if not isinstance(getattr(error, "orig", error), pg.LockNotAvailable | pg.DeadlockDetected):
                raise
        time.sleep(seconds)
    raise Unreachable(f"{what} is in use all the time{holders()}. Try again later.")


def wait_at_most(seconds: float) -> str:
    """The statement that bounds the waiting for a lock in the present transaction."""
    return f"set local lock_timeout = {int(seconds * 1000)}"


def _held_by(connection: Connection, table: str) -> str:
    rows = connection.execute(load("queries/tables/holders"), {"relation": table}).fetchall()
    return f", by the session {', '.join(row[0] for row in rows)}" if rows else ""


# --- what is declared, what is there ---


class _Undone(Exception):
    """Ends a transaction that was for looking only."""


def _compare(connection: Connection, made: Plan, own: str, seconds: float) -> Plan:
    """``made`` with the differences between the table and what ``own``, its file for the schema SCRATCH, declares."""
    scratch = f"{SCRATCH}.{quoted(made.dataset.name)}"
    there = _state(connection, made.table, SCHEMA)
    try:
        with connection.transaction():
            connection.execute(wait_at_most(seconds))
            connection.execute(f"create schema {SCRATCH}")
            connection.execute(own)
            found = connection.execute("select to_regclass(%s)", (scratch,)).fetchone()
            if found is None or found[0] is None:
                raise InvalidConfiguration(f"sql/tables/{made.dataset.name}.sql does not make the table {made.called}.")
            _check_fit(connection, made.dataset, scratch)
            declared = _state(connection, scratch, SCRATCH)
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
            f"sql/tables/{made.dataset.name}.sql is not as PostgreSQL wants it: {_words(error)}."
        ) from error


def _check_fit(connection: Connection, dataset: Dataset, table: str) -> None:
    """Raises InvalidConfiguration if records could not be told apart by their ids, or compared with what is there."""
    file = f"sql/tables/{dataset.name}.sql"
    ids = [dataset.key, dataset.parent]
    unfit = connection.execute(load("queries/tables/unfit"), {"relation": table, "ids": ids}).fetchone()
    if unfit is not None:
        raise InvalidConfiguration(
            f"{file}: the column {unfit[0]} ({unfit[1]}) takes ids for equal that differ, so that one record would overwrite"
            " another. Declare it as text, with a deterministic collation (the default is one)."
        )
    for name in dataset.names:
        try:
            connection.execute(f"select {quoted(name)} is distinct from {quoted(name)} from {table} limit 0")
        except pg.UndefinedFunction as error:
            raise InvalidConfiguration(
                f"{file}: PostgreSQL cannot compare values of the column {name} ({dataset.column(name).type}), so no record"
                " could be loaded again. Choose another type, such as jsonb for json, or text."
            ) from error


def _state(connection: Connection, table: str, schema: str) -> State:
    """The table as PostgreSQL spells it, with the schema's name as if it were the warehouse's."""

    def rows(query: str) -> list[Any]:
        with connection.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(load(f"queries/{query}"), {"relation": table}).fetchall()

    def spelled(text: Any) -> Any:
        return text.replace(f"{schema}.", f"{SCHEMA}.") if isinstance(text, str) else text

    columns = [Column(*(spelled(value) for value in row)) for row in rows("tables/columns")]
    indexes = [Index(*(spelled(value) for value in row)) for row in rows("tables/indexes")]
    constraints = [Constraint(*(spelled(value) for value in row)) for row in rows("tables/constraints")]
    return State({one.name: one for one in columns}, {one.name: one for one in indexes}, tuple(constraints))


def _statements(dataset: Dataset) -> tuple[str, str]:
    """The file with its own table moved to SCRATCH; and what of it is neither the table nor an index of it, as it stands."""
    sql = dataset.table_sql
    try:
        tokens = sqlglot.tokenize(sql, read="postgres")
    except TokenError as error:
        raise InvalidConfiguration(f"sql/tables/{dataset.name}.sql cannot be read: {error}") from error
    own, end = [], 0
    for token in _owners(tokens, dataset.name):
        own += [sql[end : token.start], SCRATCH]
        end = token.end + 1
    others = [text for text, about in _split(sql, tokens) if not (_makes(about) and any(_owners(about, dataset.name)))]
    return "".join([*own, sql[end:]]), "".join(f"{text};\n" for text in others)


def _owners(tokens: Sequence[Token], table: str) -> Iterator[Token]:
    """The tokens that say ``warehouse`` in ``warehouse.<table>``."""
    for schema, dot, name in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if dot.token_type is TokenType.DOT and schema.text.lower() == SCHEMA and name.text == table:
            yield schema


def _split(sql: str, tokens: Sequence[Token]) -> Iterator[tuple[str, list[Token]]]:
    """The statements, each with its tokens."""
    statement: list[Token] = []
    for token in tokens:
        if token.token_type is not TokenType.SEMICOLON:
            statement.append(token)
        elif statement:
            yield sql[statement[0].start : statement[-1].end + 1], statement
            statement = []
    if statement:
        yield sql[statement[0].start : statement[-1].end + 1], statement


def _makes(statement: Sequence[Token]) -> bool:
    """It begins as CREATE ... TABLE or CREATE ... INDEX do."""
    words = [token.text.lower() for token in statement[:3]]
    return words[:1] == ["create"] and bool({"table", "index"} & set(words))


# --- the differences ---


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
    """Whether PostgreSQL would write a table like this one anew: seen at an empty copy of it."""
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
            f"alter table {plan.table} {alter} type {declared.type} using {name}::{declared.type}; (nobody can read meanwhile)",
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
        now, begun = there.indexes.get(name), there.indexes.get(_other_name(name))
        if now is None and _is_taken(connection, name):
            _refuse(plan, f"the index {name} cannot be made: something else is called so", "give one of them another name.")
        elif now is not None and now.is_valid and now.is_as(index):
            plan.adopt += [] if now.note else [name]
        elif begun is not None and begun.is_valid and begun.is_as(index):
            plan.rename.append(index)
        else:
            in_place = now is None or not now.is_valid
            (plan.build if in_place else plan.replace).append(index)
    rebuilt = {_other_name(index.name) for index in [*plan.replace, *plan.rename]}
    for name, index in there.indexes.items():
        if name in declared.indexes or name in rebuilt:
            continue
        if index.note.startswith(OURS) or name.startswith(_OTHER):
            plan.drop.append(name)
        else:
            plan.notes.append(f"index {name} is not declared, and not ours; left as it is")


def _is_taken(connection: Connection, name: str) -> bool:
    row = connection.execute("select to_regclass(%s) is not null", (_named(name),)).fetchone()
    return bool(row and row[0])


def _refuse(plan: Plan, what: str, by_hand: str) -> None:
    plan.refused.append(f"{plan.called}: {what}. By hand: {by_hand}")


# --- the steps ---


def _alter(connection: Connection, plan: Plan, seconds: float) -> None:
    """All that needs the table for itself, for a moment, in one statement."""
    with connection.transaction():
        connection.execute(wait_at_most(seconds))
        if plan.others:
            connection.execute(plan.others)
        if plan.alter:
            connection.execute(f"alter table {plan.table} {', '.join(plan.alter)}")
        for name in plan.adopt:
            _mark(connection, plan, name)


def _build(connection: Connection, plan: Plan, index: Index, name: str, say: Say) -> None:
    """Build an index beside reads and loads, in place of what an interrupted build may have left under ``name``."""
    say(f"Building the index {index.name} of {plan.called} beside what goes on ...")
    for left in range(INDEX_TRIES - 1, -1, -1):
        connection.execute(f"drop index concurrently if exists {_named(name)}")
        unique = "unique " if index.is_unique else ""
        try:
            connection.execute(
                f"create {unique}index concurrently {quoted(name)} on {plan.table} {index.what}",
            )
            return _mark(connection, plan, name)
        except pg.DeadlockDetected:  # with somebody who began before us and wants to change the table too
            if not left:
                raise
        except (pg.IntegrityError, pg.DataError, pg.ProgramLimitExceeded) as error:
            connection.execute(f"drop index concurrently if exists {_named(name)}")
            raise Conflict(f"{plan.called}: the index {index.name} cannot be built: {_words(error)}.") from error


def _mark(connection: Connection, plan: Plan, name: str) -> None:
    connection.execute(f"comment on index {_named(name)} is '{OURS}{plan.dataset.name}.sql'")


_OTHER = "_bulkhead_"


def _other_name(name: str) -> str:
    """What an index is called until it takes the place of the one that has its name."""
    return f"{_OTHER}{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _named(name: str) -> str:
    return f"{SCHEMA}.{quoted(name)}"


def _words(error: psycopg.Error) -> str:
    detail = f" ({error.diag.message_detail.rstrip('.')})" if error.diag.message_detail else ""
    return f"{(error.diag.message_primary or str(error)).strip()}{detail}"
