"""Write the files of findings that a user downloads: complete, in the order of the rows, safe in a spreadsheet."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import orjson

from pipeline.contracts.messages import Verdict
from pipeline.datasets.dataset import Dataset
from pipeline.display import TABLE_FORMAT, place_sql
from pipeline.spreadsheet_cells import safe_cell, safe_cell_sql
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.cast import original_names
from pipeline.staging.database import THREADS, number, reading_of

FIELDS = ("code", "severity", "message", "place", "row", "line", "column", "value", "hint", "related", "cycle")
"""A finding's fields, as in the API; the files add the record's id."""

TABLE_FIELDS = ("place", "row", "id", "code", "severity", "column", "value", "message", "hint", "line", "related", "cycle")
"""The columns of findings.csv, before the file's own."""

CELL_CHARACTERS, CELLS_SHOWN = 200, 40
"""Each finding has the first cells of its row, as many as a page shows; findings.csv has the whole row."""


@dataclass(frozen=True)
class Counted:
    """How many findings there are. ``invalid`` is the number of rows that have an error or are on a cycle."""

    records: int
    errors: int
    warnings: int
    invalid: int
    by_code: dict[str, int] = field(default_factory=dict)
    reading: dict[str, Any] = field(default_factory=dict)  # how the file was read: the row of the table ``reading``
    quarantined: int = 0  # records held back, so that the others may be loaded
    refusal: str = ""  # why they could not be held back, where they were to be

    def verdict(self, *, dry_run: bool = False) -> Verdict:
        """Return the verdict that follows from the counts."""
        return Verdict(self.records, self.errors, self.warnings, self.quarantined, self.refusal, dry_run)


def write_findings(connection: duckdb.DuckDBPyConnection, dataset: Dataset, folder: Path) -> Counted:
    """Write findings.csv (with the rows' original columns), findings.json and findings.parquet into ``folder``.

    In bounded memory, however many there are. Raises RuntimeError if one of the files lacks a finding, or has one twice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    several = _has_members(connection)
    shape = {"key": quoted(dataset.key), "cells": _cells(connection), "place": _place(connection, dataset)}
    ordered = _ORDERED.format(line=_LINE, **shape, **(_OF_MEMBERS if several else _OF_ONE))
    connection.execute(_only_rows_told(connection, ordered))
    fields = [*FIELDS, "id", *(["file"] if several else [])]
    shown = f"select {', '.join(map(quoted, fields))} from ordered order by number"
    files = {
        "findings.parquet": ("ordered", "format parquet, row_group_size 10000"),
        "findings.json": (f"({shown})", "format json, array true"),
        "findings.csv": (f"({_only_rows_told(connection, _table(connection, dataset))})", "format csv, header true"),
    }
    copies = [f"copy {what} to {literal(str(folder / name))} ({form})" for name, (what, form) in files.items()]
    ((path,),) = connection.execute("select current_setting('search_path')").fetchall()
    with ThreadPoolExecutor(max_workers=THREADS) as beside:  # each is written by one thread
        written = list(beside.map(lambda copy: number(_beside(connection, path), copy), copies))
    counted = _count(connection)
    if any(rows != counted.errors + counted.warnings for rows in written):
        raise RuntimeError(f"{counted.errors + counted.warnings} findings were to be reported; {written} were written.")
    return counted


_ORDERED = """
create or replace table ordered as
select row_number() over (order by f.row nulls first, f.code, f."column") as number, raw.{key} as id,
    f.code, f.severity, f.message, {place} as place, f.row, {line} as line,
    f."column", f.value, f.hint, f.related, f.cycle, {cells} as cells{file}
from findings f
left join raw on f.row = raw._row
asof left join lines on f.row >= lines.first_row
{members}
order by number
"""
_LINE = "coalesce(f.line, lines.first_line + f.row - lines.first_row)"
_OF_ONE = {"file": "", "members": ""}
_OF_MEMBERS = {"file": ", members.name as file", "members": "asof left join members on f.row >= members.first_row"}


def _place(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> str:
    """Return the same beside ``raw``: a record of the warehouse's table is found by its id."""
    if reading_of(connection).get("format") == TABLE_FORMAT:
        return f"'record ' || left(raw.{quoted(dataset.key)}, {CELL_CHARACTERS})"
    return finding_place(connection)


def finding_place(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the SQL of where a finding ``f`` is, beside the table ``lines``."""
    return place_sql(reading_of(connection), row="f.row", line=_LINE, column='f."column"')


def _beside(connection: duckdb.DuckDBPyConnection, path: str) -> duckdb.DuckDBPyConnection:
    """Return one more connection that sees the same tables: masked ones if ``path`` says so (masked_tables.py)."""
    cursor = connection.cursor()
    cursor.execute(f"set search_path = {literal(path)}")
    return cursor


def _has_members(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the findings are of several files of one archive: then each names its file."""
    return bool(connection.execute("from duckdb_tables() where table_name = 'members'").fetchall())


def _cells(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the SQL of the row as it was in the file, a list of cells cut to what a page shows; null without a row."""
    names = [*original_names(connection)][:CELLS_SHOWN]
    cells = ", ".join(
        f"case when length({cell}) > {CELL_CHARACTERS} then left({cell}, {CELL_CHARACTERS}) || '…' else {cell} end"
        for cell in (f"raw.{quoted(name)}::varchar" for name in names)
    )
    return f"case when raw._row is not null then [{cells}]::varchar[] end"


def _only_rows_told(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return the query without ``raw`` if no finding has a row: the join might read the whole file into memory."""
    if number(connection, "select count(*) from findings where row is not null"):
        return query
    return query.replace("left join raw on", "left join (from raw limit 0) as raw on")


def _table(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> str:
    """Return the query for findings.csv: each finding, then its row as it was in the file, whose columns may have any names."""
    texts = {name: f"f.{quoted(name)}" for name in ("id", "column", "value", "message", "hint")}
    texts["related"] = "array_to_string(f.related, ' ')"
    texts["cycle"] = "array_to_string(f.cycle, ' → ')"
    fields = (*TABLE_FIELDS, "file") if _has_members(connection) else TABLE_FIELDS
    texts["file"] = "f.file"
    known = ", ".join(safe_expression(texts[name], name) if name in texts else f"f.{quoted(name)}" for name in fields)
    names = original_names(connection)
    original = [safe_expression(f"raw.{quoted(name)}", called) for name, called in names.items() if name != dataset.key]
    return f"select {', '.join([known, *original])} from ordered f left join raw on f.row = raw._row order by f.number"


def _count(connection: duckdb.DuckDBPyConnection) -> Counted:
    by_code = dict(connection.execute("select code, count(*) from findings group by code order by code").fetchall())
    ((records, errors, warnings, invalid),) = connection.execute(
        """with invalid as (
            select row from findings where severity = 'error'
            union
            select _row from cycle_rows
        )
        select
            greatest((select coalesce(max(records), 0) from reading), (select count(*) from raw)),
            count(*) filter (where severity = 'error'),
            count(*) filter (where severity != 'error'),
            (select count(distinct row) from invalid)
        from findings"""
    ).fetchall()
    return Counted(int(records), int(errors), int(warnings), int(invalid), by_code)


def safe_expression(expression: str, name: str) -> str:
    """Return the SQL of a CSV column whose cells and heading no spreadsheet takes for a formula. ``expression``: a text."""
    return f"{safe_cell_sql(expression)} as {quoted(safe_cell(name))}"


def as_json(value: Any) -> bytes:
    """Return a document as indented JSON, which people can read."""
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2)
