"""Migrate a database: the ledger, one table a dataset, the marts, and the roles that may read them.

Everything that a migration creates is written in ``sql/``; nothing here repeats it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from pipeline.adapters.postgres import connect, driver_connection, raw_connection
from pipeline.adapters.postgres_access import DatabaseAccess, as_access
from pipeline.adapters.postgres_errors import unreachable
from pipeline.datasets.dataset import Dataset, dataset_names, load_dataset
from pipeline.errors import Conflict, PermanentError, Unreachable
from pipeline.settings import ROOT
from pipeline.sqlfiles import in_order, load
from pipeline.warehouse import application_role, dataset_roles, foreign_writes, table_changes, table_plan
from pipeline.warehouse.dataset_roles import DatasetRole
from pipeline.warehouse.lock_waits import wait_at_most, with_locks
from pipeline.warehouse.marts import make_mart, make_tree_views
from pipeline.warehouse.sql_reader import make_reader

_MIGRATION_LOCK = 727_074_001
"""The key of the advisory lock that lets one migration run at a time; an arbitrary constant."""

_ALONE_SECONDS, _ALONE_TRIES = 0.5, 7200
"""The pause between tries to get it, and their number: an hour, since an index on a large table may take that."""


_TRY_TO_BE_ALONE = f"""select pg_try_advisory_xact_lock({_MIGRATION_LOCK}),
    set_config('idle_in_transaction_session_timeout', '0', true)"""


@dataclass(frozen=True)
class Migrated:
    """One thing that a migration checked, and what was done to it: nothing, if it was as it should be."""

    what: str
    done: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.what}: {', '.join(self.done)}" if self.done else self.what


def migrate(
    to: str | DatabaseAccess,
    *,
    owner: str | DatabaseAccess | None = None,
    root: Path = ROOT,
    password: str | None = None,
    say: table_changes.Say = lambda line: None,
) -> list[Migrated]:
    """Bring a database up to date, and return what was checked and done. Safe to repeat, and to run while files are loaded.

    ``owner``: the role that owns the ledger, where that is another than the application's, as which ``to`` connects. ``say`` is
    given what takes long. ``password`` is the reader role's; None takes the one in the URL, where sql_url looks.
    Raises Conflict, before anything is changed, if a table differs from its file in a way that cannot be changed while the
    table is read and loaded; Unreachable if PostgreSQL does not answer, or a table is never free for a moment.
    """
    engine = connect(to, pool_size=3, name="bulkhead migrate", statement_seconds=None)  # an index may take long
    owners = connect(owner, pool_size=3, name="bulkhead migrate", statement_seconds=None) if owner else engine
    datasets = [load_dataset(name, root) for name in dataset_names(root)]
    try:
        with alone(owners, say), _application_connection(engine, owners, to, say) as raw:
            if owners is not engine:
                _grant(owners, to)  # it may look at the tables, and make them
            plans = [table_plan.plan(raw, dataset) for dataset in datasets]
            if refused := [line for plan in plans for line in plan.refused]:
                raise Conflict("\n".join(["Nothing was changed, for this cannot be done beside reads and loads.", *refused]))
            done = with_locks(lambda seconds: _migrate_ledger(owners, seconds), "The ledger")
            done += _grant(owners, to) if owners is not engine else []  # also what is new
            for plan in plans:
                done.append(Migrated(f"table {plan.called}", tuple(table_changes.apply(raw, plan, say=say))))
                _note_foreign_writes(raw, plan)
            secret = password or as_access(to).parsed.password or ""
            done += with_locks(lambda seconds: _make_views(engine, root, secret, seconds), "A mart")
        return done
    except (OperationalError, psycopg.OperationalError) as error:
        raise unreachable(error) from error
    finally:
        engine.dispose()
        owners.dispose()


@contextmanager
def _application_connection(
    engine: Engine, owner: Engine, to: str | DatabaseAccess, say: table_changes.Say
) -> Iterator[psycopg.Connection[Any]]:
    """Open a connection as the application's role, which is created if it is missing and the owner may do that."""
    if owner is not engine:
        url = as_access(to).parsed
        with raw_connection(owner) as raw:
            if application_role.create_missing(raw, url.username or "", url.password or ""):
                say(f"Created the role {url.username}.")
    with raw_connection(engine) as raw:
        yield raw


