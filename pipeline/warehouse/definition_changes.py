"""Create, change and drop a dataset that is defined in the database, each with its table in one transaction.

The application's role owns the schema warehouse, so it makes and changes tables itself, as a migration does and under the same
lock (docs/decisions/0047). What a person sends is never executed: the SQL of a definition is written by pipeline/datasets.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
from psycopg import errors as pg
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from pipeline.adapters.postgres import LONG_SECONDS, driver_connection, may_take
from pipeline.adapters.postgres_errors import message_of
from pipeline.adapters.s3 import Store
from pipeline.contracts.object_keys import dropped_prefix
from pipeline.datasets.dataset import Dataset, dataset_names, load_dataset
from pipeline.datasets.definition import rule_changes
from pipeline.datasets.definition_files import Files, dataset_from, definition_of
from pipeline.errors import Conflict, InvalidRequest, NotFound, NotReady, Unreachable
from pipeline.sqlfiles import load
from pipeline.warehouse import dataset_roles, foreign_writes, table_changes, table_plan, type_widening
from pipeline.warehouse.dataset_source import DatasetSource
from pipeline.warehouse.definitions import StoredDefinition, add_version, of_name
from pipeline.warehouse.index_changes import renew_indexes
from pipeline.warehouse.lock_waits import wait_at_most
from pipeline.warehouse.marts import make_mart, make_tree_views
from pipeline.warehouse.migrate import be_alone, reader_sets

Also = Callable[[Connection], None]
"""What is written in the transaction of a change, at its end: its event in the audit log."""

LOCK_SECONDS = 5.0
"""How long a change waits for readers and loads of the table; new ones wait behind it."""

PIECE_BYTES = 1 << 20


class OtherVersion(Conflict):
    """The definition was changed meanwhile. ``version``: the one in use now."""

    def __init__(self, message: str, version: int) -> None:
        super().__init__(message)
        self.version = version


class ImportsAtWork(Conflict):
    """Imports of the dataset are running."""


@dataclass(frozen=True)
class Changed:
    """What a change did, or would do, in words; and the version in use."""

    version: int
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Dropped:
    """A dataset that was dropped: the number of its records, and the prefix of its dump in the bucket."""

    records: int
    prefix: str
    version: int


class DefinitionChanges:
    """Changes of the datasets of one deployment. ``source``: all of them."""

    def __init__(self, engine: Engine, source: DatasetSource) -> None:
        self._engine, self._source = engine, source

    def check_free(self, name: str) -> str:
        """Return why a new dataset cannot have this name, as a sentence; an empty text if it can."""
        if name in dataset_names(self._source.files):
            return f"The dataset {name} is defined by files, expectations/{name}.json; change it there."
        with self._engine.connect() as connection:
            return _taken(connection, name)

    def create(self, name: str, files: Files, *, by: str, also: Also = lambda _: None) -> Dataset:
        """Create a dataset: its definition, its table and its tree view. Raises InvalidRequest, Conflict, NotReady."""
        dataset = dataset_from(name, files)
        if said := self.check_free(name):
            raise Conflict(said)
        with self._transaction() as connection:
            if said := _taken(connection, name):
                raise Conflict(said)
            plan = table_plan.plan(driver_connection(connection), dataset)
            table_changes.apply(driver_connection(connection), plan)
            foreign_writes.note(driver_connection(connection), dataset)
            add_version(connection, name, *files, title=dataset.title, by=by)
            self._make_views(connection, dataset)
            also(connection)
        return dataset

    def change(
        self, name: str, files: Files, *, version: int, by: str, dry_run: bool = False, also: Also = lambda _: None
    ) -> Changed:
        """Change a definition and its table, or with ``dry_run`` only say what that would do.

        Raises OtherVersion if ``version`` is not the one in use, ImportsAtWork, or Conflict for what cannot be changed.
        """
        after = dataset_from(name, files)
        with self._transaction() as connection:
            now = self._in_use(connection, name)
            if now.version != version:
                raise OtherVersion(f"The definition of {name} is at version {now.version}, not {version}.", now.version)
            before = dataset_from(name, Files(now.suite, now.table_sql))
            changes = _differences(before, after)
            if not changes:
                return Changed(version, ())
            _require_rest(connection, name, "definitions/at_work")
            done, indexes = self._change_table(connection, before, after)
            if dry_run:
                connection.rollback()
                return Changed(version, (*done, *indexes, *changes))
            new = add_version(connection, name, *files, title=after.title, by=by)
            self._make_views(connection, after)
            also(connection)
        failed = renew_indexes(self._source.settings, after) if indexes else []
        return Changed(new, (*done, *(failed or indexes), *changes))

    def drop(self, name: str, store: Store, *, by: str, also: Also = lambda _: None) -> Dropped:
        """Write a dump of the table and its definition to the bucket, then drop both. Raises Conflict while imports run.

        Nothing writes to the table meanwhile. If the dump fails, nothing is dropped; if the drop fails, the dump is removed.
        """
        dump_id = str(uuid.uuid4())
        prefix = dropped_prefix(name, dump_id)
        try:
            with self._transaction() as connection:
                now = self._in_use(connection, name)
                _require_rest(connection, name, "definitions/waiting")
                records = _dump(connection, store, now, prefix)
                _drop_table(connection, name)
                connection.execute(text(load("queries/definitions/drop")), {"name": name})
                given = {"id": dump_id, "name": name, "version": now.version, "prefix": prefix, "records": records}
                connection.execute(text(load("queries/definitions/note_dump")), {**given, "dropped_by": by})
                self._renew_roles(connection, [one for one in self._datasets() if one.name != name])
                also(connection)
        except BaseException:
            store.delete_prefix(prefix)
            raise
        return Dropped(records, prefix, now.version)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Begin a transaction in which no other change of a dataset runs. Raises our errors in place of the driver's."""
        try:
            with self._engine.begin() as connection:
                connection.exec_driver_sql(may_take(LONG_SECONDS))
                connection.exec_driver_sql(wait_at_most(LOCK_SECONDS))
                be_alone(connection)
                yield connection
        except (psycopg.Error, DBAPIError) as error:
            cause = getattr(error, "orig", error)
            if isinstance(cause, pg.InsufficientPrivilege):
                raise NotReady(
                    f"PostgreSQL lets Bulkhead's role make no table: {message_of(error)}. Run bulkhead migrate as the owner"
                    " (BULKHEAD_MIGRATION_DATABASE_URL), which gives the role the schema warehouse."
                ) from error
            if isinstance(cause, pg.LockNotAvailable | pg.DeadlockDetected):
                raise Unreachable("The table is in use all the time, so nothing was changed. Try again later.") from error
            if isinstance(cause, pg.DependentObjectsStillExist):
                raise Conflict(f"Something else in the database needs the table: {message_of(error)}.") from error
            raise

    def _in_use(self, connection: Connection, name: str) -> StoredDefinition:
        if name in dataset_names(self._source.files):
            raise Conflict(f"The dataset {name} is defined by files, expectations/{name}.json; change it there.")
        if not (found := of_name(connection, name)):
            raise NotFound(f"There is no definition of {name!r} in the database.")
        return found[0]

    def _datasets(self) -> list[Dataset]:
        root = self._source.root()
        return [load_dataset(name, root) for name in dataset_names(root)]

    def _change_table(self, connection: Connection, before: Dataset, after: Dataset) -> tuple[list[str], list[str]]:
        """Bring the table to the new definition; return in words what was done, and which indexes follow. Raises Conflict."""
        raw, done = driver_connection(connection), []
        if wider := type_widening.widened(before, after):
            self._clear_views(connection, before.name)
            done += type_widening.widen(connection, before, wider)
        plan = table_plan.plan(raw, after)
        if plan.refused:
            raise Conflict("\n".join(["This cannot be done beside reads and loads.", *plan.refused]))
        built = [f"index {one.name} built" for one in (*plan.build, *plan.replace, *plan.rename)]
        indexes = [*built, *(f"index {name} dropped" for name in plan.drop)]
        only_columns = replace(plan, build=[], replace=[], rename=[], drop=[])
        done += [one for one in table_changes.apply(raw, only_columns) if one not in plan.notes]
        return done, indexes

    def _clear_views(self, connection: Connection, name: str) -> None:
        """Drop what reads a table, so that a column's type can change; ``_make_views`` makes it again. Raises Conflict."""
        dataset_roles.clear(driver_connection(connection))
        views = connection.execute(text(load("queries/definitions/views_of")), {"name": name}).all()
        if stored := [one.name for one in views if one.is_materialized]:
            raise Conflict(f"The materialized view {stored[0]} reads the table, and would have to be made anew. Drop it first.")
        for one in views:
            connection.exec_driver_sql(f'drop view if exists warehouse."{one.name}" cascade')

    def _make_views(self, connection: Connection, dataset: Dataset) -> None:
        """Make the marts that are missing, the dataset's tree view, and the views of readers."""
        others = [one for one in self._datasets() if one.name != dataset.name]
        marts = self._source.files / "sql" / "marts"
        for path in sorted(marts.glob("*.sql")):
            there = connection.execute(text(load("queries/marts/definition")), {"name": path.stem}).first()
            if there is None:
                make_mart(connection, path.stem, path.read_text(encoding="utf-8"))
        make_tree_views(connection, [*others, dataset], self._source.files)
        self._renew_roles(connection, [*others, dataset])

    def _renew_roles(self, connection: Connection, datasets: list[Dataset]) -> None:
        dataset_roles.renew(driver_connection(connection), reader_sets(connection, sorted(datasets, key=lambda one: one.name)))


