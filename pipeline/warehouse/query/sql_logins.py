"""Who people's own SQL runs as: one login for those who may read all, and one for each set of datasets that keys are for."""

from __future__ import annotations

from dataclasses import dataclass
from threading import BoundedSemaphore, Lock

from sqlalchemy import Engine

from pipeline.adapters.postgres import connect, pulse_of
from pipeline.settings import Settings
from pipeline.warehouse.dataset_roles import DatasetRole
from pipeline.warehouse.query import Catalog, Console
from pipeline.warehouse.sql_reader import grant, sql_url

SQL_AT_ONCE = 3
"""Of a process, whoever asks: a thousand keys take no more connections than one."""


@dataclass(frozen=True)
class SqlLogin:
    """Runs queries, and knows what they can be about."""

    engine: Engine
    console: Console
    catalog: Catalog


class SqlLogins:
    """Makes each of them at its first use. Safe to share between threads."""

    def __init__(self, settings: Settings, engine: Engine, reads: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self._reads = reads
        self._places = BoundedSemaphore(SQL_AT_ONCE)
        self._lock = Lock()
        self._made: dict[tuple[str, ...], SqlLogin] = {}
        self._server = pulse_of(sql_url(settings))
        self.of_all = self._reader("", "warehouse")

    def of(self, datasets: tuple[str, ...] | None) -> SqlLogin:
        """The reader of a set of datasets; None: of all. Raises NotReady or Unreachable if PostgreSQL does not know
        it."""
        if datasets is None:
            return self.of_all
        with self._lock:
            if datasets not in self._made:
                granted = DatasetRole(datasets)
                grant(self._engine, self._settings, granted)
                self._made[datasets] = self._reader(granted.name, granted.name)
            return self._made[datasets]

    def close(self) -> None:
        """Give every connection back."""
        for reader in (self.of_all, *self._made.values()):
            reader.engine.dispose()

    def _reader(self, role: str, schema: str) -> SqlLogin:
        settings = self._settings
        engine = connect(
            sql_url(settings, role),
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
