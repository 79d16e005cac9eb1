"""PostgreSQL: engines, migrations, the dataset tables with their marts, and the questions validation asks of them.

This is the only module that makes an engine. Everything that it creates is written in ``sql/``; nothing here repeats it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import errors as pg
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pipeline import granted, jsonvalues, tables
from pipeline.datasets import Dataset, dataset_names, load_dataset
from pipeline.errors import NotUsable, Unreachable
from pipeline.granted import Granted
from pipeline.settings import ROOT, Settings
from pipeline.sqlfiles import in_order, load, opening_comment

READER_ROLE = "bulkhead_reader"
"""The login role of people's own SQL: it may read the schema ``warehouse`` and nothing else."""

_MIGRATION_LOCK = 727_074_001
"""Key of the advisory lock that lets one migration run at a time; any constant will do."""

_ALONE_SECONDS, _ALONE_TRIES = 0.5, 7200
"""How often it is asked for, and for how long: an hour, as an index on a large table may take."""


def connect(
    url: str,
    *,
    pool_size: int = 5,
    name: str = "bulkhead",
    statement_seconds: float | None = None,
    idle_seconds: float | None = None,
) -> Engine:
    """An engine on ``url`` with at most ``pool_size`` connections; a dead connection is noticed and replaced.

    PostgreSQL ends a statement after ``statement_seconds``, and a session that has said nothing in a transaction for
    ``idle_seconds``.
    """
    limits = {"statement_timeout": statement_seconds, "idle_in_transaction_session_timeout": idle_seconds}
    options = " ".join(f"-c {limit}={int(seconds * 1000)}" for limit, seconds in limits.items() if seconds)
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        pool_pre_ping=True,
        connect_args={"application_name": name, "connect_timeout": 5, "options": options},
        json_deserializer=jsonvalues.loads,  # numbers of JSON come out with the digits they have
    )


# --- migrations ---


@dataclass(frozen=True)
class Migrated:
    """One thing that a migration looked after, and what was done to it: nothing, if it was as it should be."""

    what: str
    done: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.what}: {', '.join(self.done)}" if self.done else self.what


def migrate(url: str, *, root: Path = ROOT, password: str | None = None, say: tables.Say = lambda line: None) -> list[Migrated]:
    """Bring a database up to date: the ledger, one table a dataset, the marts, the reader's role. Safe to repeat, and to run
    while files are loaded.

    Returns what was looked after; ``say`` hears of what takes long. ``password`` is the reader role's; None takes the one in
    ``url``, so that sql_url can find it. Raises NotUsable, before anything is changed, if a table differs from its file in what
    cannot be done beside reads and loads; Unreachable if PostgreSQL does not answer, or a table is never free for a moment.
    """
    engine = connect(url, pool_size=3, name="bulkhead migrate")
    datasets = [load_dataset(name, root) for name in dataset_names(root)]
    try:
        with _alone(engine, say), _raw(engine) as raw:
            plans = [tables.plan(raw, dataset) for dataset in datasets]
            if refused := [line for plan in plans for line in plan.refused]:
                raise NotUsable("\n".join(["Nothing was changed, for this cannot be done beside reads and loads.", *refused]))
            done = tables.patiently(lambda seconds: _migrate_ledger(engine, seconds), "The ledger")
            for plan in plans:
                done.append(Migrated(f"table {plan.called}", tuple(tables.apply(raw, plan, say=say))))
            secret = password or make_url(url).password or ""
            done += tables.patiently(lambda seconds: _make_views(engine, root, secret, seconds), "A mart")
        return done
    except OperationalError as error:
        raise Unreachable(f"PostgreSQL does not answer: {error.orig}") from error
    except psycopg.OperationalError as error:
        raise Unreachable(f"PostgreSQL does not answer: {error}") from error
    finally:
        engine.dispose()


@contextmanager
def _alone(engine: Engine, say: tables.Say) -> Iterator[None]:
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


