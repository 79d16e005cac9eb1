"""Say what single lines of a delimited text are: comments, titles, rulers of dashes, footers, Excel's note of the delimiter."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from pipeline.errors import Unreadable
from pipeline.read.formats.delimited_dialect import Dialect

_RULER = re.compile(r"[ \t|+:=─━┼-]*[-=─━]{2}[ \t|+:=─━┼-]*")
_COMMENT = re.compile(r"\s*(#|//|--(?!-)|%|;;)")
_FOOTER = re.compile(
    r"\(?\s*[\d,.]+ (rows?|Zeilen?|lignes?|filas?|righe|records?)\b[^,;|\t]*\)?\.?"
    r"|\\\."
    r"|\((\d+ )?(rows?|Zeilen?|lignes?|filas?) (affected|betroffen)[^)]*\)"
    r"|Query OK.*|Completion time: .*",
    re.IGNORECASE,
)


def is_ruler(line: str) -> bool:
    """Return whether a line separates header and data in a drawn table: dashes, with bars, plus signs or delimiters."""
    return bool(_RULER.fullmatch(line.strip()))


def is_ruler_record(record: list[str]) -> bool:
    """Return whether every value of a record consists of dashes."""
    return len(record) > 0 and all(re.fullmatch(r" *:?[-=]+:? *", value) for value in record)


def is_footer(record: Sequence[str]) -> bool:
    """Return whether a record of one value is what database clients write below a table: (2 rows), \\."""
    return len(record) == 1 and bool(_FOOTER.fullmatch(record[0].strip()))


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
