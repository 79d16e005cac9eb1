"""Findings of staging: values that are not of their column's type, JSON objects that repeat a key, and missing values."""

from __future__ import annotations

import json

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.table import Column
from pipeline.exact_json import duplicate_key_in_text, duplicate_key_message
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.database import VALUE_LENGTH, by_rows
from pipeline.staging.staging_query import is_plain_text, text_of, value_of
from pipeline.staging.types import NUMBER_TYPES, parts_of_type, reading_of_type

_FETCH_ROWS = 100
_TOKENS = r""""(?:\\.|[^"\\])*"[ \t\r\n]*:?"""
"""Strings of a JSON text, those that are keys with their colon."""


def find_uncast(connection: duckdb.DuckDBPyConnection, dataset: Dataset, present: list[str], rows: str) -> None:
    """Find the values of the table ``rows`` that their type does not take, so that ``incoming`` has none.

    A finding shows the value as it is in the file, in ``raw``.
    """
    for column in dataset.columns:
        reading = reading_of_type(column.type)
        if column.name not in present or (reading.accepts is None and not dataset.staging_file.is_file()):
            continue
        expected = "a JSON object" if column.name == dataset.rest else reading.expected
        text = text_of(column, dataset, present)
        said = text if rows == "raw" else "written._text"
        by_rows(
            connection,
            f"""insert into findings by name
            select $code as code, 'error' as severity, left({said}, 60) || ' is not ' || $expected || '.' as message,
                _row as row, $name as "column", left({said}, {VALUE_LENGTH}) as value,
                'Expected ' || $expected || '.'{_rule_that_helps(column, said)} as hint
            from {_uncast(column, dataset, present, rows)} where {text} is not null and {{range}}""",
            of="raw",
            **{"code": reading.code, "expected": expected, "name": column.name},
        )


def _uncast(column: Column, dataset: Dataset, present: list[str], rows: str) -> str:
    """Return a relation of the ``rows`` whose value is missing in ``incoming``; ``written`` is their text in the file."""
    if is_plain_text(dataset):
        found = f"(from {rows} where ({value_of(column, dataset, present)}) is null)"
    else:
        found = f"{rows} semi join (select _row from incoming where {quoted(column.name)} is null) using (_row)"
    if rows == "raw":
        return found
    return f"{found} join (select _row, {quoted(column.name)} as _text from raw) written using (_row)"


def _rule_that_helps(column: Column, text: str) -> str:
    """Return the SQL of what to add to the hint: the rule of ``clean`` that reads such a ``text``, or nothing."""
    kind, name = parts_of_type(column.type)[0], json.dumps(column.name, ensure_ascii=False)
    if kind in NUMBER_TYPES:
        said = 'If the comma is a decimal point, say so: clean={"decimal": ","}.'
        pattern = "[+-]?[0-9.]*,[0-9]+"
    elif kind in ("date", "timestamp", "timestamptz"):
        said = f'If the day comes first, say so: clean={{"date_format": {{{name}: "DD.MM.YYYY"}}}}.'
        pattern = "[0-9]{1,2}[.][0-9]{1,2}[.][0-9]{4}"
    else:
        return ""
    return f" || case when regexp_full_match({text}, {literal(pattern)}) then {literal(' ' + said)} else '' end"


def find_repeated_keys(connection: duckdb.DuckDBPyConnection, dataset: Dataset, present: list[str]) -> None:
    """Find JSON objects that repeat a key: PostgreSQL would keep one of the two values, and which one was meant is unknown.

    Only texts that have a key twice anywhere, or spell one with an escape, are parsed.
    """
    for column in dataset.columns:
        if column.name not in present or parts_of_type(column.type)[0] not in ("json", "jsonb"):
            continue
        keys = f"list_filter(regexp_extract_all(value, {literal(_TOKENS)}), lambda token: ends_with(token, ':'))"
        keys = f"list_transform({keys}, lambda token: rtrim(rtrim(token, ':'), chr(32) || chr(9) || chr(10) || chr(13)))"
        connection.execute("create or replace table suspects (_row bigint, value varchar)")
        by_rows(
            connection,
            f"""insert into suspects
            with given as (select _row, {quoted(column.name)} as value from incoming where {{range}}),
            keyed as (select _row, value, {keys} as keys from given where value is not null)
            select _row, value from keyed
            where len(list_distinct(keys)) < len(keys) or len(list_filter(keys, lambda key: contains(key, chr(92)))) > 0""",
        )
        _check_suspects(connection, column)
        connection.execute("drop table suspects")


def _check_suspects(connection: duckdb.DuckDBPyConnection, column: Column) -> None:
    """Add a finding for each of the ``suspects`` (_row, value), texts of ``column``, that does repeat a key."""
    cursor = connection.cursor()  # its own, since findings are written while values are read
    cursor.execute("select _row, value from suspects order by rowid")
    while some := cursor.fetchmany(_FETCH_ROWS):
        found = {
            row: duplicate_key_message(*twice) for row, text in some if (twice := duplicate_key_in_text(text, column.name))
        }
        connection.execute(
            """insert into findings by name
            select 'malformed_row' as code, 'error' as severity, unnest($messages::varchar[]) as message,
                unnest($rows::bigint[]) as row, $name as "column", 'Keep one of the two.' as hint""",
            {"messages": [*found.values()], "rows": [*found], "name": column.name},
        )
    cursor.close()


def find_missing(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """Find empty values of required columns, except those for which the suite has an expectation with its own message."""
    for column in dataset.columns:
        if not column.required or column.name == dataset.rest or column.name in _owned_by_suite(dataset):
            continue
        code = "missing_id" if column.name == dataset.key else "missing_value"
        connection.execute(
            f"""insert into findings by name
            select $code as code, 'error' as severity, 'The ' || $name || ' is missing.' as message, _row as row,
                $name as "column", 'Give every record a value in this column.' as hint
            from incoming
            anti join findings said on said.row = incoming._row and said."column" = $name
            where {quoted(column.name)} is null""",
            {"code": code, "name": column.name},
        )


def _owned_by_suite(dataset: Dataset) -> set[str]:
    """Return the columns for which the suite has an expectation that they are not null."""
    return {
        expectation["kwargs"]["column"]
        for expectation in dataset.suite.get("expectations", [])
        if expectation["type"] == "expect_column_values_to_not_be_null"
    }
