"""Bounds and old faults on the real parts: what the warehouse is asked, and files laid over what it has."""

from __future__ import annotations

import json
import random
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.adapters import postgres
from pipeline.contracts.states import State
from pipeline.datasets.dataset import load_dataset
from pipeline.settings import ROOT, Settings
from pipeline.warehouse import existing_edges
from tests.support.bulkhead import HEADER, Bulkhead
from tests.support.tree_edges import Tree, answer

BOUNDS = {"max_depth": 4, "max_children": 2, "single_root": True}


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """With datasets of its own: ``records`` has bounds, ``places`` has none."""
    root = tmp_path / "datasets"
    (root / "expectations").mkdir(parents=True)
    (root / "sql").symlink_to(ROOT / "sql")
    for file in (ROOT / "expectations").glob("*.json"):
        suite = json.loads(file.read_text())
        if file.stem == "records":
            suite["meta"]["bounds"] = BOUNDS
        (root / "expectations" / file.name).write_text(json.dumps(suite))
    return settings.model_copy(update={"datasets_root": root})


def put(url: str, tree: Tree, table: str = "records", columns: str = "name", values: str = "'old'") -> None:
    """Records that came into the warehouse some other way."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            f'insert into warehouse.{table} (id, "parentId", {columns}, _import_id, _row)'  # type: ignore[arg-type]
            f" values (%s, %s, {values}, gen_random_uuid(), 1)",
            list(tree.items()),
        )


def said(bulkhead: Bulkhead, text: str, name: str, dataset: str = "records") -> list[tuple[str, int, str]]:
    """The errors of a file that is rejected; none if it is loaded."""
    one = bulkhead.ingest(text, name=name, dataset=dataset)
    found = [(f["code"], f["row"], f["message"]) for f in bulkhead.findings(one) if f["severity"] == "error"]
    assert one.state is (State.REJECTED if found else State.SUCCEEDED)
    return found


@pytest.mark.early
def test_tree_limits_count_file_and_warehouse_together(bulkhead: Bulkhead) -> None:
    assert said(bulkhead, HEADER + "r,,x\na,r,x\nb,a,x\nc,b,x\n", "first.csv") == []
    assert said(bulkhead, HEADER + "d,c,x\n", "deep.csv") == [
        ("max_depth_exceeded", 1, "The record is on level 5; at most 4 are allowed.")
    ]
    assert said(bulkhead, HEADER + "s,r,x\nt,s,x\n", "beside.csv") == []
    assert said(bulkhead, HEADER + "b,t,x\n", "move.csv") == [
        ("max_depth_exceeded", 1, "The record moves its descendant c in the warehouse to level 5; at most 4 are allowed.")
    ]
    assert said(bulkhead, HEADER + "u,r,x\n", "third.csv") == [
        ("max_children_exceeded", 1, "The record r would have 3 children; at most 2 are allowed.")
    ]
    assert said(bulkhead, HEADER + "z,,x\n", "root.csv") == [
        ("several_roots", 1, "The record is a root, but r is already the root; only one is allowed.")
    ]
    assert said(bulkhead, HEADER + "b,s,x\nc,t,x\n", "fitting.csv") == []
    assert bulkhead.rows("select id, \"parentId\" from warehouse.records where id in ('b', 'c') order by id") == [
        ("b", "s"),
        ("c", "t"),
    ]


def test_old_faults_of_the_warehouse_can_be_mended_and_not_built_upon(bulkhead: Bulkhead, settings: Settings) -> None:
    places: Tree = {"AA-1": "AA", "BB": "BB-1", "BB-1": "BB"}
    put(settings.database_url, places, "places", "name, kind", "'old', 'old'")
    head = "id,parentId,name,kind\n"
    ((code, row, message),) = said(bulkhead, head + "CC,,x,y\nBB-2,BB,x,y\n", "below.csv", "places")
    assert (code, row) == ("circular_reference", 2)
    assert message == "The record is a descendant of a cycle of 2 records in the warehouse: BB → BB-1 → BB."
    assert said(bulkhead, head + "AA,,x,y\nAA-2,AA-1,x,y\n", "orphan.csv", "places") == []
    assert said(bulkhead, head + "BB,,x,y\nBB-2,BB-1,x,y\n", "circle.csv", "places") == []


def test_an_old_cycle_or_missing_parent_does_not_block_a_dataset_with_limits(bulkhead: Bulkhead, settings: Settings) -> None:
    put(settings.database_url, {"o": "gone", "x": "y", "y": "x", "z": "y", "r": None})
    assert said(bulkhead, HEADER + "a,r,x\n", "beside.csv") == []
    assert said(bulkhead, HEADER + "y,a,x\ngone,r,x\n", "mended.csv") == []


def test_the_warehouse_answers_each_edge_that_was_asked_for_once(database: str, tmp_path: Path) -> None:
    engine, records = postgres.connect(database), load_dataset("records")
    schema = pa.schema([(name, pa.string()) for name in ("what", "id", "parent")])
    for seed in range(20):
        dice = random.Random(seed)
        ids = [f"n{number:02}" for number in range(30)]
        tree: Tree = {one: dice.choice([*ids, "gone", None, None]) for one in ids if dice.random() < 0.8}  # circles too
        wanted: list[dict[str, str | None]] = [
            {"what": what, "id": one, "parent": tree.get(one) if dice.random() < 0.5 else "other"}
            for what in ("above", "below", "around", "children")
            for one in dice.sample(ids, dice.choice([0, 1, 3]))
        ]
        wanted += [{"what": "roots", "id": None, "parent": None}] * dice.randint(0, 1)
        with psycopg.connect(database) as connection:
            connection.execute("truncate warehouse.records")
        put(database, tree)
        pq.write_table(pa.Table.from_pylist(wanted, schema), tmp_path / "wanted.parquet")
        count = existing_edges.edges(
            engine, records, tmp_path / "wanted.parquet", tmp_path / "edges.parquet", beat=lambda: None
        )
        found = pq.read_table(tmp_path / "edges.parquet").to_pylist()
        assert {row["id"]: row["parentId"] for row in found} == answer(tree, wanted), f"seed {seed}"
        assert len(found) == count == len({row["id"] for row in found})
    engine.dispose()
