"""Find records that would become roots although another column of the file, which could be the parent too, has a value."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.datasets.column_forms import loose_form
from pipeline.datasets.dataset import Dataset
from pipeline.read.column_mapping import as_mapping
from pipeline.read.raw_tables import RawTables
from pipeline.read.read_result import ReadResult
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.database import VALUE_LENGTH

PARENT_FORMS = ("parent", "parentid", "idparent", "parentkey", "parentcode", "parentref", "parentuuid", "parentguid",
    "parentno", "parentnumber", "postparent", "parentnode", "parentnodeid")  # fmt: skip
"""Loose forms of names that a column of parents may have."""
_NONE = ("", "0", "-", "#", "null", "none", "nil", "false", "{}", "[]")
"""Values that name no parent."""

_FIND = """
insert into findings by name
select 'ambiguous_parent_column' as code, 'error' as severity,
    'The record has no ' || $parent || ', but its ' || $other || ' is ' || left(value, 60) || '.' as message,
    _row as row, first_line + _row - first_row as line, $parent as "column", left(value, $most) as value, $hint as hint
from (select _row, {other} as value from raw where {is_root} and {names_one}) offenders
asof left join lines on _row >= first_row
"""


def check_parents(table: ReadResult, staging: RawTables) -> None:
    """Add an error for each record without a parent that has a value in another column which could be the parent.

    If there is none, one warning names both columns. What the upload maps to the parent needs no check.
    """
    dataset = staging.dataset
    if dataset.parent not in table.columns or not table.records or dataset.parent in dict(dataset.asked).values():
        return
    called = dict(zip(table.columns, table.originals or table.columns, strict=True))
    for other in _others(table.columns, dataset):
        if not _find_roots(other, called, staging):
            staging.note(
                "ambiguous_parent_column",
                f"{called[dataset.parent]!r} and {called[other]!r} could both be the parent; {called[dataset.parent]!r} was"
                " taken.",
                f"If {called[other]!r} is the parent:"
                f" {as_mapping({called[other]: dataset.parent, called[dataset.parent]: ''})}.",
            )


def _others(columns: Sequence[str], dataset: Dataset) -> list[str]:
    forms = {*PARENT_FORMS, loose_form(dataset.parent)}
    return [name for name in columns if name not in dataset.names and loose_form(name) in forms]


def _find_roots(other: str, called: dict[str, str], staging: RawTables) -> bool:
    """Add the errors of one column; return whether there are any."""
    parent = staging.dataset.parent
    own = ", ".join(map(literal, ("", *staging.options.no_parent_values)))
    none = ", ".join(map(literal, _NONE))
    hint = (
        f"Write the parent into {called[parent]!r} in every record. If {called[other]!r} is not the parent, say so with"
        f" {as_mapping({called[parent]: parent})}."
    )
    query = _FIND.format(
        other=quoted(other),
        is_root=f"coalesce({quoted(parent)}, '') in ({own})",
        names_one=f"lower(trim(coalesce({quoted(other)}, ''))) not in ({none})",
    )
    said = {"parent": parent, "other": called[other], "hint": hint, "most": VALUE_LENGTH}
    staging.flush()
    return bool(staging.connection.execute(query, said).fetchall()[0][0])
