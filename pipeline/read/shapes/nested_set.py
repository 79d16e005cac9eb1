"""Nested sets: each record has two numbers, left and right, and its descendants' numbers lie between them.

The numbers are passed through in order, as when brackets are matched: a left one opens a record, a right one closes one. So
a record's level is known, and its parent is the last one opened a level above. If two intervals overlap, then for one pair at
least the parent found closes before its child.
"""

from __future__ import annotations

from pipeline.read.read_result import ReadResult
from pipeline.read.shapes.shaped_rows import ShapedFile, store, whole_number
from pipeline.sqlfiles import quoted

_INTERVALS = """
create or replace temp table intervals as
select _row, nullif({key}, '') as id, {tree} as tree, {l} as l, {r} as r, {left} as l_text, {right} as r_text
from {rows}
"""
_SOUND = "create or replace temp table sound as select _row, id, tree, l, r from intervals where l < r"
_NESTED = """
create or replace temp table nesting as
with ends as (select tree, l as bound, 1 as step, _row from sound union all select tree, r, -1, null from sound),
swept as (
    select *, sum(step) over (
        partition by tree order by bound, step rows between unbounded preceding and current row
    ) as level
    from ends
)
select sound._row, sound.id, sound.tree, sound.l, sound.r, swept.level from swept join sound using (_row)
"""
_PARENTS = """
create or replace temp table parents as
select low._row, low.id, low.l, low.r, low.level, high.id as parent, high._row as up, high.l as up_l, high.r as up_r
from nesting low asof left join nesting high on low.tree = high.tree and low.level - 1 = high.level and low.l > high.l
"""


def shape_nested_set(file: ShapedFile) -> ReadResult:
    """Make parents of intervals. Intervals that overlap are errors, and one that concerns the whole file."""
    left, right = file.column("left"), file.column("right")
    numbers = {"left": left, "right": right, "l": whole_number(left), "r": whole_number(right)}
    tree = f"coalesce({file.column('tree')}, '')" if "tree" in file.said else "''"
    file.execute(_INTERVALS.format(rows=file.rows, key=quoted(file.staging.dataset.key), tree=tree, **numbers))
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
    before = file.count("select coalesce(max(rowid), -1) from findings")
    several = (
        ""
        if "tree" in file.said
        else ' If the table has several trees, say which column tells them apart: "tree" in the shape.'
    )
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
        """with ends as (select _row, tree, l as bound from sound union all select _row, tree, r from sound),
        twice as (select tree, bound from ends group by tree, bound having count(*) > 1)
        select _row, bound::varchar as value, 'The number ' || bound || ' is used by another record too.' as message
        from ends join twice using (tree, bound)""",
        code="invalid_interval",
        hint="Each number occurs once, as a left or as a right one." + several,
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
    return file.count(f"select count(distinct row) from findings where rowid > {before}")
