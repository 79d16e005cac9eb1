"""Write reports and results as if the values of personal columns were masks: views that hide the tables of the same names.

The views are in a schema of their own, which comes first on the search path of one connection. So every writer of files, also
one that does not exist yet, sees masks on that connection. Writers of the clear files use a connection without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from pipeline.contracts.masking import MASK, masked_text_sql
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.personal_columns import is_visible
from pipeline.sqlfiles import literal, opening_comment, quoted

SCHEMA = "masked"
_OF_FILE = ("empty_file", "missing_column", "unknown_column")
"""Codes whose text speaks of the header only; it is shown if the header has a column of the dataset."""

_HINTS_OF_OTHERS = ("missing_parent",)
"""Codes whose hint may tell of values in other columns: what a parent was probably meant to be."""


@contextmanager
def masked_tables(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> Iterator[None]:
    """Have ``connection`` see masks for the block: in raw, findings, malformed, fated, and the header if it may be data."""
    asked = "select table_name from duckdb_tables() union select view_name from duckdb_views() where not internal"
    there = {str(row[0]) for row in connection.execute(asked).fetchall()}
    connection.execute(f"create schema if not exists {SCHEMA}")
    knows_header = _knows_header(connection, dataset)
    for name, query in _views(connection, dataset, knows_header=knows_header).items():
        if name in there:
            connection.execute(f"create or replace view {SCHEMA}.{quoted(name)} as {query}")
    connection.execute(f"set search_path = '{SCHEMA},main'")
    try:
        yield
    finally:
        connection.execute("set search_path = 'main'")


def _knows_header(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> bool:
    """Return whether a column of the file is the dataset's: without one, the first record may be taken for the header."""
    found = connection.execute("select columns from main.reading").fetchall()
    return any(name in dataset.names for (names,) in found for name in names or ())


def _views(connection: duckdb.DuckDBPyConnection, dataset: Dataset, *, knows_header: bool) -> dict[str, str]:
    """Return the query of each view, by the name of the table that it hides."""
    names = [str(row[0]) for row in connection.execute("describe main.raw").fetchall() if row[0] != "_row"]
    cells = [quoted(name) if is_visible(dataset, name) else _mask(name) for name in names]
    views = {
        "raw": f"select {', '.join(['_row', *cells])} from main.raw",
        "malformed": f"select * replace ({_mask('text')}) from main.malformed",
        "fated": f"select * replace ({_mask('text')}) from main.fated",
        "findings": _findings(dataset, knows_header=knows_header),
    }
    if not knows_header:
        headings = f"list_transform(original_columns, lambda name, place: {literal(MASK)} || ' ' || place)"
        views["reading"] = f"select * replace ({headings} as original_columns) from main.reading"
    return views


def _mask(name: str) -> str:
    return f"case when {quoted(name)} is not null then {literal(MASK)} end as {quoted(name)}"


def _findings(dataset: Dataset, *, knows_header: bool) -> str:
    """Return the query of the findings: the text and the value of one stay if they are only of a column that may be shown."""
    visible = ", ".join(literal(name) for name in dataset.names if is_visible(dataset, name) and name != dataset.rest)
    of_others = ", ".join(map(literal, ["", *_codes_of_other_values(dataset)]))
    of_file = ", ".join(map(literal, ["", *(_OF_FILE if knows_header else ())]))
    hints = ", ".join(map(literal, _HINTS_OF_OTHERS))
    hidden = f"((coalesce(\"column\", '') not in ({visible}) and code not in ({of_file})) or code in ({of_others}))"
    return f"""select * replace (
        case when {hidden} then {masked_text_sql("code")} else message end as message,
        case when {hidden} and value is not null then {literal(MASK)} else value end as value,
        case when {hidden} or code in ({hints}) then null else hint end as hint
    ) from main.findings"""


def _codes_of_other_values(dataset: Dataset) -> list[str]:
    """Return the codes of the dataset's own checks, and of the rules of its tree, that may show a personal value.

    A check may if its query names a personal column, or selects all columns.
    """
    named = re.compile("|".join([r"\*", *(rf"(?<!\w){re.escape(name)}(?!\w)" for name in dataset.personal)]), re.IGNORECASE)
    own = [path for path in dataset.check_files if path.parent.name == dataset.name]
    of_rules = [path for path in dataset.check_files if path.parent.name == "rules"]
    asked = str(dataset.suite.get("meta", {}).get("rules", ""))
    found = [path for path in own if named.search(_query(path.read_text(encoding="utf-8")))]
    found += of_rules if named.search(asked.replace("*", "")) else []
    return [_code(path.read_text(encoding="utf-8")) for path in found]


def _query(sql: str) -> str:
    return "\n".join(line for line in sql.splitlines() if not line.startswith("--"))


def _code(sql: str) -> str:
    codes = [line.removeprefix("code:").strip() for line in opening_comment(sql) if line.startswith("code:")]
    return codes[0] if codes else "check_failed"
