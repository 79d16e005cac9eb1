"""Parents that are not given by ID: values that mean "no parent" (``no_parent_values``), and values of another column or
paths of them (``parent_by``), which become IDs in ``incoming``."""

from __future__ import annotations

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.upload_rules import OWN_ID, no_parent_values_of, parent_names_of
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.cleaning import add_warning
from pipeline.staging.database import VALUE_LENGTH, by_rows, number
from pipeline.staging.named_paths import UNKNOWN_PATH, bearers_query, find_beginnings, paths_query

_CANDIDATES = 5


def count_declared_roots(connection: duckdb.DuckDBPyConnection, dataset: Dataset, present: list[str], rows: str) -> None:
    """Add one warning for each value of ``no_parent_values`` that occurs in the parent column of the table ``rows``."""
    none = no_parent_values_of(dataset)
    if not none or dataset.parent not in present or dataset.shape.path_separator is not None:
        return
    among = ", ".join(map(literal, none))
    found = connection.execute(
        f"""select parent, count(*) from (select {quoted(dataset.parent)} as parent from {rows})
        where parent in ({among}) and parent != '' group by parent order by parent"""
    ).fetchall()
    ids = f"select distinct {quoted(dataset.key)} from incoming where {quoted(dataset.key)} in ({among})"
    taken = {str(one) for (one,) in connection.execute(ids).fetchall()} if found else set()
    if OWN_ID in none and dataset.key in present:
        own = f"select count(*) from {rows} where {quoted(dataset.parent)} = {quoted(dataset.key)}"
        ((roots,),) = connection.execute(own).fetchall()
        if roots:
            message = f"A parent that is the record's own ID means no parent, as declared: {_roots(roots)}."
            add_warning(connection, message, code="no_parent", hint="Nothing needs to be done.", column=dataset.parent)
    for value, records in found:
        hint = f'But a record has the ID "{value}": if it is their parent, do not declare that value.'
        message = f'The parent "{value}" means no parent, as declared: {_roots(records)}.'
        hint = hint if value in taken else "Nothing needs to be done."
        add_warning(connection, message, code="no_parent", hint=hint, column=dataset.parent, value=value)


def _roots(records: int) -> str:
    return "1 record is a root" if records == 1 else f"{records:,} records are roots"


def name_parents_by_id(connection: duckdb.DuckDBPyConnection, dataset: Dataset, present: list[str], rows: str) -> None:
    """Replace the parents in ``incoming``, which are values of the column ``parent_by`` of ``rows``, by IDs of the file.

    A value that no record has, or several have, becomes a finding, and the record has no parent in ``incoming``. Where a parent
    may be an ID or a name (``parent_by`` is ``id,name``), IDs of the file come first, and what is neither stays: it may be the
    ID of a loaded record. A path of values (``name > name``) is looked for among the paths of the records.
    """
    names = parent_names_of(dataset)
    if names is None or names.column not in present or dataset.parent not in present:
        return
    by, separator, is_mixed = names.column, names.separator, names.may_be_id
    key, parent = quoted(dataset.key), quoted(dataset.parent)
    paths = paths_query(connection, names, dataset, rows) if separator is not None else ""
    of_rows = f"""select {quoted(by)} as value, {key} as id from {rows}
        where {quoted(by)} != '' and {key} != '' and {quoted(by)} in (select {parent} from incoming)"""
    connection.execute(
        f"""create or replace temp table named_values as
        select value, min(id) as id, count(distinct id) as bearers, list_sort(min(distinct id, {_CANDIDATES})) as candidates
        from ({bearers_query(paths) if paths else of_rows}) bearers group by value"""
    )
    connection.execute(_MISNAMED.format(key=key, parent=parent))
    if is_mixed:
        connection.execute("delete from misnamed where known is not null")
    said = {"by": by, "column": dataset.parent}
    if separator is not None and number(connection, "select count(*) from misnamed where bearers is null"):
        find_beginnings(connection, paths, separator)
        connection.execute(UNKNOWN_PATH.format(most=VALUE_LENGTH), {**said, "separator": repr(separator)})
        connection.execute("drop table beginnings")
    elif not is_mixed and separator is None:
        connection.execute(_UNKNOWN, said)
    connection.execute(_AMBIGUOUS, {**said, "what": by if separator is None else "path"})
    connection.execute("drop table misnamed")
    value = _MIXED.format(parent=parent) if is_mixed else _BEARER
    ids = f"left join (select distinct {key} as id from incoming) known on incoming.{parent} = known.id" if is_mixed else ""
    connection.execute("create or replace table named_incoming as from incoming limit 0")
    by_rows(
        connection,
        f"""insert into named_incoming select incoming.* replace ({value} as {parent})
        from incoming left join named_values bearers on incoming.{parent} = bearers.value
        {ids}
        where {{range}}""",
    )
    is_view = connection.execute("from duckdb_views() where view_name = 'incoming'").fetchall()
    connection.execute(f"drop {'view' if is_view else 'table'} incoming")
    connection.execute("alter table named_incoming rename to incoming")
    connection.execute("drop table named_values")
    connection.execute("drop table if exists given_paths")


_BEARER = "case when bearers.bearers = 1 then bearers.id end"
_MIXED = """case when known.id is not null then known.id when bearers.bearers is null then incoming.{parent}
    when bearers.bearers = 1 then bearers.id end"""

_MISNAMED = """
create or replace temp table misnamed as
with known as (select distinct {key} as id from incoming)
select incoming._row, incoming.{parent} as value, bearers.bearers, bearers.candidates, known.id as known
from incoming left join named_values bearers on incoming.{parent} = bearers.value
left join known on incoming.{parent} = known.id
where incoming.{parent} is not null and bearers.bearers is distinct from 1
"""

_UNKNOWN = f"""
insert into findings by name
select 'missing_parent' as code, 'error' as severity, _row as row, $column as "column", left(value, {VALUE_LENGTH}) as value,
    format('No record of the file has the {{}} "{{}}".', $by, left(value, 60)) as message,
    case when known is null then 'Add the record to the file, or correct its parent: parents are given by ' || $by || '.'
        else format('A record has the ID "{{}}". If parents are given by ID, leave parent_by out.', known) end as hint
from misnamed where bearers is null
"""

_AMBIGUOUS = f"""
insert into findings by name
select 'ambiguous_parent' as code, 'error' as severity, _row as row, $column as "column", left(value, {VALUE_LENGTH}) as value,
    format('{{}} records have the {{}} "{{}}".', bearers, $what, left(value, 60)) as message,
    format('Their IDs: "{{}}"{{}}. Name the parent by another column, or change the {{}}.',
        array_to_string(candidates, '", "'), if(bearers > {_CANDIDATES}, ', ...', ''), $by) as hint
from misnamed where bearers > 1
"""
