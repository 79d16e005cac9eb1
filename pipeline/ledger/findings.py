"""Findings of validations and audits in the ledger: the report once more, for pages, the API and people's SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine

from pipeline.adapters.postgres import LONG_SECONDS, may_take
from pipeline.contracts.states import State
from pipeline.ledger.models import ValidationRun
from pipeline.ledger.statements import Statements, execute
from pipeline.sqlfiles import load, without_nul

_FIELDS = ["number", "code", "severity", "message", "row", "line", "column", "value", "hint", "related", "cycle", "id", "cells"]


class Findings:
    """Store and read the findings of imports, or with ``of="audit"`` those of audits, which have a table of their own.

    Both have the same columns and the same statements (tests/unit/ledger/test_audit_statements.py).
    """

    def __init__(self, engine: Engine, of: Literal["import", "audit"] = "import") -> None:
        self._engine = engine
        self._statements = Statements(engine)
        self._owner = f"{of}_id"
        self._folder = "findings" if of == "import" else "audit_findings"

    def store(self, owner_id: str, findings: Path, *, beat: Callable[[], None]) -> int:
        """Copy a findings.parquet into the ledger in place of the findings that are there; return how many there are.

        One transaction, in constant memory. A NUL, which no text in PostgreSQL can hold, is written as JSON writes it.
        """
        import pyarrow.parquet as pq

        count = 0
        with self._engine.begin() as connection:
            connection.exec_driver_sql(may_take(LONG_SECONDS))
            execute(connection, f"{self._folder}/discard", **{self._owner: owner_id})
            raw: Any = connection.connection.driver_connection
            with raw.cursor() as cursor, cursor.copy(load(f"queries/{self._folder}/copy")) as copy:
                for batch in pq.ParquetFile(findings).iter_batches(batch_size=2000, columns=_FIELDS):
                    columns = (_storable(batch.column(name)) for name in _FIELDS)
                    for row in zip(*columns, strict=True):
                        copy.write_row((owner_id, *row))
                    count += batch.num_rows
                    beat()
        return count

    def page(
        self,
        owner_id: str,
        *,
        codes: Sequence[str] | None = None,
        severity: str | None = None,
        wanted: str | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[dict[str, Any]]:
        """Return a page of findings by keyset pagination: those after the number ``after``, in the order of the numbers.

        Of the given ``codes`` only, of a ``severity`` only, or those with ``wanted`` as ID, value or row; a search and a
        severity need the codes. Each has the fields of a finding, finding_no and cells.
        """
        asked: dict[str, Any] = {self._owner: owner_id, "after": after, "limit": limit}
        if wanted is not None:
            spelled = without_nul(wanted)  # as ``store`` writes it
            row = self._row_named(wanted)
            rows = self._statements.rows(f"{self._folder}/search", wanted=spelled, row=row, codes=list(codes or ()), **asked)
        elif codes is not None:
            severities = ["error", "warning"] if severity is None else [severity]
            rows = self._statements.rows(f"{self._folder}/page_of_codes", codes=list(codes), severities=severities, **asked)
        else:
            rows = self._statements.rows(f"{self._folder}/page", **asked)
        return [dict(row) for row in rows]

    def _row_named(self, wanted: str) -> int | None:
        """Return the row of a file that the text is the number of; the records of a table have none."""
        has_rows = self._owner == "import_id"
        return int(wanted) if has_rows and wanted.isascii() and wanted.isdigit() and len(wanted) <= 18 else None

    def count(self, owner_id: str, code: str, severity: str) -> int:
        """Return how many findings of this code and severity an import or an audit has."""
        given = {self._owner: owner_id, "code": code, "severity": severity}
        (row,) = self._statements.rows(f"{self._folder}/count", **given)
        return int(row["count"])

    def count_alike(self, owner_id: str, numbers: Sequence[int], *, limit: int) -> dict[int, int]:
        """Return how many findings of an import have the code, column and value of each of these, counted up to ``limit``.

        Findings without a column are left out.
        """
        asked: dict[str, Any] = {self._owner: owner_id, "finding_nos": list(numbers), "limit": limit}
        rows = self._statements.rows("findings/count_alike", **asked) if numbers else []
        return {int(row["finding_no"]): int(row["alike"]) for row in rows}

    def of_record(self, dataset: str, record_id: str, *, imports: int, limit: int) -> list[dict[str, Any]]:
        """Return what the dataset's last ``imports`` found in records of this ID, by import and code, newest first.

        Each with import_id, filename, created_at, state, code, severity and the first row.
        """
        rows = self._statements.rows("findings/of_record", dataset=dataset, id=record_id, imports=imports, limit=limit)
        return [dict(row) for row in rows]

    def validation_runs(self, dataset: str, *, before: str | None = None, limit: int = 50) -> list[ValidationRun]:
        """Return the verdicts on a page of the dataset's files, newest first (keyset pagination).

        ``before``: the id of the last import of the page before.
        """
        rows = self._statements.rows("findings/validation_runs", dataset=dataset, before=before, limit=limit)
        return [ValidationRun(**{**row, "state": State(row["state"])}) for row in rows]


def _storable(column: Any) -> list[Any]:
    """Return the values of an Arrow column as PostgreSQL can hold them."""
    values: list[Any] = column.to_pylist()
    return [without_nul(value) for value in values]
