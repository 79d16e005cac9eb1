"""Recognise files that Bulkhead wrote and a user has corrected: their row, code and reason are no data.

A file of results ends with the columns row, code and reason; a workbook of findings has the sheets Records, About and Findings,
and numbers its records in the first column. Names alone do not decide: the values have to be those that Bulkhead writes.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.contracts.result_columns import ADDED, NUMBERED, TEXT, WORKBOOK_SHEETS
from pipeline.display import listed
from pipeline.read.column_mapping import SKIPPED
from pipeline.read.raw_tables import RawTables
from pipeline.read.read_result import ReadResult
from pipeline.sqlfiles import quoted


def find(table: ReadResult, staging: RawTables) -> set[str]:
    """Return the columns of ``raw`` that Bulkhead has added to the file; a warning says so. Usually there are none."""
    if not table.records:
        return set()
    originals = table.originals or table.columns
    found = _of_results(table, originals, staging) or _of_workbook(table, originals, staging)
    if not found:
        return set()
    called = [original for name, original in zip(table.columns, originals, strict=True) if name in found]
    what = "a workbook of findings" if called[0] in NUMBERED and len(found) == 1 else "a file of results"
    staging.note(
        "results_file",
        f"This is {what} of an earlier import. What Bulkhead added to it was left out: {listed(called)}.",
        "Only the records in this file are imported. If those columns are data, rename them.",
    )
    staging.flush()
    staging.connection.execute(
        """delete from findings where code = 'unknown_column' and "column" in (select unnest($names::varchar[]))""",
        {"names": [*found]},
    )
    return found


def _of_results(table: ReadResult, originals: Sequence[str], staging: RawTables) -> set[str]:
    """Return the columns behind the file's own: row, code, reason and perhaps text; prefixed if the file has such a name."""
    plain = [original.lstrip("_") for original in originals]
    number = len(ADDED) + (plain[-1:] == [TEXT])
    if len(plain) <= number or tuple(plain[-number:])[: len(ADDED)] != ADDED:
        return set()
    names = table.columns[-number:]
    if not _are_free(names, staging):
        return set()
    row, code, reason = map(quoted, names[: len(ADDED)])
    return (
        {*names}
        if _fit(staging, row, f"coalesce({code}, '')", f"{row} is null and coalesce({code}, {reason}) is not null")
        else set()
    )


def _of_workbook(table: ReadResult, originals: Sequence[str], staging: RawTables) -> set[str]:
    """Return the column that numbers the records of a workbook of findings."""
    is_ours = staging.sheets[: len(WORKBOOK_SHEETS)] == WORKBOOK_SHEETS and table.sheet == WORKBOOK_SHEETS[0]
    if not is_ours or originals[0] not in NUMBERED or not _are_free(table.columns[:1], staging):
        return set()
    if not _fit(staging, quoted(table.columns[0]), "''", "false"):
        return set()
    staging.flush()
    staging.connection.execute("delete from findings where code = 'several_sheets'")
    return {table.columns[0]}


def _are_free(names: Sequence[str], staging: RawTables) -> bool:
    """Return whether the dataset has no such columns, nor did the upload say what they are."""
    dataset = staging.dataset
    return not any(name in dataset.names or name.startswith(SKIPPED) or name in dict(dataset.asked).values() for name in names)


def _fit(staging: RawTables, row: str, code: str, is_wrong: str) -> bool:
    """Return whether every number of a row is one, every code looks like one, and there is a number at all."""
    ((numbers, wrong),) = staging.connection.execute(
        f"""select count({row}), count(*) filter (
            where coalesce(not regexp_full_match({row}, '[1-9][0-9]{{0,17}}'), false)
            or not regexp_full_match({code}, '[A-Za-z0-9_]*') or {is_wrong}
        ) from raw"""
    ).fetchall()
    return bool(numbers) and not wrong
