"""PostgreSQL: engines, migrations, the dataset tables with their marts, and the questions validation asks of them.

This is the only module that makes an engine. Everything that it creates is written in ``sql/``; nothing here repeats it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import errors as pg
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pipeline import exact_json
from pipeline.adapters import liveness, postgres_sessions
from pipeline.adapters.liveness import Pulse
from pipeline.adapters.postgres_sessions import KEEPALIVE, Session
from pipeline.datasets.dataset import Dataset, dataset_names, load_dataset
from pipeline.errors import NotUsable, Unreachable
from pipeline.settings import ROOT, Settings
from pipeline.sqlfiles import in_order, load, opening_comment, without_nul
from pipeline.warehouse import dataset_roles, foreign_writes, table_changes
from pipeline.warehouse.dataset_roles import Granted

READER_ROLE = "bulkhead_reader"
"""The login role of people's own SQL: it may read the schema ``warehouse`` and nothing else."""

STATEMENT_SECONDS = 60.0
"""For a statement of ours that is given no other limit."""

LONG_SECONDS = 3600.0
"""For one that goes through all of a file or of a table."""

ANALYZE_SECONDS = 600.0
"""For looking at a sample of a table."""

_MIGRATION_LOCK = 727_074_001
"""Key of the advisory lock that lets one migration run at a time; any constant will do."""

_ALONE_SECONDS, _ALONE_TRIES = 0.5, 7200
"""How often it is asked for, and for how long: an hour, as an index on a large table may take."""


def connect(
    url: str,
    *,
    pool_size: int = 5,
    name: str = "bulkhead",
    statement_seconds: float | None = STATEMENT_SECONDS,
    idle_seconds: float | None = None,
    silence_seconds: float | None = None,
    pool_seconds: float = 30.0,
    server: Pulse | None = None,
) -> Engine:
    """An engine on ``url`` with at most ``pool_size`` connections; a dead connection is noticed and replaced.

    PostgreSQL ends a statement after ``statement_seconds`` (``may_take`` gives one more; None: never), and a session that has
    said nothing in a transaction for ``idle_seconds``. A thread waits at most ``pool_seconds`` for a connection. A server that
    falls silent is noticed after ``silence_seconds`` (sessions.py), or, for people who wait, once ``server`` finds it silent
    (pulse.py).
    """
    limits = {"statement_timeout": statement_seconds, "idle_in_transaction_session_timeout": idle_seconds}
    settings = {limit: str(int(seconds * 1000)) for limit, seconds in limits.items() if seconds}
    settings["default_transaction_isolation"] = "read committed"  # whatever the database's: what a lock waited for is seen
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_seconds,
        pool_pre_ping=True,
        connect_args={"application_name": name, "connect_timeout": 5, **KEEPALIVE},
        json_deserializer=exact_json.loads,  # numbers of JSON come out with the digits they have
    )
    if server is None:

        @event.listens_for(engine, "do_connect")
        def begin(dialect: Any, record: Any, args: Any, options: Any) -> Session:
            return Session.begin(*args, settings=settings, silence_seconds=silence_seconds, **options)

    else:
        _give_up_when_silent(engine, server, settings, statement_seconds)
    return engine


_CONNECT_SECONDS = 2
"""The shortest time that psycopg gives a connection to be made."""


def _give_up_when_silent(engine: Engine, server: Pulse, settings: Mapping[str, str], statement_seconds: float | None) -> None:
    """Have the engine's connections watch the server. Its own time limit comes first, where it can still keep it."""
    kind = liveness.watched(server, statement_seconds + _CONNECT_SECONDS if statement_seconds else None)

    @event.listens_for(engine, "do_connect")
    def make(dialect: Any, record: Any, args: Any, options: dict[str, Any]) -> psycopg.Connection[Any]:
        if server.silent:
            raise liveness.SilentError("the server does not answer")
        try:
            connection = kind.connect(*args, **(options | {"connect_timeout": _CONNECT_SECONDS}))
        except pg.ConnectionTimeout:
            server.suspect(waited=_CONNECT_SECONDS)
            raise
        return postgres_sessions.apply(connection, settings)


def pulse_of(url: str) -> Pulse:
    """The pulse of the PostgreSQL server at ``url``."""
    return liveness.of_postgresql(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))


