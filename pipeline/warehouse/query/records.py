"""Read records, their children, ancestors and descendants, page by page, each by an index however large the table is.

This is keyset pagination: a cursor is the id of the last record of the page before. So every page costs the same, and records
that are loaded meanwhile neither shift nor repeat others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Engine, TextClause, text

from pipeline.contracts.masking import masked_record
from pipeline.datasets.dataset import Dataset
from pipeline.sqlfiles import load, quoted
from pipeline.warehouse.query.search import search

DEPTH_MAX = 1000
"""A longer chain of ancestors is cut, so that a page always ends."""

READY_MAX = 20
"""How many siblings are kept on each level until the walk returns to them; the rest is read again."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """Some records, and the cursor of the next page; None: this is the last page."""

    items: list[Record]
    next_cursor: str | None


class Records:
    """Reads the tables of all datasets, personal data masked unless the dataset is clear. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def one(self, dataset: Dataset, record_id: str) -> Record | None:
        """Return one record with its lineage, or None."""
        with self._engine.connect() as connection:
            found = _rows(connection, "one", dataset, id=record_id)
        return found[0] if found else None

    def page(self, dataset: Dataset, *, cursor: str | None, limit: int) -> Page:
        """Return a page of all records by id."""
        return self._page("page", dataset, cursor, limit)

    def roots(self, dataset: Dataset, *, cursor: str | None, limit: int) -> Page:
        """Return a page of the records without a parent, by id."""
        return self._page("roots", dataset, cursor, limit)

    def children(self, dataset: Dataset, parent: str, *, cursor: str | None, limit: int) -> Page:
        """Return a page of a record's children by id, each with ``_has_children``."""
        return self._page("children", dataset, cursor, limit, parent=parent)

    def search(self, dataset: Dataset, wanted: str, *, cursor: str | None, limit: int) -> Page:
        """Return a page of the records that begin with a text in one of their columns, each with ``_matched``, that column.

        Raises LookupError for an invalid cursor, NotSearchable if the table is large and has no index for it.
        """
        with self._engine.connect() as connection:
            items, following = search(connection, dataset, wanted, cursor=cursor, limit=limit)
        return Page([masked_record(item, dataset.masked) for item in items], following)

    def some(self, dataset: Dataset, ids: Sequence[str]) -> dict[str, Record]:
        """Return those of these records that there are, by id."""
        with self._engine.connect() as connection:
            return {str(row[dataset.key]): row for row in _rows(connection, "some", dataset, ids=list(ids))}

    def first_children(self, dataset: Dataset, ids: Sequence[str], each: int) -> dict[str, list[Record]]:
        """Return the first children of each of these records, by one query."""
        found: dict[str, list[Record]] = {one: [] for one in ids}
        with self._engine.connect() as connection:
            for row in _rows(connection, "children_of", dataset, ids=list(ids), each=each) if ids else ():
                found[row[dataset.parent]].append(row)
        return found

    def neighbours(self, dataset: Dataset, record: Record) -> tuple[Record | None, Record | None]:
        """Return the siblings before and after a record, by id; roots are siblings of each other."""
        values = {"parent": record[dataset.parent], "id": record[dataset.key]}
        with self._engine.connect() as connection:
            found = [_rows(connection, f"sibling_{which}", dataset, **values) for which in ("before", "after")]
        return found[0][0] if found[0] else None, found[1][0] if found[1] else None

    def children_counts(self, dataset: Dataset, ids: Sequence[str], most: int | None = None) -> dict[str, int]:
        """Return how many children each of these records has, by one query; 0 also for an unknown id.

        Counting stops at ``most``: its cost grows with the count, and one record may have millions of children.
        """
        with self._engine.connect() as connection:
            rows = _rows(connection, "children_counts", dataset, ids=list(ids), most=most)
        return {row["id"]: row["children"] for row in rows}

    def ancestors(self, dataset: Dataset, record_id: str, *, cursor: str | None, limit: int) -> Page:
        """Return a page of a record's ancestors, nearest first, each with its ``_distance``.

        Distances count from the record itself on the first page, and from the cursor's record on later ones.
        """
        with self._engine.connect() as connection:
            rows = _rows(connection, "ancestors", dataset, id=cursor or record_id, limit=limit + 1)
        return _page_of(rows, dataset.key, limit)

    def descendants(
        self, dataset: Dataset, record_id: str, *, cursor: str | None, limit: int, depth_max: int = DEPTH_MAX
    ) -> Page:
        """Return a page of a record's descendants, depth first (preorder).

        Each has its ``_depth``, from 1; records deeper than ``depth_max`` are skipped. The cost of a page does not depend on
        its position. Raises LookupError if the cursor is not a descendant of this record.
        """
        with self._engine.connect() as connection:
            walk = _Walk(connection, dataset, depth_max)
            if cursor is None:
                walk.begin(record_id)
            else:
                walk.resume(record_id, cursor)
            items = walk.take(limit + 1)
        return _page_of(items, dataset.key, limit)

    def _page(self, query: str, dataset: Dataset, cursor: str | None, limit: int, **values: Any) -> Page:
        with self._engine.connect() as connection:
            rows = _rows(connection, query, dataset, after=cursor or "", limit=limit + 1, **values)
        return _page_of(rows, dataset.key, limit)


