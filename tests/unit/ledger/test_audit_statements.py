"""The findings of audits are stored and read by the statements of those of imports, in a table of their own."""

from __future__ import annotations

import re

import pytest

from pipeline.sqlfiles import SQL

NAMES = ("copy", "count", "discard", "page", "page_of_codes", "search")


def statement(folder: str, name: str) -> str:
    """The statement without its comment."""
    text = (SQL / "queries" / folder / f"{name}.sql").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("--"))


@pytest.mark.parametrize("name", NAMES)
def test_the_statements_are_the_same_but_for_the_names(name: str) -> None:
    of_imports = statement("findings", name).replace("import_id", "audit_id")
    assert statement("audit_findings", name) == re.sub(r"\bfinding\b(?!_)", "audit_finding", of_imports)


def test_none_is_left_out() -> None:
    assert {path.stem for path in (SQL / "queries" / "audit_findings").glob("*.sql")} == {*NAMES}
