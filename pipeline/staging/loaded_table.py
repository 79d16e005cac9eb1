"""Stage a table of the warehouse, as warehouse/table_export.py wrote it: ``raw``, ``incoming`` and what belongs to them.

A record of the warehouse had a column of its own for each value from the start: no mapping, default or shape applies.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.table import Column
from pipeline.display import TABLE_FORMAT
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.cast_findings import find_missing
from pipeline.staging.database import FINDINGS, VALUE_LENGTH
from pipeline.staging.staging_query import typed_name
from pipeline.staging.types import TypeReading, parts_of_type, reading_of_type

_LINE_BYTES = 2 << 20
"""DuckDB's own limit of a line, as long as no record is longer."""

_FRAME = (
    FINDINGS,
    "create table lines (first_row bigint not null, first_line bigint not null)",
    "create table malformed (_row bigint, line bigint, text varchar)",
    "create table curtailed (_row bigint)",
)


def stage_table(connection: duckdb.DuckDBPyConnection, dataset: Dataset, file: Path, records: int, longest_bytes: int) -> None:
    """Make the tables from a CSV of ``records`` records, and findings of values that are missing or cannot be read.

    Raises duckdb.Error if the file is not as it was written.
    """
    for statement in _FRAME:
        connection.execute(statement)
    connection.execute(_text_rows(dataset, file, longest_bytes))
    names = ", ".join(map(quoted, dataset.names))
    connection.execute(f"create view raw as select rowid + 1 as _row, {names} from text_rows")
    picks = ", ".join(f"{_value_name(column)} as {quoted(column.name)}" for column in dataset.columns)
    connection.execute(f"create view incoming as select rowid + 1 as _row, {picks} from text_rows")
    _write_reading(connection, dataset, records)
    for column in dataset.columns:
        _find_unread(connection, column)
    find_missing(connection, dataset)


def _text_rows(dataset: Dataset, file: Path, longest_bytes: int) -> str:
    """Return the statement that reads the file: each column as text, and beside it the value of those that are not text."""
    texts = ", ".join(f"{literal(name)}: 'varchar'" for name in dataset.names)
    typed = "".join(
        f", {_cast(column)} as {quoted(typed_name(column.name))}" for column in dataset.columns if not _is_text(column)
    )
    longest = max(_LINE_BYTES, longest_bytes + 1)
    return f"""create table text_rows as select *{typed} from read_csv({literal(str(file))}, columns = {{{texts}}},
        auto_detect = false, header = false, delim = ',', quote = '"', escape = '"', new_line = '\\n', nullstr = '',
        allow_quoted_nulls = false, max_line_size = {longest})"""


def _reading(column: Column) -> TypeReading:
    return reading_of_type(column.type)


def _is_text(column: Column) -> bool:
    return _reading(column).type == "varchar"


def _value_name(column: Column) -> str:
    return quoted(column.name if _is_text(column) else typed_name(column.name))


def _cast(column: Column) -> str:
    """Return the SQL of a value. PostgreSQL has checked its type; but a number without a declared size may be too long."""
    text, reading = quoted(column.name), _reading(column)
    value = f"try_cast({text} as {reading.type})"
    name, size, _ = parts_of_type(column.type)
    if name in ("numeric", "decimal") and size is None and reading.accepts is not None:
        return f"case when {reading.accepts.replace('{v}', text)} then {value} end"
    return value


def _find_unread(connection: duckdb.DuckDBPyConnection, column: Column) -> None:
    """Find the values of a column that cannot be read as its type, so that no rule is checked on them."""
    if _is_text(column):
        return
    text = quoted(column.name)
    connection.execute(
        f"""insert into findings by name
        select 'invalid_type' as code, 'error' as severity, left({text}, 60) || ' is not ' || $expected || '.' as message,
            rowid + 1 as row, $name as "column", left({text}, {VALUE_LENGTH}) as value,
            'Expected ' || $expected || '.' as hint
        from text_rows where {text} is not null and {_value_name(column)} is null""",
        {"expected": _reading(column).expected, "name": column.name},
    )


def _write_reading(connection: duckdb.DuckDBPyConnection, dataset: Dataset, records: int) -> None:
    names = pa.array([list(dataset.names)], pa.list_(pa.string()))
    facts = {"records": pa.array([records], pa.int64()), "columns": names, "original_columns": names}
    facts |= {"rules_version": pa.array([dataset.version]), "format": pa.array([TABLE_FORMAT])}
    connection.register("facts", pa.table(facts))
    connection.execute("create table reading as select * from facts")
    connection.unregister("facts")
