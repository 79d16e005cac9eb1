"""Random hierarchies, split at random between the warehouse and a file, against networkx.

A case has everything that happens to a tree: records that are new, that move, that break a circle which the warehouse had or
close one with it; parents that are nowhere; ids that stand twice or not at all. A thousand cases lie side by side in one file,
each with ids of its own; ``--many N`` takes N thousands. A failure names its seed: ``case(seed)`` is the case.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import networkx as nx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.datasets.dataset import load_dataset
from pipeline.staging.database import StagingDatabase
from pipeline.staging.hierarchy import lay_out
from pipeline.validate.sql_check_file import read_check
from pipeline.validate.sql_checks import run_checks
from pipeline.validate.tree_overlay import add_edges, ask_for

CASES = 1_000
ONE_BY_ONE = 30

RECORDS = load_dataset("records")
CHECKS = [read_check(path) for path in RECORDS.check_files]

Row = tuple[str | None, str | None, str]  # id, parent, name


@dataclass(frozen=True)
class Case:
    """One hierarchy: the file's rows, and what the warehouse has (id -> parent)."""

    seed: int
    rows: list[Row]
    warehouse: dict[str, str | None]


@dataclass
class Found:
    """What there is to say about one case. Rows are places in the case, from 0."""

    accepted: bool = True
    cycles: Counter[tuple[str, ...]] = field(default_factory=Counter)  # each from its smallest id up to the same again
    below_cycles: set[int] = field(default_factory=set)
    missing: set[tuple[int, str]] = field(default_factory=set)
    hanging: dict[str, int] = field(default_factory=dict)  # missing parent -> records of the file below it
    selves: set[int] = field(default_factory=set)
    repeated: set[int] = field(default_factory=set)
    conflicting: set[int] = field(default_factory=set)


# --- Cases ---


def case(seed: int) -> Case:
    """The case of that seed."""
    dice = random.Random(seed)
    ids = [f"{seed:07}:{number:02}" for number in range(dice.randint(1, 24))]
    nowhere = [f"{seed:07}:none-{number}" for number in range(2)]
    warehouse = _warehouse(dice, ids, nowhere)
    share, wild = dice.choice([0.2, 0.5, 0.9]), dice.choice([0.0, 0.1, 0.6])
    rows: list[Row] = []
    for place, one in enumerate(ids):
        if one in warehouse and dice.random() > share:
            continue
        if dice.random() < wild:
            parent: str | None = dice.choice([*ids, *nowhere])
        else:
            parent = dice.choice([None, *ids[:place]])
        rows.append((one, parent, "name"))
    if dice.random() < wild:
        rows += [_again(dice, row) for row in rows if dice.random() < 0.1]
        rows += [(None, dice.choice([None, *ids, *nowhere]), "no id")]
    dice.shuffle(rows)
    return Case(seed, rows, warehouse)


def _warehouse(dice: random.Random, ids: list[str], nowhere: list[str]) -> dict[str, str | None]:
    """A forest, mostly; sometimes with a missing parent, or with a cycle."""
    known = [one for one in ids if dice.random() < 0.5]
    dice.shuffle(known)
    forest = {one: dice.choice([None, *known[:place]]) for place, one in enumerate(known)}
    if known and dice.random() < 0.2:
        forest[dice.choice(known)] = dice.choice(nowhere)
    if known and dice.random() < 0.3:
        forest[known[0]] = known[-1] if len(known) > 1 else None
    return forest


def _again(dice: random.Random, row: Row) -> Row:
    """The row a second time: the same, or not quite."""
    return row if dice.random() < 0.5 else (row[0], None, "another name")


# --- The oracle ---


