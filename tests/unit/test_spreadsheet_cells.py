"""Python and DuckDB agree on which texts a spreadsheet would take for a formula."""

from __future__ import annotations

import string
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.spreadsheet_cells import safe_cell, safe_cell_sql
from tests.support.formula_cells import FORMULAS, HARMLESS


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def by_sql(connection: duckdb.DuckDBPyConnection, text: str | None) -> str | None:
    ((cell,),) = connection.execute(f"select {safe_cell_sql('t.v')} from (select $v::varchar as v) t", {"v": text}).fetchall()
    found: str | None = cell
    return found


@pytest.mark.parametrize("text", FORMULAS, ids=ascii)
def test_a_formula_gets_an_apostrophe(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert safe_cell(text) == by_sql(connection, text) == f"'{text}"


@pytest.mark.parametrize("text", HARMLESS, ids=ascii)
def test_any_other_text_stays(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert safe_cell(text) == by_sql(connection, text) == text


@pytest.mark.parametrize("value", [None, -5, 1.5, True])
def test_what_is_no_text_stays(value: object) -> None:
    assert safe_cell(value) is value


def test_null_stays_null(connection: duckdb.DuckDBPyConnection) -> None:
    assert by_sql(connection, None) is None


BLANKS = "\t\n\v\f\r \x1c\x1f\x85\xa0\u1680\u180e\u2003\u200b\u2028\u202f\u205f\u3000\ufeff"


@given(
    text=st.text(
        alphabet=st.one_of(
            st.sampled_from(BLANKS + "=+-@＝＋－＠.,e'" + string.digits), st.characters(exclude_categories=["Cs"])
        )
    )
)
def test_they_agree_on_any_text(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert safe_cell(text) == by_sql(connection, text)
