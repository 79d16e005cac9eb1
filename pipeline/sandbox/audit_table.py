"""Audit what is loaded: every rule and check over all records of a dataset's table, in the sandbox.

The table was exported from the warehouse, and is checked as a file would be that has all of its records, beside a warehouse
that is empty. So the findings have the same codes and files as those of an import.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.report import report_files
from pipeline.report.findings import Counted, as_json
from pipeline.report.rule_results import percent, rule_results
from pipeline.staging.database import StagingDatabase, in_enough_memory
from pipeline.staging.loaded_table import stage_table
from pipeline.validate import row_balance, sql_checks

TABLE = "table.csv"
REPORT = "report"
SUMMARY = "audit.json"
"""The counts and percentages of an audit, beside its findings."""


def audit(folder: Path, dataset: Dataset, run_name: str, records: int, longest_bytes: int) -> Counted:
    """Check ``table.csv``, which has ``records`` records; write ``report/``: findings, docs/ and ``audit.json``.

    Raises RuntimeError if the result cannot be trusted.
    """
    return in_enough_memory(folder, partial(_audit, folder, dataset, run_name, records, longest_bytes))


def _audit(
    folder: Path, dataset: Dataset, run_name: str, records: int, longest_bytes: int, database: StagingDatabase
) -> Counted:
    report = folder / REPORT
    shutil.rmtree(report, ignore_errors=True)
    with database.connect() as connection:
        stage_table(connection, dataset, folder / TABLE, records, longest_bytes)
        row_balance.check_rows(connection)
    with database.connect() as connection:
        seen = sql_checks.look(connection, dataset, edges=None, of_loaded=True)
    with database.connect() as connection:
        verdict = sql_checks.judge(connection, dataset, seen, docs=report / "docs", run_name=run_name)
    with database.connect() as connection:
        _name_related(connection, dataset)
    counted = report_files.write_all(database, dataset, report, verdict)
    counted = replace(counted, reading={**counted.reading, "rules": dataset.rules})
    with database.connect() as connection:
        (report / SUMMARY).write_bytes(as_json(_summary(connection, dataset, counted, report / "docs" / "validation.json")))
    return counted


def _name_related(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """Have findings name related records by their ids: the place of a record in a table means nothing."""
    if not connection.execute("select 1 from findings where related is not null limit 1").fetchall():
        return
    connection.execute(
        """create or replace table findings as
        with told as (select rowid as finding, unnest(related) as related, generate_subscripts(related, 1) as place
            from findings where related is not null),
        named as (
            select told.finding, list(coalesce(nodes.id, told.related) order by told.place) as related
            from told left join nodes on try_cast(told.related as bigint) = nodes._row group by told.finding
        )
        select findings.* replace (coalesce(named.related, findings.related) as related)
        from findings left join named on findings.rowid = named.finding"""
    )


def _summary(connection: duckdb.DuckDBPyConnection, dataset: Dataset, counted: Counted, verdicts: Path) -> dict[str, Any]:
    """Return the counts and percentages of all records, by code, and by rule, those that are met included."""
    by_code = connection.execute(
        "select code, severity, count(*), count(distinct row) from findings group by code, severity order by 3 desc, 1"
    ).fetchall()
    return {
        "dataset": dataset.name,
        "rules_version": dataset.version,
        "records": counted.records,
        "errors": counted.errors,
        "warnings": counted.warnings,
        "invalid": counted.invalid,
        "invalid_percent": percent(counted.invalid, counted.records),
        "codes": [
            {
                "code": code,
                "severity": severity,
                "findings": found,
                "records": rows,
                "percent": percent(rows, counted.records),
            }
            for code, severity, found, rows in by_code
        ],
        "rules": rule_results(verdicts, counted.records),
    }