def expected(case: Case) -> Found:
    """What there is to say, by networkx and Python's own sets.

    An old circle is said only if the file hangs below it, and then at the first record that does.
    """
    first: dict[str, int] = {}
    for place, (one, _, _) in enumerate(case.rows):
        if one is not None:
            first.setdefault(one, place)
    strangers = [parent for _, parent, _ in case.rows if parent is not None and parent not in first]
    edges = {**_ancestors(strangers, case.warehouse), **{one: case.rows[place][1] for one, place in first.items()}}
    graph = nx.DiGraph([(one, parent) for one, parent in edges.items() if parent is not None and parent != one])
    graph.add_nodes_from(edges)
    found = Found()
    for cycle in nx.simple_cycles(graph):
        below = {first[one] for one in nx.ancestors(graph, cycle[0]) - set(cycle) if one in first}
        if not set(cycle) & set(first):
            below.discard(min(below, default=-1))
            if not any(one in first for one in nx.ancestors(graph, cycle[0])):
                continue
        found.cycles[_from_smallest(cycle, edges)] += 1
        found.below_cycles |= below
    found.missing = {
        (place, parent) for place, (_, parent, _) in enumerate(case.rows) if parent is not None and parent not in edges
    }
    found.selves = {place for place, (one, parent, _) in enumerate(case.rows) if one is not None and one == parent}
    found.hanging = _hanging(found.missing, first, graph, case)
    found.repeated, found.conflicting = _twice(case.rows)
    found.accepted = not (found.cycles or found.missing or found.selves or found.repeated or found.conflicting)
    return found


def _from_smallest(cycle: list[str], edges: dict[str, str | None]) -> tuple[str, ...]:
    path = [min(cycle)]
    while len(path) <= len(cycle):
        path.append(str(edges[path[-1]]))
    return tuple(path)


def _hanging(missing: set[tuple[int, str]], first: dict[str, int], graph: nx.DiGraph, case: Case) -> dict[str, int]:
    """How many records of the file hang below each missing parent, by way of a record of the file that names it."""
    named = Counter(parent for _, parent in missing)
    below: Counter[str] = Counter()
    for parent in named:
        tops = {one for one, place in first.items() if case.rows[place][1] == parent}
        below[parent] = len(set(first) & tops.union(*(nx.ancestors(graph, top) for top in tops)))
    return {parent: max(named[parent], below[parent]) for parent in named}


def _twice(rows: list[Row]) -> tuple[set[int], set[int]]:
    """The rows that repeat an equal one, and those whose id others have with other contents."""
    by_id: dict[str, list[int]] = {}
    for place, (one, _, _) in enumerate(rows):
        if one is not None:
            by_id.setdefault(one, []).append(place)
    repeated: set[int] = set()
    conflicting: set[int] = set()
    for places in by_id.values():
        if len({rows[place] for place in places}) > 1:
            conflicting.update(places)
        else:
            repeated.update(places[1:])
    return repeated, conflicting


# --- The engine ---


def found_in(cases: list[Case], folder: Path) -> dict[int, Found]:
    """What the engine says about each case, by its seed, when all of them lie in one file."""
    rows = [(case.seed, place, *row) for case in cases for place, row in enumerate(case.rows)]
    random.Random(len(rows)).shuffle(rows)
    rows.sort(key=lambda row: row[1])  # the rows of one case stay in order, with those of the others between them
    at = {number: row[:2] for number, row in enumerate(rows, 1)}
    with StagingDatabase.in_memory(folder) as database:
        with database.connect() as connection:
            _lay_out(connection, rows, cases, folder)
        with database.connect() as connection:
            run_checks(connection, CHECKS)
            return _collected(_asker(connection), {case.seed: Found() for case in cases}, at)


def _lay_out(connection: duckdb.DuckDBPyConnection, rows: list[tuple[Any, ...]], cases: list[Case], folder: Path) -> None:
    """The file's rows as the reader leaves them, and what a warehouse answers when it is asked."""
    _, _, ids, parents, names = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    texts = [pa.array(column, pa.string()) for column in (ids, parents, names)]
    raw = pa.table([pa.array(range(1, len(rows) + 1), pa.int64()), *texts], ["_row", "id", "parentId", "name"])
    connection.register("arriving", raw)
    connection.execute("create table raw as select * from arriving")
    connection.execute("create view incoming as select *, '{}' as attributes from raw")
    connection.execute("create table lines as select 1::bigint as first_row, 2::bigint as first_line")
    connection.unregister("arriving")
    lay_out(connection, RECORDS)
    ask_for(connection, RECORDS, folder / "parents.parquet")
    asked = pq.read_table(folder / "parents.parquet").column("id").to_pylist()
    warehouse = {one: parent for case in cases for one, parent in case.warehouse.items()}
    answer = _ancestors(asked, warehouse)
    columns = [pa.array(column, pa.string()) for column in (list(answer), list(answer.values()))]
    pq.write_table(pa.table(columns, ["id", "parentId"]), folder / "edges.parquet")
    add_edges(connection, folder / "edges.parquet")


