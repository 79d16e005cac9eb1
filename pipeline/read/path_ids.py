"""Check ids that are paths, such as /a/b/c: the parent is the part before the last step, and is not in the file.

Ids stay exactly as they were written; staging derives the parents from them (``cast.parent_of``).
"""

from __future__ import annotations

from pipeline.read.raw_tables import RawTables
from pipeline.sqlfiles import quoted
from pipeline.staging.cleaning import rows_to_cast
from pipeline.staging.database import VALUE_LENGTH

_FIND = """
insert into findings by name
with ids as (select _row, {key} as id from {rows} where {key} is not null and {key} != ''),
usual as (select starts_with(arg_min(id, _row), $sep) as leads from ids),
wrong as (
    select _row, id, case
        when ends_with(id, $sep) then 'The path ends with ' || $shown || '.'
        when contains(id, $sep || $sep) then 'The path has an empty step.'
        when starts_with(id, $sep) and not leads then
            'The path begins with ' || $shown || '; the first one in the file does not.'
        when leads and not starts_with(id, $sep) then
            'The path does not begin with ' || $shown || '; the first one in the file does.'
    end as message
    from ids, usual
)
select
    'malformed_path' as code, 'error' as severity, message, _row as row, first_line + _row - first_row as line,
    $column as "column", left(id, $most) as value, $hint as hint
from wrong asof left join lines on _row >= first_row
where message is not null
"""


def check_paths(staging: RawTables) -> None:
    """Add a finding for every id that is not a path, or not in the form of the first; only if the dataset's ids are paths."""
    separator, key = staging.dataset.shape.path_separator, staging.dataset.key
    if separator is None:
        return
    said = {
        "sep": separator,
        "shown": repr(separator),
        "column": key,
        "most": VALUE_LENGTH,
        "hint": f"Write the steps with one {separator!r} between them, and all paths with or all without one at the beginning.",
    }
    staging.connection.execute(_FIND.format(key=quoted(key), rows=rows_to_cast(staging.connection, staging.dataset)), said)
