"""Isolate the records that the warehouse refuses: a savepoint for each batch, and bisection down to the record.

A refused record becomes a failure, and so do its descendants; all others are loaded.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from pipeline.contracts.messages import PartResult
from pipeline.load.arriving import PartLoad, fill_arriving
from pipeline.load.failures import Failure, has_failures, record_failures
from pipeline.load.transaction import is_refusal
from pipeline.load.upsert import upsert_range
from pipeline.warehouse import foreign_writes

Edge = tuple[str, str | None, bool, list[int]]
"""One step of a path upwards: id, parent, whether that id has failed, and the places of its children in the range."""


def load_by_batches(load: PartLoad, *, check_parents: bool) -> PartResult:
    """Load the part batch by batch. ``check_parents``: another client wrote to the table, so parents may be gone."""
    fill_arriving(load, typed=False)
    done = PartResult()
    for first, last in load.records.batches():
        done += _load_range(load, first, last, check_parents=check_parents)
    return done


def _load_range(load: PartLoad, first: int, last: int, *, check_parents: bool, refused: bool = False) -> PartResult:
    """Load the records at places first..last-1; if the warehouse refuses them, bisect down to the record at fault.

    ``refused``: it is known that the range contains such a record. The first half is finished before the second begins, so that
    the descendants of a failed record are known by then; and if nothing failed in the first half, the second need not be tried
    as a whole. So a batch of 200 with one bad record takes at most 15 statements.
    """
    set_aside = _set_aside_orphans(load, first, last) if check_parents else 0
    set_aside += _set_aside_descendants(load, first, last)
    before = PartResult(failed=set_aside)
    if refused and not set_aside and last - first > 1:
        return _bisect(load, first, last, check_parents=check_parents)
    try:
        with load.connection.transaction():
            return before + upsert_range(load, first, last)
    except psycopg.Error as error:
        if not is_refusal(error):
            raise
        if last - first > 1:
            return before + _bisect(load, first, last, check_parents=check_parents)
        return before + PartResult(failed=_set_aside(load, [_refusal(first, error)]))


def _bisect(load: PartLoad, first: int, last: int, *, check_parents: bool) -> PartResult:
    middle = (first + last) // 2
    done = _load_range(load, first, middle, check_parents=check_parents)
    return done + _load_range(load, middle, last, check_parents=check_parents, refused=not done.failed)


def _set_aside(load: PartLoad, failures: Sequence[Failure]) -> int:
    """Enter the failures in the ledger and take their records out of ``arriving``; return how many they are."""
    if failures:
        record_failures(load, failures)
        load.connection.execute("delete from arriving where _place = any(%s)", ([failure.place for failure in failures],))
    return len(failures)


def _set_aside_orphans(load: PartLoad, first: int, last: int) -> int:
    """Set aside records whose parent another client has removed since the file was validated; return how many."""
    found = foreign_writes.orphans(load.connection, load.dataset, first, last)
    reason = "Its parent {!r} is not in the warehouse any more. " + f"{foreign_writes.WHAT}."
    return _set_aside(load, [Failure(place, "missing_parent", reason.format(parent)) for place, parent in found])


def _set_aside_descendants(load: PartLoad, first: int, last: int) -> int:
    """Set aside the descendants of failed records in the tree that would result; return how many.

    Their path up may lead through the warehouse. Otherwise a record that could not be moved might close a cycle
    (docs/decisions/0005).
    """
    if not has_failures(load):
        return 0
    given = {"import_id": load.import_id, "first": first, "last": last}
    edges = load.connection.execute(load.target.blocked(), given).fetchall()
    failed = failed_ancestors(edges)
    found = sorted((place, failed[node]) for node, _, _, places in edges if failed[node] for place in places)
    reason = "Its ancestor {!r} could not be loaded."
    return _set_aside(load, [Failure(place, "parent_failed", reason.format(ancestor)) for place, ancestor in found])


def failed_ancestors(edges: Sequence[Edge]) -> dict[str, str | None]:
    """Return for each id of ``edges`` the nearest failed id on its path upwards, itself included, or None.

    Each id is visited once, however long the paths are.
    """
    above = {node: parent for node, parent, _, _ in edges}
    found: dict[str, str | None] = {node: node for node, _, is_failed, _ in edges if is_failed}
    for start in above:
        path: list[str] = []
        node: str | None = start
        while node is not None and node in above and node not in found:
            path.append(node)
            found[node] = None  # a path that comes back to itself ends here
            node = above[node]
        found |= dict.fromkeys(path, found.get(node) if node is not None else None)
    return found


def _refusal(place: int, error: psycopg.Error) -> Failure:
    """Return the failure of a record that the warehouse refuses: the sentence, the column or constraint, and the detail."""
    said = error.diag
    where = f" (column {said.column_name})" if said.column_name else ""
    rule = f" (constraint {said.constraint_name})" if said.constraint_name else ""
    detail = f" {said.message_detail}" if said.message_detail else ""
    message = f"The warehouse refuses the record: {said.message_primary}{where}{rule}.{detail}"
    return Failure(place, "warehouse_refused", message, error.sqlstate or "")
