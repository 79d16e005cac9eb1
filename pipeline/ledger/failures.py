"""Failed records in the ledger: those that validation put into quarantine, and those that the warehouse refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from pipeline.adapters.postgres import LONG_SECONDS, may_take
from pipeline.contracts.object_keys import QUARANTINE_PART_NO
from pipeline.errors import Conflict
from pipeline.ledger import transitions
from pipeline.ledger.statements import Statements, execute
from pipeline.sqlfiles import load


class Failures:
    """Store the quarantine, and read the failed records."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine)

    def quarantine(self, import_id: str, records: int, rows: Path | None) -> None:
        """Store the quarantine as the part QUARANTINE_PART_NO, whose records all failed, in place of an earlier attempt's.

        ``rows`` is the CSV of validate/quarantine.py; None without a quarantine. Raises Conflict if parts are loaded
        already that were cut with another quarantine: the warehouse has changed since, and the parts would differ.
        """
        part = {"import_id": import_id, "part_no": QUARANTINE_PART_NO}
        with self._engine.begin() as connection:
            connection.exec_driver_sql(may_take(LONG_SECONDS))
            transitions.lock(connection, import_id)
            known = execute(connection, "quarantine/known", **part).mappings().one()
            if known["loaded_parts"]:
                if known["quarantined"] != records:
                    raise Conflict("The warehouse was changed since the first records were loaded. Upload the file again.")
                return
            execute(connection, "quarantine/discard", **part)
            if rows is not None:
                execute(connection, "quarantine/entry", records=records, **part)
                _copy(connection, rows)

    def page(self, import_id: str, *, after_row: int = 0, limit: int = 1000, is_clear: bool = False) -> list[dict[str, Any]]:
        """Return a page of failed records by keyset pagination: those after the row ``after_row``, by row number.

        ``is_clear``: for a key that may unmask personal data.
        """
        rows = self._statements.rows("failures/list", import_id=import_id, after_row=after_row, limit=limit)
        return [_shown(dict(row), is_clear=is_clear) for row in rows]

    def reasons(self, import_id: str, *, after_row: int = 0, limit: int = 50_000) -> list[dict[str, Any]]:
        """Return the same page with row, code and reason only."""
        rows = self._statements.rows("failures/reasons", import_id=import_id, after_row=after_row, limit=limit)
        return [dict(row) for row in rows]

    def of_record(
        self, dataset: str, record_id: str, *, imports: int, limit: int, is_clear: bool = False
    ) -> list[dict[str, Any]]:
        """Return where among the dataset's last ``imports`` a record of this ID failed, newest first.

        Each with import_id, filename, created_at, row, code and message, and how its file was read.
        """
        rows = self._statements.rows("failures/of_record", dataset=dataset, id=record_id, imports=imports, limit=limit)
        return [_shown(dict(row), is_clear=is_clear) for row in rows]


def _shown(row: Mapping[str, Any], *, is_clear: bool) -> dict[str, Any]:
    """Return a failure as it is stored, masked, or with what the ledger keeps of it apart."""
    shown = {name: value for name, value in row.items() if name != "unmasked"}
    clear = (row["unmasked"] or {}) if is_clear else {}
    return {name: clear.get(name, value) for name, value in shown.items()}


def _copy(connection: Connection, rows: Path) -> None:
    raw: Any = connection.connection.driver_connection
    with raw.cursor() as cursor, cursor.copy(load("queries/quarantine/copy")) as copy, rows.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            copy.write(chunk)
