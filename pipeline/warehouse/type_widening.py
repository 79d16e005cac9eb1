"""Types of columns that take every value of another one, and the change of a table's column to such a type."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import Connection, text

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.table_text import type_of
from pipeline.display import size_text
from pipeline.errors import Conflict
from pipeline.sqlfiles import load, quoted

REWRITTEN_BYTES_MAX = 256 << 20
"""The largest table that is written anew for a wider type: reads and loads wait meanwhile, some seconds."""

_WHOLE = {"smallint": 5, "integer": 10, "bigint": 19}
"""Types of whole numbers with their digits."""

_NUMERIC = re.compile(r"numeric\((\d+), (\d+)\)")
_VARCHAR = re.compile(r"varchar\((\d+)\)")


def is_wider(wide: str, narrow: str) -> bool:
    """Return whether each value of the type ``narrow`` is one of ``wide``, and not the other way round."""
    if wide == narrow or narrow.endswith("[]") or narrow == "jsonb":
        return False
    if wide == "text":
        return True
    if narrow in _WHOLE:
        if wide in _WHOLE:
            return _WHOLE[wide] > _WHOLE[narrow]
        found = _NUMERIC.fullmatch(wide)
        return wide == "numeric" or bool(found and int(found[1]) - int(found[2]) >= _WHOLE[narrow])
    if (narrower := _NUMERIC.fullmatch(narrow)) is not None:
        found = _NUMERIC.fullmatch(wide)
        if found is None:
            return wide == "numeric"
        whole, old_whole = (int(one[1]) - int(one[2]) for one in (found, narrower))
        return whole >= old_whole and int(found[2]) >= int(narrower[2])
    if (of_text := _VARCHAR.fullmatch(narrow)) is not None:
        found = _VARCHAR.fullmatch(wide)
        return bool(found and int(found[1]) > int(of_text[1]))
    return (wide, narrow) in {("double precision", "real"), ("timestamp", "date")}


def widened(before: Dataset, after: Dataset) -> list[tuple[str, str, str]]:
    """Return (column, old type, new type) of the columns with a wider type. Raises Conflict for another change of a type."""
    was = {column.name: type_of(column.type) for column in before.columns}
    found = []
    for column in after.columns:
        old, new = was.get(column.name), type_of(column.type)
        if old is None or old == new:
            continue
        if not is_wider(new, old):
            raise Conflict(
                f"The column {column.name} is {old}, and {new} does not take each of its values. A type can only become wider:"
                " add a column with the other type instead."
            )
        found.append((column.name, old, new))
    return found


def widen(connection: Connection, dataset: Dataset, columns: Sequence[tuple[str, str, str]]) -> list[str]:
    """Change the types of columns within the caller's transaction, in which no view may read the table; return it in words.

    Raises Conflict if the table is too large to be written anew while others wait.
    """
    in_place = all((new == "text" and old.startswith("varchar")) or _grows_in_place(old, new) for _, old, new in columns)
    size = int(connection.execute(text(load("queries/definitions/table_bytes")), {"name": dataset.name}).scalar_one() or 0)
    changes = ", ".join(f"alter column {quoted(name)} type {new} using {quoted(name)}::{new}" for name, _, new in columns)
    statement = f"alter table warehouse.{quoted(dataset.name)} {changes}"
    if not in_place and size > REWRITTEN_BYTES_MAX:
        raise Conflict(
            f"The table has {size_text(size)}, and PostgreSQL would write all of it anew, while reads and loads wait. Add a"
            f" column with the wider type instead, or have the database's administrator do it at a quiet time: {statement};"
        )
    connection.exec_driver_sql(statement)
    return [f"column {name}: {old} became {new}" for name, old, new in columns]


def _grows_in_place(old: str, new: str) -> bool:
    """Return whether PostgreSQL changes the type without touching a row: a longer varchar, a numeric of the same scale."""
    if old.startswith("varchar") and new.startswith("varchar"):
        return True
    was, becomes = _NUMERIC.fullmatch(old), _NUMERIC.fullmatch(new)
    return bool(was and ((becomes and was[2] == becomes[2]) or new == "numeric"))
