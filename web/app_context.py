"""What the web app stands on: one object a process, made once, reached from any request."""

from __future__ import annotations

from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, cast

from flask import current_app
from sqlalchemy import Engine

from pipeline.adapters.liveness import Liveness
from pipeline.adapters.postgres import connect, pulse_of
from pipeline.adapters.s3 import Store
from pipeline.ledger.api_keys import ApiKeys
from pipeline.ledger.ledger import Ledger
from pipeline.notify.recipients import Recipients
from pipeline.settings import Settings
from pipeline.warehouse.marts import Marts
from pipeline.warehouse.query import Console, Records
from pipeline.warehouse.query.sql_logins import SqlLogins

if TYPE_CHECKING:
    from pipeline.adapters.temporal import TemporalClient

UPLOADS_AT_ONCE = 6
"""Of a process's fourteen threads, so many may wait for slow uploaders."""

STREAMS_AT_ONCE = 4
"""And so many may show an import live."""

PREVIEWS_AT_ONCE = 2
"""Each is a process of its own for a moment, and may take a gigabyte of memory."""

EXPORTS_AT_ONCE = 2
"""Each keeps a thread for as long as somebody takes to read a whole table. The two that are left answer everybody else."""

READ_SECONDS = 15.0
"""PostgreSQL itself ends a statement of ours after so long."""

ANSWER_SECONDS = 2.0
"""People wait so long for S3's answer, and for a free connection; PostgreSQL's silence is told from slowness (pulse.py)."""


@dataclass(frozen=True)
class AppContext:
    """The settings, and everything outside the process that a request may need."""

    settings: Settings
    database: Liveness
    engine: Engine
    store: Store
    ledger: Ledger
    keys: ApiKeys
    receivers: Recipients
    marts: Marts
    records: Records
    readers: SqlLogins
    orchestrator: TemporalClient
    uploads: BoundedSemaphore
    streams: BoundedSemaphore
    previews: BoundedSemaphore
    exports: BoundedSemaphore
    engines: tuple[Engine, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> AppContext:
        """Connects to nothing yet: each edge does at its first use."""
        from pipeline.adapters.temporal import TemporalClient

        database = pulse_of(settings.database_url)
        replica = pulse_of(settings.read_url) if settings.database_read_url else database
        limits = {"statement_seconds": READ_SECONDS, "pool_seconds": ANSWER_SECONDS}
        engine = connect(settings.database_url, pool_size=8, name="bulkhead web", server=database, **limits)
        reads = connect(settings.read_url, pool_size=4, name="bulkhead reads", server=replica, **limits)
        return cls(
            settings=settings,
            database=database,
            engine=engine,
            store=Store.of(settings, answer_seconds=ANSWER_SECONDS),
            ledger=Ledger(engine),
            keys=ApiKeys(engine),
            receivers=Recipients(engine, settings),
            marts=Marts(engine),
            records=Records(reads),
            readers=SqlLogins(settings, engine, reads),
            orchestrator=TemporalClient.of(settings),
            uploads=BoundedSemaphore(UPLOADS_AT_ONCE),
            streams=BoundedSemaphore(STREAMS_AT_ONCE),
            previews=BoundedSemaphore(PREVIEWS_AT_ONCE),
            exports=BoundedSemaphore(EXPORTS_AT_ONCE),
            engines=(engine, reads),
        )

    def close(self) -> None:
        """Give every connection back."""
        self.readers.close()
        for engine in self.engines:
            engine.dispose()

    @property
    def console(self) -> Console:
        """Runs the SQL of those who may read all."""
        return self.readers.of_all.console


def app_context() -> AppContext:
    """Those of the app that answers the present request."""
    return cast(AppContext, current_app.extensions["bulkhead"])
