"""Cast ``raw``, in which every column is text, to ``incoming``, the dataset's columns with the table's types.

A value that its type does not take (types.py) is left empty in ``incoming`` and becomes a finding.
"""

from __future__ import annotations

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.errors import InvalidConfiguration
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.cast_findings import find_missing, find_repeated_keys, find_uncast
from pipeline.staging.cleaning import rows_to_cast
from pipeline.staging.database import FINDINGS, by_rows
from pipeline.staging.named_parents import count_declared_roots, name_parents_by_id
from pipeline.staging.staging_query import casts, derived_query, is_plain_text, typed_name, value_of
from pipeline.staging.types import reading_of_type


def stage(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """Make ``incoming`` from ``raw``, and findings of values that do not fit their column's type or are missing.

    Run it once, on the tables that the reader made. ``raw`` may lack any column: the reader refuses a file without those that
    are required.
    """
    connection.execute(FINDINGS)
    _check_defaults(connection, dataset)
    present = [str(row[0]) for row in connection.execute("describe raw").fetchall()]
    rows = rows_to_cast(connection, dataset)
    _fill_incoming(connection, dataset, present, rows)
    find_uncast(connection, dataset, present, rows)
    find_repeated_keys(connection, dataset, present)
    find_missing(connection, dataset)
    count_declared_roots(connection, dataset, present, rows)
    name_parents_by_id(connection, dataset, present, rows)


def _check_defaults(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """Raise InvalidConfiguration if a column's default is not of its type: every record would get a finding for it."""
    for name, default in dataset.mapping.defaults.items():
        reading = reading_of_type(dataset.column(name).type)
        fits = f"select {reading.accepts.replace('{v}', literal(default))}" if reading.accepts else "select true"
        if connection.execute(fits).fetchall() != [(True,)]:
            raise InvalidConfiguration(
                f"expectations/{dataset.name}.json: the default of {name}, {default!r}, is not {reading.expected}."
            )


def _fill_incoming(connection: duckdb.DuckDBPyConnection, dataset: Dataset, present: list[str], rows: str) -> None:
    """Make ``incoming`` from the table ``rows``, with the table's types even if the staging query is written by hand.

    Where no column is cast it is a view of the text, so that nothing is copied.
    """
    if is_plain_text(dataset):
        connection.execute(f"create or replace view incoming as {derived_query(dataset, present, rows)}")
        return
    cast_in_passing = _cast_in_passing(connection, dataset, present)
    if cast_in_passing:
        connection.execute(f"create or replace view incoming as {cast_in_passing}")
        return
    typed = [f"{quoted(c.name)} {reading_of_type(c.type).type}" for c in dataset.columns]
    connection.execute(f"create or replace table incoming (_row bigint, {', '.join(typed)})")
    if dataset.staging_file.is_file():
        query = dataset.staging_file.read_text(encoding="utf-8").rstrip().rstrip(";")
        connection.execute(f"insert into incoming by name {query}")
    else:
        by_rows(connection, f"insert into incoming by name {derived_query(dataset, present, rows)} where {{range}}", of="raw")


def _cast_in_passing(connection: duckdb.DuckDBPyConnection, dataset: Dataset, present: list[str]) -> str:
    """Return the staging query over the columns that the reader has cast already; empty if it has not."""
    named = "select column_name from duckdb_columns() where table_name = 'text_rows'"
    there = {str(row[0]) for row in connection.execute(named).fetchall()}
    wanted = casts(dataset, present)
    if not wanted or not there.issuperset(map(typed_name, wanted)):
        return ""
    values = {
        c.name: quoted(typed_name(c.name)) if c.name in wanted else value_of(c, dataset, present) for c in dataset.columns
    }
    picks = ", ".join(f"{value} as {quoted(name)}" for name, value in values.items())
    return f"select rowid + 1 as _row, {picks} from text_rows"


def original_names(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return the file's own name of each column of ``raw``, in the file's order."""
    pairs = connection.execute("select unnest(columns), unnest(original_columns) from reading").fetchall()
    return {str(name): str(original) for name, original in pairs}
