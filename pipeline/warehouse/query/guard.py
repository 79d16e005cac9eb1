"""Check users' SQL: one SELECT over the warehouse, with only functions and types that compute.

Every name in a query must be allowed: a relation is a CTE that is visible there, or one that the login was granted; a function
and a type is on an allow-list (allowed.py). A query is checked twice: as the lexemes that PostgreSQL reads (lexemes.py), and as
the tree that sqlglot parses. What the two read differently is refused.

This is one of two layers. It explains what is wrong before anything runs, and protects the system catalogs, which every role of
PostgreSQL may read. The other layer is PostgreSQL: a login role with SELECT on the schema ``warehouse`` (or on the views of a
set of datasets) and nothing else, in a read-only transaction, with limits (console.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from itertools import pairwise

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import SqlglotError

from pipeline.errors import InvalidRequest
from pipeline.warehouse.query.allowed import DESCRIBES, FUNCTIONS, KEYWORDS, SESSION, TYPES
from pipeline.warehouse.query.lexemes import Kind, Lexeme, lexemes

SQL_CHARACTERS_MAX = 20_000
TOKENS_MAX = 4000
NESTING_MAX = 100
"""Queries written by people are far smaller; far above these limits the parser's time is not linear."""

NAMES_SHOWN = 20
"""How many tables and views an error about an unknown one lists."""

_SYSTEM_NAME = re.compile(
    r"(?i)pg_.*|_?reg(class|collation|config|database|dictionary|namespace|oper|operator|proc|procedure|role|type)|tableoid"
)
"""Names of PostgreSQL's system objects, not allowed anywhere. All catalogs and all views of sessions have such names."""

_ACTS = (
    exp.DML,
    exp.DDL,
    exp.Command,
    exp.Into,
    exp.Lock,
    exp.Set,
    exp.Transaction,
    exp.Commit,
    exp.Rollback,
    exp.Copy,
    exp.Use,
    exp.Pragma,
    exp.Analyze,
    exp.Describe,
    exp.Placeholder,
    exp.Parameter,
)


class QueryRefused(InvalidRequest):
    """Only one SELECT over the warehouse is allowed."""


def guarded(sql: str, *, granted: bool = False, relations: Collection[str] | None = None) -> str:
    """Return the query to run for ``sql``: without its semicolon, and with parentId quoted.

    ``granted``: for a role of some datasets, which has their tables without a schema. ``relations``: the tables and views that
    may be read; None: PostgreSQL decides alone. Raises QueryRefused with what is not allowed.
    """
    if len(sql) > SQL_CHARACTERS_MAX:
        raise QueryRefused(f"The query is longer than {SQL_CHARACTERS_MAX:,} characters.")
    if "\0" in sql:
        raise QueryRefused("The query contains a NUL character, which PostgreSQL cannot read.")
    if granted:
        sql = _without_schema(sql)
    query = _with_quoted_parent(sql, _tokens(sql))
    pieces = _checked_lexemes(query)
    tree = _single(query)
    for error in _errors(tree, pieces, relations):
        raise QueryRefused(error)
    return query


def _tokens(sql: str) -> list[Token]:
    try:
        tokens = sqlglot.tokenize(sql, read="postgres")
    except SqlglotError as error:
        raise QueryRefused(f"This cannot be read as SQL: {_first_line(error)}") from error
    if len(tokens) > TOKENS_MAX:
        raise QueryRefused(f"The query has more than {TOKENS_MAX:,} words and symbols.")
    depth = deepest = 0
    for token in tokens:
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        deepest = max(deepest, depth)
    if deepest > NESTING_MAX:
        raise QueryRefused(f"The query has more than {NESTING_MAX} levels of brackets.")
    return tokens


_OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET)
_CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET)


def _with_quoted_parent(sql: str, tokens: list[Token]) -> str:
    """Return the query without its semicolon, and with the quotes that ``parentId`` needs in PostgreSQL."""
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens = tokens[:-1]
    if not tokens:
        raise QueryRefused("The query is empty. Write one SELECT, for instance: select * from records limit 10")
    pieces, at = [], 0
    for token in tokens:
        if token.token_type is TokenType.VAR and token.text.lower() == "parentid":
            pieces += [sql[at : token.start], '"parentId"']
            at = token.end + 1
    return "".join([*pieces, sql[at : tokens[-1].end + 1]])


def _without_schema(sql: str) -> str:
    """Return the query without ``warehouse.`` before names."""
    tokens, pieces, at = _tokens(sql), [], 0
    for schema, dot in pairwise(tokens):
        if dot.token_type is TokenType.DOT and schema.text.lower() == "warehouse" and schema.token_type in _NAMES:
            pieces.append(sql[at : schema.start])
            at = dot.end + 1
    return "".join([*pieces, sql[at:]])


_NAMES = (TokenType.VAR, TokenType.IDENTIFIER)


