"""JSON documents that are tables: arrays of arrays with the columns' names in the first, and one array or object a column.

Arrays of arrays are read. A document with one array a column would have to be in memory as a whole, so it is refused, with how
to write records instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.datasets.dataset import Dataset
from pipeline.errors import Unreadable
from pipeline.read import column_mapping

_NAMES_MOST = 1000


def are_names(value: Any, dataset: Dataset) -> bool:
    """Return whether an array has the names of columns, with all that the dataset needs."""
    if not isinstance(value, list) or len(value) > _NAMES_MOST or not all(isinstance(one, str) for one in value):
        return False
    needed = column_mapping.required(dataset) or [dataset.key, dataset.parent]
    return {*column_mapping.mapped_names(value, dataset)}.issuperset(needed)


def is_table(value: Any) -> bool:
    """Return whether a value begins as an array of arrays with plain values."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, list) and not any(isinstance(one, list) for one in first)


def checked_names(names: Sequence[Any]) -> tuple[str, ...]:
    """Return the names of the columns. Raises Unreadable for one that comes twice, or is no text."""
    wrong = next((one for one in names if not isinstance(one, str)), None)
    if wrong is not None or len({*names}) < len(names):
        twice = next((one for place, one in enumerate(names) if one in names[:place]), wrong)
        raise Unreadable(
            f"The first array should have the names of the columns, each once; {str(twice)[:60]!r} is not one.",
            code="duplicate_column" if wrong is None else "missing_column",
            hint="Give every column a name of its own.",
            line=1,
        )
    return tuple(names)


def record_of(row: Any, names: Sequence[str], *, pads: bool) -> Any:
    """Return the record of an array; the array itself, which is no record, if it has another number of values.

    ``pads``: values that are missing at the end are empty, as Google Sheets leaves them out.
    """
    if not isinstance(row, list) or len(row) > len(names) or (len(row) < len(names) and not pads):
        return row
    return dict(zip(names, [*row, *[None] * (len(names) - len(row))], strict=True))


def nameless(dataset: Dataset) -> Unreadable:
    """Return the error about arrays without names."""
    needed = ", ".join(f'"{name}"' for name in column_mapping.required(dataset))
    return Unreadable(
        "The records are arrays, and the first one does not have the names of all columns that the dataset needs.",
        code="missing_column",
        hint=f"Write the names as the first array: [{needed}, ...], or write objects: df.to_json(orient='records') in pandas.",
        line=1,
    )


def refuse_columns(value: Any, key: str | None) -> None:
    """Refuse a document with one array, or one object by row number, a column. ``key``: the one with the ids."""
    if not isinstance(value, dict) or key is None or not value:
        return
    ids = value[key]
    kind = list if isinstance(ids, list) else dict
    if not ids or not isinstance(ids, list | dict) or not all(isinstance(one, kind) for one in value.values()):
        return
    if isinstance(ids, dict) and not all(number.isdecimal() for number in ids):
        return
    raise Unreadable(
        f"The document has one {'array' if kind is list else 'object'} for each column, not one object for each record.",
        hint="Write records: in pandas, df.to_json('records.json', orient='records'); in R, jsonlite::write_json(df, ...).",
        line=1,
    )
