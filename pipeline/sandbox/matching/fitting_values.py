"""Find the columns of a file whose values a dataset would mostly refuse: by its types, and by patterns and sets in its suite.

It only ranks datasets: what is refused, and why, is said by an import.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.sandbox.matching.column_facts import Facts
from pipeline.sandbox.matching.suggestions import Suggestions
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.types import parts_of_type, reading_of_type

ROWS = 1000
SHARE = 0.5
"""With less than this share of values that fit, the column is another one."""


def unfit_columns(dataset: Dataset, found: Suggestions, facts: Facts) -> list[str]:
    """Return the file's own names of the columns whose values do not fit what they are suggested to be."""
    unfit = []
    for place, column in enumerate(facts.columns):
        into = found.matches[place].suggested
        if not into or into not in dataset.names or into == dataset.rest or not column.given:
            continue
        if any(_share(facts.connection, column.name, rule) < SHARE for rule in _conditions(dataset, into)):
            unfit.append(column.original)
    return unfit


def _conditions(dataset: Dataset, column: str) -> Iterator[str]:
    """Yield conditions in SQL on ``value`` that the dataset has for a column, so far as DuckDB can check them by themselves."""
    kind = dataset.column(column).type
    accepts = reading_of_type(kind).accepts if parts_of_type(kind)[0] not in ("json", "jsonb") else None
    if accepts:
        yield accepts.replace("{v}", "value")
    for rule in dataset.suite.get("expectations", ()):
        said = rule.get("kwargs", {})
        if said.get("column") != column or rule.get("meta", {}).get("severity") == "warning":
            continue
        if rule.get("type") == "expect_column_values_to_match_regex" and isinstance(said.get("regex"), str):
            yield f"regexp_matches(value, {literal(said['regex'])})"
        if rule.get("type") == "expect_column_values_to_be_in_set" and said.get("value_set"):
            yield f"value in ({', '.join(literal(str(one)) for one in said['value_set'])})"


def _share(connection: duckdb.DuckDBPyConnection, name: str, condition: str) -> float:
    """Return the share of a column's first values for which a condition is true; 1.0 if DuckDB cannot check it."""
    try:
        ((fits, given),) = connection.execute(
            f"""select count(*) filter (where {condition}), count(*)
            from (select trim({quoted(name)}) as value from raw where trim({quoted(name)}) != '' limit {ROWS})"""
        ).fetchall()
    except duckdb.Error:  # a pattern in a syntax that only Python has
        return 1.0
    return fits / given if given else 1.0
