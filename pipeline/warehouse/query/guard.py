"""What people's own SQL may say: one SELECT over the warehouse, of functions and types that only compute.

Everything that a query names has to be allowed: each relation is a CTE that is visible where it is named, or one that was
granted; each function and each type is on a list (allowed.py). A query is looked at twice: as the lexemes that PostgreSQL will
read, and as the tree that sqlglot makes of them. What the two read differently is refused.

This half of the lock says what is wrong before anything runs, and keeps shut what every role of PostgreSQL may read: its
catalogs. The other half is PostgreSQL's: a login role with SELECT on the schema ``warehouse`` (or on the views of a set of
datasets) and nothing else, in a read-only transaction, with limits (console.py).
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
"""What a person writes stays far below these; the parser's own time does not stay linear far above them."""

NAMES_SHOWN = 20
"""Of tables and views, where a query names one that is not there."""

_SYSTEM_NAME = re.compile(
    r"(?i)pg_.*|_?reg(class|collation|config|database|dictionary|namespace|oper|operator|proc|procedure|role|type)|tableoid"
)
"""Names that are PostgreSQL's own, wherever they stand. Each catalog and each view of sessions has one of them."""

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
    """Only one SELECT over the warehouse can be run here."""


def guarded(sql: str, *, granted: bool = False, relations: Collection[str] | None = None) -> str:
    """The query to run for ``sql``: itself, without its semicolon, and with parentId found however it is written.

    ``granted``: for a role of some datasets, which knows their tables by their bare names. ``relations``: the tables and views
    that may be read; None leaves it to PostgreSQL to say which there are. Raises QueryRefused saying what is not allowed.
    """
    if len(sql) > SQL_CHARACTERS_MAX:
        raise QueryRefused(f"The query is longer than {SQL_CHARACTERS_MAX:,} characters.")
    if "\0" in sql:
        raise QueryRefused("The query contains a NUL character, which PostgreSQL does not know.")
    if granted:
        sql = _bare(sql)
    query = _rewritten(sql, _tokens(sql))
    pieces = _pieces(query)
    tree = _single(query)
    for complaint in _complaints(tree, pieces, relations):
        raise QueryRefused(complaint)
    return query


def _tokens(sql: str) -> list[Token]:
    try:
        tokens = sqlglot.tokenize(sql, read="postgres")
    except SqlglotError as error:
        raise QueryRefused(f"This cannot be read as SQL: {_first_line(error)}") from error
    if len(tokens) > TOKENS_MAX:
        raise QueryRefused(f"The query has more than {TOKENS_MAX:,} words and signs.")
    depth = deepest = 0
    for token in tokens:
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        deepest = max(deepest, depth)
    if deepest > NESTING_MAX:
        raise QueryRefused(f"The query is nested more than {NESTING_MAX} deep.")
    return tokens


_OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET)
_CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET)


def _rewritten(sql: str, tokens: list[Token]) -> str:
    """``parentId`` needs its quotes in PostgreSQL; whoever forgets them means the column all the same."""
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens = tokens[:-1]
    if not tokens:
        raise QueryRefused("There is no query. Write one SELECT, for instance: select * from records limit 10")
    pieces, at = [], 0
    for token in tokens:
        if token.token_type is TokenType.VAR and token.text.lower() == "parentid":
            pieces += [sql[at : token.start], '"parentId"']
            at = token.end + 1
    return "".join([*pieces, sql[at : tokens[-1].end + 1]])


def _bare(sql: str) -> str:
    """``warehouse.`` left out wherever it stands before a name."""
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
        raise QueryRefused("Only one statement can be run at a time.")
    tree = trees[0]
    if not isinstance(tree, exp.Query):
        raise QueryRefused("Only a SELECT can be run here: the warehouse is changed by imports alone.")
    return tree


