"""The AppContext: settings, and clients of PostgreSQL, S3 and Temporal; one per process, available in every request."""

from __future__ import annotations

from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, cast

from flask import current_app
from sqlalchemy import Engine

from pipeline.adapters.liveness import Liveness
from pipeline.adapters.postgres import connect, liveness_of
from pipeline.adapters.postgres_access import to_database, to_replica
from pipeline.adapters.s3 import Store
from pipeline.ledger.api_keys import ApiKeys
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.sessions import Sessions
from pipeline.notify.recipients import Recipients
from pipeline.receive.patches import Patches
from pipeline.settings import Settings
from pipeline.warehouse.dataset_numbers import NumbersOfDatasets
from pipeline.warehouse.dataset_source import DatasetSource
from pipeline.warehouse.definitions import Definitions
from pipeline.warehouse.marts import Marts
from pipeline.warehouse.query import Console, Records
from pipeline.warehouse.query.sql_logins import SqlLogins

if TYPE_CHECKING:
    from pipeline.adapters.temporal import TemporalClient

# Backpressure: one request more than these limits gets 503 with Retry-After instead of waiting for a thread.

UPLOADS_AT_ONCE = 6
"""How many of a process's fourteen threads may receive uploads, which can be slow."""

STREAMS_AT_ONCE = 4
"""How many threads may stream events of imports."""

PREVIEWS_AT_ONCE = 2
"""Each preview is a short-lived child process with up to 1 GiB of memory."""

EXPORTS_AT_ONCE = 2
"""Each export occupies a thread until the client has read a whole table. Two threads are left for all other requests."""

READ_SECONDS = 15.0
"""PostgreSQL cancels a statement of the app after this time."""

ANSWER_SECONDS = 2.0
"""How long a request waits for S3, and for a free connection; a silent PostgreSQL is detected by adapters/liveness.py."""


@dataclass(frozen=True)
class AppContext:
    """The settings, the clients of all outside services, and the limits of what runs at the same time."""

    settings: Settings
    database: Liveness
    engine: Engine
    store: Store
    ledger: Ledger
    keys: ApiKeys
    sessions: Sessions
    recipients: Recipients
    marts: Marts
    datasets: DatasetSource
    definitions: Definitions
    numbers: NumbersOfDatasets
    records: Records
    sql_logins: SqlLogins
    temporal: TemporalClient
    uploads: BoundedSemaphore
    streams: BoundedSemaphore
    previews: BoundedSemaphore
    exports: BoundedSemaphore
    engines: tuple[Engine, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> AppContext:
        """Return a new context. It connects to nothing; each client does at its first use."""
        from pipeline.adapters.temporal import TemporalClient

        database = liveness_of(to_database(settings))
        replica = liveness_of(to_replica(settings)) if settings.database_read_url else database
        limits = {"statement_seconds": READ_SECONDS, "pool_seconds": ANSWER_SECONDS}
        engine = connect(to_database(settings), pool_size=8, name="bulkhead web", server=database, **limits)
        reads = connect(to_replica(settings), pool_size=4, name="bulkhead reads", server=replica, **limits)
        return cls(
            settings=settings,
            database=database,
            engine=engine,
            store=Store.of(settings, answer_seconds=ANSWER_SECONDS),
            ledger=Ledger(engine),
            keys=ApiKeys(engine),
            sessions=Sessions(engine),
            recipients=Recipients(engine, settings),
            marts=Marts(engine),
            datasets=DatasetSource(settings, engine),
            definitions=Definitions(engine),
            numbers=NumbersOfDatasets(engine),
            records=Records(reads),
            sql_logins=SqlLogins(settings, engine, reads),
            temporal=TemporalClient.of(settings),
            uploads=BoundedSemaphore(UPLOADS_AT_ONCE),
            streams=BoundedSemaphore(STREAMS_AT_ONCE),
            previews=BoundedSemaphore(PREVIEWS_AT_ONCE),
            exports=BoundedSemaphore(EXPORTS_AT_ONCE),
            engines=(engine, reads),
        )

    def close(self) -> None:
        """Close all connections."""
        self.sql_logins.close()
        for engine in self.engines:
            engine.dispose()

    @property
    def patches(self) -> Patches:
        """Return the patches of imports."""
        return Patches(self.store, self.ledger)

    @property
    def console(self) -> Console:
        """Return the console for keys with access to all datasets."""
        return self.sql_logins.of_all.console


def app_context() -> AppContext:
    """Return the context of the app that handles the present request."""
    return cast(AppContext, current_app.extensions["bulkhead"])
