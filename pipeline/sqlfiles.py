"""Find SQL, which lives in files of one statement each, and write names and texts into it.

The stem of a file is the name of its query.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pipeline.root import ROOT

SQL = ROOT / "sql"


@cache
def load(name: str) -> str:
    """The text of ``sql/<name>.sql``, for instance ``load("queries/imports/status")``.

    Raises LookupError listing the names that do exist.
    """
    path = SQL / f"{name}.sql"
    if not path.is_file():
        folder = name.partition("/")[0]
        known = ", ".join(sorted(str(p.relative_to(SQL).with_suffix("")) for p in (SQL / folder).rglob("*.sql"))) or "none"
        raise LookupError(f"There is no sql/{name}.sql; in sql/{folder}/ there are: {known}.")
    return path.read_text(encoding="utf-8")


def opening_comment(text: str) -> list[str]:
    """The lines of the comment a file opens with, without their dashes: the description lives beside the thing."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return lines


def in_order(folder: Path) -> list[Path]:
    """The .sql files of a folder by name; none if there is no such folder."""
    return sorted(folder.glob("*.sql"))


def without_nul(value: Any) -> Any:
    """The value with each NUL in its texts spelled as JSON would: no text in PostgreSQL can hold one."""
    if isinstance(value, list):
        return [without_nul(one) for one in value]
    if isinstance(value, dict):
        return {without_nul(name): without_nul(one) for name, one in value.items()}
    return value.replace("\0", "\\u0000") if isinstance(value, str) and "\0" in value else value


def quoted(name: str) -> str:
    """Return a name as an SQL identifier, in PostgreSQL and DuckDB alike."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as an SQL literal, in PostgreSQL and DuckDB alike."""
    return "'" + text.replace("'", "''") + "'"
