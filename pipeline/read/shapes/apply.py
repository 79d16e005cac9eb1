"""Choose the module of a file's shape, and check what all shapes need."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.datasets.dataset import Dataset
from pipeline.errors import Unreadable
from pipeline.read import column_mapping
from pipeline.read.raw_tables import RawTables
from pipeline.read.read_result import ReadResult
from pipeline.read.shapes.edges import shape_edges
from pipeline.read.shapes.levels import shape_levels
from pipeline.read.shapes.nested_set import shape_nested_set
from pipeline.read.shapes.outline import shape_outline
from pipeline.read.shapes.paths import shape_path
from pipeline.read.shapes.prefixes import shape_prefix
from pipeline.read.shapes.shaped_rows import TABLES, ShapedFile, keep

_SHAPES: dict[str, Callable[[ShapedFile], ReadResult]] = {
    "levels": shape_levels,
    "outline": shape_outline,
    "path": shape_path,
    "prefix": shape_prefix,
    "nested_set": shape_nested_set,
    "edges": shape_edges,
}


def apply(table: ReadResult, staging: RawTables) -> ReadResult:
    """Return the table with ids and parents in ``raw``, if the dataset or the upload says that a shape makes them.

    Raises Unreadable if the file has a column of parents too.
    """
    dataset = staging.dataset
    if not dataset.shape.kind:
        return table
    file = ShapedFile(staging, table, column_mapping.shape_columns(dataset))
    file.execute(TABLES)
    if dataset.parent in table.columns:
        if not dataset.options.without:
            raise _two_parents(table, dataset)
        return keep(file)  # a file of results, in which the parents stand
    if dataset.shape.kind != "edges":
        _block_quarantine(file)
    return _SHAPES[dataset.shape.kind](file)


def _two_parents(table: ReadResult, dataset: Dataset) -> Unreadable:
    originals = dict(zip(table.columns, table.originals or table.columns, strict=True))
    name = originals[dataset.parent]
    return Unreadable(
        f"The file has a column of parents, {name}, but the shape {dataset.shape.kind} makes them of other columns.",
        code="duplicate_column",
        hint=f"Upload without the shape, or skip the column: mapping {name}= (nothing).",
        line=1,
    )


def _block_quarantine(file: ShapedFile) -> None:
    """Add an error about the whole file if a record could not be read, or has no id: others' parents may follow from it."""
    file.staging.flush()
    nameless = f"union select _row from raw where coalesce({file.own_id}, '') = ''" if file.own_id else ""
    bad = file.count(
        f"""select count(*) from (
            select _row from malformed
            union select row from findings where severity = 'error' and row is not null {nameless}
        )"""
    )
    if bad:
        file.staging.add_finding(
            "unclear_parents",
            f"{bad:,} record{'s' * (bad > 1)} could not be read, or {'have' if bad > 1 else 'has'} no id,"
            " so the parents of others cannot be told.",
            hint="Correct the records named in the other findings.",
        )
