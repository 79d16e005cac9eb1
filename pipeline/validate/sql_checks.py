"""Staging table -> findings: every expectation of the suite and every SQL check, all of them, always.

A check is a query for the offenders (docs/decisions/0003). Its result is kept as a table, from which come both its findings,
complete, and Great Expectations' verdict on it. Both must say the same, or there is no verdict at all.

A check may ask these relations, whatever the dataset calls its key and its parent:

- ``incoming``: the typed records, with their _row;
- ``nodes`` (_row, id, parent): the same, by fixed names;
- ``links`` (_row, id, parent, above): the same, with the row of the parent, if it is in the file;
- ``duplicates`` (_row, id, place, copies, alike, others): the records whose id is not theirs alone;
- ``warehouse_edges`` (id, "parentId"): what the warehouse knows around the file's records; ``overridden``, the same: what it
  says of those records themselves, where it was asked;
- ``edges`` (number, id, parent, _row, above): the tree that would result, the file's edges laid over the warehouse's;
  ``above`` is the parent's number, and a record of the file has its row for a number;
- ``orphans`` (_row, parent): the records whose parent is nowhere; ``missing`` (parent, records, alike): those parents, how
  many records hang below each, and what it was probably meant to be;
- ``cycles`` (cycle, _row, path, length, rows, old): the circles in that tree, with the first of their rows;
- ``cycle_rows`` (cycle, _row): all rows on them; ``below_cycles`` (cycle, _row): the rows that only hang below one;
- ``names`` (key, parent): what the dataset calls these two;
- ``bounds`` (max_depth, max_children, single_root): what the dataset sets to the tree; ``crowds`` (number, children): of which
  there are too many. If it sets a depth: ``depths`` (number, depth), of all that is not on a circle or below one, and
  ``pushed`` (_row, id, depth, records), the rows that take records of the warehouse too deep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from pipeline.contracts.messages import Verdict
from pipeline.datasets.dataset import Dataset
from pipeline.sqlfiles import opening_comment, quoted
from pipeline.staging.database import VALUE_LENGTH, number
from pipeline.staging.hierarchy import lay_out
from pipeline.validate.cycles import find_cycles
from pipeline.validate.missing_parents import find_orphans
from pipeline.validate.tree_limits import count_children, measure_depths
from pipeline.validate.tree_overlay import add_edges, lay_over_warehouse

if TYPE_CHECKING:
    from pipeline.validate.expectations import Judged, Query

READING = "faults_of_reading"
"""The table of what reading and typing found, so that the page shows it among the verdicts."""

_EVERY_ROW = "Every row can be read, and every value fits its column."


@dataclass(frozen=True)
class Check:
    """One file of sql/checks."""

    name: str
    message: str
    code: str
    severity: str
    column: str  # "key", "parent", a column's name, or nothing
    hint: str
    expects: str
    query: str

    @property
    def table(self) -> str:
        """Where its offenders are kept."""
        return f"check_{self.name}"


def read_check(path: Path) -> Check:
    """A check's file: the first comment line is its message; more may say code, severity, column, hint and expects.

    ``expects`` is what is true of a good file, for the page. {value}, {column}, {path}, {length} and {limit} in the message
    stand for what the query returns under these names; for a row of which something else is to be said, it returns a message.
    """
    query = path.read_text(encoding="utf-8").rstrip().rstrip(";")
    message, *rest = opening_comment(query) or [path.stem]
    said = dict(line.split(": ", 1) for line in rest if ": " in line)
    return Check(
        name=path.stem,
        message=message,
        code=said.get("code", "check_failed"),
        severity=said.get("severity", "error"),
        column=said.get("column", ""),
        hint=said.get("hint", ""),
        expects=said.get("expects", f"No {path.stem.replace('_', ' ')}."),
        query=query,
    )


@dataclass(frozen=True)
class Seen:
    """What every check saw: its offenders are in tables of their own, which Great Expectations is asked about."""

    checks: Sequence[Check]
    queries: Sequence[Query]
    records: int

    @property
    def is_clean(self) -> bool:
        """Nobody saw anything. The expectations of the suite have not spoken yet."""
        return not any(query.rows for query in self.queries)


def look(connection: duckdb.DuckDBPyConnection, dataset: Dataset, *, edges: Path | None) -> Seen:
    """Find whatever the checks say is wrong with ``incoming``; each check's offenders go into a table."""
    from pipeline.validate.expectations import Query  # here, since Great Expectations takes seconds to import

    checks = [read_check(path) for path in dataset.check_files]
    lay_out(connection, dataset)
    add_edges(connection, edges)
    run_checks(connection, checks)
    queries = [Query(_EVERY_ROW, READING, _rows(connection, READING))]
    queries += [Query(one.expects, one.table, _rows(connection, one.table), one.severity) for one in checks]
    records = _rows(connection, "incoming")
    _distrust(queries, dataset)
    return Seen(checks, queries, records)


def judge(connection: duckdb.DuckDBPyConnection, dataset: Dataset, seen: Seen, *, docs: Path, run_name: str) -> Verdict:
    """Have every expectation and every check judged, write the page below ``docs``, and return the verdict.

    Raises RuntimeError if a check or an expectation could not be evaluated: that is no verdict on the file.
    """
    from pipeline.validate import expectations

    judgement = expectations.judge(connection, dataset, seen.queries, docs=docs, run_name=run_name, records=seen.records)
    for one in seen.checks:
        _find_by_check(connection, one, dataset)
    for unmet in judgement.unmet:
        _find_by_expectation(connection, unmet)
    verdict = _verdict(connection)
    if verdict.accepted != judgement.accepted:
        raise RuntimeError(f"{verdict.errors} errors were found, but Great Expectations says accepted={judgement.accepted}.")
    return verdict


