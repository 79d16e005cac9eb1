"""Validate one file in the sandbox: from its bytes to a verdict, a report and, if it is accepted, its parts.

One child does all of it, with the staging database in its memory. For what it must know of the warehouse it asks the worker,
which has the credentials (docs/decisions/0007). The offline ``bulkhead validate`` uses the same functions.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.contracts.options import Options
from pipeline.datasets.dataset import Dataset
from pipeline.errors import RejectedFile
from pipeline.prepare import parts
from pipeline.prepare.manifest import BatchSizes, Manifest
from pipeline.read import Limits, RawTables, read
from pipeline.report import report_files
from pipeline.report.findings import Counted
from pipeline.report.rule_results import rule_results, summarized
from pipeline.sqlfiles import quoted
from pipeline.staging.cast import stage
from pipeline.staging.database import StagingDatabase, has_wide_rows, in_enough_memory
from pipeline.staging.masked_values import find_masks
from pipeline.validate import quarantine, row_balance, sql_checks, tree_overlay
from pipeline.validate.sql_checks import Seen

SOURCE = "source"
WANTED = "wanted.parquet"
EDGES = "edges.parquet"
REPORT = "report"
PARTS = "parts"
EXPECTATIONS = "expectations"
"""The key in ``reading`` with the number of expectations that were met, and those that were not."""

QUARANTINE = "quarantine.csv"
MASKED_REFUSAL = "The records with errors could not be held back, so none was loaded. The findings say what is wrong."
"""In a dataset with personal data: the reason itself may quote a finding."""

Ask = Callable[[Path], Path | None]
"""Asks the worker: takes a Parquet file of questions (what, id, parent), returns one with the warehouse's edges (id, parentId),
or None without a warehouse; see warehouse/existing_edges.py."""


def validate(
    folder: Path, dataset: Dataset, filename: str, run_name: str, cutting: BatchSizes | None, options: Options, ask: Ask
) -> Counted:
    """Validate ``source``; write ``report/`` (findings in all formats, ``docs/``) and, if accepted and ``cutting``, ``parts/``.

    Quarantined records of an accepted file are not in the parts but in ``quarantine.csv``. A file that cannot be read has one
    finding, which says so. Raises RuntimeError if the verdict cannot be trusted.
    """
    dataset = dataset.for_upload(options)
    return in_enough_memory(folder, partial(_validate, folder, dataset, filename, run_name, cutting, options, ask))


def _validate(
    folder: Path,
    dataset: Dataset,
    filename: str,
    run_name: str,
    cutting: BatchSizes | None,
    options: Options,
    ask: Ask,
    database: StagingDatabase,
) -> Counted:
    shutil.rmtree(folder / REPORT, ignore_errors=True)
    _stage(folder / SOURCE, dataset, filename, options, database)
    with database.connect() as connection:
        asked = tree_overlay.ask_for(connection, dataset, folder / WANTED)
    edges = ask(folder / WANTED) if asked else None
    with database.connect() as connection:
        seen = sql_checks.look(connection, dataset, edges=edges)
        may_cut_early = seen.is_clean and not has_wide_rows(connection)
    cut = partial(_cut, database, dataset, cutting, folder / PARTS) if cutting else None
    with ThreadPoolExecutor(1) as knife:
        # where no check found anything the parts are cut while Great Expectations runs; if it objects, they are dropped
        early = knife.submit(cut) if cut and may_cut_early else None
        counted = _judge(database, folder, dataset, seen, run_name)
    counted = replace(counted, reading={**counted.reading, "asked": asked, "rules": dataset.rules})
    with database.connect() as connection:
        held = quarantine.quarantine_records(connection, dataset, dataset.tolerance_for(options), counted.records)
    refusal = MASKED_REFUSAL if held.refusal and dataset.personal else held.refusal
    counted = replace(counted, quarantined=held.records, refusal=refusal)
    if not counted.verdict().accepted:
        shutil.rmtree(folder / PARTS, ignore_errors=True)
    elif cut:
        manifest = early.result() if early and not held.records else cut()
        if manifest.records + held.records != counted.records:
            raise RuntimeError(
                f"Of {counted.records} records {manifest.records} are in parts and {held.records} are in quarantine."
            )
        if held.records:
            with database.connect() as connection:
                quarantine.write_rows(connection, dataset, manifest.import_id, folder / QUARANTINE)
    return counted


def _cut(database: StagingDatabase, dataset: Dataset, cutting: BatchSizes, folder: Path) -> Manifest:
    with database.connect() as connection:
        return parts.cut(connection, dataset, cutting, folder=folder)


def _stage(file: Path, dataset: Dataset, filename: str, options: Options, database: StagingDatabase) -> None:
    """Read and type the file's records into ``incoming``, and check that no row is lost; or add why it cannot be read."""
    with database.connect() as connection:
        try:
            read(file, dataset, connection=connection, filename=filename, options=options)
        except RejectedFile as error:
            _lay_out_refusal(connection, file.parent, dataset, error)
    with database.connect() as connection:
        find_masks(connection, dataset)
        stage(connection, dataset)
        row_balance.check_rows(connection)


def refuse(folder: Path, dataset: Dataset, error: RejectedFile, run_name: str) -> Counted:
    """Write the report on a file that was refused before it could be read."""
    with StagingDatabase.in_memory(folder) as database:
        with database.connect() as connection:
            _lay_out_refusal(connection, folder, dataset, error)
            stage(connection, dataset)
            seen = sql_checks.look(connection, dataset, edges=None)
        return _judge(database, folder, dataset, seen, run_name)


def _lay_out_refusal(connection: duckdb.DuckDBPyConnection, folder: Path, dataset: Dataset, error: RejectedFile) -> None:
    """Make the reader's tables without records; the one finding says why."""
    with RawTables(connection, dataset, Limits(), folder) as staging:
        columns = ", ".join(f"{quoted(name)} varchar" for name in dataset.names)
        staging.connection.execute(f"create table raw (_row bigint, {columns})")
        none = pa.array([[]], pa.list_(pa.string()))
        facts = {"records": pa.array([0], pa.int64()), "columns": none, "original_columns": none}
        known = {"rules_version": pa.array([dataset.version]), **({"format": pa.array([error.form])} if error.form else {})}
        staging.write_summary(pa.table({**facts, **known}))
        staging.add_finding(error.code, str(error), line=error.line, hint=error.hint)


def _judge(database: StagingDatabase, folder: Path, dataset: Dataset, seen: Seen, run_name: str) -> Counted:
    with database.connect() as connection:
        verdict = sql_checks.judge(connection, dataset, seen, docs=folder / REPORT / "docs", run_name=run_name)
    counted = report_files.write_all(database, dataset, folder / REPORT, verdict)
    results = rule_results(folder / REPORT / "docs" / "validation.json", counted.records)
    return replace(counted, reading={**counted.reading, EXPECTATIONS: summarized(results)})
