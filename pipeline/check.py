"""Staging table -> findings: every expectation of the suite and every SQL check, all of them, always.

A check is a query for the offenders (docs/decisions/0003). Its result is kept as a table, from which come both its findings,
complete, and Great Expectations' verdict on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.contracts import Verdict
from pipeline.cycles import find_cycles
from pipeline.datasets import Dataset
from pipeline.expect import Judged, Query, judge
from pipeline.sqlfiles import opening_comment
from pipeline.stage import FINDINGS, VALUE_LENGTH, connect

READING = "reading_faults"
"""The table of what reading and typing found, so that the pages show it among the verdicts."""


@dataclass(frozen=True)
class Check:
    """One file of sql/checks."""

    name: str
    message: str
    code: str
    severity: str
    hint: str
    column: str  # "key", "parent", a column's name, or nothing
    query: str

    @property
    def table(self) -> str:
        """Where its offenders are kept."""
        return f"check_{self.name}"


def read_check(path: Path) -> Check:
    """A check's file: the first comment line is its message, later ones may say ``code:``, ``severity:``, ``column:``, ``hint:``."""
    query = path.read_text(encoding="utf-8").rstrip().rstrip(";")
    message, *rest = opening_comment(query) or [path.stem]
    said = dict(line.split(": ", 1) for line in rest if ": " in line)
    return Check(
        name=path.stem,
        message=message,
        code=said.get("code", "check_failed"),
        severity=said.get("severity", "error"),
        hint=said.get("hint", ""),
        column=said.get("column", ""),
        query=query,
    )


def external_parents(database: Path, dataset: Dataset, to: Path) -> int:
    """Write the parents that are not in the file to a Parquet file with one column, id; how many there are."""
    with connect(database) as connection:
        _lay_out(connection, dataset)
        connection.execute(
            f"""copy (select distinct nodes.parent as id from nodes anti join nodes known on nodes.parent = known.id
            where nodes.parent is not null order by id) to '{to}' (format parquet)"""
        )
        ((count,),) = connection.execute(f"select count(*) from '{to}'").fetchall()
    return int(count)


def add_edges(database: Path, edges: Path | None) -> None:
    """Make ``warehouse_edges`` (id, parentId): what the warehouse knows above the file's records."""
    with connect(database) as connection:
        connection.execute('create or replace table warehouse_edges (id varchar, "parentId" varchar)')
        if edges is not None:
            connection.execute(
                f"insert into warehouse_edges select id, \"parentId\" from '{edges}' w anti join nodes on w.id = nodes.id"
            )


def check(database: Path, dataset: Dataset, *, edges: Path | None, docs: Path, run_name: str) -> Verdict:
    """Find everything that is wrong with ``incoming``, write the pages below ``docs``, and return the verdict.

    Raises RuntimeError if a check or an expectation could not be evaluated: that is no verdict on the file.
    """
    checks = [read_check(path) for path in dataset.check_files]
    with connect(database) as connection:
        connection.execute(FINDINGS)
        _lay_out(connection, dataset)
    add_edges(database, edges)
    with connect(database) as connection:
        _lay_out_tree(connection)
        connection.execute(f"create or replace table {READING} as select * from findings")
        for one in checks:
            connection.execute(f'create or replace table "{one.table}" as {one.query}')
        queries = [
            Query(
                "Every row can be read, and every value is of its column's type.", READING, _rows(connection, READING)
            )
        ]
        queries += [Query(_title(one), one.table, _rows(connection, one.table), one.severity) for one in checks]
    judged = judge(database, dataset, queries, docs=docs, run_name=run_name)
    with connect(database) as connection:
        for one in checks:
            _find_by_check(connection, one, dataset)
        for verdict in judged:
            _find_by_expectation(connection, verdict)
        return _verdict(connection)


# --- What the checks ask ---


