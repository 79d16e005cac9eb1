"""Apply a patch to the rows that were read: change cells, and leave rows out, as a user has edited them (docs/fixing.md).

Rows have the numbers that the findings of the edited import show, and keep them: a row that is left out leaves a gap. So the
edits of a retry can be edited again, and every record can be found in the file. A row that is no record becomes one when its
cells are filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from pipeline.contracts.patches import CORRECTION_FILE, Correction
from pipeline.display import counted, listed
from pipeline.errors import RejectedFile, Unreadable
from pipeline.read.raw_tables import RawTables, printable
from pipeline.read.read_result import ReadResult
from pipeline.sqlfiles import quoted

_SHOWN = 10
_CELLS = pa.schema([("_row", pa.int64()), ("place", pa.int32()), ("value", pa.string())])


def apply_patch(table: ReadResult, staging: RawTables) -> ReadResult:
    """Change ``raw`` as the correction in the file's folder says, and add warnings that say so. Without a patch, do nothing.

    Raises RejectedFile (patch_mismatch) if the file has no such row or column, Unreadable if no row is left.
    """
    if staging.options.patch is None:
        return table
    correction = Correction.from_bytes((staging.folder / CORRECTION_FILE).read_bytes())
    names = _names_in_raw(table, correction)
    staging.flush()
    _lay_out(staging, correction, names)
    _check_rows(staging)
    if _has(staging, "from patch_cells semi join malformed using (_row)"):
        _make_records(staging)
    _change_cells(staging, names)
    _forget_findings(staging, table, names)
    if correction.skipped:
        _leave_out(staging)
    staging.connection.execute("drop table curtailed")
    staging.create_curtailed()
    _report(staging, correction)
    left = table.records - len(correction.skipped)
    if not left:
        raise Unreadable("The edits leave out every row of the file.", code="empty_file", hint="Keep at least one row.")
    return _described(replace(table, records=left, left_out=len(correction.skipped)), correction)


def _names_in_raw(table: ReadResult, correction: Correction) -> list[str]:
    """Return the columns of ``raw`` that have edits."""
    named = dict(zip(table.originals or table.columns, table.columns, strict=True))
    wanted = dict.fromkeys(column for _, column, _ in correction.cells)
    unknown = next((name for name in wanted if name not in named), None)
    if unknown is not None:
        raise _mismatch(f"The edits are for a column {printable(unknown)!r}, which the file does not have.")
    return [named[name] for name in wanted]


def _mismatch(message: str) -> RejectedFile:
    return RejectedFile(message, code="patch_mismatch", hint="Upload the file once more, and edit that import.")


def _lay_out(staging: RawTables, correction: Correction, names: Sequence[str]) -> None:
    """Make ``patch_cells``, one row for each edited row with the value of each edited column, and ``patched_out``."""
    places = {column: place for place, column in enumerate(dict.fromkeys(column for _, column, _ in correction.cells))}
    cells = [{"_row": row, "place": places[column], "value": new} for row, column, new in correction.cells]
    connection = staging.connection
    connection.register("arriving", pa.Table.from_pylist(cells, schema=_CELLS))
    picks = ", ".join(
        f"any_value(value) filter (where place = {place}) as value_{place},"
        f" coalesce(bool_or(place = {place}), false) as is_{place}"
        for place in range(len(names))
    )
    connection.execute(
        f"create temp table patch_cells as select _row{', ' if picks else ''}{picks} from arriving group by _row"
    )
    connection.unregister("arriving")
    connection.execute("create table patched_out (_row bigint)")
    connection.execute("insert into patched_out select unnest($rows::bigint[])", {"rows": [*correction.skipped]})


def _check_rows(staging: RawTables) -> None:
    """Raise RejectedFile if the file does not have every row of the patch."""
    found = staging.connection.execute(
        """select min(_row) from (select _row from patch_cells union all select _row from patched_out)
        anti join (select _row from raw union all select _row from malformed) using (_row)"""
    ).fetchall()
    if found[0][0] is not None:
        raise _mismatch(f"The edits are for row {found[0][0]:,}, which the file does not have.")


def _has(staging: RawTables, rows: str) -> bool:
    return staging.connection.execute(f"{rows} limit 1").fetchall() != []


def _make_records(staging: RawTables) -> None:
    """Move the edited rows of ``malformed`` to ``raw``, with empty cells."""
    connection = staging.connection
    connection.execute("create temp table mended as select _row from malformed semi join patch_cells using (_row)")
    _rebuild(staging, "select * from raw union all by name select _row from mended")
    connection.execute("delete from malformed where _row in (from mended)")
    connection.execute("delete from findings where row in (from mended)")
    connection.execute("drop table mended")


def _rebuild(staging: RawTables, rows: str) -> None:
    """Put a table with these rows, in the order of their numbers, into the place of ``raw``."""
    staging.connection.execute(f"create table patched_raw as select * from ({rows}) order by _row")
    staging.drop_raw()
    staging.connection.execute("alter table patched_raw rename to raw")


def _change_cells(staging: RawTables, names: Sequence[str]) -> None:
    """Set the edited cells."""
    if not names:
        return
    to, number = staging.numbered_table()
    sets = ", ".join(
        f"{quoted(name)} = if(patch_cells.is_{place}, patch_cells.value_{place}, {to}.{quoted(name)})"
        for place, name in enumerate(names)
    )
    staging.connection.execute(f"update {to} set {sets} from patch_cells where patch_cells._row = {number}")


def _forget_findings(staging: RawTables, table: ReadResult, names: Sequence[str]) -> None:
    """Delete what the readers found in cells that were edited since: whether they are right is judged again."""
    called = dict(zip(table.columns, table.originals or table.columns, strict=True))
    for place, name in enumerate(names):
        staging.connection.execute(
            f"""delete from findings where "column" in ($name, $called)
            and row in (select _row from patch_cells where is_{place})""",
            {"name": name, "called": called[name]},
        )


def _leave_out(staging: RawTables) -> None:
    """Remove the rows to leave out from every table that has them."""
    _rebuild(staging, "select * from raw anti join patched_out using (_row)")
    for name, number in {"malformed": "_row", "findings": "row", "declared_totals": "_row"}.items():
        staging.connection.execute(f"delete from {name} where {number} in (from patched_out)")


def _report(staging: RawTables, correction: Correction) -> None:
    """Add a warning for the edits, and one for the rows that are left out."""
    of_rows = {
        "changed": sorted({row for row, _, _ in correction.cells}),
        "left out": sorted({*correction.skipped}),
    }
    counts = {"changed": counted(len(correction.cells), "cell"), "left out": counted(len(correction.skipped), "row")}
    for what, rows in of_rows.items():
        if rows:
            shown = listed([f"{row:,}" for row in rows], _SHOWN)
            were = "was" if counts[what].startswith("1 ") else "were"
            staging.add_finding(
                "patched_file",
                f"{counts[what]} {were} {what} by the edits of this import, in row{'s' if len(rows) > 1 else ''} {shown}.",
                severity="warning",
                hint="The file itself is as it was uploaded. To have the same the next time, change it where it comes from.",
            )


def _described(table: ReadResult, correction: Correction) -> ReadResult:
    """Return the table with what its new values say of which checks can be skipped."""
    values = [new for _, _, new in correction.cells if new]
    return replace(
        table,
        longest_bytes=max([table.longest_bytes, *(len(value.encode()) for value in values)]),
        has_nul=table.has_nul or any("\0" in value for value in values),
        is_plain=table.is_plain and all(value.isascii() and value.isprintable() for value in values),
    )
