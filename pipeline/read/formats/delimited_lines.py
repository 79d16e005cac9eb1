"""Say what single lines of a delimited text are: comments, titles, rulers of dashes, footers, Excel's note of the delimiter."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from pipeline.errors import Unreadable
from pipeline.read.formats.delimited_dialect import Dialect

_DASHES = "=─━═╌┄-"
_AROUND = rf"[ \t|+:│║┆┼┌┬┐├┤└┴┘╭╮╰╯╞╪╡╔╦╗╠╬╣╚╩╝{_DASHES}]*"
_RULER = re.compile(rf"{_AROUND}[{_DASHES}]{{2}}{_AROUND}")
_COMMENT = re.compile(r"\s*(#|//|--(?!-)|%|;;)")
_LATE_COMMENT = re.compile(r"\s*(#|//|--\s)")
_ROWS = r"(?:row|record|line)(?:s|\(s\))?|Zeilen?|Datens[aä]tze?|lignes?|filas?|righe"
_COUNT = re.compile(
    rf"\(?\s*(?:(?:Fetched|Total|Returned|Selected):? )?(\d[\d,.]*) (?:{_ROWS})\b[^,;|\t]*\)?\.?"
    rf"|(?:(?:Total|Number of|Anzahl|Nombre de) )?(?:{_ROWS})(?: (?:count|read|total|exported))?: ?(\d[\d,.]*)\.?",
    re.IGNORECASE,
)
_FOOTER = re.compile(
    rf"\\\.|\((\d+ )?(?:{_ROWS}) (affected|betroffen)[^)]*\)|Query OK.*|Completion time: .*",
    re.IGNORECASE,
)
_CUT = re.compile(
    r"only showing top [\d,]+ rows?|\(?output (was )?(truncated|limited)\b.*|\[?Truncated\]?\.{0,3}", re.IGNORECASE
)
LEFT_OUT = {"…", "...", "....", "⋮", "·"}
"""What programs print in every column of a row that stands for others."""


def is_ruler(line: str) -> bool:
    """Return whether a line separates header and data in a drawn table: dashes, with bars, plus signs or delimiters."""
    return bool(_RULER.fullmatch(line.strip()))


def is_ruler_record(record: list[str]) -> bool:
    """Return whether every value of a record consists of dashes."""
    return len(record) > 0 and all(re.fullmatch(r" *:?[-=]+:? *", value) for value in record)


def is_footer(record: Sequence[str]) -> bool:
    """Return whether a record of one value is what database clients write below a table: (2 rows), \\."""
    if len(record) != 1:
        return False
    text = record[0].strip()
    return any(pattern.fullmatch(text) for pattern in (_FOOTER, _COUNT, _CUT))


def rows_in_footer(text: str) -> int | None:
    """Return how many rows a footer says that there are; None if it does not say."""
    found = _COUNT.fullmatch(text.strip())
    return int(re.sub(r"\D", "", found[1] or found[2])) if found else None


def stands_for_others(record: Sequence[str]) -> bool:
    """Return whether a record, or a line below the table, stands for rows that a program did not print."""
    if len(record) == 1:
        return bool(_CUT.fullmatch(record[0].strip()))
    filled = {value.strip() for value in record} - {""}
    return bool(filled) and filled <= LEFT_OUT


def is_late_comment(text: str) -> bool:
    """Return whether the only value of a line below the header makes it a comment."""
    return bool(_LATE_COMMENT.match(text))


def declared_delimiter(line: str) -> str | None:
    """Return the delimiter in Excel's line ``sep=;``; None if the line is something else."""
    bare = line.removeprefix('"').removesuffix('"')
    said = bare[4:]
    return said if 1 <= len(said) <= 8 and bare[:4].lower() == "sep=" and not said.isalnum() and '"' not in said else None


def bare_name(name: str) -> str:
    """Return a column's name without what databases and comment signs put around it."""
    bare = name.strip().removeprefix("\ufeff").lstrip("#").strip()
    return bare[1:-1] if len(bare) > 2 and bare[0] + bare[-1] in ("[]", "``", "''") else bare


def first_record(text: str, dialect: Dialect) -> list[str]:
    """Return the first record of a text, or an empty list if it has none or cannot be read."""
    try:
        return next((record for record in dialect.records(io.StringIO(text, newline="")) if record), [])
    except (csv.Error, Unreadable):
        return []


def why_above_header(line: str, dialect: Dialect, width: int) -> str:
    """Return why a line above the header is certainly no record, or an empty string."""
    if line.startswith("#TYPE"):
        return "a line of PowerShell with the type"
    if _COMMENT.match(line):
        return "a comment"
    if is_ruler(line):
        return "a line of dashes"
    record = first_record(line, dialect)
    while record and not record[-1].strip():
        record.pop()
    filled = sum(bool(value.strip()) for value in record)
    if filled <= 1:
        return "a title" if filled else "an empty row"
    return "a title" if len(record) != width and filled < width else ""


def comments_above(lines: Sequence[str], first: int) -> tuple[tuple[int, str], ...]:
    """Return the lines of comments at the beginning: (line, reason)."""
    found = []
    for number in range(first, len(lines)):
        if not _COMMENT.match(lines[number]):
            if lines[number].strip():
                break
            continue
        found.append((number + 1, "a line of PowerShell with the type" if lines[number].startswith("#TYPE") else "a comment"))
    return tuple(found) if len(found) < len([line for line in lines[first:] if line.strip()]) else ()
