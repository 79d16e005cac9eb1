"""Which text columns of a dataset can be searched, and the indexes for it: ``meta.search``, a list of columns.

An index costs time at each load (docs/decisions/0048), so a dataset says which it wants. A small table needs none.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from pipeline.display import meant
from pipeline.sqlfiles import quoted

if TYPE_CHECKING:
    from pipeline.datasets.dataset import Dataset

CHARACTERS_INDEXED = 100
"""So many characters at the beginning of a value are in its index: 400 bytes at most, beside an ID. An entry of a B-tree
has at most 2704 bytes (https://www.postgresql.org/docs/current/btree.html)."""

NAME_BYTES_MAX = 63
"""PostgreSQL cuts longer names of indexes."""

_TEXT = re.compile(r"(text|varchar|character varying)( *\(\d+\))?")


def indexed_columns(dataset: Dataset) -> tuple[str, ...]:
    """Return the columns of ``meta.search``, in its order. Raises ValueError for a definition that means nothing."""
    said = dataset.suite.get("meta", {}).get("search", [])
    if not isinstance(said, list) or not all(isinstance(one, str) for one in said):
        raise ValueError('meta.search is a list of text columns, such as ["name", "title"]')
    for name in said:
        if name not in dataset.names:
            raise ValueError(f"meta.search names {name!r}, which the table lacks.{meant(name, dataset.names)}".rstrip("."))
        if not is_text(dataset.column(name).type):
            raise ValueError(
                f"meta.search names {name}, which is {dataset.column(name).type}; only columns of text are searched"
            )
    return tuple(dict.fromkeys(said))


def searched_columns(dataset: Dataset) -> tuple[str, ...]:
    """Return the columns that a search looks into for this reader: those with an index, or else all of text.

    Columns that are masked for the reader are not among them: what a search finds would tell what they hold.
    """
    ids = (dataset.key, dataset.parent)
    texts = [column.name for column in dataset.columns if is_text(column.type) and column.name not in ids]
    return tuple(name for name in indexed_columns(dataset) or texts if name not in dataset.masked)


def is_text(kind: str) -> bool:
    """Return whether a column of this type holds text."""
    return bool(_TEXT.fullmatch(kind))


def begin_of(column: str) -> str:
    """Return what is indexed of a column, as SQL: the beginning of its value in lower case, ordered by bytes."""
    return f'lower(left({quoted(column)}, {CHARACTERS_INDEXED})) collate "C"'


def index_name(dataset: Dataset, column: str) -> str:
    """Return the name of the index of a column; a long one ends with a hash."""
    name = f"{dataset.name}_{column}_search"
    if len(name.encode()) <= NAME_BYTES_MAX:
        return name
    return f"{dataset.name.encode()[:30].decode(errors='ignore')}_{hashlib.sha256(name.encode()).hexdigest()[:16]}_search"


def search_indexes(dataset: Dataset, schema: str) -> str:
    """Return the statements that create the indexes for the search of a dataset's table in this schema; may be empty."""
    table = f"{quoted(schema)}.{quoted(dataset.name)}"
    return "".join(
        f"create index if not exists {quoted(index_name(dataset, name))}"
        f" on {table} (({begin_of(name)}), {quoted(dataset.key)});\n"
        for name in indexed_columns(dataset)
    )
