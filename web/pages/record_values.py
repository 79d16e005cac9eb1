"""The values of a record as rows: each column, and each value within a column of JSON under its path. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ROWS_MAX, ROWS_OF_ONE_MAX = 300, 50
"""Rows of one column of JSON, and of one entry in it, so that a long list hides no other; the rest is in the record as JSON."""

DEPTH_MAX = 6
"""Deeper values are shown as JSON."""


@dataclass(frozen=True)
class Row:
    """A value on a record's page. ``path`` leads to it within its column; ``left`` counts the rows that were left out."""

    column: str
    path: tuple[str, ...]
    type: str
    value: Any
    left: int = 0


def rows_of(record: Mapping[str, Any], types: Mapping[str, str]) -> list[Row]:
    """Return the rows of a record's columns, in order. ``types``: of each column, as PostgreSQL spells it."""
    rows: list[Row] = []
    for name, value in record.items():
        rows += _inner_rows(name, value) if is_nested(value) else [Row(name, (), types.get(name, ""), value)]
    return rows


def _inner_rows(column: str, value: Any) -> list[Row]:
    """Return the rows of a column of JSON, bounded; a row with ``left`` says how many are left out after it."""
    rows: list[Row] = []
    left = 0
    for name, one in _entries(value):
        inner = [Row(column, path, kind_of(leaf), leaf) for path, leaf in leaves(one, (name,))]
        shown = inner[: min(ROWS_OF_ONE_MAX, max(ROWS_MAX - len(rows), 0))]
        rows += shown
        if shown and len(inner) > len(shown):
            rows.append(Row(column, (name,), "", None, left=len(inner) - len(shown)))
        elif not shown:
            left += len(inner)
    return [*rows, *([Row(column, (), "", None, left=left)] if left else [])]


def is_nested(value: Any) -> bool:
    """Return whether a value is an object or a list with something in it."""
    return isinstance(value, dict | list) and bool(value)


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each value within a value, with its path; items of lists are numbered from 1."""
    if not is_nested(value) or len(path) >= DEPTH_MAX:
        yield path, value
        return
    for name, one in _entries(value):
        yield from leaves(one, (*path, name))


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the entries of an object, or the items of a list."""
    items = value.items() if isinstance(value, dict) else ((f"[{place}]", one) for place, one in enumerate(value, start=1))
    return ((str(name), one) for name, one in items)


def kind_of(value: Any) -> str:
    """Return the type of a value within JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "boolean"
    kinds: dict[type, str] = {str: "text", dict: "object", list: "list"}
    return kinds.get(type(value), "number")
