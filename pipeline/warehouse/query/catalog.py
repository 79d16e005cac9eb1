"""What people's own SQL can read: the tables and views of the warehouse, as they stand, that its role was granted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Engine, text

from pipeline.sqlfiles import load
from pipeline.warehouse.query.console import Column


@dataclass(frozen=True)
class Table:
    """A table or view, with its columns in their order."""

    name: str
    columns: tuple[Column, ...]


class Catalog:
    """Lists what ``role`` may read in a schema. It asks on an engine of its own, so that it answers while people's queries hold
    theirs."""

    def __init__(self, engine: Engine, role: str, schema: str = "warehouse") -> None:
        self._engine = engine
        self._role = role
        self._schema = schema

    def tables(self) -> list[Table]:
        """By name; none if the database does not know the role."""
        with self._engine.connect() as connection:
            asked = {"role": self._role, "schema": self._schema}
            rows = connection.execute(text(load("queries/sql_reader/tables")), asked).all()
        return [
            Table(name, tuple(Column(row.column_name, row.type) for row in columns))
            for name, columns in groupby(rows, key=lambda row: str(row.name))
        ]

    def names(self) -> frozenset[str]:
        """The names of these tables and views."""
        return frozenset(table.name for table in self.tables())
