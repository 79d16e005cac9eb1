"""Files whose hierarchy is not a column of parents, read and staged for a test."""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from pipeline.contracts.options import ReadOptions
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.read import FileSummary, read
from pipeline.sqlfiles import quoted
from pipeline.staging.cast import original_names, stage

RECORDS = load_dataset("records")


@dataclass
class Shaped:
    """What a file became: (row, line, id, parentId, name) of each record, and (code, row) of each finding."""

    summary: FileSummary
    rows: list[tuple[Any, ...]]
    findings: list[tuple[str, int | None]]
    messages: list[str] = field(default_factory=list)
    originals: list[dict[str, Any]] = field(default_factory=list)
    """Each row as results files give it back: by the file's own names."""

    @property
    def parents(self) -> dict[str, str | None]:
        """Return the parent of each id."""
        return {row[2]: row[3] for row in self.rows}

    @property
    def errors(self) -> set[str]:
        """Return the codes of the findings that are not about generated rows or gaps."""
        return {code for code, _ in self.findings} - {"generated_records", "code_gap"}


def shaped(content: str | bytes, shape: Mapping[str, Any], dataset: Dataset = RECORDS, **options: Any) -> Shaped:
    """Read a file with this shape, and stage it."""
    asked = ReadOptions(shape=shape, **options)
    one = dataset.for_upload(asked)
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        (Path(folder) / "source").write_bytes(content.encode() if isinstance(content, str) else content)
        summary = read(Path(folder) / "source", one, connection=connection, options=asked)
        stage(connection, one)
        rows = connection.execute(
            """select _row, first_line + _row - first_row, id, "parentId", name
            from incoming asof left join lines on _row >= first_row order by _row"""
        ).fetchall()
        columns = original_names(connection)
        picks = ", ".join(map(quoted, columns))
        kept = connection.execute(f"select {picks} from raw order by _row").fetchall()
        found = connection.execute("select code, row, message from findings order by row, code").fetchall()
    return Shaped(
        summary,
        rows,
        [(code, row) for code, row, _ in found],
        [message for _, _, message in found],
        [dict(zip(columns.values(), row, strict=True)) for row in kept],
    )


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def archive(**members: str) -> bytes:
    """Return a ZIP archive with these CSV files."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.csv", content)
    return sink.getvalue()
