"""The hierarchy that a file's shape, or the mapping of its columns, makes of its beginning: its size, and its first records.

It is read and staged as an import would do it, apart from what else the dataset demands of a record. Runs in the sandbox.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from pipeline.contracts.options import ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.table import Column
from pipeline.errors import RejectedFile
from pipeline.read import FileSummary, Limits, read
from pipeline.sandbox.matching.misfits import misfits_in
from pipeline.sandbox.matching.places import Places
from pipeline.sandbox.preview_model import TreeNode, TreePreview
from pipeline.sqlfiles import quoted
from pipeline.staging import ancestors
from pipeline.staging.cast import stage
from pipeline.staging.database import StagingDatabase, number
from pipeline.staging.hierarchy import lay_out

SIBLINGS = 3
LEVELS = 3
NODES = 40
_CHARACTERS = 60
_META = ("shape", "mapping", "clean", "no_parent_values", "parent_by")


@dataclass(frozen=True)
class TreeReading:
    """A tree, and what reading it found: rows of totals (_row, what they are called), and their places."""

    tree: TreePreview
    totals: tuple[tuple[int | None, str], ...] = ()


def has_shape(dataset: Dataset) -> bool:
    """Return whether the hierarchy is written in another way than by a column of parents."""
    return bool(dataset.shape.kind or dataset.shape.children or dataset.shape.path_separator)


def preview_tree(
    file: Path,
    dataset: Dataset,
    options: ReadOptions,
    limits: Limits,
    filename: str,
    label: str = "",
    header: int | None = None,
) -> TreeReading:
    """Return the tree of a file that has a shape, or columns that are mapped to the key and the parent.

    ``label``: the column of ``raw`` that names the records, where the shape and the dataset name none.
    """
    asked = _undemanding(replace(dataset, options=options), file.parent)
    with StagingDatabase.in_memory(file.parent) as database, database.connect() as connection:
        try:
            reading = read(file, asked, connection=connection, filename=filename, options=options, limits=limits)
        except RejectedFile as error:
            return TreeReading(TreePreview(problem=f"{error} {error.hint}".strip()))
        stage(connection, asked)
        lay_out(connection, asked)
        places = Places(reading, header)
        return TreeReading(_tree(connection, asked, reading, places, label), _totals(connection, places))


def _undemanding(dataset: Dataset, root: Path) -> Dataset:
    """Return the dataset with the same shape and rules of cleaning, which takes any columns and any values."""
    meta = {name: value for name, value in dataset.suite.get("meta", {}).items() if name in _META}
    if "defaults" in meta.get("mapping", {}):
        meta["mapping"] = {name: value for name, value in meta["mapping"].items() if name != "defaults"}
    columns = tuple(Column(column.name, "text", False) for column in dataset.columns if column.name != dataset.rest)
    return replace(dataset, root=root, columns=columns, rest="-", suite={"name": dataset.name, "meta": meta})


def _tree(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, reading: FileSummary, places: Places, label: str
) -> TreePreview:
    ancestors.depth(connection, "select _row as number, nullif(above, _row) as above from links", into="depths")
    ((records, roots),) = connection.execute("select count(*), count(*) filter (where parent is null) from links").fetchall()
    ((generated,),) = connection.execute("select generated from reading").fetchall()
    most = number(
        connection, "select coalesce(max(n), 0) from (select count(*) as n from links where above is not null group by above)"
    )
    label, name = _label(dataset, reading, label)
    query = _NODES.format(name=name)
    found = connection.execute(query, {"siblings": SIBLINGS, "levels": LEVELS, "nodes": NODES, "most": _CHARACTERS}).fetchall()
    misfits, misfits_total = misfits_in(connection, dataset, places)
    return TreePreview(
        records=records,
        generated=generated,
        roots=roots,
        levels=number(connection, "select coalesce(max(depth) + 1, 0) from depths"),
        nodes=tuple(TreeNode(*node) for node in found),
        problem=_problem(connection),
        children_most=most,
        misfits=misfits,
        misfits_total=misfits_total,
        label=label,
    )


def _label(dataset: Dataset, reading: FileSummary, label: str) -> tuple[str, str]:
    """Return the column that names the records, and its SQL: by the shape, the column ``name``, or ``label``; or nothing."""
    name = dataset.shape.label(dataset.names) or ("name" if "name" in dataset.names else "")
    if name and (dataset.shape.kind or name in reading.columns):
        return name, f"incoming.{quoted(name)}"
    return (label, f"raw.{quoted(label)}") if label in reading.columns else ("", "null::varchar")


def _problem(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the first error, and how many there are beside it; an empty text if there is none."""
    ((errors, first),) = connection.execute(
        """select count(*), arg_min(coalesce('Record ' || row || ': ', '') || message || coalesce(' ' || hint, ''),
            coalesce(row, 1::bigint << 60))
        from findings where severity = 'error'"""
    ).fetchall()
    return f"{first} And {errors - 1:,} more." if errors > 1 else first or ""


def _totals(connection: duckdb.DuckDBPyConnection, places: Places) -> tuple[tuple[int | None, str], ...]:
    rows: list[tuple[Any, ...]] = connection.execute(
        "select row, value from findings where code = 'totals_row' order by row limit 10"
    ).fetchall()
    return tuple((places.row(row), str(value)) for row, value in rows)


_NODES = """
with recursive ranked as (
    select links._row, links.id, links.above, links.parent is null as is_root, {name} as name,
        row_number() over (partition by links.parent is null, links.above order by links._row) as place
    from links join incoming on links._row = incoming._row left join raw on links._row = raw._row
    where links.id is not null and (links.parent is null or links.above is not null)
),
shown as (
    select _row, id, name, 1 as level, [place] as places from ranked where is_root and place <= $siblings
    union all
    select low._row, low.id, low.name, level + 1, list_append(places, low.place)
    from ranked low join shown on low.above = shown._row where low.place <= $siblings and level < $levels
),
children as (select above, count(*) as children from links where above is not null group by above)
select level, left(id, $most), left(name, $most), coalesce(children, 0)
from shown left join children on shown._row = children.above order by places limit $nodes
"""