@contextmanager
def _raw(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    """A connection of its own in autocommit mode, for what no transaction may hold."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        raw: Any = connection.connection.driver_connection
        yield raw


def _migrate_ledger(engine: Engine, seconds: float) -> list[Migrated]:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "sql" / "migrations"))
    with engine.begin() as connection:
        connection.exec_driver_sql(tables.wait_at_most(seconds))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        version = connection.exec_driver_sql("select version_num from public.alembic_version").scalar()
    return [Migrated(f"ledger at version {version}")]


def _make_views(engine: Engine, root: Path, password: str, seconds: float) -> list[Migrated]:
    """The marts, and the roles that may read them."""
    with engine.begin() as connection:
        connection.exec_driver_sql(tables.wait_at_most(seconds))
        marts = [_make_mart(connection, path) for path in in_order(root / "sql" / "marts")]
        reader = _make_reader(connection, password)
        sets = [Granted(tuple(names)) for names in connection.execute(text(load("queries/key_datasets"))).scalars()]
        names = granted.renew(_driver(connection), sets)
        return [Migrated(line) for line in [*marts, reader, *(f"role {name}" for name in names)]]


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver: Any = connection.connection.driver_connection
    raw: psycopg.Connection[Any] = driver
    return raw


def _make_mart(connection: Connection, path: Path) -> str:
    """A mart is one SELECT; its opening comment says whether it is kept as a materialized view."""
    query, name = path.read_text(encoding="utf-8"), path.stem
    wanted = "materialized view" if _is_materialized(query) else "view"
    there = connection.execute(text(load("queries/mart_definition")), {"name": name}).first()
    comment = query.strip()
    if there is None or (there.kind, there.comment) != (wanted, comment):
        if there is not None:
            granted.clear(_driver(connection))
            connection.exec_driver_sql(f'drop {there.kind} warehouse."{name}"')
        connection.exec_driver_sql(f'create {wanted} warehouse."{name}" as {query}')
        quoted = comment.replace("'", "''")
        connection.exec_driver_sql(f"comment on {wanted} warehouse.\"{name}\" is '{quoted}'")
    return f"{wanted} warehouse.{name}"


def _is_materialized(query: str) -> bool:
    return "materialized: true" in opening_comment(query)


def _make_reader(connection: Connection, password: str) -> str:
    """The role that people's own SQL logs in as; where we may not create roles, somebody else has to."""
    may = connection.execute(text("select rolcreaterole or rolsuper from pg_roles where rolname = current_user")).scalar()
    if not may:
        return f"role {READER_ROLE} left to the database's administrator"
    there = connection.execute(text("select 1 from pg_roles where rolname = :name"), {"name": READER_ROLE}).scalar()
    if not there:
        connection.exec_driver_sql(f"create role {READER_ROLE}")
    statements = SQL(load("queries/reader_role")).format(
        role=Identifier(READER_ROLE),
        database=Identifier(connection.engine.url.database or ""),
        password=password,
    )
    _driver(connection).execute(statements)
    return f"role {READER_ROLE}"


def sql_url(settings: Settings, role: str = "") -> str:
    """Where people's own SQL runs: BULKHEAD_SQL_URL, or the warehouse as the reader role that migrate made.

    The role of a set of datasets (granted.py) logs in at the same place, with the same password.
    """
    url = make_url(settings.database_sql_url or settings.read_url)
    if role or not settings.database_sql_url:
        url = url.set(username=role or READER_ROLE)
    return url.render_as_string(hide_password=False)


def grant(engine: Engine, settings: Settings, wanted: Granted) -> None:
    """See to it that people's SQL can run as the role of a set of datasets.

    Raises NotUsable if it is not there and we may not make it, Unreachable if that must wait.
    """
    password = make_url(sql_url(settings)).password or ""
    try:
        with _raw(engine) as raw:
            granted.make(raw, wanted, password)
    except pg.InsufficientPrivilege as error:
        raise NotUsable("SQL is not open to this key yet: PostgreSQL lets Bulkhead make no schema for it.") from error
    except (psycopg.Error, DBAPIError, PoolTimeoutError) as error:
        raise Unreachable("PostgreSQL could not make the role that this query runs as. Try again in a moment.") from error


# --- what validation and finish ask ---


def edges(engine: Engine, dataset: Dataset, wanted: Path, to: Path, *, beat: Callable[[], None]) -> int:
    """Write the warehouse's edges that ``wanted`` (a Parquet file: what, id, parent) asks for to ``to`` (id, parentId).

    ``what`` is ``above`` (the record and all above it), ``below`` (the record and, if it is new or ``parent`` is not its
    parent so far, all below it), ``children`` (those of the record) or ``roots`` (all, whatever the id). Each edge comes once;
    how many there are is returned. In constant memory here; PostgreSQL walks level by level along its indexes.
    """
    import pyarrow as pa  # 40 MiB that the web app, which never comes here, does without
    import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.string()), ("parentId", pa.string())])
    count = 0
    with engine.connect() as connection, pq.ParquetWriter(to, schema) as writer:
        raw: Any = connection.connection.driver_connection
        with raw.cursor() as cursor:
            cursor.execute("create temporary table wanted (what text, id text, parent text) on commit drop")
            with cursor.copy("copy wanted (what, id, parent) from stdin") as copy:
                for batch in pq.ParquetFile(wanted).iter_batches(columns=["what", "id", "parent"]):
                    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        copy.write_row(row)
                    beat()
            cursor.execute("analyze wanted")
        query = SQL(load("queries/edges_asked")).format(
            table=Identifier("warehouse", dataset.name),
            key=Identifier(dataset.key),
            parent=Identifier(dataset.parent),
        )
        with raw.cursor(name="edges") as cursor:
            cursor.itersize = 20_000
            cursor.execute(query)
            while rows := cursor.fetchmany(20_000):
                columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
                count += len(rows)
                beat()
    return count


