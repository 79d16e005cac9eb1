"""Pointer jumping against going up one level at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from pipeline.staging import ancestors
from tests.support.cases import seeds

Forest = dict[int, int | None]  # node -> parent; may have cycles
EDGES = "select number, above from nodes"


@pytest.fixture
def connection(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(database)) as connection:
        yield connection


def put(connection: duckdb.DuckDBPyConnection, forest: Forest, marked: set[int] | None = None) -> None:
    columns = [pa.array(list(values), pa.int64()) for values in (forest, forest.values())]
    marks = pa.array([node in (marked or set()) for node in forest], pa.bool_())
    connection.register("arriving", pa.table([*columns, marks], ["number", "above", "marked"]))
    connection.execute("create or replace table nodes as from arriving")


def way_up(forest: Forest, node: int) -> list[int]:
    """The node's ancestors, nearest first; on a cycle each of them once, and then the first one again."""
    way: list[int] = []
    at = forest[node]
    while at is not None and at not in way:
        way.append(at)
        at = forest[at]
    return [*way, at] if at is not None else way


def is_rooted(forest: Forest, node: int) -> bool:
    way = way_up(forest, node)
    return not way or forest[way[-1]] is None


def random_forest(seed: int) -> Forest:
    dice = random.Random(seed)
    size = dice.choice([1, 2, 7, 40])
    reach = dice.choice([1, 3, size])  # 1: chains
    return {node: dice.choice([None, *range(max(0, node - reach), min(size, node + 2))]) for node in range(size)}


def rooted(forest: Forest) -> Forest:
    return {node: above for node, above in forest.items() if is_rooted(forest, node)}


@pytest.mark.parametrize("seed", seeds(60, daily=20))
def test_the_nodes_without_a_root_are_those_on_cycles_and_below_them(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    forest = random_forest(seed)
    put(connection, forest)
    left = ancestors.without_root(connection, EDGES, into="found")
    expected = {node for node in forest if not is_rooted(forest, node)}
    assert {row[0] for row in connection.execute("select number from found").fetchall()} == expected
    assert left == len(expected)
    ancestors.reach_cycles(connection, "found")
    on_cycles = {node for node in expected if node in way_up(forest, node)}
    reached = dict(connection.execute("select number, reached from found").fetchall())
    assert set(reached.values()) == on_cycles, "every node of a cycle is reached, and no other"
    assert all(reached[node] in way_up(forest, node) for node in expected)


@pytest.mark.parametrize("seed", seeds(60, daily=20))
def test_root_depth_and_nearest_mark(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    forest = rooted(random_forest(seed))
    marked = {node for node in forest if random.Random(seed * 1000 + node).random() < 0.3}
    put(connection, forest, marked)
    ways = {node: way_up(forest, node) for node in forest}

    ancestors.find_root(connection, EDGES, into="roots")
    found = connection.execute("select number, root from roots").fetchall()
    assert sorted(found) == sorted((node, [node, *way][-1]) for node, way in ways.items())

    assert ancestors.depth(connection, EDGES, into="depths") == 0
    found = connection.execute("select number, depth from depths").fetchall()
    assert sorted(found) == sorted((node, len(way)) for node, way in ways.items())

    first_steps = """select nodes.number, case when up.marked then up.number end as met,
        case when not up.marked then up.number end as reached from nodes left join nodes up on nodes.above = up.number"""
    assert ancestors.nearest_marked(connection, first_steps, into="nearest") == 0
    nearest = dict(connection.execute("select number, met from nearest").fetchall())
    assert nearest == {node: next((one for one in way if one in marked), None) for node, way in ways.items()}


def test_a_cycle_without_a_root_or_a_mark_ends_every_walk(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, {0: 1, 1: 2, 2: 0, 3: 2, 4: None, 5: 4})
    assert ancestors.depth(connection, EDGES, into="depths") == 4
    rows = connection.execute("select number, depth from depths where reached is null order by 1").fetchall()
    assert rows == [(4, 0), (5, 1)]
    steps = "select number, null::bigint as met, above as reached from nodes"
    assert ancestors.nearest_marked(connection, steps, into="nearest") == 4


@pytest.mark.parametrize(
    "walk",
    [
        lambda connection: ancestors.without_root(connection, EDGES, into="found"),
        lambda connection: ancestors.find_root(connection, EDGES, into="found"),
        lambda connection: ancestors.depth(connection, EDGES, into="found"),
        lambda connection: ancestors.nearest_marked(
            connection, "select number, null::bigint as met, above as reached from nodes", into="found"
        ),
    ],
    ids=["without_root", "find_root", "depth", "nearest_marked"],
)
def test_a_chain_takes_as_many_rounds_as_its_depth_has_binary_digits(
    connection: duckdb.DuckDBPyConnection,
    monkeypatch: pytest.MonkeyPatch,
    walk: Callable[[duckdb.DuckDBPyConnection], object],
) -> None:
    put(connection, {node: node - 1 if node else None for node in range(1000)})
    counts: list[int] = []
    number = ancestors.number

    def counting(connection: duckdb.DuckDBPyConnection, query: str) -> int:
        counts.append(number(connection, query))
        return counts[-1]

    monkeypatch.setattr(ancestors, "number", counting)
    walk(connection)
    assert counts[-1] == 0 and len(counts) - 1 <= 11, "2^10 is more than 1,000; one round more may be needed to see the end"
    assert counts == sorted(set(counts), reverse=True), "each round finishes some"


@pytest.mark.parametrize("seed", range(20))
def test_each_cycle_of_a_permutation_is_known_by_its_smallest_node(seed: int) -> None:
    ahead = np.random.default_rng(seed).permutation(50)
    smallest = ancestors.smallest_on_cycle(ahead)
    for node in range(50):
        on, at = {node}, int(ahead[node])
        while at != node:
            on.add(at)
            at = int(ahead[at])
        assert smallest[node] == min(on)
