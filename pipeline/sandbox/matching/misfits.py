"""Find the records that do not fit into a tree: parents that are no ids, ids that occur twice or are missing, cycles."""

from __future__ import annotations

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.sandbox.matching.places import Places
from pipeline.sandbox.preview_model import Misfit, MisfitKind
from pipeline.staging import ancestors
from pipeline.staging.database import number

MOST = 10
_CHARACTERS = 60

_SENTENCES: dict[MisfitKind, str] = {
    "missing_parent": 'No record of the file has the ID "{}", which is the parent here.',
    "duplicate_id": 'The ID "{}" occurs more than once.',
    "missing_id": "The record has no ID.",
    "cycle": 'The record "{}" would be its own ancestor.',
}
_ROWS: dict[MisfitKind, str] = {
    "missing_id": "select _row, '' as value from links where id is null",
    "duplicate_id": "select _row, id as value from links semi join twice using (id)",
    "cycle": "select _row, id as value from links where _row in (select reached from circles)",
    "missing_parent": "select _row, parent as value from links where parent is not null and above is null",
}
"""Each kind with its query of (_row, value), those first that are certainly wrong."""


def misfits_in(connection: duckdb.DuckDBPyConnection, dataset: Dataset, places: Places) -> tuple[tuple[Misfit, ...], int]:
    """Return the first MOST misfits of the tree that is laid out, and how many there are."""
    edges = "select _row as number, above from links"
    if ancestors.without_root(connection, edges, into="circles"):
        ancestors.reach_cycles(connection, "circles")
    found: list[Misfit] = []
    total = 0
    for kind, rows in _ROWS.items():
        count = number(connection, f"select count(*) from ({rows})")
        total += count
        if count and len(found) < MOST:
            query = f"select _row, left(value, {_CHARACTERS}) from ({rows}) order by _row limit {MOST - len(found)}"
            column = dataset.parent if kind in ("missing_parent", "cycle") else dataset.key
            found += [_misfit(kind, row, value, column, places) for row, value in connection.execute(query).fetchall()]
    return tuple(found), total


def _misfit(kind: MisfitKind, record: int, value: str, column: str, places: Places) -> Misfit:
    return Misfit(kind, _SENTENCES[kind].format(value), value, places.row(record), places.cell(record, column))
