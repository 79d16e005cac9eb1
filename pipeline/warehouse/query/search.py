"""Search records by the beginning of a text column, in any case, page by page: by the index of each column, one after another.

A page costs the same whether ten records match or ten million (docs/decisions/0048).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.search_columns import CHARACTERS_INDEXED, begin_of, index_name, searched_columns
from pipeline.errors import InvalidRequest
from pipeline.sqlfiles import load, quoted

SCANNED_BYTES_MAX = 32 * 1024**2
"""A table up to this size is searched without an index too: that takes a tenth of a second at most."""

Found = dict[str, Any]


class NotSearchable(InvalidRequest):
    """The table is too large to be searched without an index."""


@dataclass(frozen=True)
class Place:
    """Where a page of a search ended: in the matches of a column, at a record. ``begin`` is what its index holds of it."""

    column: str
    begin: str | None = None
    id: str = ""

    def cursor(self) -> str:
        """Return the place as a cursor."""
        said = json.dumps([self.column, self.begin, self.id]).encode()
        return base64.urlsafe_b64encode(said).decode().rstrip("=")

    @classmethod
    def of(cls, cursor: str) -> Place:
        """Return the place that a cursor names. Raises LookupError if it is none."""
        try:
            column, begin, last = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        except (binascii.Error, ValueError, TypeError) as error:
            raise LookupError("not a cursor") from error
        if not isinstance(column, str) or not isinstance(begin, str | None) or not isinstance(last, str):
            raise LookupError("not a cursor")
        return cls(column, begin, last)


def search(
    connection: Connection, dataset: Dataset, wanted: str, *, cursor: str | None, limit: int
) -> tuple[list[Found], str | None]:
    """Return up to ``limit`` records that match, each with ``_matched``, its column that does, and the cursor of the next page.

    The record with this very ID comes first. One that matches in several columns comes once on a page, but may come again on a
    later one. Raises LookupError for an invalid cursor, and NotSearchable if no column of a large table has an index.
    """
    columns = searchable(connection, dataset)
    place = Place.of(cursor) if cursor is not None else None
    items: list[Found] = []
    if place is None:
        found = connection.execute(_statement("one", dataset), {"id": wanted}).mappings()
        items = [{**row, "_matched": dataset.key} for row in found]
    elif place.column not in columns:
        raise LookupError("not a cursor")
    seen = {item[dataset.key] for item in items}
    for column in columns[columns.index(place.column) if place else 0 :]:
        at, is_more = place if place and place.column == column else Place(column), True
        while is_more:
            wants = limit + 1 - len(items)
            rows = _matches(connection, dataset, at, wanted, wants)
            is_more = len(rows) == wants  # fewer are left of it, if some were on the page already
            for row in rows:
                if len(items) == limit:
                    return items, at.cursor()
                at = Place(column, row.pop("_begin"), row[dataset.key])
                if at.id not in seen:
                    seen.add(at.id)
                    items.append({**row, "_matched": column})
    return items, None


def searchable(connection: Connection, dataset: Dataset) -> Sequence[str]:
    """Return the columns that can be searched quickly. Raises NotSearchable if there are some, but none has an index."""
    columns = searched_columns(dataset)
    row = connection.execute(text(load("queries/records/searchable")), {"table": f"warehouse.{quoted(dataset.name)}"}).first()
    if row is None or row.size_bytes <= SCANNED_BYTES_MAX:
        return columns
    indexed = [name for name in columns if index_name(dataset, name) in row.indexes]
    if columns and not indexed:
        raise NotSearchable(
            f"{dataset.name} is too large to be searched without an index: it can be searched by the complete ID only. To"
            f" search it by text, an administrator names columns under meta.search of its suite (such as {columns[0]}) and runs"
            " bulkhead migrate."
        )
    return indexed


def _matches(connection: Connection, dataset: Dataset, at: Place, wanted: str, limit: int) -> list[Found]:
    values = {"text": wanted, "after_begin": at.begin, "after": at.id, "limit": limit}
    return [dict(row) for row in connection.execute(_statement("search", dataset, at.column), values).mappings()]


def _statement(query: str, dataset: Dataset, column: str = "") -> Any:
    names = {
        "table": f"warehouse.{quoted(dataset.name)}",
        "key": quoted(dataset.key),
        "column": quoted(column),
        "begin": begin_of(column).replace(":", r"\:"),
        "characters": CHARACTERS_INDEXED,
    }
    return text(load(f"queries/records/{query}").format_map(names))