def may_take(seconds: float) -> str:
    """The statement that gives the statements of the present transaction so long."""
    return f"set local statement_timeout = {int(seconds * 1000)}"


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
    ``url``, so that sql_url can find it. Raises NotUsable, before anything is changed, if a table differs from its file in what
    cannot be done beside reads and loads; Unreachable if PostgreSQL does not answer, or a table is never free for a moment.
    """
    engine = connect(url, pool_size=3, name="bulkhead migrate", statement_seconds=None)  # an index takes what it takes
    datasets = [load_dataset(name, root) for name in dataset_names(root)]
    try:
        with _alone(engine, say), _raw(engine) as raw:
            plans = [table_changes.plan(raw, dataset) for dataset in datasets]
            if refused := [line for plan in plans for line in plan.refused]:
                raise NotUsable("\n".join(["Nothing was changed, for this cannot be done beside reads and loads.", *refused]))
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


@contextmanager
def _raw(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    """A connection of its own in autocommit mode, for what no transaction may hold."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        raw: Any = connection.connection.driver_connection
        yield raw


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
    with _raw(engine) as raw:
        return {name: _difference(raw, name, root) for name in dataset_names(root)}


def other_writers(engine: Engine) -> list[str]:
    """The roles beside our own that may write to a table of the warehouse."""
    with engine.connect() as connection:
        return list(connection.execute(text(load("queries/other_writers"))).scalars())


def _difference(raw: psycopg.Connection[Any], name: str, root: Path) -> str:
    try:
        plan = table_changes.plan(raw, load_dataset(name, root))
    except NotUsable as error:
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
        marts = [_make_mart(connection, path) for path in in_order(root / "sql" / "marts")]
        reader = _make_reader(connection, password)
        sets = [Granted(tuple(names)) for names in connection.execute(text(load("queries/key_datasets"))).scalars()]
        names = dataset_roles.renew(_driver(connection), sets)
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
            dataset_roles.clear(_driver(connection))
            connection.exec_driver_sql(f'drop {there.kind} warehouse."{name}"')
        connection.exec_driver_sql(f'create {wanted} warehouse."{name}" as {query}')
        connection.execute(
            text("delete from ledger.mart where name = :name"), {"name": name}
        )  # it is made of what is there now
        for columns in _unique_columns(query) if wanted == "materialized view" else []:
            connection.exec_driver_sql(f'create unique index on warehouse."{name}" ({columns})')
        quoted = comment.replace("'", "''")
        connection.exec_driver_sql(f"comment on {wanted} warehouse.\"{name}\" is '{quoted}'")
    return f"{wanted} warehouse.{name}"


def _is_materialized(query: str) -> bool:
    return "materialized: true" in opening_comment(query)


def _unique_columns(query: str) -> list[str]:
    """What each line ``-- unique: column, ...`` of a mart's opening comment names: with one, it is readable while refreshed."""
    named = [line.removeprefix("unique:") for line in opening_comment(query) if line.startswith("unique:")]
    return [", ".join(f'"{column.strip()}"' for column in line.split(",")) for line in named]


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
            dataset_roles.make(raw, wanted, password)
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
            cursor.execute(may_take(LONG_SECONDS))
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
        connection.exec_driver_sql(may_take(LONG_SECONDS))
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
    return [without_nul(value) for value in values]


def analyze(engine: Engine, dataset: str) -> None:
    """Tell the planner of what was just loaded, rather than let the first readers wait for autovacuum.

    Not while an index is being built: the two would wait for each other, until PostgreSQL ended the index.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(may_take(ANALYZE_SECONDS))
        connection.exec_driver_sql(f'analyze (skip_locked) warehouse."{dataset}"')


def has_table(engine: Engine, dataset: Dataset) -> bool:
    """PostgreSQL answers, and has the dataset's table."""
    try:
        with engine.connect() as connection:
            found = connection.execute(text("select to_regclass(:name) is not null"), {"name": f'warehouse."{dataset.name}"'})
            return bool(found.scalar())
    except DBAPIError:
        return False


def with_tables(engine: Engine, names: Sequence[str]) -> set[str]:
    """Those of the datasets whose tables are there."""
    with engine.connect() as connection:
        return {*connection.execute(text(load("queries/tables_there")), {"names": list(names)}).scalars()}


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
