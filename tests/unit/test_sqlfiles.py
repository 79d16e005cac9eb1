"""Every SQL file parses in its dialect, says what it is for, and holds as many statements as its folder promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlglot
from sqlglot import expressions as exp

from pipeline.sqlfiles import SQL, in_order, load, opening_comment

FILES = sorted(SQL.glob("**/*.sql"))
DUCKDB = {"staging", "checks"}
ONE_STATEMENT = {"staging", "checks", "marts", "queries"}
SCRIPTS = {
    f"queries/{name}.sql"
    for name in (
        *("sql_reader/role", "dataset_roles/role", "dataset_roles/schema", "login_roles/role"),
        *("application_role/audit_log", "application_role/database", "application_role/ledger"),
    )
}  # rights are granted one by one
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
FILLED = {"table": "warehouse.places", "columns": "a, b", "values": "a, b", "sets": "b = excluded.b", "old": "b", "new": "b"}


def name_of(file: Path) -> str:
    return str(file.relative_to(SQL))


def statements_in(file: Path) -> list[exp.Expression]:
    """The statements of a file, its {names} filled with something of the kind that stands there."""
    folder = file.relative_to(SQL).parts[0]
    text = PLACEHOLDER.sub(lambda name: FILLED.get(name[1], name[1]), file.read_text(encoding="utf-8")).replace(
        "password password", "password 'x'"
    )
    parsed = sqlglot.parse(text, read="duckdb" if folder in DUCKDB else "postgres")
    return [statement for statement in parsed if statement is not None]


def files_in(*folders: str) -> list[Path]:
    return [file for file in FILES if file.relative_to(SQL).parts[0] in folders]


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_it_parses_and_says_what_it_is_for(file: Path) -> None:
    assert name_of(file) in SCRIPTS or statements_in(file)
    comment = opening_comment(file.read_text(encoding="utf-8"))
    assert comment, "the first line is a comment that says what the file is for"
    assert len(comment[0]) > 10


@pytest.mark.parametrize("file", files_in(*ONE_STATEMENT), ids=name_of)
def test_it_holds_one_statement(file: Path) -> None:
    if name_of(file) not in SCRIPTS:
        assert len(statements_in(file)) == 1


@pytest.mark.parametrize("file", files_in("checks", "staging", "marts"), ids=name_of)
def test_it_only_selects(file: Path) -> None:
    (statement,) = statements_in(file)
    assert isinstance(statement, exp.Query), "a query for rows, which changes nothing"


@pytest.mark.parametrize("file", files_in("checks"), ids=name_of)
def test_a_check_says_which_rows_offend(file: Path) -> None:
    (statement,) = statements_in(file)
    assert isinstance(statement, exp.Query)
    assert "_row" in statement.named_selects or "*" in statement.named_selects


@pytest.mark.parametrize("file", files_in("queries"), ids=name_of)
def test_a_query_says_its_name(file: Path) -> None:
    assert opening_comment(file.read_text(encoding="utf-8"))[0].startswith(
        f"{file.relative_to(SQL / 'queries').with_suffix('')}: "
    )


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(LookupError, match="imports/status"):
        load("queries/no_such_query")


def test_the_opening_comment_ends_where_the_statement_begins() -> None:
    assert opening_comment("-- one\n-- two\nselect 1 -- three\n-- four") == ["one", "two"]
    assert opening_comment("select 1") == []


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    for name in ("b.sql", "a.sql", "c.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in in_order(tmp_path)] == ["a.sql", "b.sql"]
    assert in_order(tmp_path / "nowhere") == []
