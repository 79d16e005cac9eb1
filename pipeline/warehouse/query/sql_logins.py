"""Open the PostgreSQL logins that users' SQL runs as: one for all datasets, and one for each set of datasets that keys have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock

from sqlalchemy import Engine

from pipeline.adapters.postgres import connect, liveness_of
from pipeline.settings import Settings
from pipeline.warehouse.dataset_roles import DatasetRole
from pipeline.warehouse.dataset_source import DatasetSource
from pipeline.warehouse.query import Catalog, Console
from pipeline.warehouse.sql_reader import grant, sql_access

SQL_AT_ONCE = 3
"""How many queries of a process run at the same time, over all logins: more keys need no more connections."""


@dataclass(frozen=True)
class SqlLogin:
    """Runs queries as one login, and lists what it may read."""

    engine: Engine
    console: Console
    catalog: Catalog


def dataset_role(datasets: tuple[str, ...], masked: Mapping[str, Sequence[str]]) -> DatasetRole:
    """Return the set of datasets that a login reads, with the columns of each that are masked."""
    return DatasetRole(datasets, tuple((name, tuple(columns)) for name, columns in sorted(masked.items())))


class SqlLogins:
    """Opens each login at its first use. Safe to share between threads."""

    def __init__(self, settings: Settings, engine: Engine, reads: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self._reads = reads
        self._datasets = DatasetSource(settings, engine)
        self._places = BoundedSemaphore(SQL_AT_ONCE)
        self._lock = Lock()
        self._made: dict[DatasetRole, SqlLogin] = {}
        self._server = liveness_of(sql_access(settings))
        self.of_all = self._login("", "warehouse")

    def of(self, datasets: tuple[str, ...] | None, masked: Mapping[str, Sequence[str]] | None = None) -> SqlLogin:
        """Return the login for a set of datasets; None: for all. Raises NotReady or Unreachable if its role does not exist.

        ``masked``: datasets with columns that are masked for the key. With one, the login is for the datasets of today.
        """
        if datasets is None and not masked:
            return self.of_all
        named = tuple(self._datasets.names()) if datasets is None else datasets
        granted = dataset_role(named, masked or {})
        with self._lock:
            if granted not in self._made:
                grant(self._engine, self._settings, granted)
                self._made[granted] = self._login(granted.name, granted.name)
            return self._made[granted]

    def close(self) -> None:
        """Close all connections."""
        for login in (self.of_all, *self._made.values()):
            login.engine.dispose()

    def _login(self, role: str, schema: str) -> SqlLogin:
        settings = self._settings
        engine = connect(
            sql_access(settings, role),
            pool_size=SQL_AT_ONCE,
            name="bulkhead sql",
            statement_seconds=settings.sql_seconds + 5,  # a console's own limit comes first
            server=self._server,
        )
        catalog = Catalog(self._reads, engine.url.username or "", schema)
        console = Console(
            engine,
            seconds=settings.sql_seconds,
            rows_max=settings.sql_rows,
            granted=bool(role),
            places=self._places,
            relations=catalog.names,
        )
        return SqlLogin(engine, console, catalog)
