"""Depth first: the pre-order, the spine before everything else, and parts that need no other."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from pipeline.datasets.dataset import load_dataset
from pipeline.prepare import depth_first, parents_first
from pipeline.prepare.depth_first import Layout, Numbers, first_places, lay_out, pre_order, spine_of
from pipeline.prepare.manifest import BatchSizes, Manifest
from pipeline.prepare.parts import cut
from tests.support.parts import Edge, in_order, random_forest, staged
from tests.support.staging import run_stage

RECORDS = load_dataset("records")


def forest(chance: random.Random, size: int, *, reach: int) -> Numbers:
    """A random forest: the parent of a node is one of the ``reach`` nodes before it in a random order of the nodes."""
    nodes = chance.sample(range(size), size)
    above = np.full(size, -1)
    for place in range(1, size):
        if chance.random() < 0.97:
            above[nodes[place]] = nodes[max(0, place - 1 - chance.randrange(reach))]
    return above


def one_by_one(above: Numbers) -> list[int]:
    """The place of each node in pre-order, found with a stack."""
    below: dict[int, list[int]] = {}
    for node, parent in enumerate(above.tolist()):
        below.setdefault(parent, []).append(node)
    order, stack = [], below.get(-1, [])[::-1]
    while stack:
        order.append(stack.pop())
        stack += below.get(order[-1], [])[::-1]
    return [place for _, place in sorted((node, place) for place, node in enumerate(order))]


@pytest.mark.parametrize("reach", [1, 3, 40, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_the_order_is_that_of_a_walk_with_a_stack(seed: int, reach: int) -> None:
    above = forest(random.Random(seed), 1 + seed * 200, reach=reach)
    places = pre_order(above)
    assert places is not None
    assert places.tolist() == one_by_one(above)


def part_of(layout: Layout) -> Numbers:
    """The part of each node, from 0."""
    return np.repeat(np.arange(len(layout.sizes)), layout.sizes)[layout.places]


@pytest.mark.parametrize("per_part", [2, 3, 7])
@pytest.mark.parametrize("reach", [3, 40, 4000])
@pytest.mark.parametrize("seed", range(6))
def test_a_part_needs_the_spine_and_nothing_else(seed: int, reach: int, per_part: int) -> None:
    chance = random.Random(seed)
    above = forest(chance, 4000, reach=reach)
    cutting = BatchSizes("i", batches_per_part=per_part)
    layout = lay_out(above, np.full(len(above), 50), cutting)
    if layout is None:
        assert reach == 3, "of the others the spine is short"
        return
    part, has_parent = part_of(layout), above >= 0
    assert sorted(layout.places.tolist()) == list(range(len(above)))
    assert (layout.places[above[has_parent]] < layout.places[has_parent]).all()
    is_elsewhere = part[above[has_parent]] != part[has_parent]
    assert layout.spine == layout.sizes[0] >= 100
    assert (part[above[has_parent]][is_elsewhere] == 0).all()
    assert max(layout.sizes) <= 200 * per_part
    assert min(layout.sizes) >= 100


def test_trees_beside_each_other_need_no_spine() -> None:
    above = np.repeat(np.arange(0, 4000, 200), 200)
    above[::200] = -1
    layout = lay_out(above, np.full(4000, 50), BatchSizes("i", batches_per_part=2))
    assert layout is not None
    assert (layout.spine, layout.sizes) == (0, (400,) * 10)


def test_a_chain_is_its_own_spine_and_is_not_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    above = np.arange(-1, 3999)
    assert lay_out(above, np.full(4000, 50), BatchSizes("i", batches_per_part=2)) is None
    monkeypatch.setattr(depth_first, "LEVELS_MAX", 3999)
    assert pre_order(above) is None
    monkeypatch.setattr(depth_first, "LEVELS_MAX", 4000)
    assert pre_order(above) is not None


def test_a_cycle_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="cycle"):
        pre_order(np.array([-1, 0, 3, 2]))
    with pytest.raises(RuntimeError, match="cycle"):
        pre_order(np.array([1, 0]))


@pytest.mark.parametrize("seed", range(6))
def test_a_part_has_so_many_bytes_or_one_record(seed: int) -> None:
    chance = random.Random(seed)
    sizes = np.array([chance.choice([1, 10, 100, 5000]) for _ in range(2000)])
    firsts = first_places(sizes, BatchSizes("i", batches_per_part=2, part_bytes=4000))
    assert firsts[0] == 0
    for first, end in pairwise([*firsts.tolist(), 2000]):
        assert 0 < end - first <= 400
        assert end - first == 1 or sizes[first:end].sum() <= 4000


def test_a_spine_is_filled_up_to_a_batch_from_the_beginning() -> None:
    above = np.zeros(1000, np.int64)
    above[0] = -1
    order = np.arange(1000)
    is_spine = spine_of(above, order, np.array([0, 500]), most=400)
    assert is_spine is not None
    assert np.flatnonzero(is_spine).tolist() == list(range(100))
    assert spine_of(above, order, np.array([0, 500]), most=0) is None


# --- as parts of a file ---


def parts_of(database: Path, folder: Path, file: list[Edge], warehouse: list[Edge], per_part: int = 2) -> Manifest:
    cutting = BatchSizes("i", batches_per_part=per_part)
    return run_stage(cut, staged(database, file, warehouse), RECORDS, cutting, folder=folder)


@pytest.mark.parametrize("seed", range(12))
def test_in_the_tree_that_results_all_parts_are_independent_after_the_spine(tmp_path: Path, database: Path, seed: int) -> None:
    """Paths lead through records that only the warehouse has, and the order of the file is random."""
    chance = random.Random(seed)
    file, warehouse = random_forest(chance, chance.randrange(3000, 6000))
    manifest = parts_of(database, tmp_path / "parts", file, warehouse, per_part=chance.choice([2, 3, 5]))
    rows = in_order(manifest, tmp_path / "parts")
    assert manifest.order == "depth first"
    assert manifest.parts[0].records == manifest.spine
    assert [part.needs for part in manifest.parts] == [0] + [1] * (len(manifest.parts) - 1)
    assert manifest.waves == (1, len(manifest.parts))
    assert sorted(str(row["id"]) for row in rows) == sorted(id_ for id_, _ in file)
    above, place = dict(file) | dict(warehouse), {str(row["id"]): number for number, row in enumerate(rows)}
    for row in rows:
        up = above[str(row["id"])]
        while up is not None:
            if up in place:
                assert place[up] < place[str(row["id"])]
                assert rows[place[up]]["part"] in (row["part"], 1)
            up = above[up]
    sizes = np.bincount([int(str(row["_batch"])) for row in rows])
    assert len(sizes) == manifest.batches + 1
    assert 100 <= sizes[1:].min() <= sizes.max() <= 200
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_siblings_are_in_the_order_of_the_file_and_twice_the_same(tmp_path: Path, database: Path) -> None:
    chance = random.Random(3)
    file, _ = random_forest(chance, 4000)
    first = parts_of(database, tmp_path / "a", file, [])
    assert parts_of(database, tmp_path / "b", file, []).to_json() == first.to_json()
    line = {id_: number for number, (id_, _) in enumerate(file)}
    below: dict[object, list[int]] = {}
    for row in in_order(first, tmp_path / "a"):
        if row["part"] != 1:
            below.setdefault(row["parentId"], []).append(line[str(row["id"])])
    roots = {id_ for id_, _ in file}
    assert all(lines == sorted(lines) for parent, lines in below.items() if parent in roots)


@pytest.mark.parametrize(("name", "most"), [("RECORDS_MAX", 1000), ("LEVELS_MAX", 2)])
def test_too_many_or_too_deep_are_ordered_by_level(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(parents_first if name == "RECORDS_MAX" else depth_first, name, most)
    file, warehouse = random_forest(random.Random(5), 3000)
    manifest = parts_of(database, tmp_path / "parts", file, warehouse)
    assert (manifest.order, manifest.spine) == ("by level", 0)
    assert len(in_order(manifest, tmp_path / "parts")) == len(file)


def test_quarantined_records_are_left_out(tmp_path: Path, database: Path) -> None:
    file, _ = random_forest(random.Random(7), 3000)
    rows_of = {id_: number for number, (id_, _) in enumerate(file, start=1)}
    held: set[str] = {file[20][0]}
    while more := {id_ for id_, parent in file if parent in held} - held:
        held |= more
    staged(database, file)
    with duckdb.connect(str(database)) as connection:
        connection.register("held", pa.table({"_row": [rows_of[id_] for id_ in held]}))
        connection.execute("create table quarantined as select * from held")
    manifest = run_stage(cut, database, RECORDS, BatchSizes("i", batches_per_part=2), folder=tmp_path / "parts")
    assert manifest.order == "depth first"
    assert {row["id"] for row in in_order(manifest, tmp_path / "parts")} == set(rows_of) - held
