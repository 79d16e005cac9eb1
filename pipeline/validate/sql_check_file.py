"""One file of sql/checks: a query of the offending rows, and in its opening comment what to say of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    loaded_hint: str = ""  # in place of ``hint`` in an audit, where there is no file; empty: the same
    loaded_expects: str = ""

    def for_loaded(self) -> Check:
        """Return the same check of what is loaded."""
        return replace(self, hint=self.loaded_hint or self.hint, expects=self.loaded_expects or self.expects)

    @property
    def table(self) -> str:
        """Return the name of the table of its offenders."""
        return f"check_{self.name}"


def read_check(path: Path) -> Check:
    """Read a check's file: the first comment line is its message; further lines may set code, severity, column, hint, expects.

    ``expects`` is what is true of a good file, for the page; ``loaded_hint`` and ``loaded_expects`` replace hint and expects in
    an audit, where they would speak of a file. {value}, {column}, {path}, {length} and {limit} in the message are
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
        loaded_hint=said.get("loaded_hint", ""),
        loaded_expects=said.get("loaded_expects", ""),
    )