def _taken(connection: Connection, name: str) -> str:
    """Return why the name is not free, as a sentence; an empty text if it is."""
    if of_name(connection, name):
        return f"There is a dataset {name} already. Choose another name."
    kind = connection.execute(text(load("queries/definitions/taken")), {"name": name}).scalar()
    return f"The warehouse has a {kind} called {name} already. Choose another name." if kind else ""


def _require_rest(connection: Connection, name: str, query: str) -> None:
    """Raise ImportsAtWork if imports of the dataset run; from here on none begins until the transaction ends."""
    connection.exec_driver_sql("lock table ledger.import in share mode")
    if running := list(connection.execute(text(load(f"queries/{query}")), {"dataset": name}).scalars()):
        raise ImportsAtWork(
            f"{len(running)} imports of {name} have not ended, among them {running[0]}. Wait for them, or cancel them."
        )


def _differences(before: Dataset, after: Dataset) -> list[str]:
    """Return in words what a change means beside the table. Raises Conflict for what cannot change."""
    for what in ("key", "parent"):
        if getattr(before, what) != getattr(after, what):
            raise Conflict(f"The {what} column cannot change: records are linked by it. Create another dataset.")
    if gone := [name for name in before.names if name not in after.names]:
        raise Conflict(f"The column {gone[0]} cannot be removed: its values would be lost. Leave it, and make it optional.")
    return rule_changes(definition_of(before), definition_of(after), before.table_sql != after.table_sql)