def _pieces(query: str) -> list[Lexeme]:
    """The query as PostgreSQL reads it. Raises QueryRefused if sqlglot would read another one."""
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
    """Whether sqlglot's token is this piece; of GROUP BY or 12.5 it may be a part, of a text or a quoted name it may not."""
    start, end = token.start, token.end + 1
    if piece.kind in (Kind.TEXT, Kind.QUOTED):
        return (piece.start, piece.end) == (start, end)
    return start <= piece.start and piece.end <= end


def _unclear(query: str, at: int) -> str:
    return f"This can be read in two ways: {query[at : at + 20]!r}. Write it in another way, without comments in between."


def _complaints(tree: exp.Query, pieces: list[Lexeme], relations: Collection[str] | None) -> Iterator[str]:
    yield from _name_complaints(pieces)
    for node in tree.walk():
        if isinstance(node, _ACTS):
            yield f"{node.key.upper()} cannot be used here: a query may only read."
        elif isinstance(node, exp.Table):
            yield from _relation_complaints(node, relations)
        elif isinstance(node, exp.Func):
            yield from _function_complaints(node)
        elif isinstance(node, exp.DataType | exp.PseudoType | exp.ObjectIdentifier):
            yield from _type_complaints(node)
    yield from _call_complaints(pieces, _named_with_columns(tree))


# --- relations ---


def _relation_complaints(table: exp.Table, relations: Collection[str] | None) -> Iterator[str]:
    if not isinstance(table.this, exp.Identifier):
        return  # a function in FROM, which is looked at as a function
    schema, name = _name_of(table.args.get("db")), _name_of(table.this)
    if table.catalog or schema not in ("", "warehouse", "information_schema"):
        said = ".".join(part.name for part in table.parts)
        yield f"{said} is not a table of the warehouse. GET /v1/datasets lists those there are."
    elif schema == "information_schema":
        if name not in DESCRIBES:
            yield f"Of information_schema only {', '.join(sorted(DESCRIBES))} can be read here."
    elif relations and name not in relations and (schema or name not in _visible_ctes(table)):
        shown = sorted(relations)[:NAMES_SHOWN]
        there_are = f"There are: {', '.join(shown)}{' and more' if len(shown) < len(relations) else ''}."
        yield f'Relation "{name}" does not exist.{_meant(name, relations)} {there_are}'


def _name_of(identifier: exp.Expr | None) -> str:
    """A name as PostgreSQL takes it."""
    if not isinstance(identifier, exp.Identifier):
        return ""
    return str(identifier.this) if identifier.args.get("quoted") else str(identifier.this).lower()


def _visible_ctes(table: exp.Table) -> set[str]:
    """The names of the CTEs that a relation named here can be: those of each query around it. A CTE sees those before it in its
    WITH; itself and those after it only in a recursive one."""
    names: set[str] = set()
    below: exp.Expr = table
    inside: exp.CTE | None = None
    while (above := below.parent) is not None:
        if isinstance(above, exp.CTE):
            inside = above
        elif isinstance(above, exp.With):
            names |= _seen_from(inside, above)
            if above.parent is not None:
                above = above.parent  # the WITH's own query: its CTEs were looked at from within
        elif isinstance(with_ := above.args.get("with_") or above.args.get("with"), exp.With):
            names |= {_name_of(cte.args["alias"].this) for cte in with_.expressions}
        below = above
    return names


def _seen_from(inside: exp.CTE | None, with_: exp.With) -> set[str]:
    ctes = list(with_.expressions)
    if inside is not None and not with_.args.get("recursive"):
        ctes = ctes[: next(at for at, cte in enumerate(ctes) if cte is inside)]
    return {_name_of(cte.args["alias"].this) for cte in ctes}


# --- functions and types ---


def _function_complaints(function: exp.Func) -> Iterator[str]:
    """Operators are functions to sqlglot too; only what is written as a call has a name that counts."""
    parent = function.parent
    if isinstance(parent, exp.Dot) and parent.expression is function:
        yield f"{parent.sql(dialect='postgres', comments=False)}: a function is called by its bare name here."
    if isinstance(function, exp.Anonymous | exp.AnonymousAggFunc):
        name = (function.name if isinstance(function.this, str) else str(function.this)).lower().strip('"')
        if not (name in FUNCTIONS or name in TYPES or name in KEYWORDS):
            yield _no_function(name)


