"""Warn of texts that were damaged before the upload: decoded in the wrong encoding, cut by a spreadsheet, or its errors.

Nothing of that can be mended from the file. Only a column that has such a value in the opening is read whole, to count them.
"""

from __future__ import annotations

from typing import NamedTuple

from pipeline.display import listed
from pipeline.read.raw_tables import RawTables, printable
from pipeline.read.read_result import ReadResult
from pipeline.read.spreadsheet_texts import OPENING_ROWS
from pipeline.sqlfiles import literal, quoted

EXCEL_CHARACTERS = 32_767
"""At most so many characters are in a cell of Excel (Microsoft, "Excel specifications and limits")."""

# A letter of two bytes in UTF-8 whose bytes were read as two characters: of Windows-1252, ISO 8859-1 or Mac Roman.
_TWICE = r"[ÂÃ][\x{80}-\x{bf}€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€[\x{80}-\x{bf}™œ“”˜¦¢]|√[§¶ºüñ©®°†¢£•ß∂ƒ]"
_ERROR = r"#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!|SPILL!|CALC!|ERROR!)|#{5,}"


class _Damage(NamedTuple):
    """One kind. ``condition`` is SQL of a value {v}; ``said`` follows "Values of name"."""

    code: str
    condition: str
    said: str
    hint: str


_KINDS = (
    _Damage(
        code="garbled_text",
        condition="contains({v}, chr(65533))",
        said="have U+FFFD, which programs write for characters that they cannot read",
        hint="Export the file again in UTF-8, from where the characters are whole.",
    ),
    _Damage(
        code="garbled_text",
        condition=f"regexp_matches({{v}}, {literal(_TWICE)})",
        said="seem to be UTF-8 that was read in another encoding and saved so",
        hint="Export the file again in UTF-8, from where the characters are right.",
    ),
)
_ERRORS = _Damage(
    code="spreadsheet_error",
    condition=f"regexp_full_match({{v}}, {literal(_ERROR)})",
    said="are errors of a spreadsheet, saved as text",
    hint="Correct the formulas, and save the file again.",
)
_CUT = _Damage(
    code="spreadsheet_error",
    condition=f"strlen({{v}}) >= {EXCEL_CHARACTERS} and length({{v}}) = {EXCEL_CHARACTERS}",
    said=f"have exactly {EXCEL_CHARACTERS:,} characters, the most that a cell of Excel holds",
    hint="They may be cut off there: export them without a spreadsheet.",
)


def warn_of_damaged_texts(staging: RawTables, table: ReadResult) -> None:
    """Add a warning for each kind of damage, with the columns and the number of values."""
    if not table.columns:
        return
    ids = (staging.dataset.key, staging.dataset.parent)
    if not table.is_plain:
        for kind in _KINDS:
            _warn(staging, [*table.columns], kind)
    others = [name for name in table.columns if name not in ids]  # an id that is an error is refused
    marked = " or ".join(f"left({quoted(name)}, 1) = '#'" for name in others)
    if others and staging.connection.execute(f"select 1 {_OPENING} where {marked} limit 1").fetchall():
        _warn(staging, others, _ERRORS)
    if table.longest_bytes >= EXCEL_CHARACTERS:
        _warn(staging, others, _CUT)


_OPENING = f"from (from raw where _row <= {OPENING_ROWS})"


def _warn(staging: RawTables, columns: list[str], kind: _Damage) -> None:
    if not columns:
        return
    conditions = {name: kind.condition.replace("{v}", quoted(name)) for name in columns}
    any_of = ", ".join(f"coalesce(bool_or({one}), false)" for one in conditions.values())
    ((*there,),) = staging.connection.execute(f"select {any_of} {_OPENING}").fetchall()
    found = [name for name, is_there in zip(columns, there, strict=True) if is_there]
    if not found:
        return
    total, example = 0, ""
    for name in found:
        query = f"select count(*), left(arg_min({quoted(name)}, _row), 60) from raw where {conditions[name]}"
        ((number, first),) = staging.connection.execute(query).fetchall()
        total, example = total + int(number), example or str(first)
    message = f"Values of {listed(found)} {kind.said}: {total:,}, for instance {printable(example)[:60]}."
    staging.add_finding(kind.code, message, severity="warning", column=found[0], hint=kind.hint)
