"""Choose the module of a file's shape, and check what all shapes need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.upload_rules import cleaning_of
from pipeline.errors import Unreadable
from pipeline.read import column_mapping
from pipeline.read.raw_tables import RawTables
from pipeline.read.read_result import ReadResult
from pipeline.read.shapes.edges import shape_edges
from pipeline.read.shapes.levels import shape_levels
from pipeline.read.shapes.nested_set import shape_nested_set
from pipeline.read.shapes.outline import shape_outline
from pipeline.read.shapes.outline_levels import is_indented, lead_of
from pipeline.read.shapes.paths import joined_path, shape_path
from pipeline.read.shapes.prefixes import shape_prefix
from pipeline.read.shapes.shaped_rows import TABLES, ShapedFile, keep
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.cleaning import Columns, clean_rows

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
    if dataset.parent in table.columns and not (dataset.options.without or table.is_results):
        raise _two_parents(table, dataset)
    file = _cleaned(ShapedFile(staging, table, column_mapping.shape_columns(dataset)))
    file.execute(TABLES)
    if dataset.parent in table.columns:
        return keep(file, _rewritten(file))  # a file of results, in which the parents stand
    if dataset.shape.kind != "edges":
        _block_quarantine(file)
    return _SHAPES[dataset.shape.kind](file)


def _cleaned(file: ShapedFile) -> ShapedFile:
    """Return the file with its values cleaned first, if there are rules: the hierarchy is made of what they leave.

    The columns that ids and parents are made of get the rules of the key, since in its own column there is nothing yet.
    """
    dataset, said = file.staging.dataset, file.said
    if not cleaning_of(dataset).rules:
        return file
    kind, named = dataset.shape.kind, file.named
    made_of = said["columns"] if kind == "levels" else [said["column"]] if kind in ("path", "prefix") else []
    of_ids = [file.id_column] if file.id_column else [] if file.own_id else [named[name] for name in made_of]
    indented = {named[said["column"]]: lead_of(said)} if is_indented(dataset.shape) else {}
    file.staging.flush()
    clean_rows(file.staging.connection, dataset, Columns(as_key=[dataset.key, dataset.parent, *of_ids], indented=indented))
    return replace(file, rows="cleaned")


def _rewritten(file: ShapedFile) -> dict[str, str]:
    """Return the columns that a shape gives back in another form than the file's, as SQL: an id or a name made of them."""
    shape, name = file.shape, file.named.get(file.said.get("column", ""), "")
    is_label = name and name == shape.label(file.staging.dataset.names)
    if shape.kind == "path" and (is_label or file.own_id is None):
        joined, separator = joined_path(quoted(name), str(file.said["separator"])), str(file.said["separator"])
        return {name: f"split_part({joined}, {literal(separator)}, -1)" if is_label else joined}
    if is_indented(shape) and is_label:
        return {name: f"trim(regexp_replace({quoted(name)}, {literal(lead_of(file.said))}, ''))"}
    return {}


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
    nameless = f"union select _row from {file.rows} where coalesce({file.own_id}, '') = ''" if file.own_id else ""
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
