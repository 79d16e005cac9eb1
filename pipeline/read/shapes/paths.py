"""Paths: one column with the whole path to a record, such as ``Europe > France > Paris``. Its parent is the path without the
last step."""

from __future__ import annotations

from pipeline.read.read_result import ReadResult
from pipeline.read.shapes import places
from pipeline.read.shapes.shaped_rows import ShapedFile, store
from pipeline.sqlfiles import literal

_SPACE = "' ' || chr(9)"


def shape_path(file: ShapedFile) -> ReadResult:
    """Make ids and parents of a column of paths. Add a finding for a path with an empty step.

    A separator at the beginning is kept where all paths have it. Space around a step is dropped.
    """
    path, separator = file.column("column"), str(file.said["separator"])
    own = f"nullif({file.own_id}, '')" if file.own_id else "null::varchar"
    usual = (
        f"select starts_with(arg_min({path}, _row), {literal(separator)}) as leads from {file.rows} where {path} is not null"
    )
    ((leads,),) = file.staging.connection.execute(usual).fetchall()
    inner = f"if($leads, substr(path, {len(separator) + 1}), path)"
    file.execute(
        f"""create or replace temp table stepped as
        select _row, own, path, starts_with(path, $separator) = $leads as fits,
            list_transform(string_split({inner}, $separator), lambda step: trim(step, {_SPACE})) as steps
        from (select _row, {own} as own, nullif(trim({path}, {_SPACE}), '') as path from {file.rows})""",
        separator=separator,
        leads=bool(leads),
    )
    file.execute(
        f"""create or replace temp table placed as
        select _row, own, if(fits and not list_contains(steps, '') and strlen(path) <= $most,
            array_to_string(steps, {literal(places.STEP)}), null) as place
        from stepped""",
        most=file.staging.limits.id_bytes,
    )
    _find_malformed(file, separator, bool(leads))
    places.link(file, separator=separator, begins=separator if leads else "")
    if file.own_id is None:  # a path that is none keeps its text, beside its finding
        file.execute(
            "update shaped_ids set id = path from stepped where shaped_ids._row = stepped._row and shaped_ids.id is null"
        )
    file.execute("drop table stepped")
    key_from = file.id_column or (None if file.own_id else file.named[file.said["column"]])
    return store(file, file.shape.label(file.staging.dataset.names), key_from=key_from)


def joined_path(path: str, separator: str) -> str:
    """Return the SQL of a path as it is written where it is an id: without space around its steps."""
    steps = f"string_split(trim({path}, {_SPACE}), {literal(separator)})"
    return f"array_to_string(list_transform({steps}, lambda step: trim(step, {_SPACE})), {literal(separator)})"


def _find_malformed(file: ShapedFile, separator: str, leads: bool) -> None:
    shown = repr(separator)
    usual = "begins with" if leads else "does not begin with"
    file.find(
        f"""select _row, path as value, case
            when not fits then 'The first path of the file {usual} ' || {literal(shown)} || '; this one does not do the same.'
            else 'The path has an empty step.'
        end as message
        from stepped where path is not null and (not fits or list_contains(steps, ''))""",
        code="malformed_path",
        column=file.named[file.said["column"]] if file.own_id else file.staging.dataset.key,
        hint=f"Write the steps with one {shown} between them, and all paths with or all without one at the beginning.",
    )
    if file.own_id:
        file.find(
            "select _row, null as value, 'The path is empty.' as message from stepped where path is null",
            code="malformed_path",
            column=file.named[file.said["column"]],
            hint="Write the path of every record.",
        )
