"""Chains of many thousand levels in PostgreSQL: nothing that reads a tree costs the square of its depth."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.adapters import postgres
from pipeline.contracts.messages import PartResult
from pipeline.datasets.dataset import load_dataset
from pipeline.warehouse import existing_edges
from tests.support.loader import Loader, Record

LEVELS = 100_000
SECONDS = 60
"""PostgreSQL's own limit for each statement here. The mart took more than an hour when each record carried its whole path."""


def put_chain(url: str, table: str, levels: int = LEVELS) -> None:
    """``1`` at the root, ``2`` below it, and so on down; the planner knows nothing of them."""
    columns = ", name, kind" if table == "places" else ""
    values = ", 'n', 'k'" if table == "places" else ""
    with psycopg.connect(url) as connection:
        connection.execute(
            f'insert into warehouse.{table} (id, "parentId", _import_id, _row{columns})'
            f" select n::text, nullif(n - 1, 0)::text, gen_random_uuid(), n{values} from generate_series(1, {levels}) as n"
        )


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.all_versions
def test_the_tree_of_places_ends(database: str, analyzed: bool) -> None:
    put_chain(database, "places")
    with psycopg.connect(database, options=f"-c statement_timeout={SECONDS}s", autocommit=True) as connection:
        if analyzed:
            connection.execute("analyze warehouse.places")
        connection.execute("refresh materialized view warehouse.places_tree")
        told = connection.execute(
            "select count(*), count(depth), max(depth), sum(children), max(length(path)) from warehouse.places_tree"
        ).fetchone()
        assert told == (LEVELS, 20, 19, LEVELS - 1, len(" > ".join(str(n) for n in range(1, 21))))
        third = connection.execute("select depth, path, children from warehouse.places_tree where id = '3'").fetchone()
        assert third == (2, "1 > 2 > 3", 1)


@pytest.mark.parametrize("strangers", [1, 20_000])
def test_what_is_above_and_below_a_file_is_walked_along_the_indexes(database: str, tmp_path: Path, strangers: int) -> None:
    """Also where the file asks for so much that the planner expects much on each level."""
    put_chain(database, "records")
    ids = [str(LEVELS - n) for n in range(strangers)]
    wanted: dict[str, list[str | None]] = {
        "what": [*["above"] * strangers, "below"],
        "id": [*ids, "1"],
        "parent": [*[None] * strangers, "elsewhere"],
    }
    schema = pa.schema([(name, pa.string()) for name in ("what", "id", "parent")])
    pq.write_table(pa.table(wanted, schema), tmp_path / "wanted.parquet")
    engine = postgres.connect(database, statement_seconds=SECONDS)
    to = tmp_path / "edges.parquet"
    count = existing_edges.edges(engine, load_dataset("records"), tmp_path / "wanted.parquet", to, beat=lambda: None)
    engine.dispose()
    assert count == LEVELS == len(set(pq.read_table(to)["id"].to_pylist()))


def test_below_a_deep_chain_a_refused_record_costs_no_walk_for_each_batch(loader: Loader) -> None:
    """The ways up are walked once for a batch, not once for each of its records; and not through what this import wrote."""
    levels = 10_000
    put_chain(loader.url, "records", levels)
    loader.connection.execute("set statement_timeout = '5s'")
    loader.connection.commit()
    loader.run(
        "create function refuse() returns trigger language plpgsql as $$ begin raise 'no' using errcode = '23514'; end $$"
    )
    loader.run(
        "create trigger refuse before insert on warehouse.records for each row when (new.name = 'poison')"
        " execute function refuse()"
    )
    leaves: list[Record] = [(f"leaf {n}", str(levels - n % 150), "x") for n in range(300)]
    told = loader.load([("bad", None, "poison"), *leaves, ("below", "bad", "x")])
    assert told == PartResult(inserted=300, failed=2)
    assert loader.failures() == {"bad": "warehouse_refused", "below": "parent_failed"}
    down: list[Record] = [(f"deep {n}", f"deep {n - 1}" if n else "leaf 0", "x") for n in range(2000)]
    assert loader.load(down, part_no=2) == PartResult(inserted=2000)
