"""Read the columns of a dataset's table from its CREATE TABLE statement (``sql/tables/<name>.sql``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import expressions as exp

from pipeline.errors import InvalidConfiguration

LINEAGE = ("_import_id", "_row", "_loaded_at")
"""The columns that every table ends with: which import wrote this version of the record, from which row, and when."""


@dataclass(frozen=True)
class Column:
    """One column of a table. ``type`` is PostgreSQL's spelling, in lower case (``text``, ``numeric(12,2)``, ...)."""

    name: str
    type: str
    required: bool
    has_default: bool = False

    @property
    def may_be_absent(self) -> bool:
        """Return whether a record can be written without a value in this column."""
        return self.has_default or not self.required


@lru_cache(maxsize=1000)  # each request asks for the datasets that it shows, and parsing one takes milliseconds
def table_columns(table_sql: str) -> tuple[Column, ...]:
    """Return the columns of the one CREATE TABLE in ``table_sql``, in order. Raises InvalidConfiguration if it has none."""
    for statement in sqlglot.parse(table_sql, read="postgres"):
        if isinstance(statement, exp.Create) and statement.kind == "TABLE":
            keys = {name.name for key in statement.find_all(exp.PrimaryKey) for name in key.find_all(exp.Identifier)}
            return tuple(_column(definition, keys) for definition in statement.find_all(exp.ColumnDef))
    raise InvalidConfiguration("A table file holds one CREATE TABLE statement; this one has none.")


def _column(definition: exp.ColumnDef, keys: set[str]) -> Column:
    kinds = {type(constraint.kind) for constraint in definition.find_all(exp.ColumnConstraint)}
    required = exp.NotNullColumnConstraint in kinds or exp.PrimaryKeyColumnConstraint in kinds
    kind = definition.kind.sql(dialect="postgres").lower() if definition.kind else "text"
    return Column(definition.name, kind, required or definition.name in keys, exp.DefaultColumnConstraint in kinds)
