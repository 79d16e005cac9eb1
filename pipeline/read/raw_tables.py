"""Write the tables of the staging database that reading fills: ``raw``, ``malformed``, ``findings``, ``reading``, ``lines``.

`raw` has the file's own columns as text with a row number, `malformed` the text of the records that do not fit the table,
`findings` what is wrong with single rows, `reading` one row about the file as a whole, and `lines` the rows' line numbers:
``line = first_line + (row - first_row)`` for the rows from ``first_row`` up to the next entry, null for rows without a line.
Each record is in `raw` or in `malformed`, never in both. `curtailed` lists the rows in `raw` that lack some of the file's data,
`declared_totals` those that a workbook says are totals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from pipeline.contracts.options import DETECTED, ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.read import column_mapping, missing_columns
from pipeline.read.limits import Limits
from pipeline.sqlfiles import quoted
from pipeline.staging.database import FINDINGS, VALUE_LENGTH

_FINDING_FIELDS = ("code", "severity", "message", "row", "line", "column", "value", "hint")
_FINDING_SCHEMA = pa.schema([(name, pa.int64() if name in ("row", "line") else pa.string()) for name in _FINDING_FIELDS])
_MALFORMED_SCHEMA = pa.schema([("_row", pa.int64()), ("line", pa.int64()), ("text", pa.string())])
_LINES_SCHEMA = pa.schema([("first_row", pa.int64()), ("first_line", pa.int64())])
_FLUSH_ROWS = 10_000
_FLUSH_CHARACTERS = 1 << 23

_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")


class RawTables:
    """The tables while they are being filled, in an empty database. On an exception all of them are dropped."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        dataset: Dataset,
        limits: Limits,
        folder: Path,
        options: ReadOptions = DETECTED,
    ) -> None:
        self.connection, self.dataset, self.limits, self.options = connection, dataset, limits, options
        self.folder = folder  # for temporary files
        self.text_file: Path | None = None  # the file with exactly the text that is read, if there is one
        self.pages: list[tuple[str, str, int, int]] = []  # of JSON documents; see formats/json_pages.py
        self.parents_are_below: bool | None = None  # of groups of a sheet's rows: what the sheet says; None: nothing
        self.sheets: tuple[str, ...] = ()  # of a workbook: the names of all
        self._findings: list[tuple[object, ...]] = []
        self._malformed: list[tuple[int, int, str]] = []
        self._malformed_characters = 0
        self._notes: dict[tuple[str, str], str] = {}
        self.connection.execute(FINDINGS)
        self.connection.execute("create table lines (first_row bigint not null, first_line bigint)")
        self.connection.execute("create table malformed (_row bigint, line bigint, text varchar)")
        self.connection.execute("create table declared_totals (_row bigint not null)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.flush()
        else:
            self._clear()

    def _clear(self) -> None:
        for kind in ("view", "table"):
            there = f"select {kind}_name from duckdb_{kind}s() where not internal"
            for (name,) in self.connection.execute(there).fetchall():
                self.connection.execute(f"drop {kind} {quoted(name)}")

    def add_finding(
        self,
        code: str,
        message: str,
        *,
        row: int | None = None,
        line: int | None = None,
        column: str | None = None,
        value: str | None = None,
        hint: str = "",
        severity: str = "error",
    ) -> None:
        """Add one finding, an "error" or a "warning". Their number is not limited: they go to the database in batches."""
        shown = None if value is None else printable(value)
        self._findings.append((code, severity, message, row, line, column, shown, hint or None))
        if len(self._findings) >= _FLUSH_ROWS:
            self.flush()

    def note(self, code: str, message: str, hint: str = "") -> None:
        """Note a warning about the file as a whole; ``add_notes`` adds it once, however many files of an archive have it."""
        self._notes.setdefault((code, message), hint)

    def add_notes(self) -> None:
        """Add what was noted as findings."""
        for (code, message), hint in self._notes.items():
            self.add_finding(code, message, hint=hint, severity="warning")
        self._notes.clear()

    def add_malformed(self, row: int, line: int, text: str) -> None:
        """Add the text of a record that has no row in ``raw``."""
        self._malformed.append((row, line, text))
        self._malformed_characters += len(text)
        if len(self._malformed) >= _FLUSH_ROWS or self._malformed_characters >= _FLUSH_CHARACTERS:
            self.flush()

    def check_unknown_column(self, name: str, original: str = "", *, row: int | None = None, line: int | None = None) -> None:
        """Add a finding if the dataset has no place for this column, which the file calls ``original``."""
        if column_mapping.is_unknown(name, self.dataset):
            message, hint = missing_columns.unknown_message(name, self.dataset, original)
            self.add_finding("unknown_column", message, row=row, line=line, column=name, hint=hint)

    def add_line_numbers(self, anchors: Iterable[tuple[int, int]]) -> None:
        """Add line numbers: (row, line) wherever the difference of the two changes."""
        rows = [{"first_row": row, "first_line": line} for row, line in anchors]
        if rows:
            self.insert("lines", pa.Table.from_pylist(rows, schema=_LINES_SCHEMA))

    def add_unnumbered_lines(self, first_row: int) -> None:
        """Say that the rows from this one on stand on no line of the file, and in none of its files."""
        self.connection.execute("insert into lines values ($row, null)", {"row": first_row})
        if self.connection.execute("from duckdb_tables() where table_name = 'members'").fetchall():
            self.connection.execute("insert into members values ($row, '')", {"row": first_row})

    def first_line_numbers(self, most: int) -> tuple[tuple[int, int | None], ...]:
        """Return the first ``most`` entries of `lines`."""
        query = "select first_row, first_line from lines order by first_row limit $most"
        return tuple((int(row), line) for row, line in self.connection.execute(query, {"most": most}).fetchall())

    def drop_raw(self) -> None:
        """Make room for another ``raw``: it is a table, or a view over ``text_rows``, which goes with it."""
        kinds = self.connection.execute("select table_name, table_type from information_schema.tables").fetchall()
        if dict(kinds).get("raw"):
            self.connection.execute(f"drop {'view' if dict(kinds)['raw'] == 'VIEW' else 'table'} raw")
        self.connection.execute("drop table if exists text_rows")

    def create_curtailed(self) -> None:
        """Create `curtailed` (_row): rows with an error of the readers, which did not keep the value in ``raw``."""
        self.flush()
        self.connection.execute(
            """create table curtailed as select distinct row as _row from findings
            where severity = 'error' and row is not null and code != 'unknown_column'"""
        )

    def keep_only(self, names: Sequence[str]) -> None:
        """Drop every column of ``raw`` but these."""
        kinds = dict(self.connection.execute("select table_name, table_type from information_schema.tables").fetchall())
        texts = ", ".join(map(quoted, names))
        if kinds["raw"] == "VIEW":
            self.connection.execute(f"create or replace view raw as select rowid + 1 as _row, {texts} from text_rows")
            return
        for (name,) in self.connection.execute("select column_name from (describe raw)").fetchall():
            if name not in ("_row", *names):
                self.connection.execute(f"alter table raw drop column {quoted(name)}")

    def change_values(self, name: str, value: str) -> None:
        """Set a column of ``raw``, wherever its values are, to an SQL expression over the columns of the same row."""
        self.connection.execute(f"update {self._raw_table()} set {quoted(name)} = {value}")

    def rename_column(self, old: str, new: str) -> None:
        """Rename a column of ``raw``."""
        table = self._raw_table()
        names = [str(name) for (name,) in self.connection.execute("select column_name from (describe raw)").fetchall()]
        if table == "text_rows":
            self.connection.execute("drop view raw")
        self.connection.execute(f"alter table {table} rename column {quoted(old)} to {quoted(new)}")
        if table == "text_rows":
            texts = ", ".join(quoted(new if name == old else name) for name in names if name != "_row")
            self.connection.execute(f"create view raw as select rowid + 1 as _row, {texts} from text_rows")

    def numbered_table(self) -> tuple[str, str]:
        """Return the table with the values of ``raw``, and SQL of the number of one of its rows."""
        table = self._raw_table()
        return table, "text_rows.rowid + 1" if table == "text_rows" else "raw._row"

    def _raw_table(self) -> str:
        """Return the table with the values of ``raw``, which may be a view."""
        kinds = dict(self.connection.execute("select table_name, table_type from information_schema.tables").fetchall())
        return "text_rows" if kinds["raw"] == "VIEW" else "raw"

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append an Arrow table to a table, by column name."""
        self.connection.register("arriving", rows)
        self.connection.execute(f"insert into {quoted(table)} by name select * from arriving")
        self.connection.unregister("arriving")

    def flush(self) -> None:
        """Write the findings and the malformed records that are still in memory."""
        for table, rows, schema in (
            ("findings", self._findings, _FINDING_SCHEMA),
            ("malformed", self._malformed, _MALFORMED_SCHEMA),
        ):
            if rows:
                fields = zip(*rows, strict=True)
                arrays = [pa.array(values, field.type) for values, field in zip(fields, schema, strict=True)]
                self.insert(table, pa.Table.from_arrays(arrays, schema=schema))
        self._findings.clear()
        self._malformed.clear()
        self._malformed_characters = 0

    def write_summary(self, facts: pa.Table) -> None:
        """Write `reading`, the one row about the file as a whole."""
        self.connection.register("facts", facts)
        self.connection.execute("create table reading as select * from facts")
        self.connection.unregister("facts")


def printable(value: str) -> str:
    """Return a value for a report: invisible characters escaped, at most 200 characters."""
    clipped = value[:VALUE_LENGTH]
    return _UNSHOWABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", clipped)[:VALUE_LENGTH]
