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
"""Columns of ids are read whole, the others up to this row."""

_FORMULA = """starts_with({v}, '="') and ends_with({v}, '"') and length({v}) > 3"""
_MARKED_ID = "starts_with({v}, chr(39)) and length({v}) > 1 and not contains({v}[2:], chr(39))"
_MARKED = "starts_with({v}, chr(39)) and regexp_matches({v}, '^.[0-9=+@-]')"

_RULES = {
    "unquote_excel": (_FORMULA, _FORMULA, "are formulas that a spreadsheet shows as text"),
    "strip_leading_apostrophe": (_MARKED_ID, _MARKED, "begin with the apostrophe that marks text in a spreadsheet"),
}


def warn_of_spreadsheet_texts(staging: RawTables, table: ReadResult) -> None:
    """Add one warning for each rule of ``clean`` that such values need and that is not declared."""
    ids = [name for name in table.columns if name in (staging.dataset.key, staging.dataset.parent)]
    others = [name for name in table.columns if name not in ids]
    declared = {rule.name for rule in cleaning_of(staging.dataset).rules}
    for rule, (of_ids, of_others, said) in _RULES.items():
        if rule in declared:
            continue
        found = [*_found(staging, ids, of_ids), *_found(staging, others, of_others, rows=OPENING_ROWS)]
        if found:
            names = ", ".join(name for name, _, _ in found[:5])
            values = counted(sum(number for _, number, _ in found), "value")
            message = f"{values} of {names} {said}, for instance {printable(found[0][2])[:60]}."
            hint = f'They are kept as they are. To take the marks off: clean={{"{rule}": true}}.'
            staging.add_finding("spreadsheet_text", message, severity="warning", column=found[0][0], hint=hint)


def _found(staging: RawTables, columns: list[str], condition: str, *, rows: int | None = None) -> list[tuple[str, int, str]]:
    """Return the columns with such values, how many there are, and the first of them; in the first ``rows`` rows."""
    if not columns:
        return []
    picks = []
    for name in columns:
        is_found = f"filter ({condition.replace('{v}', quoted(name))})"
        picks.append(f"count(*) {is_found}, left(arg_min({quoted(name)}, _row) {is_found}, 200)")
    some = f"where _row <= {rows}" if rows else ""
    ((*values,),) = staging.connection.execute(f"select {', '.join(picks)} from raw {some}").fetchall()
    return [(name, values[2 * at], values[2 * at + 1]) for at, name in enumerate(columns) if values[2 * at]]
