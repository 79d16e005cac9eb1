"""Split a query into lexemes as PostgreSQL's lexer does.

The guard parses a query with sqlglot, but PostgreSQL runs it. If the two disagreed on what is a text, a name or a comment,
PostgreSQL could run something that was never checked. So the guard checks these lexemes too, and refuses what sqlglot splits
differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

_SPACE = re.compile(r"[ \t\n\r\f\v]+|--[^\n\r]*")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_LEXEME = re.compile(
    r"""
    (?P<text> [nbxNBX]?'(?:[^']|'')*' | [eE]'(?:[^'\\]|\\.|'')*' | [uU]&'(?:[^']|'')*' |
              \$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?)\$.*?\$(?P=tag)\$ ) |
    (?P<quoted> (?:[uU]&)?"(?:[^"]|"")+" ) |
    (?P<word> [A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]* ) |
    (?P<sign> . )
    """,
    re.DOTALL | re.VERBOSE,
)


class Kind(Enum):
    """The kind of a lexeme."""

    TEXT = "text"
    QUOTED = "quoted"
    WORD = "word"
    SIGN = "sign"


@dataclass(frozen=True)
class Lexeme:
    """A piece of a query. ``name`` is its value in PostgreSQL: a word in lower case, a quoted name without quotes, one
    character of an operator, bracket or number, and empty for a text."""

    kind: Kind
    name: str
    start: int
    end: int

    @property
    def is_name(self) -> bool:
        """Return whether it can be a name."""
        return self.kind in (Kind.WORD, Kind.QUOTED)

    def is_sign(self, character: str) -> bool:
        """Return whether it is this character, outside of any text or name."""
        return self.kind is Kind.SIGN and self.name == character


def lexemes(sql: str) -> list[Lexeme]:
    """Return all lexemes of ``sql`` without comments and spaces.

    Raises ValueError with the reason if a text, a name or a comment never ends, or could be misread.
    """
    found: list[Lexeme] = []
    at = 0
    while at < len(sql):
        if space := _SPACE.match(sql, at):
            at = space.end()
        elif sql.startswith("/*", at):
            at = _comment_end(sql, at)
        else:
            found.append(_next(sql, at))
            at = found[-1].end
    for before, after in pairwise(found):
        if before.kind is after.kind is Kind.TEXT:
            raise ValueError("Two texts follow each other. Join them with ||.")
    return found


def _next(sql: str, at: int) -> Lexeme:
    match = _LEXEME.match(sql, at)
    assert match is not None, "a sign can be anything"
    written, end = match[0], match.end()
    if match["text"]:
        return Lexeme(Kind.TEXT, "", at, end)
    if match["quoted"]:
        if written[0] != '"':
            raise ValueError('Names as U&"..." are not allowed. Write the name itself, in double quotes if necessary.')
        return Lexeme(Kind.QUOTED, written[1:-1].replace('""', '"'), at, end)
    if match["word"]:
        return Lexeme(Kind.WORD, _folded(written), at, end)
    if written in "'\"":
        raise ValueError(f"A {'text' if written == chr(39) else 'name'} in quotes never ends.")
    return Lexeme(Kind.SIGN, written, at, end)


def _folded(word: str) -> str:
    """Return the word in lower case as PostgreSQL does it: only ASCII letters change."""
    return "".join(one.lower() if one.isascii() else one for one in word)


def _comment_end(sql: str, at: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(sql, at):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    raise ValueError("A comment never ends.")
