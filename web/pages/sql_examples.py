"""Write the example queries of the SQL page for a dataset, with the names of its own table and columns."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.datasets.dataset import Dataset
from pipeline.sqlfiles import quoted

_BARE = re.compile(r"[a-z_][a-z0-9_]*")
_NUMBERS = ("bigint", "integer", "numeric", "double precision", "smallint", "real")
_FINDINGS = "select code, count(*) as findings\nfrom import_findings\ngroup by code\norder by findings desc"


@dataclass(frozen=True)
class Example:
    """A query that works on the present datasets."""

    title: str
    sql: str


def examples(dataset: Dataset | None) -> list[Example]:
    """Return example queries for a dataset, what is asked of a hierarchy first; without one those that work for any."""
    return [*(_of(dataset) if dataset else ()), Example("Most frequent findings", _FINDINGS)]


def _of(dataset: Dataset) -> list[Example]:
    table, key, parent = (identifier(name) for name in (dataset.name, dataset.key, dataset.parent))
    return [
        Example(
            "Path and depth of each record",
            f"with recursive tree as (\n    select {key}, 1 as depth, cast({key} as text) as path\n    from {table}\n"
            f"    where {parent} is null\n    union all\n"
            f"    select child.{key}, tree.depth + 1, tree.path || ' / ' || child.{key}\n    from {table} as child\n"
            f"    inner join tree on child.{parent} = tree.{key}\n)\nselect * from tree limit 100",
        ),
        Example(
            "All records below one",
            f"with recursive below as (\n    select {key}, {parent}, 1 as depth\n    from {table}\n"
            f"    where {parent} = (select {parent} from {table} where {parent} is not null limit 1)  -- or an ID, in quotes\n"
            f"    union all\n    select child.{key}, child.{parent}, below.depth + 1\n    from {table} as child\n"
            f"    inner join below on child.{parent} = below.{key}\n)\nselect * from below limit 100",
        ),
        Example("Total below each top-level record", _totals(dataset, table, key, parent)),
        Example(
            "Records at each depth",
            f"with recursive tree as (\n    select {key}, 1 as depth\n    from {table}\n    where {parent} is null\n"
            f"    union all\n    select child.{key}, tree.depth + 1\n    from {table} as child\n"
            f"    inner join tree on child.{parent} = tree.{key}\n)\n"
            "select depth, count(*) as records\nfrom tree\ngroup by depth\norder by depth",
        ),
        Example(
            "Orphans: records whose parent does not exist",
            f"select child.*\nfrom {table} as child\nleft join {table} as parent on child.{parent} = parent.{key}\n"
            f"where child.{parent} is not null and parent.{key} is null\nlimit 100",
        ),
        Example("Top-level records", f"select *\nfrom {table}\nwhere {parent} is null\norder by {key}\nlimit 20"),
        Example(
            "Records with the most children",
            f"select {parent}, count(*) as children\nfrom {table}\nwhere {parent} is not null\n"
            f"group by {parent}\norder by children desc\nlimit 10",
        ),
        Example(
            "Imports that wrote it",
            f"select _import_id, count(*) as records, max(_loaded_at) as last_loaded\nfrom {table}\n"
            "group by _import_id\norder by last_loaded desc",
        ),
    ]


def _totals(dataset: Dataset, table: str, key: str, parent: str) -> str:
    """Return a query for the number of records below each top-level one, and the sum of the first column of numbers, if any."""
    own = {dataset.key, dataset.parent}
    named = next((c.name for c in dataset.shown_columns if c.name not in own and c.type.startswith(_NUMBERS)), None)
    summed = identifier(named) if named else None
    first, more, total = (f", {summed} as amount", f", child.{summed}", ", sum(amount) as total") if summed else ("", "", "")
    return (
        f"with recursive below as (\n    select {key} as top, {key} as at{first}\n    from {table}\n"
        f"    where {parent} is null\n    union all\n    select below.top, child.{key}{more}\n    from {table} as child\n"
        f"    inner join below on child.{parent} = below.at\n)\n"
        f"select top, count(*) - 1 as records_below{total}\nfrom below\ngroup by top\norder by records_below desc\nlimit 40"
    )


def identifier(name: str) -> str:
    """Return a name as SQL writes it, quoted if necessary."""
    return name if _BARE.fullmatch(name) else quoted(name)