@dataclass(frozen=True)
class _Siblings:
    """The children of one record after a given id, which the walk has not visited yet."""

    parent: str
    after: str
    depth: int
    ready: tuple[Record, ...] = ()  # the first of them, if they were read already
    more: bool = True  # there may be more after these


class _Walk:
    """A depth-first walk down a tree, which can be resumed after any record."""

    def __init__(self, connection: Connection, dataset: Dataset, depth_max: int) -> None:
        self._connection = connection
        self._dataset = dataset
        self._depth_max = depth_max
        self._to_visit: list[_Siblings] = []

    def begin(self, root: str) -> None:
        self._to_visit = [_Siblings(root, "", 1)]

    def resume(self, root: str, last: str) -> None:
        """Resume a walk from ``root`` after ``last``: next are its children, then later siblings on each level."""
        above = _rows(self._connection, "ancestors", self._dataset, id=last, limit=self._depth_max)
        path = [last, *(record[self._dataset.key] for record in above)]
        if root not in path[1:]:
            raise LookupError(f"{last!r} is not a record below {root!r}.")
        down = path[: path.index(root, 1) + 1][::-1]  # from the root to the last record seen
        pairs = pairwise(down)
        self._to_visit = [_Siblings(parent, child, depth) for depth, (parent, child) in enumerate(pairs, start=1)]
        self._to_visit.append(_Siblings(last, "", len(down)))

    def take(self, count: int) -> list[Record]:
        """Return the next ``count`` records, or as many as are left."""
        taken: list[Record] = []
        while self._to_visit and len(taken) < count:
            self._visit(self._to_visit.pop(), count - len(taken), taken)
        return taken

    def _visit(self, siblings: _Siblings, count: int, taken: list[Record]) -> None:
        """Take siblings up to the first with children, which come before its later siblings."""
        if siblings.depth > self._depth_max:
            return
        rows, more = siblings.ready[:count], siblings.more
        if not rows:
            values = {"parent": siblings.parent, "after": siblings.after, "limit": count}
            rows = tuple(_rows(self._connection, "children", self._dataset, **values))
            more = len(rows) == count
        for place, row in enumerate(rows, start=1):
            taken.append({**row, "_depth": siblings.depth})
            seen, rest = row[self._dataset.key], rows[place:]
            later = _Siblings(siblings.parent, seen, siblings.depth, rest[:READY_MAX], more or len(rest) > READY_MAX)
            if row["_has_children"] or not rest:
                if later.ready or later.more:
                    self._to_visit.append(later)
                if row["_has_children"]:
                    self._to_visit.append(_Siblings(seen, "", siblings.depth + 1))
                return


def statement(query: str, dataset: Dataset) -> TextClause:
    """Return ``sql/queries/records/<query>.sql`` for a dataset's table."""
    names = {
        "table": f"warehouse.{quoted(dataset.name)}",
        "key": quoted(dataset.key),
        "parent": quoted(dataset.parent),
    }
    return text(load(f"queries/records/{query}").format_map(names))


def _rows(connection: Connection, query: str, dataset: Dataset, **values: Any) -> list[Record]:
    rows = connection.execute(statement(query, dataset), values).mappings()
    return [masked_record(dict(row), dataset.masked) for row in rows]


def _page_of(rows: list[Record], key: str, limit: int) -> Page:
    """Return a page of ``limit`` rows; one more row says that there is a next page."""
    items = rows[:limit]
    return Page(items, str(items[-1][key]) if len(rows) > limit else None)
