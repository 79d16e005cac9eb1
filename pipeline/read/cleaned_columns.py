"""Warn of rules of ``clean`` that are limited to a column which the file lacks: they change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.datasets.cleaning_rules import columns_of
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.upload_rules import cleaning_of
from pipeline.display import meant
from pipeline.read.raw_tables import RawTables, printable
from pipeline.read.read_result import ReadResult

_LISTED_MOST = 20


def warn_of_missing_columns(table: ReadResult, staging: RawTables) -> None:
    """Add one warning for each rule and column. A suite's rule for a column that a file may lack is none."""
    called = dict(zip(table.originals or table.columns, table.columns, strict=True))
    for rule, name in _missing(table.columns, staging.dataset):
        staging.add_finding(
            "unknown_column",
            f"The rule {rule} of clean is for a column {printable(name)!r}, which the file does not have. It changed nothing.",
            severity="warning",
            column=name,
            hint=f"It is read as {called[name]}: name that one." if name in called else _hint(name, table.columns),
        )


def _missing(present: Sequence[str], dataset: Dataset) -> Iterator[tuple[str, str]]:
    shape, said = dataset.shape, dataset.shape.said
    makes_parents = shape.kind or shape.children or shape.path_separator
    made = [dataset.parent, *([dataset.key] if shape.gives_ids else [])] if makes_parents else []
    of_edges = [said["id"], said["parent"]] if shape.kind == "edges" else []
    there = {*present, *made, *of_edges, shape.label(dataset.names)}
    for rule in cleaning_of(dataset).rules:
        is_asked = rule.name in dataset.options.clean
        yield from (
            (rule.name, name) for name in columns_of(rule) if name not in there and (is_asked or name not in dataset.names)
        )


def _hint(name: str, present: Sequence[str]) -> str:
    more = f" and {len(present) - _LISTED_MOST} more" if len(present) > _LISTED_MOST else ""
    return f"It has: {', '.join(map(printable, present[:_LISTED_MOST]))}{more}.{meant(name, present)}"
