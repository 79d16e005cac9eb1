"""Quarantine: set aside the records with errors and all their descendants, so that the rest can be loaded.

A record is loaded if neither it nor any of its ancestors has an error, in the tree that would result. So each loaded record
finds its parent, and no cycle is closed because a record could not be moved. The nearest ancestor with an error is found by
pointer jumping (staging/ancestors.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.contracts.masking import MASK, masked_text_sql
from pipeline.contracts.options import OnError
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.personal_columns import is_visible
from pipeline.datasets.suite_meta import Tolerance
from pipeline.display import counted, place_sql
from pipeline.sqlfiles import literal, quoted
from pipeline.staging import ancestors
from pipeline.staging.database import number, reading_of
from pipeline.validate.rules_without import broken_rule_without

MESSAGE_LENGTH = 1000
OF_IDS = ("parent_quarantined", "below_cycle")
"""Codes of records without an error of their own: their messages speak of IDs and places only."""


@dataclass(frozen=True)
class Quarantined:
    """How many records are quarantined; none with a ``refusal``, the reason why the file cannot be loaded without them."""

    records: int = 0
    refusal: str = ""


def quarantine_records(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, tolerance: Tolerance, records: int
) -> Quarantined:
    """Make ``quarantined`` (_row, id, code, message) from the findings on a file of ``records`` records.

    It is empty if there is no error, if the dataset or the upload has such files rejected, or if there are too many errors.
    """
    connection.execute("create or replace table quarantined (_row bigint, id varchar, code varchar, message varchar)")
    if tolerance.on_error is not OnError.QUARANTINE:
        return Quarantined()
    refusal = _of_the_file(connection) or _too_much(_gather_bad(connection), records, tolerance)
    if refusal:
        return Quarantined(refusal=refusal)
    _gather_below(connection)
    connection.execute(_QUARANTINED.format(key=quoted(dataset.key)))
    held = number(connection, "select count(*) from quarantined")
    if held and not number(connection, "select count(*) from incoming anti join quarantined using (_row)"):
        connection.execute("delete from quarantined")
        return Quarantined(refusal="Every record has an error, or an ancestor with one: nothing is left to load.")
    if held and (refusal := _out_of_bounds(connection) or broken_rule_without(connection, dataset)):
        connection.execute("delete from quarantined")
        return Quarantined(refusal=refusal)
    return Quarantined(held)


def write_rows(connection: duckdb.DuckDBPyConnection, dataset: Dataset, import_id: str, to: Path) -> None:
    """Write the quarantined rows, with all their columns, as a CSV that PostgreSQL copies into ledger.failure."""
    tables = {str(row[0]) for row in connection.execute("select table_name from duckdb_tables()").fetchall()}
    names = [str(row[0]) for row in connection.execute("describe raw").fetchall() if row[0] != "_row"]
    members = ", ".join(f"{quoted(name)} := {_storable(f'raw.{quoted(name)}')}" for name in names)
    text, malformed = "'{}'", ""
    if "malformed" in tables:
        text = f"to_json(struct_pack(_text := {_storable('malformed.text')}))"
        malformed = "left join malformed on q._row = malformed._row"
    message, record = _storable("q.message"), f"case when raw._row is null then {text} else to_json(struct_pack({members})) end"
    fields = [message, record, "null"]
    if dataset.personal:
        fields = _masked_fields(dataset, names, message, record)
    connection.execute(
        f"""copy (
            select '{import_id}', q._row, 0, 0, {_storable("q.id")}, q.code, {", ".join(fields)}
            from quarantined q left join raw on q._row = raw._row {malformed}
        ) to {literal(str(to))} (format csv, header false, force_quote *)"""
    )


def _masked_fields(dataset: Dataset, names: list[str], message: str, record: str) -> list[str]:
    """Return the SQL of message and record with masks, and of both without, as ledger.failure has them."""
    cells = [f"raw.{quoted(name)}" for name in names]
    shown = [
        _storable(cell) if is_visible(dataset, name) else f"case when {cell} is not null then {literal(MASK)} end"
        for name, cell in zip(names, cells, strict=True)
    ]
    members = ", ".join(f"{quoted(name)} := {cell}" for name, cell in zip(names, shown, strict=True))
    said = f"case when q.code in ({', '.join(map(literal, OF_IDS))}) then {message} else {masked_text_sql('q.code')} end"
    unmasked = f"to_json(struct_pack(message := {message}, record := {record}))"
    return [said, f"case when raw._row is null then '{{}}' else to_json(struct_pack({members})) end", unmasked]


# --- Records with errors ---

# A cycle is one finding, on one of its rows; so are too many children of a record of the warehouse, whose number is negative.
# Of equal copies only the later ones have findings; the first one is loaded.
_BAD = """
create or replace temp table bad as
with faults as (
    select row, code, "column", message from findings where severity = 'error' and row is not null
    union all
    select cycle_rows._row, 'circular_reference', null, 'The record is one of the ' || length || ' records of a cycle.'
    from cycle_rows join cycles using (cycle)
    anti join findings on findings.row = cycle_rows._row and findings.code = 'circular_reference'
    union all
    select below_cycles._row, 'below_cycle', null, 'The record is a descendant of a cycle in the warehouse.'
    from below_cycles anti join cycle_rows using (cycle)
    anti join findings on findings.row = below_cycles._row and findings.code = 'circular_reference'
    union all
    select edges._row, 'max_children_exceeded', null, 
        'The record is one of the ' || children || ' children of ' || edges.parent || '.'
    from edges join crowds on edges.above = crowds.number
    anti join findings on findings.row = edges._row and findings.code = 'max_children_exceeded'
    where edges._row is not null and edges._row != edges.above and crowds.number < 0
)
select
    row as _row,
    arg_min(code, code || coalesce("column", '')) as code,
    string_agg(message, ' ' order by code, "column") as message
