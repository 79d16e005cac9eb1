"""Paths of names: ``Europe > Germany`` is the path of the record Germany, whose parent's path is ``Europe``.

A record gives its parent's whole path, so its own is that and its name: it depends on no other record. A parent's path is
shorter than its child's, so there are no cycles.
"""

from __future__ import annotations

import re

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.parent_names import ParentNames
from pipeline.sqlfiles import literal, quoted

_SPACE = "' ' || chr(9)"

COMPARED_MOST = 10_000
"""Of so many paths that no record has, the known beginnings are looked for."""

STEPS_MOST = 30
"""Of a path that no record has, so many steps at most are looked for."""

_CHARACTERS_MOST = 1_000


def plain_path(text: str, separator: str) -> str:
    """Return the SQL of a path as it is compared: without space around its names, and without a separator at its ends."""
    ends = f"^[ \t]*{re.escape(separator)}|{re.escape(separator)}[ \t]*$"
    sep, inner = literal(separator), f"regexp_replace({text}, {literal(ends)}, '', 'g')"
    return f"array_to_string(list_transform(string_split({inner}, {sep}), lambda step: trim(step, {_SPACE})), {sep})"


def paths_query(connection: duckdb.DuckDBPyConnection, names: ParentNames, dataset: Dataset, rows: str) -> str:
    """Return the query for the path (``value``) and the id of each record of ``rows``; the parents are those in ``incoming``.

    Makes ``given_paths``, which it reads: each different parent as it is written, and as a path. There are fewer than records.
    """
    separator, parent = names.separator or "", quoted(dataset.parent)
    connection.execute(
        f"""create or replace temp table given_paths as select given, {plain_path("given", separator)} as path
        from (select distinct {parent} as given from incoming where {parent} is not null)"""
    )
    name, key, sep = f"{rows}.{quoted(names.column)}", f"{rows}.{quoted(dataset.key)}", literal(separator)
    own = plain_path(f"coalesce(path || {sep}, '') || {name}", separator)
    if len(separator) == 1:  # nothing else can be split in a name without it
        own = f"case when contains({name}, {sep}) then {own} else coalesce(path || {sep}, '') || trim({name}, {_SPACE}) end"
    return f"""
        select {own} as value, {key} as id
        from {rows} join incoming using (_row) left join given_paths on incoming.{parent} = given
        where trim({name}, {_SPACE}) != '' and {key} != ''"""


def bearers_query(paths: str) -> str:
    """Return the query for the ids that each parent in ``given_paths`` may mean, of the query for the records' paths."""
    return f"select given as value, id from given_paths join ({paths}) paths on path = paths.value"


def find_beginnings(connection: duckdb.DuckDBPyConnection, paths: str, separator: str) -> None:
    """Make ``beginnings`` (value, beginning) of ``misnamed``: the longest beginning of each path that is a record's path."""
    sep = literal(separator)
    connection.execute(
        f"""create or replace temp table beginnings as
        with unknown as (
            select distinct value from misnamed where bearers is null and length(value) <= {_CHARACTERS_MOST}
            order by value limit {COMPARED_MOST}
        ),
        split as (select value, string_split({plain_path("value", separator)}, {sep}) as steps from unknown),
        counted as (select value, steps, unnest(range(1, least(len(steps), {STEPS_MOST + 1}))) as count from split),
        looked_for as (select value, count, array_to_string(steps[1:count], {sep}) as beginning from counted),
        known as (select distinct value from ({paths}) paths where value in (select beginning from looked_for))
        select looked_for.value, max_by(beginning, count) as beginning
        from looked_for join known on beginning = known.value group by looked_for.value"""
    )


UNKNOWN_PATH = """
insert into findings by name
select 'missing_parent' as code, 'error' as severity, _row as row, $column as "column", left(misnamed.value, {most}) as value,
    format('No record of the file has the path "{{}}".', left(misnamed.value, 200)) as message,
    case
        when known is not null
            then format('A record has the ID "{{}}". If parents are given by ID, leave parent_by out.', known)
        when beginning is not null then format('The longest beginning of it that a record has: "{{}}". '
            'Add the record below it to the file, or correct the parent.', left(beginning, 200))
        else format('No record has a beginning of it as its path. A path has the {{}} of each record from a root '
            'to the parent, with {{}} between them.', $by, $separator)
    end as hint
from misnamed left join beginnings using (value) where bearers is null
"""
"""A finding for each parent whose path no record has."""