def _single(query: str) -> exp.Query:
    try:
        trees = sqlglot.parse(query, read="postgres")
    except (SqlglotError, RecursionError) as error:
        raise QueryRefused(f"This cannot be read as SQL: {_first_line(error)}") from error
    if len(trees) != 1:
        raise QueryRefused("Only one statement is allowed at a time.")
    tree = trees[0]
    if not isinstance(tree, exp.Query):
        raise QueryRefused("Only a SELECT is allowed: the warehouse is changed only by imports.")
    return tree


def _checked_lexemes(query: str) -> list[Lexeme]:
    """Return the lexemes that PostgreSQL reads. Raises QueryRefused if sqlglot reads the query differently."""
    try:
        pieces = lexemes(query)
    except ValueError as error:
        raise QueryRefused(str(error)) from error
    tokens = _tokens(query)
    starts, ends = {piece.start for piece in pieces}, {piece.end for piece in pieces}
    for token in tokens:
        if token.start not in starts or token.end + 1 not in ends:
            raise QueryRefused(_unclear(query, token.start))
    at = 0
    for piece in pieces:
        while at < len(tokens) and tokens[at].end < piece.start:
            at += 1
        if at == len(tokens) or not _is_same(piece, tokens[at]):
            raise QueryRefused(_unclear(query, piece.start))
    return pieces


def _is_same(piece: Lexeme, token: Token) -> bool:
    """Return whether sqlglot's token is this lexeme, or has it as a part: of GROUP BY or 12.5, not of a text or name."""
    start, end = token.start, token.end + 1
    if piece.kind in (Kind.TEXT, Kind.QUOTED):
        return (piece.start, piece.end) == (start, end)
    return start <= piece.start and piece.end <= end


def _unclear(query: str, at: int) -> str:
    return f"This is ambiguous: {query[at : at + 20]!r}. Write it differently, without comments in between."


def _errors(tree: exp.Query, pieces: list[Lexeme], relations: Collection[str] | None) -> Iterator[str]:
    yield from _name_errors(pieces)
    for node in tree.walk():
        if isinstance(node, _ACTS):
            yield f"{node.key.upper()} is not allowed: a query may only read."
        elif isinstance(node, exp.Table):
            yield from _relation_errors(node, relations)
        elif isinstance(node, exp.Func):
            yield from _function_errors(node)
        elif isinstance(node, exp.DataType | exp.PseudoType | exp.ObjectIdentifier):
            yield from _type_errors(node)
    yield from _call_errors(pieces, _named_with_columns(tree))


# --- relations ---


def _relation_errors(table: exp.Table, relations: Collection[str] | None) -> Iterator[str]:
    if not isinstance(table.this, exp.Identifier):
        return  # a function in FROM, which is checked as a function
    schema, name = _name_of(table.args.get("db")), _name_of(table.this)
    if table.catalog or schema not in ("", "warehouse", "information_schema"):
        said = ".".join(part.name for part in table.parts)
        yield f"{said} is not a table of the warehouse. GET /v1/datasets lists all datasets."
    elif schema == "information_schema":
        if name not in DESCRIBES:
            yield f"Of information_schema only {', '.join(sorted(DESCRIBES))} can be read."
    elif relations and name not in relations and (schema or name not in _visible_ctes(table)):
        shown = sorted(relations)[:NAMES_SHOWN]
        there_are = f"There are: {', '.join(shown)}{' and more' if len(shown) < len(relations) else ''}."
        yield f'Relation "{name}" does not exist.{_suggestion(name, relations)} {there_are}'


def _name_of(identifier: exp.Expr | None) -> str:
    """Return a name as PostgreSQL reads it."""
    if not isinstance(identifier, exp.Identifier):
        return ""
    return str(identifier.this) if identifier.args.get("quoted") else str(identifier.this).lower()


def _visible_ctes(table: exp.Table) -> set[str]:
    """Return the names of the CTEs visible at a relation: those of each query around it. Within a WITH, a CTE sees those before
    it; itself and those after it only if the WITH is recursive."""
    names: set[str] = set()
    below: exp.Expr = table
    inside: exp.CTE | None = None
    while (above := below.parent) is not None:
        if isinstance(above, exp.CTE):
            inside = above
        elif isinstance(above, exp.With):
            names |= _visible_within(inside, above)
            if above.parent is not None:
                above = above.parent  # the WITH's own query: its CTEs are handled already
        elif isinstance(with_ := above.args.get("with_") or above.args.get("with"), exp.With):
            names |= {_name_of(cte.args["alias"].this) for cte in with_.expressions}
        below = above
    return names


def _visible_within(inside: exp.CTE | None, with_: exp.With) -> set[str]:
    ctes = list(with_.expressions)
    if inside is not None and not with_.args.get("recursive"):
        ctes = ctes[: next(at for at, cte in enumerate(ctes) if cte is inside)]
    return {_name_of(cte.args["alias"].this) for cte in ctes}


# --- functions and types ---


