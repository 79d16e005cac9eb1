"""The typed changes of an import are the columns that its SQL sets, and no statement is put together from names."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.ledger.transitions import ImportChanges
from pipeline.sqlfiles import load

LEDGER = Path(__file__).resolve().parents[3] / "pipeline" / "ledger"


def test_every_change_is_a_column_that_the_statement_sets() -> None:
    columns = re.findall(r"^    (\w+) = coalesce\(cast\(:(\w+) as \w+\), (\w+)\)", load("queries/imports/update"), re.MULTILINE)
    assert all(len(set(names)) == 1 for names in columns)
    assert {names[0] for names in columns} == set(ImportChanges.__annotations__)


def test_the_ledger_has_no_sql_of_its_own() -> None:
    for file in LEDGER.glob("*.py"):
        assert not re.search(r"\b(update|insert into|delete from) (ledger|access)\.", file.read_text(encoding="utf-8")), (
            file.name
        )
