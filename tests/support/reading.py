"""Read small files in memory, as the first step of a validation does."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from pipeline.contracts.options import Options
from pipeline.datasets.dataset import Dataset
from pipeline.read import FileSummary, Limits, read
from pipeline.staging.cast import stage

FINDING = 'code, severity, row, "column", message, hint'


@dataclass(frozen=True)
class Seen:
    """What was read of a file: ``rows`` are the dataset's columns, ``findings`` as in FINDING."""

    summary: FileSummary
    rows: list[tuple[Any, ...]]
    findings: list[tuple[Any, ...]]

    def codes(self, severity: str = "warning") -> list[str]:
        """Return the codes of the findings of one severity."""
        return [finding[0] for finding in self.findings if finding[1] == severity]

    def message(self, code: str) -> str:
        """Return the message of the first finding with a code."""
        return next(str(finding[4]) for finding in self.findings if finding[0] == code)


def read_bytes(content: bytes | str, dataset: Dataset, limits: Limits | None = None, **options: Any) -> Seen:
    """Read and stage a file of this content. Raises Unreadable."""
    said = Options(**options)
    known = dataset.for_upload(said)
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'; set threads = 1")
        source = Path(folder) / "source"
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        summary = read(source, known, connection=connection, options=said, limits=limits)
        stage(connection, known)
        rows = connection.execute("select * exclude (_row) from incoming order by _row").fetchall()
        found = connection.execute(f"select {FINDING} from findings order by row nulls first, code").fetchall()
    return Seen(summary, rows, found)