def _distrust(queries: Sequence[Query], dataset: Dataset) -> None:
    """Each file below sql/checks that concerns the dataset is among the queries, once. Raises RuntimeError if not."""
    folders = [dataset.root / "sql" / "checks" / name for name in ("every", dataset.name)]
    files = [path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.suffix == ".sql"]
    there = Counter(f"check_{name}" for name in (*dataset.bounds.checks, *(path.stem for path in files)))
    asked = Counter(query.table for query in queries if query.table != READING)
    if there != asked or max(there.values(), default=1) > 1:
        raise RuntimeError(
            f"Each check is evaluated once; here are {_listed(there)}, but {_listed(asked)} were evaluated."
            " If two files have one name, give one of them another."
        )


def _listed(names: Counter[str]) -> str:
    return ", ".join(sorted(name.removeprefix("check_") for name in names.elements())) or "none"


def run_checks(connection: duckdb.DuckDBPyConnection, checks: list[Check]) -> None:
    """Make the relations that are still to be made, and run each check into a table of its own."""
    lay_over_warehouse(connection)
    find_cycles(connection)
    find_orphans(connection)
    count_children(connection)
    measure_depths(connection)
    connection.execute(
        f"""create or replace table {READING} as
        select row, line, "column", value, message from findings where severity = 'error' order by row"""
    )
    for one in checks:
        connection.execute(f'create or replace table "{one.table}" as select * from ({one.query}\n) order by _row')


# --- Findings ---


def _find_by_check(connection: duckdb.DuckDBPyConnection, check: Check, dataset: Dataset) -> None:
    """One finding for each row that the check returned."""
    given = {str(row[0]) for row in connection.execute(f'describe "{check.table}"').fetchall()}
    message = "$message"
    for name in ("path", "length", "limit", "column", "value"):  # the value last: it may look like a placeholder itself
        if name in given:
            message = f"replace({message}, '{{{name}}}', coalesce({_cut(quoted(name))}, ''))"
    if "message" in given:
        message = f"coalesce(message, {message})"
    column = {"key": dataset.key, "parent": dataset.parent}.get(check.column, check.column)
    picks = [
        f"{message} as message",
        "_row as row",
        ("coalesce(hint, $hint)" if "hint" in given else "$hint") + " as hint",
        ('coalesce("column", $column)' if "column" in given else "$column") + ' as "column"',
        (_cut("value") if "value" in given else "null::varchar") + " as value",
        *(name for name in ("related", "cycle") if name in given),
    ]
    said = {"message": check.message, "hint": check.hint or None, "column": column or None}
    connection.execute(f'create or replace temp table found as select {", ".join(picks)} from "{check.table}"', said)
    _add_found(connection, check.code, check.severity)
    _miss_none(connection, check.severity, check.name)


def _find_by_expectation(connection: duckdb.DuckDBPyConnection, unmet: Judged) -> None:
    """One finding for each row that fails; one for the file, where the expectation is about the file as a whole."""
    said = {"message": unmet.message, "hint": unmet.hint or None, "column": unmet.column}
    if unmet.rows_query is None:
        rows = "select null::bigint as _row, null::varchar as value"
    else:
        value = _cut(quoted(unmet.column)) if unmet.column else "null::varchar"
        rows = f"select _row, {value} as value from ({unmet.rows_query.rstrip().rstrip(';')}\n)"
    connection.execute(
        f"""create or replace temp table found as
        select
            replace($message, '{{value}}', coalesce(value, '')) as message,
            _row as row, $hint as hint, $column as "column", value
        from ({rows})""",
        said,
    )
    found = _rows(connection, "found")
    if unmet.rows_query is not None and found != unmet.rows:
        raise RuntimeError(f"Great Expectations counts {unmet.rows} offending rows, our SQL {found}: {unmet.message}")
    _add_found(connection, unmet.code, unmet.severity)
    _miss_none(connection, unmet.severity, unmet.message)


def _add_found(connection: duckdb.DuckDBPyConnection, code: str, severity: str) -> None:
    """Add what was ``found``, less what was said of the same value already.

    That is: the same code, or that a value is missing which could not be read. A warning does not stand for an error.
    """
    connection.execute(
        """insert into findings by name
        select $code as code, $severity as severity, found.* from found
        anti join findings said
        on said.row = found.row and said."column" = found."column" and (said.code = $code or found.value is null)
        and said.severity in ('error', $severity)""",
        {"code": code, "severity": severity},
    )


def _miss_none(connection: duckdb.DuckDBPyConnection, severity: str, by: str) -> None:
    """Whatever was ``found`` has a finding that is as grave. Raises RuntimeError if not."""
    ((missed,),) = connection.execute(
        """select count(*) from found anti join findings said
        on said.row is not distinct from found.row and said.severity in ('error', $severity)""",
        {"severity": severity},
    ).fetchall()
    if missed:
        raise RuntimeError(f"{missed} of the rows that offend are without a finding: {by}")


def _cut(expression: str) -> str:
    return f"left({expression}::varchar, {VALUE_LENGTH})"


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return number(connection, f"select count(*) from {quoted(table)}")


def _verdict(connection: duckdb.DuckDBPyConnection) -> Verdict:
    ((records, errors, warnings),) = connection.execute(
        """select (select count(*) from incoming), count(*) filter (where severity = 'error'),
            count(*) filter (where severity != 'error') from findings"""
    ).fetchall()
    return Verdict(int(records), int(errors), int(warnings))
