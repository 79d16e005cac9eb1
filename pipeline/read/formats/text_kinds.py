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
    if _is_fixed_width(lines):
        return [("a text with columns of fixed width", _WIDTH_HINT)]
    return []


def _is_fixed_width(lines: Sequence[str]) -> bool:
    """Return whether two or more columns, separated by several spaces, begin at the same places in every line."""
    plain = [line.rstrip("\r\n") for line in lines if not re.fullmatch(r"[-=\s]+", line)]
    if len(plain) < 2 or any(mark in plain[0] for mark in ",;|") or ("\t" in plain[0] and "  " not in plain[0]):
        return False
    return len(_GAP.findall(plain[0])) >= 1 and sum(bool(_GAP.search(line)) for line in plain) * 4 >= len(plain) * 3


_SQL_HINT = (
    "Export the table as CSV from the database, for instance with COPY ... TO 'file.csv' WITH (FORMAT csv, HEADER) in"
    " PostgreSQL, or with a client's export of the result of SELECT."
)
_WIDTH_HINT = (
    "Export it as CSV. In Excel: Data, From Text, Fixed width, then save as CSV. With pandas: read_fwf(file).to_csv(file)."
)
