"""Migrate a database: the ledger, one table a dataset, the marts, and the roles that may read them.

Everything that a migration creates is written in ``sql/``; nothing here repeats it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import OperationalError

from pipeline.adapters.postgres import connect, driver_connection, raw_connection
from pipeline.datasets.dataset import dataset_names, load_dataset
from pipeline.errors import Conflict, PermanentError, Unreachable
from pipeline.settings import ROOT
from pipeline.sqlfiles import in_order, load
from pipeline.warehouse import dataset_roles, foreign_writes, table_changes, table_plan
from pipeline.warehouse.dataset_roles import DatasetRole
from pipeline.warehouse.lock_waits import wait_at_most, with_locks
from pipeline.warehouse.marts import make_mart
from pipeline.warehouse.sql_reader import make_reader

_MIGRATION_LOCK = 727_074_001
"""The key of the advisory lock that lets one migration run at a time; an arbitrary constant."""

_ALONE_SECONDS, _ALONE_TRIES = 0.5, 7200
"""The pause between tries to get it, and their number: an hour, since an index on a large table may take that."""


@dataclass(frozen=True)
class Migrated:
    """One thing that a migration checked, and what was done to it: nothing, if it was as it should be."""

    what: str
    done: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.what}: {', '.join(self.done)}" if self.done else self.what


def migrate(
    url: str, *, root: Path = ROOT, password: str | None = None, say: table_changes.Say = lambda line: None
) -> list[Migrated]:
    """Bring a database up to date, and return what was checked and done. Safe to repeat, and to run while files are loaded.

    ``say`` is given what takes long. ``password`` is the reader role's; None takes the one in ``url``, where sql_url looks.
    Raises Conflict, before anything is changed, if a table differs from its file in a way that cannot be changed while the
    table is read and loaded; Unreachable if PostgreSQL does not answer, or a table is never free for a moment.
    """
    engine = connect(url, pool_size=3, name="bulkhead migrate", statement_seconds=None)  # an index may take long
    datasets = [load_dataset(name, root) for name in dataset_names(root)]
    try:
        with _alone(engine, say), raw_connection(engine) as raw:
            plans = [table_plan.plan(raw, dataset) for dataset in datasets]
            if refused := [line for plan in plans for line in plan.refused]:
                raise Conflict("\n".join(["Nothing was changed, for this cannot be done beside reads and loads.", *refused]))
            done = with_locks(lambda seconds: _migrate_ledger(engine, seconds), "The ledger")
            for plan in plans:
                done.append(Migrated(f"table {plan.called}", tuple(table_changes.apply(raw, plan, say=say))))
                _note_foreign_writes(raw, plan)
            secret = password or make_url(url).password or ""
            done += with_locks(lambda seconds: _make_views(engine, root, secret, seconds), "A mart")
        return done
    except OperationalError as error:
        raise Unreachable(f"PostgreSQL does not answer: {error.orig}") from error
    except psycopg.OperationalError as error:
        raise Unreachable(f"PostgreSQL does not answer: {error}") from error
    finally:
        engine.dispose()


@contextmanager
def _alone(engine: Engine, say: table_changes.Say) -> Iterator[None]:
    """Keep other migrations from running meanwhile. Raises Unreachable if one runs all the time.

    The lock belongs to the session, since an index built concurrently takes several transactions. It is polled, not waited for:
    a statement that waits has a snapshot, the other migration's index would wait for that to go, and so both for ever.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        ask = text("select pg_try_advisory_lock(:key)")
        for tried in range(_ALONE_TRIES):
            if connection.execute(ask, {"key": _MIGRATION_LOCK}).scalar():
                break
            if tried == 0:
                say("Another migration is running; waiting for it to end ...")
            time.sleep(_ALONE_SECONDS)
        else:
            raise Unreachable("Another migration has been running all the time. Try again when it has ended.")
        try:
            yield
        finally:
            connection.execute(text("select pg_advisory_unlock(:key)"), {"key": _MIGRATION_LOCK})


def _migrate_ledger(engine: Engine, seconds: float) -> list[Migrated]:
    config = _migrations()
    with engine.begin() as connection:
        connection.exec_driver_sql(wait_at_most(seconds))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        version = connection.exec_driver_sql("select version_num from public.alembic_version").scalar()
    return [Migrated(f"ledger at version {version}")]


def _note_foreign_writes(connection: psycopg.Connection[Any], plan: table_plan.Plan) -> None:
    """Install the trigger that notes writes of other clients to a dataset's table, while the table is in use."""

    def install(seconds: float) -> None:
        with connection.transaction():
            connection.execute(wait_at_most(seconds))
            foreign_writes.note(connection, plan.dataset)

    if not foreign_writes.is_noted(connection, plan.dataset):
        with_locks(install, plan.called)


def _make_views(engine: Engine, root: Path, password: str, seconds: float) -> list[Migrated]:
    """Create or renew the marts and the roles that may read them."""
    with engine.begin() as connection:
        connection.exec_driver_sql(wait_at_most(seconds))
        marts = [make_mart(connection, path) for path in in_order(root / "sql" / "marts")]
        reader = make_reader(connection, password)
        sets = [DatasetRole(tuple(names)) for names in connection.execute(text(load("queries/api_keys/datasets"))).scalars()]
        names = dataset_roles.renew(driver_connection(connection), sets)
        return [Migrated(line) for line in [*marts, reader, *(f"role {name}" for name in names)]]


def ledger_version(engine: Engine) -> str | None:
    """Return the version of the ledger's tables; None if there are none."""
    with engine.connect() as connection:
        if connection.execute(text("select to_regclass('public.alembic_version')")).scalar() is None:
            return None
        version: str | None = connection.execute(text("select version_num from public.alembic_version")).scalar()
        return version


def newest_version() -> str:
    """Return the version that a migration brings the ledger to."""
    return str(ScriptDirectory.from_config(_migrations()).get_current_head())


def _migrations() -> Config:
    config = Config()
    folder = str(ROOT / "sql" / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))  # % is special to ConfigParser
    return config


def differing_tables(engine: Engine, root: Path = ROOT) -> dict[str, str]:
    """Return in words how each dataset's table differs from its file; empty if it does not. Changes nothing."""
    with raw_connection(engine) as raw:
        return {name: _difference(raw, name, root) for name in dataset_names(root)}


def _difference(raw: psycopg.Connection[Any], name: str, root: Path) -> str:
    try:
        plan = table_plan.plan(raw, load_dataset(name, root))
    except PermanentError as error:
        return f"cannot be compared with its file: {error}"
    if plan.is_new:
        return "has no table yet"
    if plan.refused:
        return f"differs from its file in what no migration changes: {' '.join(plan.refused)}"
    indexes = {"build": plan.build, "build anew": [*plan.replace, *plan.rename]}
    todo = [*plan.altered, *(f"{verb} index {index.name}" for verb, many in indexes.items() for index in many)]
    todo += [f"drop index {name}" for name in plan.drop]
    todo += [] if foreign_writes.is_noted(raw, plan.dataset) else ["note writes of other clients"]
    return f"differs from its file; a migration would do this: {', '.join(todo)}" if todo else ""


def other_writers(engine: Engine) -> list[str]:
    """Return the roles beside our own that may write to a table of the warehouse."""
    with engine.connect() as connection:
        return list(connection.execute(text(load("queries/foreign_writes/other_writers"))).scalars())
