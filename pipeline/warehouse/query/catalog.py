"""List the tables and views that a login for users' SQL may read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Engine, text

from pipeline.sqlfiles import load
from pipeline.warehouse.query.console import Column


@dataclass(frozen=True)
class Table:
    """A table or view, with its columns in order."""

    name: str
    columns: tuple[Column, ...]


class Catalog:
    """Lists what ``role`` may read in a schema. It has an engine of its own, so that running queries do not block it."""

    def __init__(self, engine: Engine, role: str, schema: str = "warehouse") -> None:
        self._engine = engine
        self._role = role
        self._schema = schema

    def tables(self) -> list[Table]:
        """Return the tables and views by name; empty if the role does not exist."""
        with self._engine.connect() as connection:
            asked = {"role": self._role, "schema": self._schema}
            rows = connection.execute(text(load("queries/sql_reader/tables")), asked).all()
        return [
            Table(name, tuple(Column(row.column_name, row.type) for row in columns))
            for name, columns in groupby(rows, key=lambda row: str(row.name))
        ]

    def names(self) -> frozenset[str]:
        """Return the names of these tables and views."""
        return frozenset(table.name for table in self.tables())
