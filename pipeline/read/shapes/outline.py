"""Outlines: the order of the rows and how far each is indented say where it is, as in a table of contents.

A row's parent is the last row before it that is less indented. The indentation is in the text of a column, in which of several
columns is filled, or a number in a column of its own.
"""

from __future__ import annotations

from pipeline.errors import Unreadable
from pipeline.read.read_result import ReadResult
from pipeline.read.shapes.shaped_rows import ShapedFile, store
from pipeline.sqlfiles import literal, quoted

_MOST_LEVELS = 200
_SPACES = r"[ \x{a0}\x{3000}]"
_HINT_INDENT = 'Say what stands once for each level: "indent" in the shape, for instance "indent": "  ".'


def shape_outline(file: ShapedFile) -> ReadResult:
    """Make ids and parents of an outline. Without a column of ids, an id is the position: 1, 1.1, 1.2, 2.

    Add a finding for a row that is more than one level below the row before. Raises Unreadable if levels cannot be told.
    """
    if "level" in file.said:
        _level_by_number(file)
    elif "columns" in file.said:
        _level_by_column(file)
    else:
        _level_by_indent(file)
    _find_unclear(file)
    _link(file)
    _find_jumps(file)
    _identify(file)
    file.execute("drop table leveled; drop table outline")
    return store(file, file.shape.label(file.staging.dataset.names), key_from=file.id_column)


# --- Levels ---


def _own(file: ShapedFile) -> str:
    return f"nullif({file.own_id}, '')" if file.own_id else "null::varchar"


def _level_by_number(file: ShapedFile) -> None:
    level, names = file.column("level"), file.staging.dataset.names
    label = file.shape.label(names)
    text = quoted(label) if label and label in file.table.columns else "null::varchar"
    file.execute(
        f"""create or replace temp table leveled as
        select _row, {_own(file)} as own, try_cast({level} as integer) as level, {text} as label, {level} as value,
            'The level is not a whole number.' as fault
        from raw"""
    )


def _level_by_column(file: ShapedFile) -> None:
    """The level is which of the columns is filled; more than one is a finding."""
    columns = [quoted(file.named[name]) for name in file.said["columns"]]
    cells = f"[{', '.join(_filled(column) for column in columns)}]"
    file.execute(
        f"""create or replace temp table leveled as
        select _row, own, if(len(filled) = 1, list_position(cells, filled[1]), null)::integer as level, filled[1] as label,
            array_to_string(filled, ', ') as value,
            if(len(filled) = 0, 'None of the columns of levels has a text.', 'Several columns of levels have a text.') as fault
        from (
            select *, list_filter(cells, lambda one: one is not null) as filled
            from (select _row, {_own(file)} as own, {cells} as cells from raw)
        )"""
    )


def _filled(text: str) -> str:
    return f"nullif(trim({text}), '')"


def _level_by_indent(file: ShapedFile) -> None:
    """The level is how often the indent stands before the text: as said, or tabs, or the smallest number of spaces."""
    column, indent = file.column("column"), str(file.said.get("indent", ""))
    lead = rf"regexp_extract({column}, '^(?:\t|{_SPACES})*')"
    unit, base = (
        (len(indent), 0)
        if indent
        else _unit(
            file,
            f"select length({lead}) as size, contains({lead}, chr(9)) as tabs,"
            f" regexp_matches({lead}, '{_SPACES}') as spaces from raw where trim({column}) != ''",
        )
    )
    if indent:
        lead = f"regexp_extract({column}, {literal(f'^(?:{_escaped(indent)})*')})"
    file.execute(
        f"""create or replace temp table leveled as
        select _row, own, nullif(trim(rest), '') as label, text as value,
            if(label is null or is_odd or (size - {base}) % {unit} != 0, null, (size - {base}) // {unit})::integer as level,
            if(coalesce(trim(rest), '') = '', 'The text is missing.', $fault) as fault
        from (
            select _row, own, text, size, substr(text, size + 1) as rest,
                regexp_matches(substr(text, size + 1), '^(?:\\t|{_SPACES})') and $said as is_odd
            from (select _row, {_own(file)} as own, {column} as text, length({lead}) as size from raw)
        )""",
        said=indent != "",
        fault=f"The indentation is no multiple of {unit} {'characters' if unit > 1 else 'character'}.",
    )


def _unit(file: ShapedFile, leads: str) -> tuple[int, int]:
    """Return the size of one level's indentation, and of the least indented row's. Raises Unreadable if it is mixed."""
    ((tabs, spaces, least, unit),) = file.staging.connection.execute(
        f"""with leads as ({leads}), base as (select min(size) as least from leads)
        select coalesce(bool_or(tabs), false), coalesce(bool_or(spaces), false), coalesce(any_value(least), 0),
            min(size - least) filter (where size > least)
        from leads, base"""
    ).fetchall()
    if tabs and spaces:
        raise Unreadable(
            f"The column {file.said['column']} is indented by tabs in some rows and by spaces in others.",
            code="unclear_levels",
            hint=f"Indent all rows in the same way. {_HINT_INDENT}",
        )
    return (1 if tabs else int(unit or 1)), int(least)


def _escaped(text: str) -> str:
    return "".join(rf"\x{{{ord(character):x}}}" for character in text)


def _find_unclear(file: ShapedFile) -> None:
    """Add a finding for each row without a level, and one for the file: others' parents may depend on it."""
    unclear = file.count("select count(*) from leveled where level is null")
    if not unclear:
        return
    file.find(
        "select _row, value, fault as message from leveled where level is null",
        code="unclear_levels",
        column=file.named[file.shape.columns[0]],
        hint="Correct the row." if "column" not in file.said else f"Correct the row. {_HINT_INDENT}",
    )
    file.staging.add_finding(
        "unclear_parents",
        f"The level of {unclear:,} record{'s' * (unclear > 1)} is not clear, so the parents of others cannot be told.",
        hint="Correct the records named in the other findings.",
    )


# --- The tree ---


def _link(file: ShapedFile) -> None:
    """Make ``outline`` (_row, own, level, label, up), in which ``up`` is the row of the parent.

    It is the last row of a lower level: the last of all that were, up to here. Raises Unreadable for too many levels.
    """
    query = "select distinct level from leveled where level is not null order by level"
    levels = [int(level) for (level,) in file.staging.connection.execute(query).fetchall()]
    if len(levels) > _MOST_LEVELS:
        raise Unreadable(f"The outline has {len(levels):,} levels; at most {_MOST_LEVELS} can be read.", code="unclear_levels")
    window = "over (order by _row rows between unbounded preceding and current row)"
    lasts = [f"max(if(level < {level}, _row, null)) {window} as up{at}" for at, level in enumerate(levels)]
    cases = " ".join(f"when {level} then up{at}" for at, level in enumerate(levels))
    up = f"case level {cases} end" if levels else "null::bigint"
    file.execute(
        f"""create or replace temp table outline as
        select _row, own, level, label, {up} as up from (select {", ".join(["*", *lasts])} from leveled)"""
    )


def _find_jumps(file: ShapedFile) -> None:
    file.find(
        """with base as (select min(level) as least from outline)
        select low._row, low.label as value, 'The record is at level ' || (low.level - least + 1) || ', but ' || case
            when high._row is null then 'none at level 1 stands before it.'
            else 'the one above it, ' || left(coalesce(high.label, high.own, 'record ' || high._row), 60) || ', is at level '
                || (high.level - least + 1) || '.'
        end as message
        from base, outline low left join outline high on low.up = high._row
        where low.level - coalesce(high.level, least - 1) > 1""",
        code="level_gap",
        column=file.named[file.shape.columns[0]],
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
