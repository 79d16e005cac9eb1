"""Check that staging kept every row of the file: a fault here is one of Bulkhead, so there is no verdict."""

from __future__ import annotations

import duckdb


def check_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Check that the rows are numbered from 1 to the number that was read, each exists once, and each one was staged.

    Rows that a patch left out keep their numbers (``patched_out``). The sum of the numbers detects a row in place of another.
    Raises RuntimeError if a row is lost or duplicated.
    """
    is_patched = connection.execute("from duckdb_tables() where table_name = 'patched_out'").fetchall() != []
    left_out = "union all select _row from patched_out" if is_patched else ""
    ((read, out, *rows),) = connection.execute(
        f"""select (select max(records) from reading), {"(select count(*) from patched_out)" if is_patched else 0}, count(*),
            coalesce(min(_row), 1), coalesce(max(_row), 0), coalesce(sum(_row), 0)
        from (select _row from raw union all select _row from malformed {left_out})"""
    ).fetchall()
    last = read + out
    ((staged, raw),) = connection.execute("select (select count(*) from incoming), (select count(*) from raw)").fetchall()
    if rows != [last, 1, last, last * (last + 1) // 2]:
        raise RuntimeError(f"{read} records were read and {out} left out, but the rows are not those from 1 to {last}: {rows}.")
    if staged != raw:
        raise RuntimeError(f"{raw} rows were to be typed, {staged} were; a staging query keeps every row.")
