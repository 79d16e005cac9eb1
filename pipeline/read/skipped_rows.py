"""Leave out rows that an upload says to skip (``clean``: ``skip_rows``, ``skip_totals``), and warn of totals that it does not.

The rows after them are numbered on without a gap, as if the file did not have them; their line numbers stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.datasets.cleaning_rules import Cleaning
from pipeline.datasets.upload_rules import cleaning_of
from pipeline.display import counted
from pipeline.read.raw_tables import RawTables, printable
from pipeline.read.read_result import ReadResult
from pipeline.read.totals_rows import find_totals

_WITH_LINES = ("csv", "ndjson", "xlsx")
_SHOWN = 10
_ROW_OF = {"findings": "row", "malformed": "_row", "declared_totals": "_row"}


def skip_rows(staging: RawTables, form: str, table: ReadResult, *, members: int) -> ReadResult:
    """Remove the rows to skip from all tables, with a warning; or warn of rows of totals. Return the result without them.

    ``skip_rows`` counts as people do: the lines of a text, the rows of a sheet; records where there are no such.
    """
    cleaning = cleaning_of(staging.dataset)
    staging.flush()
    in_lines = form in _WITH_LINES and members == 1
    skipped = _asked(staging, cleaning, "line" if in_lines else "_row") if cleaning.skip_rows else []
    if cleaning.skip_rows:
        _report_asked(staging, cleaning, skipped, "line" if in_lines else "record")
    totals = [(row, label) for row, label in find_totals(staging, table, members=members) if row not in skipped]
    if not cleaning.skip_totals:
        _warn_of_totals(staging, totals)
    elif totals:
        labels = ", ".join(printable(label) for _, label in totals[:_SHOWN])
        message = f"The rule skip_totals left out {counted(len(totals), 'row')} of totals: {labels}."
        staging.add_finding("cleaned_values", message, severity="warning", hint="Nothing needs to be done.")
        skipped = [*skipped, *(row for row, _ in totals)]
    if not skipped:
        return table
    staging.flush()
    _remove(staging, sorted(skipped), members=members)
    return replace(table, records=table.records - len(skipped))


def _asked(staging: RawTables, cleaning: Cleaning, place: str) -> list[int]:
    """Return the numbers of the rows whose ``place``, a line or a record, is in one of the ranges."""
    ranges = " or ".join(f"{place} between {first} and {last}" for first, last in cleaning.skip_rows)
    found = staging.connection.execute(
        f"""with rows as (select _row, null as own_line from raw union all select _row, line from malformed)
        select _row from (
            select _row, coalesce(own_line, first_line + _row - first_row, _row) as line
            from rows asof left join lines on _row >= first_row
        ) where {ranges} order by _row"""
    ).fetchall()
    return [int(row) for (row,) in found]


def _report_asked(staging: RawTables, cleaning: Cleaning, skipped: Sequence[int], place: str) -> None:
    ranges = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in cleaning.skip_rows[:_SHOWN])
    message = f"The rule skip_rows left out {counted(len(skipped), 'row')}, as declared: {place} {ranges}."
    hint = "Nothing needs to be done." if skipped else f"No record begins there; skip_rows counts by {place}, from 1."
    staging.add_finding("cleaned_values", message, severity="warning", hint=hint)


def _warn_of_totals(staging: RawTables, totals: Sequence[tuple[int, str]]) -> None:
    for row, label in totals:
        staging.add_finding(
            "totals_row",
            f'The row "{printable(label)}" seems to be totals or a note, not a record.',
            row=row,
            column=staging.dataset.key,
            value=label,
            severity="warning",
            hint='If it is, leave it out: clean={"skip_totals": true}.',
        )


def _remove(staging: RawTables, skipped: Sequence[int], *, members: int) -> None:
    """Remove rows from every table that has row numbers, and number the others on."""
    connection = staging.connection
    connection.execute("create table skipped (_row bigint, number bigint)")
    connection.execute(
        "insert into skipped select unnest($rows::bigint[]), unnest(range(1, len($rows::bigint[]) + 1))", {"rows": [*skipped]}
    )
    connection.execute(
        """create table kept_rows as select raw.* replace (raw._row - coalesce(skipped.number, 0) as _row)
        from raw asof left join skipped on raw._row >= skipped._row
        where skipped._row is distinct from raw._row order by 1"""
    )
    staging.drop_raw()
    connection.execute("alter table kept_rows rename to raw")
    there = {str(name) for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
    for name, number in _ROW_OF.items():
        if name in there:
            connection.execute(f"delete from {name} where {number} in (select _row from skipped)")
            before = f"(select count(*) from skipped where skipped._row < {name}.{number})"
            connection.execute(f"update {name} set {number} = {number} - {before} where {number} is not null")
    connection.execute(_LINES)
    connection.execute("drop table lines")
    connection.execute("alter table kept_lines rename to lines")
    if members > 1:
        before = "(select count(*) from skipped where skipped._row < members.first_row)"
        connection.execute(f"update members set first_row = first_row - {before}")
    connection.execute("drop table skipped")


# The distance between rows and lines changes after each skipped row.
_LINES = """
create table kept_lines as
with places as (select first_row as _row from lines union select _row + 1 from skipped),
kept as (select _row from places anti join skipped using (_row)),
lined as (
    select kept._row, first_line + kept._row - first_row as line from kept asof join lines on kept._row >= first_row
)
select lined._row - coalesce(skipped.number, 0) as first_row, line as first_line
from lined asof left join skipped on lined._row >= skipped._row
"""
