"""Recognise texts that are no tables by their first lines: SQL below other lines, a log, Markdown, columns of fixed width.

What a text is by how it begins is recognised before, in containers/text_kinds.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.datasets.dataset import Dataset
from pipeline.errors import Unreadable

_SQL = re.compile(
    r"\s*(insert\s+(ignore\s+)?into\s|replace\s+into\s|create\s+(temporary\s+)?(table|database|schema|type|extension)\s|"
    r"drop\s+table\s|copy\s+\S+\s*(\(.*\))?\s*from\s+stdin|begin transaction;|pragma\s|set\s+\w+\s*=\s*.*;\s*$|"
    r"-- (postgresql|mysql|mariadb) (database )?dump|select\s.+\sfrom\s)",
    re.IGNORECASE,
)
_LOG = re.compile(
    r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*.*\b(INFO|WARN(ING)?|ERROR|DEBUG|TRACE|FATAL)\b"
    r"|\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ \S+: "
    r'|\S+ \S+ \S+ \[\d\d/\w{3}/\d{4}:.*\] "[A-Z]+ '
)
_GAP = re.compile(r"(?<=\S)(?: {2,}|\t *)(?=\S)")


def refuse_other_texts(lines: Sequence[str], dataset: Dataset) -> None:
    """Refuse a text that is no table. Raises Unreadable, with how to export one."""
    filled = [line for line in lines if line.strip()][:50]
    if not filled:
        return
    if filled[0].lstrip("\ufeff ")[:1] in "“”„«»":
        raise Unreadable(
            f"The values are in typographic quotes ({filled[0].lstrip()[0]}), which a word processor writes.",
            hint='Replace them by ", for instance with Find and Replace, and save the file as plain text.',
            line=1,
        )
    for kind, hint in _kinds(filled):
        raise Unreadable(f"The file is {kind}, not a table.", hint=hint, line=1)


def _kinds(lines: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Return what the text is, if that is recognised: (kind, hint)."""
    if any(_SQL.match(line) for line in lines[:30]):
        return [("a dump of a database, in SQL", _SQL_HINT)]
    if sum(bool(_LOG.match(line)) for line in lines[:10]) * 2 > len(lines[:10]):
        return [("a log", "Export the records from the program that has them, as CSV or JSON lines.")]
    if lines[0].lstrip().startswith(("# ", "## ", "```")) and any(re.match(r"\s*\|?\s*:?-{3,}", line) for line in lines):
        return [("a Markdown document", "Save its table alone, as a text that begins with the header.")]
    if any(_BRANCH.match(line) for line in lines):
        return [("the output of tree, drawn with lines", _TREE_HINT)]
    if (first := _first_key(lines)) and first.lower() in ("dn", "version"):
        return [("a directory in LDIF", _LDIF_HINT)]
    if first:
        return [("a list of names and values, one on a line", "Write one line a record, with the names as the header.")]
    if _is_outline(lines):
        return [("an outline, whose lines are indented", _OUTLINE_HINT)]
    if _are_paths(lines):
        return [("a list of paths", _PATHS_HINT)]
    if _is_fixed_width(lines):
        return [("a text with columns of fixed width", _WIDTH_HINT)]
    return []


def _first_key(lines: Sequence[str]) -> str:
    """Return the name in the first line, if each line has a name, a colon and a value, and a name comes again; else nothing."""
    found = [_NAMED_VALUE.match(line) for line in lines]
    keys = [one[1] for one in found if one]
    comes_again = len(keys) > len({*keys}) or (keys and keys[0].lower() == "dn")
    return keys[0] if len(keys) > 2 and len(keys) == len(found) and comes_again else ""


def _is_outline(lines: Sequence[str]) -> bool:
    """Return whether lines of one value are indented, deeper only step by step."""
    plain = [line.rstrip() for line in lines]
    if plain[0][:1].isspace() or any(re.search(r"\t|  |[,;|]", line.strip()) for line in plain):
        return False
    return sum(line[:1] == "\t" or line.startswith("  ") for line in plain) * 3 >= len(plain)


def _are_paths(lines: Sequence[str]) -> bool:
    """Return whether the lines are paths, and one begins with another."""
    plain = [line.strip().rstrip("/") for line in lines]
    if any(re.search(r"[,;\t|]", line) for line in plain) or sum("/" in line for line in plain) * 2 < len(plain):
        return False
    return len(plain) > 1 and any(line.startswith(f"{plain[0]}/") for line in plain)


def refuse_other_line_ends(opening: str) -> None:
    """Refuse a text whose lines end with characters that are no line ends of a table. Raises Unreadable."""
    if "\n" in opening or "\r" in opening:
        return
    found = next((mark for mark in _LINE_ENDS if opening.count(mark) > 1 or (mark in opening and len(opening) < _SHORT)), "")
    if found:
        raise Unreadable(
            f"The lines end with U+{ord(found):04X} ({_LINE_ENDS[found]}), not with line feeds.",
            hint="Save the file with the line ends of Unix or Windows (LF or CR LF).",
            line=1,
        )


def _is_fixed_width(lines: Sequence[str]) -> bool:
    """Return whether two or more columns, separated by several spaces, begin at the same places in every line."""
    plain = [line.rstrip("\r\n") for line in lines if not re.fullmatch(r"[-=\s]+", line)]
    if len(plain) < 2 or any(mark in plain[0] for mark in ",;|") or ("\t" in plain[0] and "  " not in plain[0]):
        return False
    return len(_GAP.findall(plain[0])) >= 1 and sum(bool(_GAP.search(line)) for line in plain) * 4 >= len(plain) * 3


_LINE_ENDS = {"\u2028": "line separator", "\u2029": "paragraph separator", "\x85": "next line", "\x1e": "record separator"}
_SHORT = 200
_BRANCH = re.compile(r"[│|\s\u00a0]*(├──|└──|\|--|`--|\+---|\\---)[\s\u00a0]")
_NAMED_VALUE = re.compile(r"\s*([A-Za-z_][\w .-]{0,40})::?(?:\s.*)?$")
_PATH_SHAPE = 'shape={"kind": "path", "column": "path", "separator": "/"}'
_TREE_HINT = f"List the paths below a header instead: (echo path; find . -mindepth 1) > records.csv, and say {_PATH_SHAPE}."
_PATHS_HINT = f"Put a first line with the name of the column, path, above it, and say {_PATH_SHAPE}."
_LDIF_HINT = (
    "Export it as CSV, for instance: csvde -f records.csv -l dn,manager,displayName, or in PowerShell: Get-ADUser with"
    " Export-Csv -Encoding UTF8 -NoTypeInformation."
)
_OUTLINE_HINT = 'If its indentation is the hierarchy, say shape={"kind": "outline", "text": true}.'
_SQL_HINT = (
    "Export the table as CSV from the database, for instance with COPY ... TO 'file.csv' WITH (FORMAT csv, HEADER) in"
    " PostgreSQL, or with a client's export of the result of SELECT."
)
_WIDTH_HINT = (
    "Export it as CSV. In Excel: Data, From Text, Fixed width, then save as CSV. With pandas: read_fwf(file).to_csv(file)."
)
