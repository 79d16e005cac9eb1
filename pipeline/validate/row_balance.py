"""Check that staging kept every row of the file: a fault here is one of Bulkhead, so there is no verdict."""

from __future__ import annotations

import duckdb


def check_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Check that the rows are numbered from 1 to the number that was read, each exists once, and each one was staged.

    The sum of the numbers detects a row in place of another. Raises RuntimeError if a row is lost or duplicated.
    """
    ((read, *rows),) = connection.execute(
        """select (select max(records) from reading), count(*), coalesce(min(_row), 1), coalesce(max(_row), 0),
            coalesce(sum(_row), 0)
        from (select _row from raw union all select _row from malformed)"""
    ).fetchall()
    ((staged, raw),) = connection.execute("select (select count(*) from incoming), (select count(*) from raw)").fetchall()
    if rows != [read, 1, read, read * (read + 1) // 2]:
        raise RuntimeError(f"{read} records were read, but the rows are not those from 1 to {read}: {rows}.")
    if staged != raw:
        raise RuntimeError(f"{raw} rows were to be typed, {staged} were; a staging query keeps every row.")
