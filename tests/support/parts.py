"""Records to be cut into parts, and what is in the parts."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.prepare.manifest import Manifest
from tests.support.staging import empty

Edge = tuple[str, str | None]
"""A record's id and its parent's."""


def staged(database: Path, records: list[Edge], warehouse: list[Edge] = []) -> Path:  # noqa: B006 - never changed
    empty(database)
    with duckdb.connect(str(database)) as connection:
        connection.register("given", edges_as_table(records))
        connection.register("known", edges_as_table(warehouse))
        connection.execute(
            """create table incoming as
            select row_number() over () as _row, id, "parentId", 'n' as name, '{}' as attributes from given"""
        )
        connection.execute("create table warehouse_edges as select * from known")
    return database


def edges_as_table(edges: list[Edge]) -> pa.Table:
    ids, parents = [one for one, _ in edges], [above for _, above in edges]
    return pa.table({"id": pa.array(ids, pa.string()), "parentId": pa.array(parents, pa.string())})


def in_order(manifest: Manifest, folder: Path) -> list[dict[str, object]]:
    return [
        {**row, "part": part.part_no}
        for part in manifest.parts
        for row in pq.read_table(folder / part.filename, page_checksum_verification=True).to_pylist()
    ]


def random_forest(chance: random.Random, size: int) -> tuple[list[Edge], list[Edge]]:
    """A forest split at random: what the file brings, and what only the warehouse has. The warehouse's own edges of
    records that the file brings are left out, as validation does."""
    ids = [f"n{i}" for i in range(size)]
    edges = [(one, ids[chance.randrange(i)] if i and chance.random() < 0.9 else None) for i, one in enumerate(ids)]
    in_file = [chance.random() < 0.7 for _ in ids]
    file = [edge for edge, here in zip(edges, in_file, strict=True) if here]
    chance.shuffle(file)
    return file, [edge for edge, here in zip(edges, in_file, strict=True) if not here]