def _function_errors(function: exp.Func) -> Iterator[str]:
    """Yield what is wrong with a call. Operators are functions to sqlglot too, but only calls have a name to check."""
    parent = function.parent
    if isinstance(parent, exp.Dot) and parent.expression is function:
        yield f"{parent.sql(dialect='postgres', comments=False)}: a function is called by its name without a schema."
    if isinstance(function, exp.Anonymous | exp.AnonymousAggFunc):
        name = (function.name if isinstance(function.this, str) else str(function.this)).lower().strip('"')
        if not (name in FUNCTIONS or name in TYPES or name in KEYWORDS):
            yield _no_function(name)


def _no_function(name: str) -> str:
    return (
        f"The function {name}() is not allowed.{_suggestion(name, FUNCTIONS)} Allowed are functions that only compute: on"
        " numbers, text, dates, JSON, arrays and ranges, aggregates and window functions (docs/reads.md)."
    )


def _type_errors(type_: exp.DataType | exp.PseudoType | exp.ObjectIdentifier) -> Iterator[str]:
    if isinstance(type_, exp.DataType):
        if type_.this in _STRUCTURES or type_.this in _TYPES or isinstance(type_.this, exp.Interval):
            return
        if type_.this is exp.DataType.Type.USERDEFINED and str(type_.args.get("kind") or "").strip('"').lower() in TYPES:
            return
    yield _no_type(type_.sql(dialect="postgres", comments=False).lower())


def _no_type(name: str) -> str:
    return (
        f"A cast to {name} is not allowed.{_suggestion(name, TYPES)} Allowed are types of plain values: text, bigint, numeric,"
        " boolean, date, timestamptz, interval, uuid, jsonb and others (docs/reads.md)."
    )


_STRUCTURES = (exp.DataType.Type.ARRAY, exp.DataType.Type.LIST)
"""Their elements are checked by themselves."""

_TYPES = frozenset(built.this for name in TYPES if (built := exp.DataType.build(name, dialect="postgres", udt=True))) - {
    exp.DataType.Type.USERDEFINED
}


# --- lexemes ---


def _name_errors(pieces: list[Lexeme]) -> Iterator[str]:
    """Yield what is wrong with names that are not allowed anywhere."""
    for before, piece, after in _with_neighbours(pieces):
        if not piece.is_name:
            continue
        if _SYSTEM_NAME.fullmatch(piece.name):
            yield (
                f"{piece.name} is a system name of PostgreSQL, which is not allowed. Rename a CTE or an alias; read a column"
                " with such a name as to_jsonb(t) ->> 'its name', where t is its table."
            )
        elif piece.name == "information_schema" and (after is None or not after.is_sign(".")):
            yield f"Of information_schema only {', '.join(sorted(DESCRIBES))} can be read."
        elif piece.kind is Kind.WORD and piece.name in SESSION and not _is_label(before):
            yield f"{piece.name} is not allowed: it is about the session, not the warehouse."


def _is_label(before: Lexeme | None) -> bool:
    return before is not None and (before.is_sign(".") or (before.kind is Kind.WORD and before.name == "as"))


def _call_errors(pieces: list[Lexeme], named: Counter[str]) -> Iterator[str]:
    """Yield what is wrong with names of functions, types and collations. ``named``: how often a name has a list of columns."""
    for before, piece, after in _with_neighbours(pieces):
        if piece.is_name and after is not None and after.is_sign("("):
            if before is not None and before.is_sign("."):
                yield f"{piece.name}(): a function is called by its name without a schema."
            elif not _is_known(piece, FUNCTIONS):
                named[piece.name] -= 1
                if named[piece.name] < 0:
                    yield _no_function(piece.name)
        elif piece.is_name and after is not None and after.kind is Kind.TEXT and not _is_known(piece):
            yield _no_type(piece.name)
    for first, second, third in zip(pieces, pieces[1:], pieces[2:], strict=False):
        if first.is_sign(":") and second.is_sign(":") and third.name not in TYPES:
            yield _no_type(third.name)
        if first.kind is Kind.WORD and first.name == "collate" and second.is_name and third.is_sign("."):
            yield "Name a collation without its schema."


def _is_known(piece: Lexeme, functions: Collection[str] = ()) -> bool:
    return piece.name in functions or piece.name in TYPES or (piece.kind is Kind.WORD and piece.name in KEYWORDS)


def _named_with_columns(tree: exp.Query) -> Counter[str]:
    """Count the names that the query gives a list of columns: ``with n (a, b) as``, ``from f(x) as t (a, b)``."""
    return Counter(_name_of(alias.this) for alias in tree.find_all(exp.TableAlias) if alias.args.get("columns"))


def _with_neighbours(pieces: list[Lexeme]) -> Iterator[tuple[Lexeme | None, Lexeme, Lexeme | None]]:
    return zip([None, *pieces[:-1]], pieces, [*pieces[1:], None], strict=True)


def _suggestion(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name.lower(), known, n=1, cutoff=0.75)
    return f" Did you mean {close[0]}?" if close else ""


def _first_line(error: BaseException) -> str:
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
    return lines[0] if lines else "it is nested too deeply."