def _grant(owner: Engine, to: str | DatabaseAccess) -> list[Migrated]:
    role = as_access(to).parsed.username or ""
    with raw_connection(owner) as raw:
        return [Migrated(with_locks(lambda seconds: application_role.grant(raw, role, seconds), "The warehouse"))]


def be_alone(connection: Connection, seconds: float = 10.0) -> None:
    """Keep migrations and other changes of datasets from running until the transaction ends. Raises Conflict if one runs."""
    for _ in range(max(1, int(seconds / _ALONE_SECONDS))):
        if connection.exec_driver_sql(f"select pg_try_advisory_xact_lock({_MIGRATION_LOCK})").scalar():
            return
        time.sleep(_ALONE_SECONDS)
    raise Conflict("A migration, or a change of another dataset, is running. Try again when it has ended.")


@contextmanager
def alone(engine: Engine, say: table_changes.Say) -> Iterator[None]:
    """Keep other migrations from running meanwhile. Raises Unreachable if one runs all the time.

    The lock belongs to a transaction that stays open beside the migration, for a pooler may give each transaction another
    session. It must have no snapshot, for which an index that is built concurrently would wait for ever: it is polled, not
    waited for, read committed, and asked without parameters, by the simple protocol, which leaves no portal open.
    """
    with engine.connect() as connection:
        raw = driver_connection(connection)
        for tried in range(_ALONE_TRIES):
            row = raw.execute(_TRY_TO_BE_ALONE, prepare=False).fetchone()
            if row and row[0]:
                break
            raw.rollback()
            if tried == 0:
                say("Another migration is running; waiting for it to end ...")
            time.sleep(_ALONE_SECONDS)
        else:
            raise Unreachable("Another migration has been running all the time. Try again when it has ended.")
        yield


def _migrate_ledger(engine: Engine, seconds: float) -> list[Migrated]:
    from pipeline.warehouse import schema_version  # which needs the functions below

    schema_version.refuse_newer(ledger_version(engine))
    config = _migrations()
    with engine.begin() as connection:
        connection.exec_driver_sql(wait_at_most(seconds))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        version = connection.exec_driver_sql("select version_num from public.alembic_version").scalar()
        schema_version.note_oldest_code(connection)
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
        files = in_order(root / "sql" / "marts")
        marts = [make_mart(connection, path.stem, path.read_text(encoding="utf-8")) for path in files]
        datasets = [load_dataset(name, root) for name in dataset_names(root)]
        marts += make_tree_views(connection, datasets, root)
        reader = make_reader(connection, password)
        sets = reader_sets(connection, datasets)
        names = dataset_roles.renew(driver_connection(connection), sets)
        return [Migrated(line) for line in [*marts, reader, *(f"role {name}" for name in names)]]


def reader_sets(connection: Connection, datasets: Sequence[Dataset]) -> list[DatasetRole]:
    """Return the sets of datasets that SQL of keys may read, each as it is with and without masks of personal data."""
    everything = [one.name for one in datasets]
    personal = {one.name: one.personal for one in datasets if one.personal}
    limited = [tuple(names) for names in connection.execute(text(load("queries/api_keys/datasets"))).scalars()]
    found = [DatasetRole(names) for names in limited]
    for names in [*limited, *([tuple(everything)] if personal else [])]:
        masked = tuple((name, personal[name]) for name in sorted(names) if name in personal)
        found += [DatasetRole(names, masked)] if masked else []
    return found


def ledger_version(engine: Engine) -> str | None:
    """Return the version of the ledger's tables; None if there are none."""
    with engine.connect() as connection:
        if connection.execute(text("select to_regclass('public.alembic_version')")).scalar() is None:
            return None
        version: str | None = connection.execute(text("select version_num from public.alembic_version")).scalar()
        return version


def newest_version() -> str:
    """Return the version that a migration brings the ledger to."""
    return str(scripts().get_current_head())


def scripts() -> ScriptDirectory:
    """Return the migrations."""
    return ScriptDirectory.from_config(_migrations())


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
