"""Findings of the validation in the ledger: the report once more, for pages, the API and people's SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from pipeline.adapters.postgres import LONG_SECONDS, may_take
from pipeline.contracts.states import State
from pipeline.ledger.models import ValidationRun
from pipeline.ledger.statements import Statements, execute
from pipeline.sqlfiles import load, without_nul

_FIELDS = ["number", "code", "severity", "message", "row", "line", "column", "value", "hint", "related", "cycle", "id", "cells"]


class Findings:
    """Store and read findings."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine)

    def store(self, import_id: str, findings: Path, *, beat: Callable[[], None]) -> int:
        """Copy an import's findings.parquet into ledger.finding in place of what is there; return how many there are.

        One transaction, in constant memory. A NUL, which no text in PostgreSQL can hold, is written as JSON writes it.
        """
        import pyarrow.parquet as pq

        count = 0
        with self._engine.begin() as connection:
            connection.exec_driver_sql(may_take(LONG_SECONDS))
            execute(connection, "findings/discard", import_id=import_id)
            raw: Any = connection.connection.driver_connection
            with raw.cursor() as cursor, cursor.copy(load("queries/findings/copy")) as copy:
                for batch in pq.ParquetFile(findings).iter_batches(batch_size=2000, columns=_FIELDS):
                    columns = (_storable(batch.column(name)) for name in _FIELDS)
                    for row in zip(*columns, strict=True):
                        copy.write_row((import_id, *row))
                    count += batch.num_rows
                    beat()
        return count

    def page(
        self,
        import_id: str,
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
        asked: dict[str, Any] = {"import_id": import_id, "after": after, "limit": limit}
        if wanted is not None:
            spelled = without_nul(wanted)  # as ``store`` writes it
            row = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) <= 18 else None
            rows = self._statements.rows("findings/search", wanted=spelled, row=row, codes=list(codes or ()), **asked)
        elif codes is not None:
            severities = ["error", "warning"] if severity is None else [severity]
            rows = self._statements.rows("findings/page_of_codes", codes=list(codes), severities=severities, **asked)
        else:
            rows = self._statements.rows("findings/page", **asked)
        return [dict(row) for row in rows]

    def count(self, import_id: str, code: str, severity: str) -> int:
        """Return how many findings of this code and severity an import has."""
        (row,) = self._statements.rows("findings/count", import_id=import_id, code=code, severity=severity)
        return int(row["count"])

    def validation_runs(self, dataset: str, *, limit: int = 50) -> list[ValidationRun]:
        """Return the verdicts on the dataset's last files, newest first."""
        rows = self._statements.rows("findings/validation_runs", dataset=dataset, limit=limit)
        return [ValidationRun(**{**row, "state": State(row["state"])}) for row in rows]


def _storable(column: Any) -> list[Any]:
    """Return the values of an Arrow column as PostgreSQL can hold them."""
    values: list[Any] = column.to_pylist()
    return [without_nul(value) for value in values]
