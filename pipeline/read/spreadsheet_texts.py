"""Warn of values that are written for a spreadsheet: ``="001"``, a formula that keeps zeros, and ``'001``, a mark for text.

They are kept as they are unless an upload says otherwise (``clean``); the warning names the rule that takes the marks off.
"""

from __future__ import annotations

from pipeline.datasets.upload_rules import cleaning_of
from pipeline.display import counted
from pipeline.read.raw_tables import RawTables, printable
from pipeline.read.read_result import ReadResult
from pipeline.sqlfiles import quoted

OPENING_ROWS = 10_000
"""Such values are looked for in so many rows; only a column that has one there is read whole, to count them."""

_OPENING = f"(from raw where _row <= {OPENING_ROWS})"
_FORMULA = """starts_with({v}, '="') and ends_with({v}, '"') and length({v}) > 3"""
_MARKED_ID = "starts_with({v}, chr(39)) and length({v}) > 1 and not contains({v}[2:], chr(39))"
_MARKED = "starts_with({v}, chr(39)) and regexp_matches({v}, '^.[0-9=+@-]')"

_RULES = {
    "unquote_excel": (_FORMULA, _FORMULA, "are formulas that a spreadsheet shows as text"),
    "strip_leading_apostrophe": (_MARKED_ID, _MARKED, "begin with the apostrophe that marks text in a spreadsheet"),
}


def warn_of_spreadsheet_texts(staging: RawTables, table: ReadResult) -> None:
    """Add one warning for each rule of ``clean`` that such values need and that is not declared."""
    marked = " or ".join(f"left({quoted(name)}, 1) in ('=', chr(39))" for name in table.columns)
    if not staging.connection.execute(f"select 1 from {_OPENING} where {marked} limit 1").fetchall():
        return
    ids = [name for name in table.columns if name in (staging.dataset.key, staging.dataset.parent)]
    others = [name for name in table.columns if name not in ids]
    declared = {rule.name for rule in cleaning_of(staging.dataset).rules}
    for rule, (of_ids, of_others, said) in _RULES.items():
        if rule in declared:
            continue
        found = [*_found(staging, ids, of_ids), *_found(staging, others, of_others)]
        if found:
            names = ", ".join(name for name, _, _ in found[:5])
            values = counted(sum(number for _, number, _ in found), "value")
            message = f"{values} of {names} {said}, for instance {printable(found[0][2])[:60]}."
            hint = f'They are kept as they are. To take the marks off: clean={{"{rule}": true}}.'
            staging.add_finding("spreadsheet_text", message, severity="warning", column=found[0][0], hint=hint)


def _found(staging: RawTables, columns: list[str], condition: str) -> list[tuple[str, int, str]]:
    """Return the columns with such values in the opening, how many there are in all, and the first of them."""
    if not columns:
        return []
    conditions = [condition.replace("{v}", quoted(name)) for name in columns]
    any_of = ", ".join(f"coalesce(bool_or({one}), false)" for one in conditions)
    opening = f"select {any_of} from {_OPENING}"
    ((*is_there,),) = staging.connection.execute(opening).fetchall()
    found = []
    for name, there, one in zip(columns, is_there, conditions, strict=True):
        if there:
            query = f"select count(*), left(arg_min({quoted(name)}, _row), 200) from raw where {one}"
            ((number, first),) = staging.connection.execute(query).fetchall()
            found.append((name, int(number), str(first)))
    return found
