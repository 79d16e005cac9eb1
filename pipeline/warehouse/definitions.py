"""Definitions of datasets that are kept in the database, by version, and the dumps of those that were dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

from pipeline.sqlfiles import load


@dataclass(frozen=True)
class StoredDefinition:
    """One version: the texts of the two files, who made it and when."""

    name: str
    version: int
    suite: str
    table_sql: str
    title: str = ""
    created_by: str = ""
    created_at: datetime | None = None


class Definitions:
    """The definitions in the database. What changes one takes a connection: the table changes in the same transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def versions(self) -> dict[str, int] | None:
        """Return the version in use of each definition; None in a database that no migration has made ready for them."""
        with self._engine.connect() as connection:
            if connection.execute(text("select to_regclass('ledger.dataset_definition')")).scalar() is None:
                return None
            rows = connection.execute(text(load("queries/definitions/in_use"))).all()
        return {str(name): int(version) for name, version in rows}

    def texts(self) -> list[StoredDefinition]:
        """Return the version in use of each definition, with its texts."""
        with self._engine.connect() as connection:
            return [StoredDefinition(**row) for row in connection.execute(text(load("queries/definitions/texts"))).mappings()]

    def of(self, name: str) -> list[StoredDefinition]:
        """Return all versions of a definition that is in use, newest first; none if there is none."""
        with self._engine.connect() as connection:
            return of_name(connection, name)

    def expired_dumps(self, before: datetime, limit: int) -> list[Mapping[str, Any]]:
        """Return dumps (id, name, prefix) of datasets that were dropped before a time."""
        with self._engine.connect() as connection:
            given = {"before": before, "limit": limit}
            return [dict(row) for row in connection.execute(text(load("queries/definitions/dumps")), given).mappings()]

    def mark_removed(self, dump_id: object) -> None:
        """Note that a dump has been removed."""
        with self._engine.begin() as connection:
            connection.execute(text(load("queries/definitions/mark_removed")), {"id": dump_id})


def of_name(connection: Connection, name: str) -> list[StoredDefinition]:
    """Return all versions of a definition that is in use, newest first."""
    rows = connection.execute(text(load("queries/definitions/of_name")), {"name": name}).mappings()
    return [StoredDefinition(name=name, **row) for row in rows]


def add_version(connection: Connection, name: str, suite: str, table_sql: str, *, title: str, by: str) -> int:
    """Add a version of a definition within the caller's transaction; return its number."""
    last = connection.execute(text(load("queries/definitions/last_version")), {"name": name}).scalar_one()
    given = {"name": name, "version": last + 1, "suite": suite, "table_sql": table_sql, "title": title, "created_by": by}
    connection.execute(text(load("queries/definitions/add")), given)
    return int(last) + 1
