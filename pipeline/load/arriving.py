"""The temporary table ``arriving`` and the SQL that takes its records to the dataset's table.

``arriving`` holds the records of one part by their *place* in parents-first order, either with the types of the dataset's table
or as text: as text, a value that its column's type does not accept fails in the statement for its record, not in COPY.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv as pacsv
from psycopg.sql import SQL, Composable, Composed, Identifier

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.table import Column
from pipeline.load.decimals import without_zeros
from pipeline.load.part_file import Records
from pipeline.sqlfiles import load as query_text
from pipeline.telemetry import tracing

Connection = psycopg.Connection[Any]

HAS_IS_VALID = 160_000
"""The first version of PostgreSQL that has pg_input_is_valid."""

_COMMA = SQL(", ")


@dataclass(frozen=True)
class TargetTable:
    """The SQL of one dataset's table, for the ``columns`` that a part has."""

    dataset: Dataset
    columns: tuple[Column, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def identifier(self) -> Identifier:
        """The table's name with its schema."""
        return Identifier("warehouse", self.dataset.name)

    def create_arriving(self, *, typed: bool) -> Composed:
        """Return the statement that creates ``arriving``, with the table's types or with text."""
        names = [Identifier(name) for name in self.names]
        columns = names if typed else [SQL("{}::text").format(name) for name in names]
        return SQL(query_text("queries/load/arriving")).format(columns=_COMMA.join(columns), table=self.identifier)

    def merge(self, query: str, *, typed: bool = True) -> Composed:
        """Return ``sql/queries/load/<query>.sql``, which compares ``arriving`` with the table or writes it there.

        ``typed``: ``arriving`` has the table's types; otherwise its text is cast to them.
        """
        others = self._others()
        new = Identifier("excluded" if query == "upsert" else "arriving")
        return SQL(query_text(f"queries/load/{query}")).format(
            table=self.identifier,
            key=Identifier(self.dataset.key),
            key_type=SQL(self.dataset.column(self.dataset.key).type),
            columns=_COMMA.join(Identifier(name) for name in self.names),
            values=_COMMA.join(self._cast(typed=typed)),
            sets=_COMMA.join(SQL("{} = {}.{}").format(name, new, name) for name in others),
            old=_COMMA.join(SQL("target.{}").format(name) for name in others),
            new=_COMMA.join(SQL("{}.{}").format(new, name) for name in others),
        )

    def dry_run(self, *, typed: bool) -> Composed:
        """Return the query that counts what the upsert of ``arriving`` would do."""
        others = self._others()
        named = zip(self._cast(typed=typed), self.names, strict=True)
        return SQL(query_text("queries/load/preview")).format(
            table=self.identifier,
            key=Identifier(self.dataset.key),
            parent=Identifier(self.dataset.parent),
            values=_COMMA.join(SQL("{} as {}").format(value, Identifier(name)) for value, name in named),
            old=_COMMA.join(SQL("target.{}").format(name) for name in others),
            new=_COMMA.join(SQL("excluded.{}").format(name) for name in others),
        )

    def drop_misfits(self, is_valid: str) -> Composed:
        """Return the statement that deletes from ``arriving`` (text) the records with a value its column does not accept.

        ``is_valid`` names a function of a value and a type.
        """
        fits = [
            SQL("coalesce({}({}, {}), true)").format(SQL(is_valid), Identifier(column.name), column.type)
            for column in self.columns
        ]
        return SQL("delete from arriving where not ({})").format(SQL(" and ").join(fits))

    def blocked(self) -> Composed:
        """Return the query for the paths up from records of ``arriving`` that lead to a failed record."""
        return SQL(query_text("queries/load/blocked")).format(
            table=self.identifier, key=Identifier(self.dataset.key), parent=Identifier(self.dataset.parent)
        )

    def _others(self) -> list[Identifier]:
        """The columns but the key."""
        return [Identifier(name) for name in self.names if name != self.dataset.key]

    def _cast(self, *, typed: bool) -> list[Composable]:
        """The columns of ``arriving`` as expressions of the table's types."""
        if typed:
            return [Identifier(column.name) for column in self.columns]
        return [SQL("{}::{}").format(Identifier(column.name), SQL(column.type)) for column in self.columns]


@dataclass(frozen=True)
class PartLoad:
    """One part being loaded: its records, the connection whose transaction takes them in, and the part's number."""

    connection: Connection
    records: Records
    import_id: str = ""
    part_no: int = 0

    @property
    def dataset(self) -> Dataset:
        """The dataset of the records."""
        return self.records.dataset

    @property
    def size(self) -> int:
        """The number of records."""
        return len(self.records.table)

    @cached_property
    def target(self) -> TargetTable:
        """The dataset's table, with the columns that the part has."""
        return TargetTable(self.dataset, self.records.columns)

    def run(self, query: str, **values: Any) -> psycopg.Cursor[Any]:
        """Execute ``sql/queries/load/<query>.sql`` on the ledger, for this import and part."""
        given = {"import_id": self.import_id, "part_no": self.part_no, **values}
        return self.connection.execute(query_text(f"queries/load/{query}"), given)

    def merge(self, query: str, *, typed: bool = True, **values: Any) -> psycopg.Cursor[Any]:
        """Execute a statement of ``TargetTable.merge``."""
        return self.connection.execute(self.target.merge(query, typed=typed), {"import_id": self.import_id, **values})


def fill_arriving(load: PartLoad, *, typed: bool) -> None:
    """Create ``arriving`` and COPY all records into it."""
    load.connection.execute(load.target.create_arriving(typed=typed))
    copy_into(load.connection, Identifier("arriving"), ("_place", "_row", *load.target.names), load.records.slices())
    if not typed:
        load.connection.execute("create index on arriving (_place)")


def drop_misfits(load: PartLoad) -> None:
    """Delete the records from ``arriving`` (text) that have a value its column does not accept."""
    is_valid = "pg_input_is_valid"
    if load.connection.info.server_version < HAS_IS_VALID:
        is_valid = "pg_temp.bulkhead_is_valid"
        load.connection.execute(query_text("queries/load/is_valid"), prepare=False)
    load.connection.execute(load.target.drop_misfits(is_valid))


def copy_into(connection: Connection, table: Identifier, names: Sequence[str], slices: Iterable[pa.Table]) -> int:
    """COPY the columns ``names`` of the slices into a table, one slice after the other; return the number of records."""
    options = pacsv.WriteOptions(include_header=False, quoting_style="all_valid")  # a null is bare, "" is a value
    into = SQL("copy {} ({}) from stdin (format csv)").format(table, _COMMA.join(map(Identifier, names)))
    with tracing.span("COPY") as span, connection.cursor() as cursor:
        with cursor.copy(into) as copy:
            for records in slices:
                text = io.BytesIO()
                pacsv.write_csv(without_zeros(records.select(names)), text, options)
                copy.write(text.getbuffer())
        span.set(records=cursor.rowcount)
        return cursor.rowcount
