"""Keep text that a spreadsheet would run as a formula from being one (OWASP, "CSV injection").

Excel, LibreOffice and Google Sheets take a cell of a CSV file for a formula if it begins with one of ``= + - @``, in the ASCII
or the full-width form, whatever blanks come before; a tab or a line break can begin a new cell that does. Such a text gets an
apostrophe before it, which makes it a text for a spreadsheet. A plain number, such as ``-5`` or ``+1,5``, stays as it is.

There is one rule, for Python and for DuckDB; tests/support/formula_cells.py has the cases that both are tried with.
"""

from __future__ import annotations

import re
from typing import TypeVar

T = TypeVar("T")

_BLANKS = r"\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""Unicode's white space, spelled out: Python's ``\\s`` has all of it, and that of RE2, which DuckDB uses, only part."""

_FORMULA = rf"[{_BLANKS}]*[=+\-@＝＋－＠\t\r\n]"
_NUMBER = r"[+-]?[0-9]+([.,][0-9]+)?"
_BEGINS_FORMULA, _IS_NUMBER = re.compile(_FORMULA), re.compile(_NUMBER)


def safe_cell(value: T) -> T | str:
    """Return a value as a cell of a CSV file: a text that would be a formula gets an apostrophe before it."""
    if isinstance(value, str) and _BEGINS_FORMULA.match(value) and not _IS_NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def safe_cell_sql(text: str) -> str:
    """Return the same as an expression of DuckDB's SQL. ``text``: an expression whose type is VARCHAR."""
    formula = re.sub(r"\\u([0-9a-f]{4})", r"\\x{\1}", _FORMULA)
    is_formula = f"regexp_matches({text}, '^{formula}') and not regexp_full_match({text}, '{_NUMBER}')"
    return f"case when {is_formula} then '''' || {text} else {text} end"
