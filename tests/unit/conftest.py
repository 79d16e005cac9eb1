"""A staged file with findings of the test's choice, and all that the user gets to see of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.datasets.dataset import load_dataset
from pipeline.report.finding_groups import write_groups
from pipeline.report.findings import write_findings
from pipeline.report.findings_workbook import write_workbook
from pipeline.staging.database import FINDINGS
from tests.support.staging import SHARED, empty, opened

Reported = Callable[..., Path]


@pytest.fixture
def database() -> Iterator[Path]:
    """The name of an empty staging database in memory. What one test leaves in it, no other sees."""
    yield empty(SHARED)
    empty(SHARED)


@pytest.fixture
def reported(tmp_path: Path, database: Path) -> Reported:
    """Writes the report on records (mappings of text) and findings (mappings); gives its folder."""

    def run(
        records: Sequence[Mapping[str, str | None]],
        findings: Sequence[Mapping[str, Any]],
        malformed: Sequence[tuple[int, int, str]] = (),
    ) -> Path:
        folder = tmp_path / "report"
        empty(database)
        left_out = {row for row, *_ in malformed}
        numbers = [row for row in range(1, len(records) + len(left_out) + 1) if row not in left_out]
        names = list(dict.fromkeys(["id", "parentId", *(name for record in records for name in record)]))
        columns = {name: pa.array([record.get(name) for record in records], pa.string()) for name in names}
        with opened(database) as connection:
            raw = pa.table({"_row": pa.array(numbers, pa.int64()), **columns})  # noqa: F841 - DuckDB finds it by name
            connection.execute("create table raw as from raw")
            connection.execute("create table malformed (_row bigint, line bigint, text varchar)")
            for one in malformed:
                connection.execute("insert into malformed values (?, ?, ?)", list(one))
            connection.execute(FINDINGS)
            for finding in findings:
                values = {"code": "wrong", "severity": "error", "message": "Wrong.", **finding}
                fields, marks = ", ".join(f'"{name}"' for name in values), ", ".join("?" for _ in values)
                connection.execute(f"insert into findings ({fields}) values ({marks})", list(values.values()))
            connection.execute(
                "create table reading as select count(*) as records, $names as columns, $names as original_columns from raw",
                {"names": names},
            )
            connection.execute("create table lines as select 1::bigint as first_row, 2::bigint as first_line")
            connection.execute("create table cycle_rows (_row bigint)")
        dataset = load_dataset("records")
        with opened(database) as connection:
            counted = write_findings(connection, dataset, folder)
            write_groups(connection, folder)
            write_workbook(connection, dataset, folder, counted)
        return folder

    return run
