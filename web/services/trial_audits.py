"""What a changed definition means for the records that are loaded: an audit of the table by the new rules, of which nothing is
kept."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import text

from pipeline.datasets.dataset import Dataset
from pipeline.errors import Crashed
from pipeline.sandbox import process
from pipeline.sandbox.fork_server import ForkServer
from pipeline.sqlfiles import quoted
from pipeline.warehouse.table_export import export_table
from web.app_context import app_context
from web.http.problems import Problem

RECORDS_MAX = 1_000_000
"""A larger table is audited by `bulkhead audit` after the change; here, a request waits for the answer."""

SECONDS, MEMORY_BYTES = 300.0, 2 << 30


def what_it_means(after: Dataset, before: Dataset) -> dict[str, Any] | None:
    """Return records, errors and warnings by code and rule; None if the table is too large for that. Raises Problem.

    ``before``: the dataset as it is loaded; a column that it lacks is empty.
    """
    with app_context().engine.connect() as connection:
        counted = f"select count(*) from (select 1 from warehouse.{quoted(before.name)} limit {RECORDS_MAX + 1}) as found"
        records = int(connection.execute(text(counted)).scalar_one())
    if records > RECORDS_MAX:
        return None
    there = {column.name for column in before.columns}
    rules = _only_with(after, there)
    with tempfile.TemporaryDirectory(prefix="bulkhead-trial-") as folder:
        from pipeline.sandbox import audit_table  # DuckDB, which the web app has no other use for

        exported = export_table(app_context().engine, rules, Path(folder) / audit_table.TABLE)
        server = ForkServer("pipeline.sandbox.audit_table")
        try:
            process.run(
                audit_table.audit,
                *(Path(folder), rules, "trial", exported.records, exported.longest_bytes),
                memory_bytes=MEMORY_BYTES,
                seconds=SECONDS,
                server=server,
            )
        except Crashed as error:
            raise Problem("busy", "The loaded records could not be checked within time and memory. Try again later.") from error
        finally:
            server.stop()
        said = json.loads((Path(folder) / audit_table.REPORT / audit_table.SUMMARY).read_bytes())
    return {name: said[name] for name in ("records", "errors", "warnings", "invalid", "codes", "rules")}


def _only_with(after: Dataset, names: set[str]) -> Dataset:
    """Return the dataset without the columns that the table lacks, and the rules about them."""
    kept = [one for one in after.suite.get("expectations", []) if one.get("kwargs", {}).get("column") in (*names, None)]
    return replace(
        after, columns=tuple(one for one in after.columns if one.name in names), suite={**after.suite, "expectations": kept}
    )