def _lay_out(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """``nodes`` (_row, id, parent): the file's records by whatever names its key and parent have."""
    key, parent = _name(dataset.key), _name(dataset.parent)
    connection.execute(
        f"create or replace table nodes as select _row, {key} as id, {parent} as parent from incoming where {key} is not null"
    )


def _lay_out_tree(connection: duckdb.DuckDBPyConnection) -> None:
    """``duplicates`` (_row, id, digest), ``edges`` (the tree that would result) and ``cycles``."""
    connection.execute(_DUPLICATES)
    connection.execute(_EDGES)
    find_cycles(connection)


_DUPLICATES = """
create or replace table duplicates as
with repeated as (
    select nodes._row, nodes.id from nodes
    semi join (select id from nodes group by id having count(*) > 1) often on nodes.id = often.id
)
select repeated._row, repeated.id, hash(*columns(raw.* exclude (_row))) as digest
from repeated join raw using (_row)
"""

_EDGES = """
create or replace table edges as
select row_number() over () as number, * from (
    select id, min_by(parent, _row) as parent, min(_row) as _row from nodes group by id
    union all
    select id, "parentId", null from warehouse_edges
)
"""


# --- Findings ---


def _find_by_check(connection: duckdb.DuckDBPyConnection, check: Check, dataset: Dataset) -> None:
    given = {str(row[0]) for row in connection.execute(f'describe "{check.table}"').fetchall()}
    message = "$message"
    for name in sorted(given & {"value", "column", "path"}):
        message = f"replace({message}, '{{{name}}}', left(coalesce({_name(name)}::varchar, ''), {VALUE_LENGTH}))"
    column = {"key": dataset.key, "parent": dataset.parent}.get(check.column, check.column)
    hint = "coalesce(hint, $hint)" if "hint" in given else "$hint"
    connection.execute(
        f"""insert into findings by name
        select $code as code, $severity as severity, {message} as message, _row as row, {hint} as hint,
            {'"column"' if "column" in given else "$column"} as "column"
        {"".join(f", {name}" for name in ("related", "cycle") if name in given)}
        {", left(value::varchar, " + str(VALUE_LENGTH) + ") as value" if "value" in given else ""}
        from "{check.table}" """,
        {
            "code": check.code,
            "severity": check.severity,
            "message": check.message,
            "hint": check.hint or None,
            **({} if "column" in given else {"column": column or None}),
        },
    )


def _find_by_expectation(connection: duckdb.DuckDBPyConnection, judged: Judged) -> None:
    """One finding a failing row; one for the file, where the expectation is about the file as a whole."""
    said = {"code": judged.code, "severity": judged.severity, "message": judged.message, "hint": judged.hint or None}
    if judged.rows_query is None:
        connection.execute(
            """insert into findings by name
            select $code as code, $severity as severity, $message as message, $hint as hint""",
            said,
        )
        return
    value = f"left({_name(judged.column)}::varchar, {VALUE_LENGTH})" if judged.column else "null"
    before = _rows(connection, "findings")
    connection.execute(
        f"""insert into findings by name
        select $code as code, $severity as severity, $message as message, $hint as hint, _row as row,
            $column as "column", {value} as value
        from ({judged.rows_query.rstrip().rstrip(";")})""",
        {**said, "column": judged.column},
    )
    found = _rows(connection, "findings") - before
    if found != judged.rows:
        raise RuntimeError(f"Great Expectations counts {judged.rows} offending rows, our SQL {found}: {judged.message}")


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    ((count,),) = connection.execute(f'select count(*) from "{table}"').fetchall()
    return int(count)


def _title(check: Check) -> str:
    """A check as a sentence that is true of a good file, for the pages."""
    return f"No {check.name.replace('_', ' ')}: {check.message}"


def _verdict(connection: duckdb.DuckDBPyConnection) -> Verdict:
    ((records, errors, warnings),) = connection.execute(
        """select (select count(*) from incoming), count(*) filter (where severity = 'error'),
            count(*) filter (where severity != 'error') from findings"""
    ).fetchall()
    return Verdict(int(records), int(errors), int(warnings))


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
