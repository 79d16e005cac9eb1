"""One file of sql/checks: a query of the offending rows, and in its opening comment what to say of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.sqlfiles import opening_comment


@dataclass(frozen=True)
class Check:
    """One file of sql/checks."""

    name: str
    message: str
    code: str
    severity: str
    column: str  # "key", "parent", a column's name, or nothing
    hint: str
    expects: str
    query: str

    @property
    def table(self) -> str:
        """Return the name of the table of its offenders."""
        return f"check_{self.name}"


def read_check(path: Path) -> Check:
    """Read a check's file: the first comment line is its message; further lines may set code, severity, column, hint, expects.

    ``expects`` is what is true of a good file, for the page. {value}, {column}, {path}, {length} and {limit} in the message are
    replaced by what the query returns under these names; a row with a column ``message`` that is not null has that message.
    """
    query = path.read_text(encoding="utf-8").rstrip().rstrip(";")
    message, *rest = opening_comment(query) or [path.stem]
    said = dict(line.split(": ", 1) for line in rest if ": " in line)
    return Check(
        name=path.stem,
        message=message,
        code=said.get("code", "check_failed"),
        severity=said.get("severity", "error"),
        column=said.get("column", ""),
        hint=said.get("hint", ""),
        expects=said.get("expects", f"No {path.stem.replace('_', ' ')}."),
        query=query,
    )