def _ancestors(asked: list[str], warehouse: dict[str, str | None]) -> dict[str, str | None]:
    """The edges from these ids up."""
    edges: dict[str, str | None] = {}
    for one in asked:
        while one is not None and one in warehouse and one not in edges:
            edges[one] = warehouse[one]
            one = edges[one]
    return edges


Asker = Callable[[str], Iterator[dict[str, Any]]]


def _asker(connection: duckdb.DuckDBPyConnection) -> Asker:
    def ask(query: str) -> Iterator[dict[str, Any]]:
        cursor = connection.execute(query)
        names = [column[0] for column in cursor.description or []]
        return (dict(zip(names, row, strict=True)) for row in cursor.fetchall())

    return ask


def _collected(ask: Asker, found: dict[int, Found], at: dict[int, tuple[int, int]]) -> dict[int, Found]:
    """The checks' offenders, told apart by case."""

    def places(check: str) -> Iterator[tuple[Found, int, dict[str, Any]]]:
        for offender in ask(f"from check_{check}"):
            seed, place = at[offender["_row"]]
            yield found[seed], place, offender

    for cycle in ask("from check_circular_reference"):
        found[_seed(cycle["value"])].cycles[tuple(cycle["cycle"])] += 1
    for parent in ask("from missing"):
        found[_seed(parent["parent"])].hanging[parent["parent"]] = parent["records"]
    for of, place, _ in places("below_cycle"):
        of.below_cycles.add(place)
    for of, place, offender in places("missing_parent"):
        of.missing.add((place, offender["value"]))
    for of, place, _ in places("self_parent"):
        of.selves.add(place)
    for of, place, _ in places("duplicate_id"):
        of.repeated.add(place)
    for of, place, _ in places("conflicting_duplicate"):
        of.conflicting.add(place)
    for check in CHECKS:
        for offender in ask(f'from "{check.table}"') if check.severity == "error" else ():
            found[at[offender["_row"]][0] if offender["_row"] else _seed(offender["value"])].accepted = False
    return found


def _seed(one: str) -> int:
    return int(one.partition(":")[0])


# --- Both ---


def test_a_thousand_hierarchies_in_one_file(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    kinds: Counter[str] = Counter()
    for thousand in range(pytestconfig.getoption("--many")):
        cases = [case(seed) for seed in range(thousand * CASES, (thousand + 1) * CASES)]
        found = found_in(cases, tmp_path)
        for one in cases:
            wanted = expected(one)
            assert found[one.seed] == wanted, f"seed {one.seed}"
            kinds += _kinds(one, wanted)
    assert min(kinds.values()) >= CASES // 50 and len(kinds) == 9, f"the cases are of every kind: {kinds}"


@pytest.mark.parametrize("seed", range(ONE_BY_ONE))
def test_a_hierarchy_alone(seed: int, tmp_path: Path) -> None:
    """Nothing of the others helps or hinders it."""
    one = case(seed)
    assert found_in([one], tmp_path)[seed] == expected(one)


def _kinds(case: Case, found: Found) -> Counter[str]:
    """What a case is an example of."""
    file = {one: parent for one, parent, _ in case.rows if one is not None}
    old = nx.DiGraph([(one, parent) for one, parent in case.warehouse.items() if parent not in (None, one)])
    on_old_cycles = {one for cycle in nx.simple_cycles(old) for one in cycle}
    closed = [cycle for cycle in found.cycles if set(cycle) - set(file) and set(cycle) & set(file)]
    kinds = {
        "accepted": found.accepted and len(case.rows) > 1,
        "a circle": bool(found.cycles),
        "a circle through the warehouse": bool(closed),
        "a circle broken": bool(on_old_cycles & set(file)) and found.accepted,
        "below a circle": bool(found.below_cycles),
        "a parent missing, with more below": any(number > 1 for number in found.hanging.values()),
        "its own parent": bool(found.selves),
        "twice the same": bool(found.repeated),
        "twice": bool(found.conflicting),
    }
    return Counter(kind for kind, is_so in kinds.items() if is_so)
