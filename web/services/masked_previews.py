"""Mask the preview of a file for a key that may not see personal data.

The file is the client's own, but what a preview shows is seen over shoulders, in screenshots and by proxies: the permission
decides, as everywhere. Names of columns are shown unless none of them is a column of the dataset: then the first record may
have been taken for the header.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.contracts.masking import MASK, masked, masked_text
from pipeline.contracts.options import ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.personal_columns import is_visible

if TYPE_CHECKING:
    from pipeline.sandbox.preview_model import Offer, Preview, RawRow, TreePreview


def masked_preview(seen: Preview, dataset: Dataset, options: ReadOptions) -> Preview:
    """Return the preview with the cells of personal columns masked, and of columns that may be personal ones misspelt."""
    if not dataset.masked:
        return seen
    becomes = [options.mapping.get(column.name) or column.becomes for column in seen.columns]
    shown = [name is not None and is_visible(dataset, name) for name in becomes]
    rows = tuple(
        tuple(cell if is_shown else masked(cell) for cell, is_shown in zip(row, shown, strict=True)) for row in seen.rows
    )
    columns = seen.columns
    has_names = any(name in dataset.names for name in becomes)
    if not has_names:
        columns = tuple(replace(one, name=f"{MASK} {place}", meant="") for place, one in enumerate(columns, start=1))
    matches = tuple(
        one if is_shown else replace(one, samples=tuple(map(masked, one.samples)))
        for one, is_shown in zip(seen.matches, shown, strict=True)
    )
    tree = _masked_tree(seen, dataset, options)
    if not has_names:
        seen = _without_names(seen)
        tree = replace(tree, label="") if tree else None
    return replace(
        seen,
        rows=rows,
        columns=columns,
        matches=tuple(replace(one, reason=told.reason) for one, told in zip(matches, seen.matches, strict=True)),
        tree=tree,
        first_rows=_masked_first_rows(seen, dataset, options),
        offers=tuple(replace(one, sentence=_OFFERED) if _quotes(one) else one for one in seen.offers),
        would_reject=tuple(replace(one, sentence=masked_text(one.code), hint="") for one in seen.would_reject),
    )


def _without_names(seen: Preview) -> Preview:
    """Return the preview without what quotes the names of its columns, which may be the values of a record."""
    return replace(
        seen,
        matches=tuple(replace(one, reason="") for one in seen.matches),
        datasets=tuple(replace(one, unfit=(), reason="") for one in seen.datasets),
        offers=tuple(one for one in seen.offers if one.option in ("header_row", "sheet", "encoding")),
        would_reject=tuple(replace(one, column=None) for one in seen.would_reject),
    )


_OFFERED = "It probably helps. Its details may have personal data and are masked."


def _quotes(offer: Offer) -> bool:
    """Return whether the sentence of an offer quotes values of the file."""
    return offer.option in ("clean", "no_parent_values")


def _masked_first_rows(seen: Preview, dataset: Dataset, options: ReadOptions) -> tuple[RawRow, ...]:
    """Return the rows as they are in the file, with all cells masked but names of columns and values of visible ones."""
    header = next((one.cells for one in seen.first_rows if one.row == seen.header_row), ())
    becomes = {one.name: options.mapping.get(one.name) or one.becomes for one in seen.columns}
    named = [becomes.get(name) for name in header]
    has_names = any(name in dataset.names for name in named)
    shown = [has_names and name is not None and is_visible(dataset, name) for name in named]
    return tuple(
        one if has_names and one.row == seen.header_row else replace(one, cells=tuple(_cells(one, shown, seen.header_row)))
        for one in seen.first_rows
    )


def _cells(row: RawRow, shown: Sequence[bool], header: int | None) -> Iterator[str]:
    """Yield the cells of a row: those above the header are masked, whatever column they are in."""
    is_below = header is not None and row.row > header
    for place, cell in enumerate(row.cells):
        is_shown = is_below and place < len(shown) and shown[place]
        yield cell if is_shown or not cell else masked(cell) or ""


def _masked_tree(seen: Preview, dataset: Dataset, options: ReadOptions) -> TreePreview | None:
    """Return the tree with the records' names masked if their column is; its problem may quote any value."""
    if seen.tree is None:
        return None
    label = seen.tree.label or replace(dataset, options=options).shape.label(dataset.names) or "name"
    nodes = tuple(one if is_visible(dataset, label) else replace(one, name=masked(one.name)) for one in seen.tree.nodes)
    is_certain = any((options.mapping.get(one.name) or one.becomes) == dataset.key for one in seen.columns)
    if not is_certain and not replace(dataset, options=options).shape.kind:  # ids by a guess may be a personal column
        nodes = tuple(replace(one, id=masked(one.id) or "") for one in nodes)
    problem = "The tree has errors. Their details may have personal data and are masked." if seen.tree.problem else ""
    misfits = tuple(replace(one, sentence=_MISFITS[one.kind], value=masked(one.value) or "") for one in seen.tree.misfits)
    return replace(seen.tree, nodes=nodes, problem=problem, misfits=misfits)


_MISFITS = {
    "missing_parent": "No record of the file has the ID that is the parent here.",
    "duplicate_id": "The ID occurs more than once.",
    "missing_id": "The record has no ID.",
    "cycle": "The record would be its own ancestor.",
}
"""What does not fit, without the value."""
