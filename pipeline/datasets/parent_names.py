"""What the option ``parent_by`` says: a column, an ID or a column (``id,name``), or a path (``name > name``)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

_PATH = re.compile(r"(?P<column>\S|\S.*?\S)\s*(?P<separator>[^\w\s](?:.*[^\w\s])?)\s*(?P=column)")


@dataclass(frozen=True)
class ParentNames:
    """``separator``: what stands between the names of a path, from a root to the parent; None: a parent is one name.

    ``may_be_id``: an ID of the file comes first, and only else a name.
    """

    column: str
    separator: str | None = None
    may_be_id: bool = False


def parent_names(said: str, key: str, columns: Collection[str] = ()) -> ParentNames:
    """Return what ``parent_by`` says of a dataset with these ``columns``, of which ``key`` has the IDs."""
    first, comma, column = said.partition(",")
    if comma and first.strip() == key and column.strip():
        return ParentNames(column.strip(), may_be_id=True)
    path = _PATH.fullmatch(said.strip()) if said not in columns else None
    return ParentNames(path["column"], path["separator"]) if path else ParentNames(said)
