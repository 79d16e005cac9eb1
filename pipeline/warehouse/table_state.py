"""Read what a dataset's table is, and what its file declares, both as PostgreSQL spells them.

The file is the declaration. It is executed in a schema of its own within a transaction that is rolled back, so that PostgreSQL
itself says what is declared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
import sqlglot
from psycopg import errors as pg
from psycopg.rows import namedtuple_row
from sqlglot import Token, TokenType
from sqlglot.errors import TokenError

from pipeline.datasets.dataset import Dataset
from pipeline.errors import InvalidConfiguration
from pipeline.sqlfiles import load, quoted

Connection = psycopg.Connection[Any]

SCHEMA = "warehouse"
SCRATCH = "bulkhead_declared"
"""The schema in which a table file is executed to see what it declares; it never outlives its transaction."""


class Column(NamedTuple):
    """A column as PostgreSQL has it. ``made``: it is generated, or an identity."""

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
        """Return whether both have the same definition."""
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
        """Return the definition of the primary key; empty if there is none."""
        return next((one.what for one in self.constraints if one.kind == "p"), "")


def read_state(connection: Connection, table: str, schema: str) -> State:
    """Read a table as PostgreSQL spells it; the name of its schema is replaced by the warehouse's."""

    def rows(query: str) -> list[Any]:
        with connection.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(load(f"queries/{query}"), {"relation": table}).fetchall()

    def spelled(text: Any) -> Any:
        return text.replace(f"{schema}.", f"{SCHEMA}.") if isinstance(text, str) else text

    columns = [Column(*(spelled(value) for value in row)) for row in rows("tables/columns")]
    indexes = [Index(*(spelled(value) for value in row)) for row in rows("tables/indexes")]
    constraints = [Constraint(*(spelled(value) for value in row)) for row in rows("tables/constraints")]
    return State({one.name: one for one in columns}, {one.name: one for one in indexes}, tuple(constraints))


def check_fit(connection: Connection, dataset: Dataset, table: str) -> None:
    """Raise InvalidConfiguration if records could not be told apart by their ids, or compared with existing ones."""
    file = f"sql/tables/{dataset.name}.sql"
    ids = [dataset.key, dataset.parent]
    unfit = connection.execute(load("queries/tables/unfit"), {"relation": table, "ids": ids}).fetchone()
    if unfit is not None:
        raise InvalidConfiguration(
            f"{file}: the column {unfit[0]} ({unfit[1]}) treats different ids as equal, so one record would overwrite"
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


def file_statements(dataset: Dataset) -> tuple[str, str]:
    """Split a table file: its SQL with the table moved to SCRATCH, and the statements that make no table or index."""
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
    """Yield the tokens ``warehouse`` of ``warehouse.<table>``."""
    for schema, dot, name in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if dot.token_type is TokenType.DOT and schema.text.lower() == SCHEMA and name.text == table:
            yield schema


def _split(sql: str, tokens: Sequence[Token]) -> Iterator[tuple[str, list[Token]]]:
    """Yield the statements, each with its tokens."""
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
    """Return whether a statement begins as CREATE ... TABLE or CREATE ... INDEX."""
    words = [token.text.lower() for token in statement[:3]]
    return words[:1] == ["create"] and bool({"table", "index"} & set(words))
