"""The levels of an outline: of the text's indentation, of which column is filled, of a number, or of what a workbook says.

Each function makes ``leveled`` (_row, own, level, label, value, fault); ``level`` is null for a row of which it is not clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.datasets.shape_meta import Shape
from pipeline.errors import Unreadable
from pipeline.read.column_mapping import OUTLINE_LEVEL
from pipeline.read.shapes.shaped_rows import ShapedFile, whole_number
from pipeline.sqlfiles import literal, quoted

_SPACES = r"[ \x{a0}\x{3000}]"
HINT_INDENT = 'Say what stands once for each level: "indent" in the shape, for instance "indent": "  ".'


def _own(file: ShapedFile) -> str:
    return f"nullif({file.own_id}, '')" if file.own_id else "null::varchar"


def level_by_number(file: ShapedFile, level: str, unit: int = 1, least: int = 0) -> None:
    """The level is how many ``unit`` a number is above ``least``; ``level`` is the SQL of its text."""
    label = file.shape.label(file.staging.dataset.names)
    text = file.column("column") if "column" in file.said else quoted(label) if label in file.table.columns else "null::varchar"
    file.execute(
        f"""create or replace temp table leveled as
        select _row, {_own(file)} as own,
            if((number - {least}) % {unit} = 0, (number - {least}) // {unit}, null) as level,
            {text} as label, {level} as value, $fault as fault
        from (select *, {whole_number(level)} as number from {file.rows})""",
        fault="The level is not a whole number." if unit == 1 else f"The indentation of the cell is no multiple of {unit}.",
    )


def level_by_workbook(file: ShapedFile) -> ShapedFile:
    """The level is in a column that the reader of workbooks has added; return the file without it.

    Raises Unreadable if there is none, or all rows have the same level.
    """
    if OUTLINE_LEVEL not in file.table.columns:
        raise Unreadable(
            "The shape takes the levels from an Excel workbook, and the file is none.",
            code="unclear_levels",
            hint="Upload the workbook, or say how the text shows the levels: column, columns or level in the shape.",
        )
    level, is_indent = quoted(OUTLINE_LEVEL), file.said["excel"] == "indent"
    ((least, most, step),) = file.staging.connection.execute(
        f"""with widths as (select {level}::integer as size from {file.rows}), base as (select min(size) as least from widths)
        select any_value(least), max(size), min(size - least) filter (where size > least) from widths, base"""
    ).fetchall()
    if least == most:
        what = (
            f"no cell of the column {file.said['column']} is indented more than others" if is_indent else "no rows are grouped"
        )
        raise Unreadable(
            f"In the sheet {what}, so there are no levels.",
            code="unclear_levels",
            hint='Choose another sheet, or say how the levels are shown: "excel" is "groups" (of rows) or "indent" (of cells).',
        )
    level_by_number(file, level, int(step) if is_indent else 1, int(least) if is_indent else 0)
    table = file.table
    places = [at for at, name in enumerate(table.columns) if name != OUTLINE_LEVEL]
    columns, originals, letters = (
        tuple(names[at] for at in places) if names else () for names in (table.columns, table.originals, table.letters)
    )
    return replace(file, table=replace(table, columns=columns, originals=originals, letters=letters))


def level_by_column(file: ShapedFile) -> None:
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
            from (select _row, {_own(file)} as own, {cells} as cells from {file.rows})
        )"""
    )


def _filled(text: str) -> str:
    return f"nullif(trim({text}), '')"


def is_indented(shape: Shape) -> bool:
    """Return whether a shape's levels are in the text of a column, before it."""
    return shape.kind == "outline" and "column" in shape.said and "excel" not in shape.said


def lead_of(said: Mapping[str, Any]) -> str:
    """Return the regular expression of an indentation."""
    indent = str(said.get("indent", ""))
    return f"^(?:{_escaped(indent)})*" if indent else rf"^(?:\t|{_SPACES})*"


def level_by_indent(file: ShapedFile) -> None:
    """The level is how often the indent stands before the text: as said, or tabs, or the smallest number of spaces."""
    column, indent = file.column("column"), str(file.said.get("indent", ""))
    lead = f"regexp_extract({column}, {literal(lead_of(file.said))})"
    unit, base = (
        (len(indent), 0)
        if indent
        else _unit(
            file,
            f"select length({lead}) as size, contains({lead}, chr(9)) as tabs,"
            f" regexp_matches({lead}, '{_SPACES}') as spaces from {file.rows} where trim({column}) != ''",
        )
    )
    file.execute(
        f"""create or replace temp table leveled as
        select _row, own, nullif(trim(rest), '') as label, text as value,
            if(label is null or is_odd or (size - {base}) % {unit} != 0, null, (size - {base}) // {unit})::integer as level,
            if(coalesce(trim(rest), '') = '', 'The text is missing.', $fault) as fault
        from (
            select _row, own, text, size, substr(text, size + 1) as rest,
                regexp_matches(substr(text, size + 1), '^(?:\\t|{_SPACES})') and $said as is_odd
            from (select _row, {_own(file)} as own, {column} as text, length({lead}) as size from {file.rows})
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
            hint=f"Indent all rows in the same way. {HINT_INDENT}",
        )
    return (1 if tabs else int(unit or 1)), int(least)


def _escaped(text: str) -> str:
    return "".join(rf"\x{{{ord(character):x}}}" for character in text)


def parents_are_below(file: ShapedFile) -> bool:
    """Return whether the groups of a sheet's rows are above their parents: as said, or as the levels alone make sense.

    Excel has the buttons of groups below them unless the sheet says otherwise, which few people change: that alone tells
    nothing. Raises Unreadable if both directions make sense.
    """
    if said := file.said.get("parents"):
        return bool(said == "below")
    if file.staging.parents_are_below is False:
        return False
    jumps = """select count(*) from (
        select level - coalesce(lag(level) over (order by {order}), least - 1) as step
        from leveled, (select min(level) as least from leveled) where level is not null
    ) where step > 1"""
    above, below = (file.count(jumps.format(order=order)) == 0 for order in ("_row", "_row desc"))
    if above and below:
        raise Unreadable(
            "Whether the rows that are grouped belong to the row above them or to the one below them cannot be told.",
            code="unclear_levels",
            hint='Say which: "parents": "above" in the shape, or "parents": "below".',
        )
    place = "above" if above or not below else "below"
    file.staging.add_finding(
        "outline_direction",
        f"The rows that are grouped were read as belonging to the row {place} them"
        + ("." if above or below else ", though their levels fit neither direction."),
        severity="warning",
        hint=f'Say that it is so, "parents": "{place}" in the shape, or that it is not.',
    )
    return place == "below"