def keep_findings(engine: Engine, import_id: str, findings: Path, *, beat: Callable[[], None]) -> int:
    """Take an import's findings.parquet into ledger.finding, in place of those that may be there; how many there are.

    In one transaction, and in constant memory. A NUL, which no text in PostgreSQL can hold, is spelled as JSON would.
    """
    import pyarrow.parquet as pq

    fields = [
        "number",
        "code",
        "severity",
        "message",
        "row",
        "line",
        "column",
        "value",
        "hint",
        "related",
        "cycle",
        "id",
        "cells",
    ]
    count = 0
    with engine.begin() as connection:
        connection.execute(text(load("queries/finding_discard")), {"import_id": import_id})
        raw: Any = connection.connection.driver_connection
        with raw.cursor() as cursor, cursor.copy(load("queries/finding_copy")) as copy:
            for batch in pq.ParquetFile(findings).iter_batches(batch_size=2000, columns=fields):
                columns = (_storable(batch.column(name)) for name in fields)
                for row in zip(*columns, strict=True):
                    copy.write_row((import_id, *row))
                count += batch.num_rows
                beat()
    return count


def _storable(column: Any) -> list[Any]:
    """A column's values, as PostgreSQL can hold them."""
    values: list[Any] = column.to_pylist()
    return [_without_nul(value) for value in values]


def _without_nul(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nul(one) for one in value]
    return value.replace("\0", "\\u0000") if isinstance(value, str) and "\0" in value else value


def refresh_marts(engine: Engine, dataset: Dataset) -> bool:
    """Bring the materialized marts that read this dataset's table up to date, once the planner knows of what was loaded.

    Whether there are any: if not, nobody has told the planner.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        names = connection.execute(text(load("queries/marts_of")), {"dataset": dataset.name}).scalars().all()
        if names:
            analyze(engine, dataset)
        for name in names:
            connection.exec_driver_sql(f'refresh materialized view warehouse."{name}"')
    return bool(names)


def analyze(engine: Engine, dataset: Dataset) -> None:
    """Tell the planner of what was just loaded, rather than let the first readers wait for autovacuum.

    Not while an index is being built: the two would wait for each other, until PostgreSQL ended the index.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f'analyze (skip_locked) warehouse."{dataset.name}"')


def has_table(engine: Engine, dataset: Dataset) -> bool:
    """PostgreSQL answers, and has the dataset's table."""
    try:
        with engine.connect() as connection:
            found = connection.execute(text("select to_regclass(:name) is not null"), {"name": f'warehouse."{dataset.name}"'})
            return bool(found.scalar())
    except DBAPIError:
        return False


@dataclass(frozen=True)
class ReplicaState:
    """What a server that is read from says of itself."""

    is_replica: bool
    is_migrated: bool
    lag_seconds: float


def replica_state(engine: Engine) -> ReplicaState:
    """Whether it is a replica, whether it has our tables, and how far it is behind (0 for what is no replica)."""
    with engine.connect() as connection:
        return ReplicaState(*connection.execute(text(load("queries/replica_state"))).one())


def is_up(engine: Engine) -> bool:
    """PostgreSQL answers."""
    try:
        with engine.connect() as connection:
            return bool(connection.execute(text("select true")).scalar())
    except DBAPIError:
        return False