from faults
group by row
"""

_QUARANTINED = f"""
insert into quarantined
select
    chosen._row,
    coalesce(raw.{{key}}, ''),
    chosen.code,
    left(chosen.message, {MESSAGE_LENGTH})
from (from bad union all by name from below_bad) chosen left join raw on chosen._row = raw._row
order by chosen._row
"""


def _of_the_file(connection: duckdb.DuckDBPyConnection) -> str:
    """Return why no record can be quarantined if an error concerns no single row; otherwise an empty text."""
    query = "select count(*), min(message) from findings where severity = 'error' and row is null"
    ((errors, first),) = connection.execute(query).fetchall()
    return f"An error concerns the whole file, so no record can be quarantined for it. {first}" if errors else ""


def _gather_bad(connection: duckdb.DuckDBPyConnection) -> int:
    """Make ``bad`` (_row, code, message), the rows with errors of their own; return how many there are."""
    connection.execute(_BAD)
    return number(connection, "select count(*) from bad")


def _too_much(bad: int, records: int, tolerance: Tolerance) -> str:
    """Return why there are too many records with errors; an empty text if there are not."""
    said = f"{bad:,} of {counted(records, 'record')} {'has' if bad == 1 else 'have'} errors"
    if tolerance.max_errors is not None and bad > tolerance.max_errors:
        return f"{said}; at most {tolerance.max_errors:,} may go into quarantine (max_errors)."
    if tolerance.max_error_ratio is not None and bad / records > tolerance.max_error_ratio:
        return f"{said}; at most a share of {tolerance.max_error_ratio:g} may go into quarantine (max_error_ratio)."
    return ""


# --- The limits of the tree without them ---

# Depth need not be checked again: the descendants of a quarantined record are in quarantine too.
_STAYED = """
create or replace temp table stayed as
select edges.id, edges.parent, true as loaded from edges semi join incoming using (_row) anti join quarantined using (_row)
union all
select id, parent, false from edges where _row is null
union all
select old.id, old."parentId", false from overridden old
semi join (select edges.id from edges join quarantined using (_row)) held on old.id = held.id
"""
_CROWDED = """
select parent, count(*) from stayed where parent is not null and parent != id
group by parent having count(*) > $limit and bool_or(loaded) order by parent limit 1
"""
_ROOTS = """
select max(id) filter (where loaded) from stayed where parent is null having count(*) > 1 and bool_or(loaded)
"""


def _out_of_bounds(connection: duckdb.DuckDBPyConnection) -> str:
    """Return which limit of the tree the other records would exceed beside the warehouse's; an empty text if none.

    A file may make room by moving a record away: if that record is quarantined, there is no room.
    """
    ((children, single_root),) = connection.execute("select max_children, single_root from bounds").fetchall()
    if children is None and not single_root:
        return ""
    connection.execute(_STAYED)
    if children is not None:
        for parent, found in connection.execute(_CROWDED, {"limit": children}).fetchall():
            would = counted(found, "child", "children")
            return f"Without the quarantined records, {parent} would have {would}; at most {children:,} are allowed."
    if single_root:
        for (root,) in connection.execute(_ROOTS).fetchall():
            return f"Without the quarantined records, {root} would be a second root; only one is allowed."
    return ""


# --- Their descendants ---

_UP_TO_BAD = """
select
    number,
    case when bad._row is not null then above end as met,
    case when bad._row is null then above end as reached
from edges left join bad on edges.above = bad._row
"""
_BELOW_BAD = """
create or replace temp table below_bad as
select
    e._row,
    'parent_quarantined' as code,
    'Its ancestor ' || ancestor.id || ' (' || {place} || ') is in quarantine.' as message
from nearest_bad join edges e using (number) join edges ancestor on nearest_bad.met = ancestor.number
asof left join lines on ancestor._row >= lines.first_row
where e._row is not null and not exists (from bad where bad._row = e._row)
"""


def _gather_below(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``below_bad`` (_row, code, message): the file's records with a bad ancestor, also by way of the warehouse.

    The search ends on a cycle with a row in the file, since that row is bad. On a cycle of the warehouse alone it finds no end.
    """
    ancestors.nearest_marked(connection, _UP_TO_BAD, into="nearest_bad")
    line = "lines.first_line + ancestor._row - lines.first_row"
    connection.execute(_BELOW_BAD.format(place=place_sql(reading_of(connection), row="ancestor._row", line=line)))


def _storable(expression: str) -> str:
    """Return the SQL of a text that PostgreSQL can store: it cannot store NUL, which is replaced by its symbol."""
    return f"replace({expression}, chr(0), '␀')"