def _no_function(name: str) -> str:
    return (
        f"The function {name}() cannot be used here.{_meant(name, FUNCTIONS)} Functions that only compute can: of numbers,"
        " text, dates, JSON, arrays and ranges, aggregates and window functions (docs/reads.md)."
    )


def _type_complaints(type_: exp.DataType | exp.PseudoType | exp.ObjectIdentifier) -> Iterator[str]:
    if isinstance(type_, exp.DataType):
        if type_.this in _STRUCTURES or type_.this in _TYPES or isinstance(type_.this, exp.Interval):
            return
        if type_.this is exp.DataType.Type.USERDEFINED and str(type_.args.get("kind") or "").strip('"').lower() in TYPES:
            return
    yield _no_type(type_.sql(dialect="postgres", comments=False).lower())


def _no_type(name: str) -> str:
    return (
        f"Nothing can be cast to {name} here.{_meant(name, TYPES)} Types of plain values can be used: text, bigint, numeric,"
        " boolean, date, timestamptz, interval, uuid, jsonb and others (docs/reads.md)."
    )


_STRUCTURES = (exp.DataType.Type.ARRAY, exp.DataType.Type.LIST)
"""What is between them is looked at by itself."""

_TYPES = frozenset(built.this for name in TYPES if (built := exp.DataType.build(name, dialect="postgres", udt=True))) - {
    exp.DataType.Type.USERDEFINED
}


# --- lexemes ---


def _name_complaints(pieces: list[Lexeme]) -> Iterator[str]:
    """Names that are never to be written, wherever they stand."""
    for before, piece, after in _with_neighbours(pieces):
        if not piece.is_name:
            continue
        if _SYSTEM_NAME.fullmatch(piece.name):
            yield (
                f"{piece.name} is a name of PostgreSQL's own, which cannot be used here. Give a CTE or an alias another name; a"
                " column of such a name can be read as to_jsonb(t) ->> 'its name', where t is its table."
            )
        elif piece.name == "information_schema" and (after is None or not after.is_sign(".")):
            yield f"Of information_schema only {', '.join(sorted(DESCRIBES))} can be read here."
        elif piece.kind is Kind.WORD and piece.name in SESSION and not _is_label(before):
            yield f"{piece.name} cannot be used here: it tells of the session, not of the warehouse."


def _is_label(before: Lexeme | None) -> bool:
    return before is not None and (before.is_sign(".") or (before.kind is Kind.WORD and before.name == "as"))


def _call_complaints(pieces: list[Lexeme], named: Counter[str]) -> Iterator[str]:
    """Whatever stands where a function, a type or a collation would; ``named`` says how often a name has columns behind it."""
    for before, piece, after in _with_neighbours(pieces):
        if piece.is_name and after is not None and after.is_sign("("):
            if before is not None and before.is_sign("."):
                yield f"{piece.name}(): a function is called by its bare name here."
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
            yield "A collation is named without its schema here."


def _is_known(piece: Lexeme, functions: Collection[str] = ()) -> bool:
    return piece.name in functions or piece.name in TYPES or (piece.kind is Kind.WORD and piece.name in KEYWORDS)


def _named_with_columns(tree: exp.Query) -> Counter[str]:
    """How often the query itself gives a name with a list of columns: ``with n (a, b) as``, ``from f(x) as t (a, b)``."""
    return Counter(_name_of(alias.this) for alias in tree.find_all(exp.TableAlias) if alias.args.get("columns"))


def _with_neighbours(pieces: list[Lexeme]) -> Iterator[tuple[Lexeme | None, Lexeme, Lexeme | None]]:
    return zip([None, *pieces[:-1]], pieces, [*pieces[1:], None], strict=True)


def _meant(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name.lower(), known, n=1, cutoff=0.75)
    return f" Did you mean {close[0]}?" if close else ""


def _first_line(error: BaseException) -> str:
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
    return lines[0] if lines else "it is nested too deeply."
