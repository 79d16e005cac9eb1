"""Levels: one column a level, such as Region, Country, City. A row belongs to the deepest level that it gives."""

from __future__ import annotations

from pipeline.read.read_result import ReadResult
from pipeline.read.shapes import places
from pipeline.read.shapes.shaped_rows import ShapedFile, store
from pipeline.sqlfiles import literal, quoted

_BLANK = "nullif(trim({}, chr(32) || chr(9)), '')"


def shape_levels(file: ShapedFile) -> ReadResult:
    """Make ids and parents of columns that are levels. Add a finding for a row with a gap between its levels."""
    columns = [quoted(file.named[name]) for name in file.said["columns"]]
    levels = [f"c{at}" for at in range(1, len(columns) + 1)]
    picks = ", ".join(
        f"if({_BLANK.format(column)} is null, null, {column}) as {level}" for column, level in zip(columns, levels, strict=True)
    )
    own = f"nullif({file.own_id}, '')" if file.own_id else "null::varchar"
    file.execute(
        f"""create or replace temp table leveled as
        select *, {_deepest(levels)} as deepest, 0 as branch from (select _row, {own} as own, {picks} from {file.rows})"""
    )
    if file.said.get("fill_down"):
        for at, level in enumerate(levels[:-1], 1):
            file.execute(_FILL_DOWN.format(at=at, level=level))
    _place(file, levels)
    _find_gaps(file, levels)
    separator = str(file.said.get("separator", "/"))
    places.link(file, separator=separator)
    if file.own_id is None:  # a row with a gap keeps what it says, beside its finding
        texts = ", ".join(f"coalesce({level}, '')" for level in levels)
        file.execute(
            f"""update shaped_ids set id = rtrim(concat_ws({literal(separator)}, {texts}), {literal(separator)}) from leveled
            where shaped_ids._row = leveled._row and shaped_ids.id is null and deepest > 0"""
        )
    file.execute("drop table leveled")
    return store(file, file.shape.label(file.staging.dataset.names), key_from=file.id_column)


# A blank level of a row that gives a deeper one is filled from above, as far as the rows are in one branch: it ends where a
# level above changes, and at a row that belongs to a level above.
_FILL_DOWN = """
create or replace temp table leveled as
with filled as (
    select * replace (
        if(deepest > {at}, last_value({level} ignore nulls) over (
            partition by branch order by _row rows between unbounded preceding and current row
        ), {level}) as {level}
    )
    from leveled
),
begun as (
    select *, branch is distinct from lag(branch) over lines or {level} is distinct from lag({level}) over lines
        or deepest <= {at} as begins
    from filled window lines as (order by _row)
)
select * exclude (begins) replace (
    sum(begins::integer) over (order by _row rows between unbounded preceding and current row) as branch
)
from begun
"""


def _deepest(levels: list[str]) -> str:
    cases = " ".join(f"when {level} is not null then {at}" for at, level in reversed([*enumerate(levels, 1)]))
    return f"case {cases} else 0 end"


def _place(file: ShapedFile, levels: list[str]) -> None:
    """Make ``placed``; a row with a gap, or without any level, has no place."""
    step = literal(places.STEP)
    cases = []
    for at in range(1, len(levels) + 1):
        whole = " and ".join(f"{level} is not null" for level in levels[:at])
        cases.append(f"when deepest = {at} and {whole} then concat_ws({step}, {', '.join(levels[:at])})")
    file.execute(f"create or replace temp table placed as select _row, case {' '.join(cases)} end as place, own from leveled")


def _find_gaps(file: ShapedFile, levels: list[str]) -> None:
    first = " ".join(
        f"when {level} is null then {literal(name)}" for level, name in zip(levels, file.said["columns"], strict=True)
    )
    last = " ".join(f"when {at} then {literal(name)}" for at, name in enumerate(file.said["columns"], 1))
    values = f"concat_ws(', ', {', '.join(levels)})"
    file.find(
        f"""select _row, {values} as value,
            'The level ' || case {first} end || ' is empty, but ' || case deepest {last} end || ', below it, is not.' as message
        from leveled semi join (from placed where place is null) using (_row) where deepest > 0""",
        code="level_gap",
        hint="Fill in the level"
        + ("." if file.said.get("fill_down") else ', or say that an empty one is as above: "fill_down": true in the shape.'),
    )
