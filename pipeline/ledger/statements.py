"""Run the statements of sql/queries/ by their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, RowMapping, text

from pipeline.sqlfiles import load


def execute(connection: Connection, name: str, /, **values: Any) -> CursorResult[Any]:
    """Execute sql/queries/<name>.sql in the transaction of ``connection``."""
    return connection.execute(text(load(f"queries/{name}")), values)


class Statements:
    """Run statements one at a time, each in a transaction of its own. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def rows(self, name: str, /, **values: Any) -> Sequence[RowMapping]:
        """Return the rows of a query, read without a commit."""
        with self._engine.connect() as connection:
            return execute(connection, name, **values).mappings().all()

    def run(self, name: str, /, **values: Any) -> None:
        """Execute a statement and commit it."""
        with self._engine.begin() as connection:
            execute(connection, name, **values)
