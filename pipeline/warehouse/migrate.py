"""PostgreSQL: engines, migrations, the dataset tables with their marts, and the questions validation asks of them.

This is the only module that makes an engine. Everything that it creates is written in ``sql/``; nothing here repeats it.
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
from pipeline.warehouse import dataset_roles, foreign_writes, table_changes
from pipeline.warehouse.dataset_roles import DatasetRole
from pipeline.warehouse.marts import make_mart
from pipeline.warehouse.sql_reader import make_reader

_MIGRATION_LOCK = 727_074_001
"""Key of the advisory lock that lets one migration run at a time; any constant will do."""

_ALONE_SECONDS, _ALONE_TRIES = 0.5, 7200
"""How often it is asked for, and for how long: an hour, as an index on a large table may take."""


# --- migrations ---


@dataclass(frozen=True)
class Migrated:
    """One thing that a migration looked after, and what was done to it: nothing, if it was as it should be."""

    what: str
    done: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.what}: {', '.join(self.done)}" if self.done else self.what


def migrate(
    url: str, *, root: Path = ROOT, password: str | None = None, say: table_changes.Say = lambda line: None
) -> list[Migrated]:
    """Bring a database up to date: the ledger, one table a dataset, the marts, the reader's role. Safe to repeat, and to run
    while files are loaded.

    Returns what was looked after; ``say`` hears of what takes long. ``password`` is the reader role's; None takes the one in
    ``url``, so that sql_url can find it. Raises Conflict, before anything is changed, if a table differs from its file
    in what
    cannot be done beside reads and loads; Unreachable if PostgreSQL does not answer, or a table is never free for a moment.
    """
    engine = connect(url, pool_size=3, name="bulkhead migrate", statement_seconds=None)  # an index takes what it takes
    datasets = [load_dataset(name, root) for name in dataset_names(root)]
    try:
        with _alone(engine, say), raw_connection(engine) as raw:
            plans = [table_changes.plan(raw, dataset) for dataset in datasets]
            if refused := [line for plan in plans for line in plan.refused]:
                raise Conflict("\n".join(["Nothing was changed, for this cannot be done beside reads and loads.", *refused]))
            done = table_changes.patiently(lambda seconds: _migrate_ledger(engine, seconds), "The ledger")
            for plan in plans:
                done.append(Migrated(f"table {plan.called}", tuple(table_changes.apply(raw, plan, say=say))))
                _note_foreign_writes(raw, plan)
            secret = password or make_url(url).password or ""
            done += table_changes.patiently(lambda seconds: _make_views(engine, root, secret, seconds), "A mart")
        return done
    except OperationalError as error:
        raise Unreachable(f"PostgreSQL does not answer: {error.orig}") from error
    except psycopg.OperationalError as error:
        raise Unreachable(f"PostgreSQL does not answer: {error}") from error
    finally:
        engine.dispose()


@contextmanager
def _alone(engine: Engine, say: table_changes.Say) -> Iterator[None]:
    """While no other migration runs, nor can begin.

    The lock is the session's: an index built concurrently takes several transactions. It is asked for again and again, not
    waited for: a statement that waits has a snapshot, and the other migration's index would wait for that to go, both for
    ever.
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


def _note_foreign_writes(connection: psycopg.Connection[Any], plan: table_changes.Plan) -> None:
    """Have writes of other clients to a dataset's table noted, beside reads and loads."""

    def install(seconds: float) -> None:
        with connection.transaction():
            connection.execute(table_changes.wait_at_most(seconds))
            foreign_writes.note(connection, plan.dataset)

    if not foreign_writes.is_noted(connection, plan.dataset):
        table_changes.patiently(install, plan.called)


def ledger_version(engine: Engine) -> str | None:
    """The version of the ledger's tables; None if there are none."""
    with engine.connect() as connection:
        if connection.execute(text("select to_regclass('public.alembic_version')")).scalar() is None:
            return None
        version: str | None = connection.execute(text("select version_num from public.alembic_version")).scalar()
        return version


def newest_version() -> str:
    """The version that a migration brings the ledger to."""
    return str(ScriptDirectory.from_config(_migrations()).get_current_head())


def differing_tables(engine: Engine, root: Path = ROOT) -> dict[str, str]:
    """How each dataset's table differs from its file, in words; empty if it does not. Changes nothing."""
    with raw_connection(engine) as raw:
        return {name: _difference(raw, name, root) for name in dataset_names(root)}


def other_writers(engine: Engine) -> list[str]:
    """The roles beside our own that may write to a table of the warehouse."""
    with engine.connect() as connection:
        return list(connection.execute(text(load("queries/foreign_writes/other_writers"))).scalars())


def _difference(raw: psycopg.Connection[Any], name: str, root: Path) -> str:
    try:
        plan = table_changes.plan(raw, load_dataset(name, root))
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


def _migrations() -> Config:
    config = Config()
    folder = str(ROOT / "sql" / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))  # ConfigParser's own sign
    return config


def _migrate_ledger(engine: Engine, seconds: float) -> list[Migrated]:
    config = _migrations()
    with engine.begin() as connection:
        connection.exec_driver_sql(table_changes.wait_at_most(seconds))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        version = connection.exec_driver_sql("select version_num from public.alembic_version").scalar()
    return [Migrated(f"ledger at version {version}")]


def _make_views(engine: Engine, root: Path, password: str, seconds: float) -> list[Migrated]:
    """The marts, and the roles that may read them."""
    with engine.begin() as connection:
        connection.exec_driver_sql(table_changes.wait_at_most(seconds))
        marts = [make_mart(connection, path) for path in in_order(root / "sql" / "marts")]
        reader = make_reader(connection, password)
        sets = [DatasetRole(tuple(names)) for names in connection.execute(text(load("queries/api_keys/datasets"))).scalars()]
        names = dataset_roles.renew(driver_connection(connection), sets)
        return [Migrated(line) for line in [*marts, reader, *(f"role {name}" for name in names)]]


# --- what validation and finish ask ---
