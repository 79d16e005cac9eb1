"""Split a query into pieces to be coloured. It is for the eye only: what a query may do is up to the guard and PostgreSQL.

Unlike the guard's lexer, it takes any text, also a query that is half written. web/static/sql_tokens.js does the same while a
query is typed; tests/e2e/test_sql_page.py compares them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

_WORDS = """
    all and any array as asc between bigint boolean by case cast collate cross current date desc distinct double else end except
    exists extract false fetch filter following for from full group grouping having ilike in inner integer intersect interval is
    join json jsonb last lateral left like limit materialized natural not null nulls numeric offset on only or order ordinality
    outer over partition preceding precision range recursive right rollup row rows select sets similar some text then
    timestamp timestamptz to true unbounded union unnest using values when where window with within without
    """

KEYWORDS = frozenset(_WORDS.split())
"""Words that are shown as keywords: those of a SELECT, without those that often name a column, such as path or depth."""

_PIECE = re.compile(
    r"""
    (?P<comment> --[^\n]* | /\*[\s\S]*?(?:\*/|$) ) |
    (?P<text> [eE]'(?:[^'\\]|\\[\s\S]|'')*'? | [nNbBxX]?'(?:[^']|'')*'? |
              \$(?P<tag>(?:[A-Za-z_][A-Za-z0-9_]*)?)\$[\s\S]*?(?:\$(?P=tag)\$|$(?![\s\S])) ) |
    (?P<name> "(?:[^"]|"")*"? ) |
    (?P<number> [0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)? ) |
    (?P<word> [A-Za-z_\x80-\uffff\U00010000-\U0010ffff][A-Za-z0-9_$\x80-\uffff\U00010000-\U0010ffff]* ) |
    (?P<rest> [\s\S] )
    """,
    re.VERBOSE,
)
_CALL = re.compile(r"[ \t\n]*\(")


def tokens(sql: str) -> list[tuple[str, str]]:
    """Return the pieces of a query, each with its kind: comment, text, name, number, keyword, call, or nothing in particular.

    Joined, they are the query.
    """
    return [(kind, "".join(text for _, text in pieces)) for kind, pieces in groupby(_pieces(sql), key=lambda piece: piece[0])]


def _pieces(sql: str) -> Iterator[tuple[str, str]]:
    for found in _PIECE.finditer(sql):
        kind, text = found.lastgroup or "rest", found[0]
        if found["text"] is not None:  # of which the tag is the last group
            kind = "text"
        if kind == "word":
            is_call = _CALL.match(sql, found.end()) is not None
            kind = "keyword" if text.lower() in KEYWORDS else "call" if is_call else ""
        yield ("" if kind == "rest" else kind), text
