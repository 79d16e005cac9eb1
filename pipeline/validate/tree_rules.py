"""The tree rules of a dataset: rules that it sets for values in the tree (``meta.rules``), such as the order of its kinds.

They apply to the tree that would result, so the warehouse is asked for the records around the file's, with the values that the
rules look at. What is wrong in the warehouse and what the file does not change is not reported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from pipeline.datasets.tree_rules import TreeRules
from pipeline.sqlfiles import literal, quoted
from pipeline.validate.tree_limits import find_branches

_AROUND = "select 'around' as what, id, parent from links where id is not null"
_SIBLINGS = """
select distinct 'children' as what, parent as id, null as parent from links where parent is not null
"""
_OTHER_ROOTS = "select 'roots' as what, null as id, null as parent from (from links where parent is null limit 1)"

_FOLD = "lower(nfc_normalize(trim({})))"


def questions_of_rules(rules: TreeRules) -> list[str]:
    """Return queries of what the rules need of the warehouse, as tree_limits.questions does."""
    asked = {_AROUND: bool(rules.columns), _SIBLINGS: bool(rules.sibling_columns), _OTHER_ROOTS: bool(rules.sibling_columns)}
    return [query for query, is_wanted in asked.items() if is_wanted]


def add_values(connection: duckdb.DuckDBPyConnection, edges: Path | None) -> None:
    """Make ``warehouse_values`` (id, value_0, ...) from the warehouse's answer, with the types of the dataset's columns."""
    columns = _rules(connection).get("columns", [])
    kinds = {str(row[0]): str(row[1]) for row in connection.execute("describe incoming").fetchall()} if columns else {}
    named = [(f"value_{place}", kinds[column]) for place, column in enumerate(columns)]
    declared = "".join(f", {name} {kind}" for name, kind in named)
    connection.execute(f"create or replace table warehouse_values (id varchar{declared})")
    if edges is not None and columns:
        casts = "".join(f", try_cast({name} as {kind})" for name, kind in named)
        connection.execute(f"insert into warehouse_values select id{casts} from {literal(str(edges))}")


def lay_out_values(connection: duckdb.DuckDBPyConnection, *, of: str = "incoming") -> None:
    """Make what the checks of the rules query, from ``edges`` and the values of the file's records ``of`` a relation.

    These are ``kinds`` (number, kind, rank), ``sibling_values`` (number, value, compared), and ``filled`` (number, column,
    is_for_leaves), one for each value in a column that only records without, or only those with children may have.
    """
    rules = _rules(connection)
    if not rules.get("columns"):
        return
    _lay_out_ruled(connection, rules["columns"], of)
    value = {column: f"value_{place}" for place, column in enumerate(rules["columns"])}
    if rules["rank_column"]:
        kind = value[rules["rank_column"]]
        connection.execute(
            f"""create or replace view kinds as
            select number, {kind} as kind, nullif(list_position(rules.ranks, {kind}), 0) as rank from ruled, rules"""
        )
    if rules["sibling_columns"]:
        values = [f"{value[column]}::varchar" for column in rules["sibling_columns"]]
        alike = [_FOLD.format(one) for one in values] if rules["folded_siblings"] else values
        connection.execute(
            f"""create or replace view sibling_values as
            select number, array_to_string([{", ".join(values)}], ', ') as value, {_as_one(alike)} as compared
            from ruled where {" and ".join(f"{one} is not null" for one in values)}"""
        )
    if rules["leaf_only"] or rules["branch_only"]:
        find_branches(connection)
        _lay_out_filled(connection, value, rules)


def _lay_out_ruled(connection: duckdb.DuckDBPyConnection, columns: list[str], of: str) -> None:
    """Make ``ruled`` (number, value_0, ...), the values that the rules look at, of each record in ``edges``."""
    picks = "".join(f", {quoted(column)} as value_{place}" for place, column in enumerate(columns))
    names = "".join(f", old.value_{place}" for place in range(len(columns)))
    connection.execute(
        f"""create or replace view ruled as
        select _row as number{picks} from {of}
        union all
        select edges.number{names} from edges join warehouse_values old using (id) where edges._row is null"""
    )


def _lay_out_filled(connection: duckdb.DuckDBPyConnection, value: dict[str, str], rules: dict[str, Any]) -> None:
    parts = [
        f"""select number, {literal(column)} as "column", {is_for_leaves} as is_for_leaves from ruled
        where nullif({value[column]}::varchar, '') is not null"""
        for columns, is_for_leaves in ((rules["leaf_only"], "true"), (rules["branch_only"], "false"))
        for column in columns
    ]
    connection.execute(f"create or replace view filled as {' union all '.join(parts)}")


def _as_one(values: list[str]) -> str:
    """Return the SQL of one value that is the same only if all of them are."""
    return values[0] if len(values) == 1 else f"to_json([{', '.join(values)}])::varchar"


def _rules(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return the one row of ``rules``; empty if there is no such table."""
    if not connection.execute("from duckdb_tables() where table_name = 'rules'").fetchall():
        return {}
    found = connection.execute("from rules")
    names = [str(column[0]) for column in found.description or ()]
    return dict(zip(names, found.fetchall()[0], strict=True))