def _dump(connection: Connection, store: Store, now: StoredDefinition, prefix: str) -> int:
    """Write the table as ``table.csv.gz`` and the two files under the prefix; return the number of records."""
    raw = driver_connection(connection)
    table = SQL("lock table {} in share mode").format(Identifier("warehouse", now.name))
    raw.execute(table)
    store.put_bytes(f"{prefix}expectations/{now.name}.json", now.suite.encode(), content_type="application/json")
    store.put_bytes(f"{prefix}sql/tables/{now.name}.sql", now.table_sql.encode(), content_type="text/plain; charset=utf-8")
    query = SQL("copy (select * from {}) to stdout (format csv, header true)").format(Identifier("warehouse", now.name))
    with raw.cursor() as cursor:
        with cursor.copy(query) as copy:
            store.put_stream(f"{prefix}table.csv.gz", _Gzip(map(bytes, copy)), content_type="application/gzip")
        return int(cursor.rowcount)


class _Gzip:
    """A stream of chunks, compressed as it is read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._held = chunks, bytearray()
        self._gzip, self._is_over = zlib.compressobj(wbits=31), False

    def read(self, size: int = -1, /) -> bytes:
        """Return at most ``size`` bytes; all that is left if it is negative."""
        while not self._is_over and (size < 0 or len(self._held) < size):
            chunk = next(self._chunks, None)
            self._is_over = chunk is None
            self._held += self._gzip.flush() if chunk is None else self._gzip.compress(chunk)
        end = len(self._held) if size < 0 else size
        given = bytes(self._held[:end])
        del self._held[:end]
        return given


def _drop_table(connection: Connection, name: str) -> None:
    """Drop the tree view and the table. Raises Conflict if a mart reads it."""
    dataset_roles.clear(driver_connection(connection))
    views = [one.name for one in connection.execute(text(load("queries/definitions/views_of")), {"name": name})]
    if others := [one for one in views if one != f"{name}_tree"]:
        raise Conflict(f"The mart {others[0]} reads the table of {name}. Remove sql/marts/{others[0]}.sql and drop it first.")
    if views:
        connection.exec_driver_sql(f'drop view warehouse."{name}_tree"')
    connection.exec_driver_sql(f'drop table if exists warehouse."{name}"')


def require_name(name: str, confirm: str) -> None:
    """Raise InvalidRequest unless the name was given once more."""
    if name != confirm:
        raise InvalidRequest(f"To drop {name} with all its records, give its name once more: confirm={name}")
