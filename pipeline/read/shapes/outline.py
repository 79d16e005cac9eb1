"""Outlines: the order of the rows and how far each is indented say where it is, as in a table of contents.

A row's parent is the last row before it that is less indented. The indentation is in the text of a column, in which of several
columns is filled, a number in a column of its own, or what a workbook says of its rows (formats/excel_outline.py). Only groups
of a sheet's rows may have their parents below them, as totals are; then it is the next row that is less indented.
"""

from __future__ import annotations

from pipeline.errors import Unreadable
from pipeline.read.read_result import ReadResult
from pipeline.read.shapes.outline_levels import (
    HINT_INDENT,
    level_by_column,
    level_by_indent,
    level_by_number,
    level_by_workbook,
    parents_are_below,
)
from pipeline.read.shapes.shaped_rows import ShapedFile, store

_MOST_LEVELS = 200


def shape_outline(file: ShapedFile) -> ReadResult:
    """Make ids and parents of an outline. Without a column of ids, an id is the position: 1, 1.1, 1.2, 2.

    Add a finding for a row that is more than one level below the row before. Raises Unreadable if levels cannot be told.
    """
    is_below = False
    if "level" in file.said:
        level_by_number(file, file.column("level"))
    elif "excel" in file.said:
        file = level_by_workbook(file)
    elif "columns" in file.said:
        level_by_column(file)
    else:
        level_by_indent(file)
    _find_unclear(file)
    if file.said.get("excel") == "groups":
        is_below = parents_are_below(file)
    _link(file, is_below=is_below)
    _find_jumps(file, is_below=is_below)
    _identify(file)
    file.execute("drop table leveled; drop table outline")
    return store(file, file.shape.label(file.staging.dataset.names), key_from=file.id_column)


def _column(file: ShapedFile) -> str:
    """Return the column that shows the levels, or a row's text; an empty text if none is said."""
    return file.named[file.shape.columns[0]] if file.shape.columns else ""


def _find_unclear(file: ShapedFile) -> None:
    """Add a finding for each row without a level, and one for the file: others' parents may depend on it."""
    unclear = file.count("select count(*) from leveled where level is null")
    if not unclear:
        return
    file.find(
        "select _row, value, fault as message from leveled where level is null",
        code="unclear_levels",
        column=_column(file),
        hint="Correct the row." if "column" not in file.said else f"Correct the row. {HINT_INDENT}",
    )
    file.staging.add_finding(
        "unclear_parents",
        f"The level of {unclear:,} record{'s' * (unclear > 1)} is not clear, so the parents of others cannot be told.",
        hint="Correct the records named in the other findings.",
    )


# --- The tree ---


def _link(file: ShapedFile, *, is_below: bool) -> None:
    """Make ``outline`` (_row, own, level, label, up), in which ``up`` is the row of the parent.

    It is the last row of a lower level: the last of all that were, up to here. Raises Unreadable for too many levels.
    """
    query = "select distinct level from leveled where level is not null order by level"
    levels = [int(level) for (level,) in file.staging.connection.execute(query).fetchall()]
    if len(levels) > _MOST_LEVELS:
        raise Unreadable(f"The outline has {len(levels):,} levels; at most {_MOST_LEVELS} can be read.", code="unclear_levels")
    order, last = ("_row desc", "min") if is_below else ("_row", "max")
    window = f"over (order by {order} rows between unbounded preceding and current row)"
    lasts = [f"{last}(if(level < {level}, _row, null)) {window} as up{at}" for at, level in enumerate(levels)]
    cases = " ".join(f"when {level} then up{at}" for at, level in enumerate(levels))
    up = f"case level {cases} end" if levels else "null::bigint"
    file.execute(
        f"""create or replace temp table outline as
        select _row, own, level, label, {up} as up from (select {", ".join(["*", *lasts])} from leveled)"""
    )


def _find_jumps(file: ShapedFile, *, is_below: bool) -> None:
    after, above = ("after", "below") if is_below else ("before", "above")
    file.find(
        f"""with base as (select min(level) as least from outline)
        select low._row, low.label as value, 'The record is at level ' || (low.level - least + 1) || ', but ' || case
            when high._row is null then 'none at level 1 stands {after} it.'
            else 'the one {above} it, ' || left(coalesce(high.label, high.own, 'record ' || high._row), 60) || ', is at level '
                || (high.level - least + 1) || '.'
        end as message
        from base, outline low left join outline high on low.up = high._row
        where low.level - coalesce(high.level, least - 1) > 1""",
        code="level_gap",
        column=_column(file),
        hint="Add the levels between, or indent the record less.",
    )


def _identify(file: ShapedFile) -> None:
    """Fill ``shaped_ids``: with the ids that the rows have, or with positions, one level a round."""
    if file.own_id:
        file.execute(
            """insert into shaped_ids by name select low._row, low.own as id, high.own as parent, low.label
            from outline low left join outline high on low.up = high._row"""
        )
        return
    file.execute(
        """create or replace temp table placed as
        select _row, up, label, level, row_number() over (partition by up order by _row) as place from outline
        where level is not null;
        create or replace temp table latest as
        select _row, place::varchar as id, null::varchar as parent, label from placed where up is null"""
    )
    while file.count("select count(*) from latest"):
        file.execute("insert into shaped_ids by name from latest")
        file.execute(
            """create or replace temp table latest as
            select placed._row, latest.id || '.' || placed.place as id, latest.id as parent, placed.label
            from placed join latest on placed.up = latest._row"""
        )
    file.execute("insert into shaped_ids by name select _row, '?' || _row as id, label from outline where level is null")
    file.execute("drop table placed; drop table latest")
