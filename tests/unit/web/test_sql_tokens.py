"""The pieces of a query that are coloured: together they are the query, whatever is typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.pages.sql_tokens import tokens


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select 1", [("keyword", "select"), ("", " "), ("number", "1")]),
        ("SELECT count (*)", [("keyword", "SELECT"), ("", " "), ("call", "count"), ("", " (*)")]),
        ("'it''s' || e'\\'' x", [("text", "'it''s'"), ("", " || "), ("text", "e'\\''"), ("", " x")]),
        ("$a$ select $b$ $a$ from", [("text", "$a$ select $b$ $a$"), ("", " "), ("keyword", "from")]),
        ('"a""b".from_1', [("name", '"a""b"'), ("", ".from_1")]),
        ("a -- from\nb /* x\n */ c", [("", "a "), ("comment", "-- from"), ("", "\nb "), ("comment", "/* x\n */"), ("", " c")]),
        ("'open from", [("text", "'open from")]),
        ('"open', [("name", '"open')]),
        ("/* open", [("comment", "/* open")]),
        ("$$ open\n", [("text", "$$ open\n")]),
        ("1.5e-3+2", [("number", "1.5e-3"), ("", "+"), ("number", "2")]),
        ("größe", [("", "größe")]),
        ("path, depth", [("", "path, depth")]),
        ("", []),
    ],
)
def test_pieces(sql: str, expected: list[tuple[str, str]]) -> None:
    assert tokens(sql) == expected


@given(st.text("select from'\"$-/*\n(eE1.a\\ \u0130😀", max_size=60) | st.text(max_size=40))
def test_joined_they_are_the_query(sql: str) -> None:
    assert "".join(text for _, text in tokens(sql)) == sql
