"""Run every SQL check and every expectation of the suite on the staged file, and turn their results into findings.

A check is a query of the offending rows (docs/decisions/0003). Its result is kept as a table, from which both its findings and
Great Expectations' verdict on it are made. If the two disagree, there is no verdict.

A check may query these relations, whose columns are the same whatever the dataset calls its key and its parent:

- ``incoming``: the typed records, with their _row;
- ``nodes`` (_row, id, parent): the same, by fixed names;
- ``links`` (_row, id, parent, above): the same, with the row of the parent, if it is in the file;
- ``duplicates`` (_row, id, place, copies, alike, others): the records that share their id with others;
- ``warehouse_edges`` (id, "parentId"): the warehouse's edges around the file's records; ``overridden``, the same: its
  edges of those records themselves, where they were asked for;
- ``edges`` (number, id, parent, _row, above): the tree that would result, the file's edges laid over the warehouse's;
  ``above`` is the parent's number, and the number of a record of the file is its row;
- ``orphans`` (_row, parent): the records whose parent does not exist; ``missing`` (parent, records, alike): those parents,
  how many descendants each has in the file, and the id it was probably meant to be;
- ``cycles`` (cycle, _row, path, length, rows, old): the cycles in that tree, with the first of their rows;
- ``cycle_rows`` (cycle, _row): all rows on them; ``below_cycles`` (cycle, _row): the rows that are only descendants of one;
- ``names`` (key, parent, ids_made_of): the dataset's names of these two columns, and, if a shape made the ids, the file's
  columns that it made them of;
- ``bounds`` (max_depth, max_children, single_root, min_depth): the dataset's tree limits; ``crowds`` (number, children): the
  records with too many children. If it limits depth: ``depths`` (number, depth), of the records not on a cycle or below one,
  ``pushed`` (_row, id, depth, records), the rows that move descendants in the warehouse too deep, and ``shallow``, the same,
  those with leaves that are not deep enough;
- ``rules``: the dataset's rules for values in the tree. As they need: ``ruled`` (number, value_0, ...), ``kinds`` (number,
  kind, rank), ``sibling_values`` (number, value, compared), ``filled`` (number, column, is_for_leaves), ``branches`` (number):
  the records with children, and ``moves`` (number, _row, left_parent): the file's rows with an edge that is new.
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
from pipeline.sqlfiles import quoted
from pipeline.staging.database import VALUE_LENGTH, number
from pipeline.staging.hierarchy import lay_out
from pipeline.validate.cycles import find_cycles
from pipeline.validate.missing_parents import find_orphans
from pipeline.validate.sql_check_file import Check, read_check
from pipeline.validate.tree_limits import count_children, measure_depths
from pipeline.validate.tree_overlay import add_edges, lay_over_warehouse
from pipeline.validate.tree_rules import lay_out_values

if TYPE_CHECKING:
    from pipeline.validate.expectations import Judged, Query

READING = "faults_of_reading"
"""The table of the findings of reading and casting, which the page shows among the verdicts."""

_EVERY_ROW = "Every row can be read, and every value fits its column."


@dataclass(frozen=True)
class Seen:
    """The results of the checks: each has a table of its offenders, on which Great Expectations gives a verdict."""

    checks: Sequence[Check]
    queries: Sequence[Query]
    records: int

    @property
    def is_clean(self) -> bool:
        """Return whether no check found anything. The expectations of the suite are evaluated later."""
        return not any(query.rows for query in self.queries)


def look(connection: duckdb.DuckDBPyConnection, dataset: Dataset, *, edges: Path | None, of_loaded: bool = False) -> Seen:
    """Run the checks on ``incoming``, with the warehouse's ``edges``; each check's offenders go into a table.

    ``of_loaded``: what is checked is loaded, so no hint speaks of a file.
    """
    from pipeline.validate.expectations import Query  # here, since Great Expectations takes seconds to import

    checks = [read_check(path) for path in dataset.check_files]
    checks = [one.for_loaded() for one in checks] if of_loaded else checks
    lay_out(connection, dataset)
    add_edges(connection, edges)
    run_checks(connection, checks, of_loaded=of_loaded)
    queries = [Query(_EVERY_ROW, READING, _rows(connection, READING))]
    queries += [Query(one.expects, one.table, _rows(connection, one.table), one.severity) for one in checks]
    records = _rows(connection, "incoming")
    _require_each_check_once(queries, dataset)
    return Seen(checks, queries, records)


def judge(connection: duckdb.DuckDBPyConnection, dataset: Dataset, seen: Seen, *, docs: Path, run_name: str) -> Verdict:
    """Evaluate every expectation and check, add their findings, write the page below ``docs``, and return the verdict.

    Raises RuntimeError if a check or an expectation could not be evaluated: that is no verdict on the file.
    """
    from pipeline.validate import expectations

    judgement = expectations.judge(connection, dataset, seen.queries, docs=docs, run_name=run_name, records=seen.records)
    offended = {query.table for query in seen.queries if query.rows}
    for one in seen.checks:
        if one.table in offended:
            _find_by_check(connection, one, dataset)
    for unmet in judgement.unmet:
        _find_by_expectation(connection, unmet)
    verdict = _verdict(connection)
    if verdict.accepted != judgement.accepted:
        raise RuntimeError(f"{verdict.errors} errors were found, but Great Expectations says accepted={judgement.accepted}.")
    return verdict


def _require_each_check_once(queries: Sequence[Query], dataset: Dataset) -> None:
    """Raise RuntimeError unless each file below sql/checks that concerns the dataset is among the queries, once."""
    folders = [dataset.root / "sql" / "checks" / name for name in ("every", dataset.name)]
    files = [path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.suffix == ".sql"]
    of_tree = (*dataset.bounds.checks, *dataset.tree_rules.checks)
    there = Counter(f"check_{name}" for name in (*of_tree, *(path.stem for path in files)))
    asked = Counter(query.table for query in queries if query.table != READING)
    if there != asked or max(there.values(), default=1) > 1:
        raise RuntimeError(
            f"Each check is evaluated once; here are {_listed(there)}, but {_listed(asked)} were evaluated."
            " If two files have one name, give one of them another."
        )


def _listed(names: Counter[str]) -> str:
    return ", ".join(sorted(name.removeprefix("check_") for name in names.elements())) or "none"


def run_checks(connection: duckdb.DuckDBPyConnection, checks: list[Check], *, of_loaded: bool = False) -> None:
    """Make the relations that checks query, and run each check into a table of its own.

    Reads ``links`` and ``twice`` of staging/hierarchy.py, and ``warehouse_edges`` and ``overridden`` of tree_overlay.add_edges.
    """
    lay_over_warehouse(connection)
    find_cycles(connection)
    find_orphans(connection, of_loaded=of_loaded)
    count_children(connection)
    measure_depths(connection)
    lay_out_values(connection)
    connection.execute(
        f"""create or replace table {READING} as
        select row, line, "column", value, message from findings where severity = 'error' order by row"""
    )
    for one in checks:
        connection.execute(f'create or replace table "{one.table}" as select * from ({one.query}\n) order by _row')


# --- Findings ---


def _find_by_check(connection: duckdb.DuckDBPyConnection, check: Check, dataset: Dataset) -> None:
    """Add one finding for each row that the check returned."""
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
    connection.execute(f'create or replace temp table offending as select {", ".join(picks)} from "{check.table}"', said)
    _add_found(connection, check.code, check.severity)
    _require_findings(connection, check.severity, check.name)


def _find_by_expectation(connection: duckdb.DuckDBPyConnection, unmet: Judged) -> None:
    """Add one finding for each row that fails; one for the file if the expectation is about the file as a whole."""
    said = {"message": unmet.message, "hint": unmet.hint or None, "column": unmet.column}
    if unmet.rows_query is None:
        rows = "select null::bigint as _row, null::varchar as value"
    else:
        value = _cut(quoted(unmet.column)) if unmet.column else "null::varchar"
        rows = f"select _row, {value} as value from ({unmet.rows_query.rstrip().rstrip(';')}\n)"
    connection.execute(
        f"""create or replace temp table offending as
        select
            replace($message, '{{value}}', coalesce(value, '')) as message,
            _row as row, $hint as hint, $column as "column", value
        from ({rows})""",
        said,
    )
    found = _rows(connection, "offending")
    if unmet.rows_query is not None and found != unmet.rows:
        raise RuntimeError(f"Great Expectations counts {unmet.rows} offending rows, our SQL {found}: {unmet.message}")
    _add_found(connection, unmet.code, unmet.severity)
    _require_findings(connection, unmet.severity, unmet.message)


def _add_found(connection: duckdb.DuckDBPyConnection, code: str, severity: str) -> None:
    """Add the rows of ``offending``, except those for which the same value has a finding already.

    That is a finding of the same code, or, for a missing value, that it could not be read. A warning does not replace an error.
    """
    connection.execute(
        """insert into findings by name
        select $code as code, $severity as severity, offending.* from offending
        anti join findings said
        on said.row = offending.row and said."column" = offending."column" and (said.code = $code or offending.value is null)
        and said.severity in ('error', $severity)""",
        {"code": code, "severity": severity},
    )


def _require_findings(connection: duckdb.DuckDBPyConnection, severity: str, by: str) -> None:
    """Raise RuntimeError unless each row of ``offending`` has a finding that is at least as severe."""
    ((missed,),) = connection.execute(
        """select count(*) from offending anti join findings said
        on said.row is not distinct from offending.row and said.severity in ('error', $severity)""",
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
