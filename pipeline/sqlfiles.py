"""SQL lives in files, one statement each; this finds them. The stem of a file is the name of its query."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

SQL = Path(__file__).resolve().parents[1] / "sql"


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


def quoted(name: str) -> str:
    """Return a name as a quoted identifier, for PostgreSQL and DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def without_nul(value: Any) -> Any:
    """The value with each NUL in its texts spelled as JSON would: no text in PostgreSQL can hold one."""
    if isinstance(value, list):
        return [without_nul(one) for one in value]
    if isinstance(value, dict):
        return {without_nul(name): without_nul(one) for name, one in value.items()}
    return value.replace("\0", "\\u0000") if isinstance(value, str) and "\0" in value else value
