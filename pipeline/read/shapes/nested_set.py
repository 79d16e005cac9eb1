"""Nested sets: each record has two numbers, left and right, and its descendants' numbers lie between them.

The numbers are passed through in order, as when brackets are matched: a left one opens a record, a right one closes one. So
a record's level is known, and its parent is the last one opened a level above. If two intervals overlap, then for one pair at
least the parent found closes before its child.
"""

from __future__ import annotations

from pipeline.read.read_result import ReadResult
from pipeline.read.shapes.shaped_rows import ShapedFile, store
from pipeline.sqlfiles import quoted

_INTERVALS = """
create or replace temp table intervals as
select _row, nullif({key}, '') as id, try_cast({left} as bigint) as l, try_cast({right} as bigint) as r,
    {left} as l_text, {right} as r_text
from raw
"""
_SOUND = "create or replace temp table sound as select _row, id, l, r from intervals where l < r"
_NESTED = """
create or replace temp table nesting as
with ends as (select l as bound, 1 as step, _row from sound union all select r, -1, null from sound),
swept as (select *, sum(step) over (order by bound, step rows between unbounded preceding and current row) as level from ends)
select sound._row, sound.id, sound.l, sound.r, swept.level from swept join sound using (_row)
"""
_PARENTS = """
create or replace temp table parents as
select low._row, low.id, low.l, low.r, low.level, high.id as parent, high._row as up, high.l as up_l, high.r as up_r
from nesting low asof left join nesting high on low.level - 1 = high.level and low.l > high.l
"""


def shape_nested_set(file: ShapedFile) -> ReadResult:
    """Make parents of intervals. Intervals that overlap are errors, and one that concerns the whole file."""
    left, right = file.column("left"), file.column("right")
    file.execute(_INTERVALS.format(key=quoted(file.staging.dataset.key), left=left, right=right))
    file.execute(_SOUND)
    file.execute(_NESTED)
    file.execute(_PARENTS)
    wrong = _find_wrong(file)
    if wrong:
        file.staging.add_finding(
            "unclear_parents",
            f"The intervals of {wrong:,} record{'s' * (wrong > 1)} are wrong, so the parents of others cannot be told.",
            hint="Correct the intervals, or export the parents' ids instead.",
        )
    file.execute(
        """insert into shaped_ids by name
        select _row, intervals.id, parent, null as label from intervals left join parents using (_row)"""
    )
    file.execute("drop table intervals; drop table sound; drop table nesting; drop table parents")
    return store(file, "")


def _find_wrong(file: ShapedFile) -> int:
    """Add the findings; return how many records have one."""
    before = file.count("select count(*) from findings")
    left, right = file.said["left"], file.said["right"]
    file.find(
        """select _row, concat_ws(', ', l_text, r_text) as value,
            'Left and right must be whole numbers, the left one less than the right one.' as message
        from intervals where l is null or r is null or l >= r""",
        code="invalid_interval",
        column=file.named[left],
        hint=f"Correct {left} and {right} of this record.",
    )
    file.find(
        """with ends as (select _row, l as bound from sound union all select _row, r from sound),
        twice as (select bound, min(_row) as first from ends group by bound having count(*) > 1)
        select _row, bound::varchar as value, 'The number ' || bound || ' is used by another record too.' as message
        from ends join twice using (bound)""",
        code="invalid_interval",
        hint="Each number occurs once, as a left or as a right one.",
    )
    file.find(
        """select _row, l || ', ' || r as value,
            'The interval ' || l || '-' || r || ' overlaps ' || up_l || '-' || up_r || ', of record '
                || coalesce(parents.parent, '?')
                || ': neither is within the other.' as message
        from parents where r > up_r""",
        code="overlapping_intervals",
        column=file.named[left],
        hint="Correct the numbers of one of the two, or export the parents' ids instead.",
    )
    return file.count("select count(*) from findings") - before
