"""What people's own SQL may say: one SELECT over the warehouse, and functions that only compute.

This is the polite half of the lock, which says what is wrong before anything runs. The half that holds is PostgreSQL's:
a login role with SELECT on the schema ``warehouse`` and nothing else, in a read-only transaction, with limits
(console.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import SqlglotError

from pipeline.errors import NotUsable

SQL_CHARACTERS_MAX = 20_000
TOKENS_MAX = 4000
NESTING_MAX = 100
"""What a person writes stays far below these; the parser's own time does not stay linear far above them."""

SCHEMAS = ("warehouse", "information_schema")

_DESCRIBES = frozenset(("columns", "schemata", "tables", "views"))
"""What a role of some datasets may read in information_schema. Of the other views one names every table there is
(udt_privileges), and none is of use to it."""

_SYSTEM_NAME = re.compile(r"(?i)pg_.*|lo_.*|dblink.*")

_COMPUTING = """
    abs acos age any_value array_agg array_append array_cat array_dims array_length array_lower array_ndims
    array_position array_positions array_prepend array_remove array_replace array_to_json array_to_string
    array_upper ascii asin atan atan2 avg bit_and bit_length bit_or bit_xor bool_and bool_or btrim cardinality cbrt
    ceil ceiling char_length character_length chr clock_timestamp coalesce concat concat_ws convert_from corr cos
    cot count covar_pop covar_samp cume_dist date date_bin date_part date_trunc decode degrees dense_rank div
    encode every exp extract factorial first_value floor format gcd generate_series generate_subscripts greatest
    grouping initcap isfinite json_agg json_array_elements json_array_elements_text json_array_length
    json_build_array json_build_object json_each json_each_text json_extract_path json_extract_path_text
    json_object json_object_agg json_object_keys json_strip_nulls json_to_record json_to_recordset json_typeof
    jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array
    jsonb_build_object jsonb_each jsonb_each_text jsonb_exists jsonb_extract_path jsonb_extract_path_text jsonb_insert
    jsonb_object jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query
    jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_to_record
    jsonb_to_recordset jsonb_typeof justify_days justify_hours justify_interval lag last_value lcm lead least left
    length ln localtime localtimestamp log log10 lower lpad ltrim make_date make_interval make_time make_timestamp
    make_timestamptz max md5 min mod mode normalize now nth_value ntile nullif num_nonnulls num_nulls octet_length
    overlay percent_rank percentile_cont percentile_disc pi position power quote_ident quote_literal
    quote_nullable radians random rank regexp_count regexp_instr regexp_like regexp_match regexp_matches
    regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat replace reverse right round
    row row_number row_to_json rpad rtrim scale sha224 sha256 sha384 sha512 sign sin split_part sqrt starts_with
    statement_timestamp stddev stddev_pop stddev_samp string_agg string_to_array string_to_table strpos substr
    substring sum tan timeofday to_char to_date to_hex to_json to_jsonb to_number to_timestamp translate trim
    trim_array trunc unaccent unicode_assigned unnest upper var_pop var_samp variance width_bucket
    """
"""Functions that only compute, by PostgreSQL's names. One that is not here can be added; one that acts must not be."""

_FUNCTIONS = frozenset(_COMPUTING.split())

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


class Refused(NotUsable):
    """Only one SELECT over the warehouse can be run here."""


def guarded(sql: str, *, granted: bool = False) -> str:
    """The query to run for ``sql``: itself, without its semicolon, and with parentId found however it is written.

    ``granted``: for a role of some datasets, which knows their tables by their bare names. Raises Refused saying what is not
    allowed.
    """
    if len(sql) > SQL_CHARACTERS_MAX:
        raise Refused(f"The query is longer than {SQL_CHARACTERS_MAX:,} characters.")
    if "\0" in sql:
        raise Refused("The query contains a NUL character, which PostgreSQL does not know.")
    if granted:
        sql = _bare(sql)
    query = _rewritten(sql, _tokens(sql))
    tree = _single(query)
    for complaint in _complaints(tree, granted=granted):
        raise Refused(complaint)
    return query


def _tokens(sql: str) -> list[Token]:
    try:
        tokens = sqlglot.tokenize(sql, read="postgres")
    except SqlglotError as error:
        raise Refused(f"This cannot be read as SQL: {_first_line(error)}") from error
    if len(tokens) > TOKENS_MAX:
        raise Refused(f"The query has more than {TOKENS_MAX:,} words and signs.")
    depth = deepest = 0
    for token in tokens:
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        deepest = max(deepest, depth)
    if deepest > NESTING_MAX:
        raise Refused(f"The query is nested more than {NESTING_MAX} deep.")
    return tokens


_OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET)
_CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET)


def _rewritten(sql: str, tokens: list[Token]) -> str:
    """``parentId`` needs its quotes in PostgreSQL; whoever forgets them means the column all the same."""
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens = tokens[:-1]
    if not tokens:
        raise Refused("There is no query. Write one SELECT, for instance: select * from records limit 10")
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
        raise Refused(f"This cannot be read as SQL: {_first_line(error)}") from error
    if len(trees) != 1:
        raise Refused("Only one statement can be run at a time.")
    tree = trees[0]
    if not isinstance(tree, exp.Query):
        raise Refused("Only a SELECT can be run here: the warehouse is changed by imports alone.")
    return tree


def _complaints(tree: exp.Query, *, granted: bool) -> Iterator[str]:
    known = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for node in tree.walk():
        if isinstance(node, _ACTS):
            yield f"{node.key.upper()} cannot be used here: a query may only read."
        elif isinstance(node, exp.Table):
            yield from _table_complaints(node, known)
            if granted and node.db.lower() == "information_schema" and node.name.lower() not in _DESCRIBES:
                yield f"Of information_schema only {', '.join(sorted(_DESCRIBES))} can be read here."
        elif isinstance(node, exp.Func):
            yield from _function_complaints(node)


def _table_complaints(table: exp.Table, known: set[str]) -> Iterator[str]:
    if not isinstance(table.this, exp.Identifier):
        return  # a function in FROM, which is looked at as a function
    schema = table.db.lower()
    if table.catalog or (schema and schema not in SCHEMAS):
        said = table.sql(dialect="postgres")
        yield f"{said} is not a table of the warehouse. GET /v1/datasets lists those there are."
    elif not schema and table.name.lower() not in known and _SYSTEM_NAME.fullmatch(table.name):
        yield f"{table.name} is a table of the system, which cannot be read here."


def _function_complaints(function: exp.Func) -> Iterator[str]:
    """Operators are functions to sqlglot too; only what is written as a call has a name that counts."""
    parent = function.parent
    if isinstance(parent, exp.Dot) and parent.expression is function:
        yield f"{parent.sql(dialect='postgres')}: a function is called by its bare name here."
    if isinstance(function, exp.Anonymous | exp.AnonymousAggFunc):
        name = function.name.lower() if isinstance(function.this, str) else str(function.this)
        if name.lower().strip('"') not in _FUNCTIONS:
            yield f"The function {name}() cannot be used here: only functions that compute can."


def _first_line(error: BaseException) -> str:
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
    return lines[0] if lines else "it is nested too deeply."
