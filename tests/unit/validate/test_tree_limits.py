"""The bounds on the tree that results: given rows, expected findings; and random trees split between file and warehouse."""

from __future__ import annotations

import itertools
import json
import random
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from pipeline.contracts.options import OnError, Options
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.datasets.suite_meta import Tolerance, TreeLimits
from pipeline.errors import InvalidConfiguration
from pipeline.prepare.manifest import BatchSizes
from pipeline.sandbox import validate_file
from pipeline.settings import ROOT
from pipeline.sqlfiles import load
from pipeline.staging.hierarchy import lay_out_bounds
from pipeline.validate.cycles import find_cycles
from pipeline.validate.quarantine import quarantine_records
from pipeline.validate.sql_check_file import read_check
from pipeline.validate.sql_checks import _find_by_check, run_checks
from pipeline.validate.tree_limits import measure_depths
from pipeline.validate.tree_overlay import add_edges, ask_for
from tests.support.staging import run_stage
from tests.support.tables import fill
from tests.support.tree_edges import Tree, answer

Row = tuple[str | None, str | None]
Found = list[tuple[str, int, str, list[str] | None]]  # code, row, message, related

RECORDS = load_dataset("records")


def bounded(**bounds: Any) -> Dataset:
    return replace(RECORDS, suite={**RECORDS.suite, "meta": {**RECORDS.suite["meta"], "bounds": bounds}})


Check = Callable[..., Found]


@pytest.fixture
def check(database: Path, tmp_path: Path) -> Check:
    """Asks for edges, gets them, and runs all checks; gives the errors."""

    def run(rows: list[Row], warehouse: Tree | None = None, every: bool = True, **bounds: Any) -> Found:
        dataset, wanted, edges = bounded(**bounds), tmp_path / "wanted.parquet", tmp_path / "edges.parquet"
        checks = [read_check(path) for path in dataset.check_files if every or path.parent.name == "bounds"]
        with duckdb.connect(str(database)) as connection:
            for table in ("links", "findings"):
                connection.execute(f"drop table if exists {table}")
            connection.execute('create or replace table raw (_row bigint, id varchar, "parentId" varchar)')
            fill(connection, "raw", ((n, *row) for n, row in enumerate(rows, 1)))
            connection.execute("create or replace table lines as select 1::bigint as first_row, 2::bigint as first_line")
            connection.execute("create or replace table incoming as from raw")
        run_stage(ask_for, database, dataset, wanted)
        known = answer(warehouse or {}, pq.read_table(wanted).to_pylist())
        with duckdb.connect(str(database)) as connection:
            connection.execute('create or replace table known (id varchar, "parentId" varchar)')
            if known:
                fill(connection, "known", known.items())
            connection.execute(f"copy known to '{edges}' (format parquet)")
        run_stage(add_edges, database, edges)
        with duckdb.connect(str(database)) as connection:
            run_checks(connection, checks)
            for one in checks:
                _find_by_check(connection, one, dataset)
            said = "select code, row, message, related from findings where severity = 'error' order by code, row"
            return connection.execute(said).fetchall()

    return run


# --- Given rows, expected findings ---


def test_a_tree_within_its_limits_has_no_findings(check: Check) -> None:
    rows: list[Row] = [("b", "a"), ("a", None), ("c", "b"), ("d", "a")]
    assert check(rows, max_depth=3, max_children=2, single_root=True) == []


def test_each_record_that_is_too_deep_is_named_with_its_level(check: Check) -> None:
    assert check([("d", "c"), ("c", "b"), ("b", "w")], {"w": None}, max_depth=2) == [
        ("max_depth_exceeded", 1, "The record is on level 4; at most 2 are allowed.", None),
        ("max_depth_exceeded", 2, "The record is on level 3; at most 2 are allowed.", None),
    ]


def test_a_move_answers_for_what_it_takes_too_deep(check: Check) -> None:
    warehouse: Tree = {"r": None, "s": "r", "m": None, "n": "m", "o": "n", "p": "n"}
    assert check([("s", "r"), ("m", "s")], warehouse, max_depth=4) == [
        (
            "max_depth_exceeded",
            2,
            "The record moves its descendant o in the warehouse to level 5; at most 4 are allowed."
            " 2 records would be too deep.",
            None,
        )
    ]


def test_an_old_excess_that_nothing_moves_is_not_the_files(check: Check) -> None:
    warehouse: Tree = {"a": None, "b": "a", "c": "b", "d": "a", "e": None}
    assert check([("a", None), ("b", "a")], warehouse, max_depth=2, single_root=False) == []
    assert check([("x", "c")], {"c": None, "d": "c", "e": None, "f": "d", "g": "d"}, max_children=2, max_depth=2) == []
    assert check([("y", "e")], warehouse, single_root=True) == []


def test_a_new_parent_is_reported_for_the_existing_descendants_that_it_makes_too_deep(check: Check) -> None:
    ((code, row, message, _),) = check([("r", None), ("p", "r")], {"w": "p", "x": "w"}, max_depth=3)
    assert (code, row) == ("max_depth_exceeded", 2)
    assert message == "The record moves its descendant x in the warehouse to level 4; at most 3 are allowed."


def test_a_record_on_a_cycle_or_below_one_has_no_depth(check: Check) -> None:
    found = check([("a", "b"), ("b", "a"), ("c", "b"), ("d", "c"), ("e", "e"), ("f", "e")], max_depth=1)
    assert [(code, row) for code, row, *_ in found] == [
        ("circular_reference", 1),
        ("max_depth_exceeded", 6),
        ("self_parent", 5),
    ]


def test_too_many_children_are_reported_at_the_parent_or_at_the_first_child(check: Check) -> None:
    rows: list[Row] = [("a", None), ("b", "a"), ("c", "a"), ("d", "w"), ("e", "w"), ("f", "v")]
    found = check(rows, {"w": None, "x": "w", "d": "w", "v": None, "f": "w"}, max_children=1)
    assert found == [
        ("max_children_exceeded", 1, "The record a would have 2 children; at most 1 are allowed.", ["2", "3"]),
        ("max_children_exceeded", 4, "The record w would have 3 children; at most 1 are allowed.", ["4", "5"]),
    ]


def test_a_second_root_is_reported_with_the_existing_one(check: Check) -> None:
    message = "The record is a root, but {} is already the root; only one is allowed."
    rows: list[Row] = [("b", "a"), ("a", None), ("c", None)]
    assert check(rows, single_root=True) == [("several_roots", 3, message.format("a"), None)]
    assert check(rows[:2], {"w": None}, single_root=True) == [("several_roots", 2, message.format("w"), None)]
    assert check([("w", "a"), ("a", None)], {"w": None}, single_root=True) == [], "the old root is put below the new one"
    assert check([("a", None)], {"a": None}, single_root=True) == []


def test_of_a_record_with_too_many_children_no_new_one_gets_by_the_quarantine(check: Check, database: Path) -> None:
    check([("x", None), ("b", "w"), ("c", "w"), ("d", "c")], {"w": None, "a": "w"}, max_children=1)
    run_stage(quarantine_records, database, RECORDS, Tolerance(OnError.QUARANTINE), 4)
    with duckdb.connect(str(database)) as connection:
        assert connection.execute("select _row from quarantined order by _row").fetchall() == [(2,), (3,), (4,)]


@pytest.mark.parametrize(
    ("rows", "warehouse", "bounds", "refusal"),
    [
        ([("a", "nowhere"), ("b", "w")], {"w": None, "a": "w"}, {"max_children": 1}, "w would have 2 children"),
        ([("r", "nowhere"), ("s", None)], {"r": None}, {"single_root": True}, "s would be a second root"),
        ([("a", "nowhere"), ("b", "w")], {"w": None, "c": "w"}, {"max_children": 2, "single_root": True}, ""),
    ],
)
def test_room_that_a_record_in_quarantine_was_to_make_is_no_room(
    check: Check, database: Path, rows: list[Row], warehouse: Tree, bounds: dict[str, Any], refusal: str
) -> None:
    check(rows, warehouse, **bounds)
    held = run_stage(quarantine_records, database, RECORDS, Tolerance(OnError.QUARANTINE), len(rows))
    assert refusal in held.refusal
    assert held.records == (0 if refusal else 1)


def test_depth_costs_rounds_and_not_steps() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            """create table edges as select i as number, i::varchar as id, null as parent, i as _row,
            case when i > 0 then i - 1 end as above from range(200000) t(i)"""
        )
        find_cycles(connection)
        lay_out_bounds(connection, TreeLimits(max_depth=10))
        measure_depths(connection)
        assert connection.execute(
            "select count(*), max(depth), sum(depth) from depths where depth = number + 1"
        ).fetchall() == [(200_000, 200_000, 200_000 * 200_001 // 2)]


# --- What the suite says ---


@pytest.mark.parametrize(
    "bounds", [{"max_depth": 0}, {"max_children": "10"}, {"max_depth": True}, {"single_root": 1}, {"x": 1}]
)
def test_a_bound_that_means_nothing_is_refused(bounds: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "expectations").mkdir()
    (tmp_path / "sql").symlink_to(ROOT / "sql")
    suite = (ROOT / "expectations" / "records.json").read_text().replace('"meta": {', f'"meta": {{"bounds": {bounds},', 1)
    (tmp_path / "expectations" / "records.json").write_text(suite.replace("'", '"').replace("True", "true"))
    with pytest.raises(InvalidConfiguration, match=r"meta\.bounds"):
        load_dataset("records", tmp_path)


@pytest.mark.parametrize("tolerance", [{"max_errors": "5"}, {"max_errors": -1}, {"max_error_ratio": 2}, {"on_error": "ignore"}])
def test_a_tolerance_that_means_nothing_is_refused(tolerance: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "expectations").mkdir()
    (tmp_path / "sql").symlink_to(ROOT / "sql")
    suite = json.loads((ROOT / "expectations" / "records.json").read_text())
    suite["meta"]["tolerance"] = tolerance
    (tmp_path / "expectations" / "records.json").write_text(json.dumps(suite))
    with pytest.raises(InvalidConfiguration, match=r"expectations/records\.json: .*(tolerance|OnError)"):
        load_dataset("records", tmp_path)


def test_only_the_checks_of_limits_that_are_set_are_run() -> None:
    names = [path.stem for path in bounded(max_children=3).check_files]
    assert "max_children_exceeded" in names
    assert not {"max_depth_exceeded", "several_roots"} & set(names)


@pytest.mark.parametrize("path", sorted((ROOT / "sql/checks/bounds").glob("*.sql")), ids=lambda path: path.stem)
def test_the_checks_of_tree_limits_have_codes_and_hints(path: Path) -> None:
    check = read_check(path)
    assert (check.code, check.severity, check.column) == (path.stem, "error", "parent")
    assert check.hint and not check.expects.startswith("No no ")


# --- An oracle ---


def random_case(seed: int) -> tuple[list[Row], Tree, dict[str, int | bool]]:
    dice = random.Random(seed)
    ids = [f"n{number:02}" for number in range(dice.randint(2, 24))]
    warehouse: Tree = {}
    for one in ids:
        if dice.random() < 0.6:
            warehouse[one] = dice.choice([*warehouse]) if warehouse and dice.random() < 0.85 else None
    share = dice.choice([0.2, 0.5, 0.9])
    file: list[Row] = []
    for place, one in enumerate(ids):
        if one not in warehouse or dice.random() < share:
            above = ids[:place] if dice.random() < 0.9 else ids
            keep = one in warehouse and dice.random() < 0.4
            file.append((one, warehouse[one] if keep else dice.choice(above) if above and dice.random() < 0.9 else None))
    dice.shuffle(file)
    return file, warehouse, {"max_depth": dice.randint(2, 5), "max_children": dice.randint(1, 3), "single_root": True}


def way_up(tree: Tree, one: str) -> list[str] | None:
    """From a record to its root; None if there is no end to it. Who is their own parent counts as a root."""
    way = [one]
    while (parent := tree[way[-1]]) is not None and parent in tree and parent != way[-1]:
        if parent in way:
            return None
        way.append(parent)
    return way


def expected(file: list[Row], warehouse: Tree, bounds: dict[str, int | bool]) -> set[tuple[str, int]]:
    own = {str(one): row for row, (one, _) in enumerate(file, 1)}
    tree: Tree = {**warehouse, **{str(one): parent for one, parent in file}}
    ways = {one: way_up(tree, one) for one in tree}
    deep = {one for one, way in ways.items() if way is not None and len(way) > bounds["max_depth"]}
    moved = {one for one in own if one not in warehouse or warehouse[one] != tree[one]}
    found = {("max_depth_exceeded", own[one]) for one in deep if one in own}
    for one in deep - own.keys():
        movers = [above for above in ways[one] or [] if above in moved]
        if movers and movers[0] not in deep:
            found.add(("max_depth_exceeded", own[movers[0]]))
    for one in tree:
        children = [child for child, parent in tree.items() if parent == one and child != one]
        ours = [own[child] for child in children if child in own]
        if len(children) > bounds["max_children"] and (one in own or ours):
            found.add(("max_children_exceeded", own.get(one, min(ours, default=0))))
    roots = sorted(own[one] for one in own if tree[one] is None)
    old = [one for one, parent in tree.items() if parent is None and one not in own]
    return found | {("several_roots", row) for row in (roots if old else roots[1:])}


@pytest.mark.early
def test_random_trees_agree_with_the_oracle(check: Check, pytestconfig: pytest.Config) -> None:
    seen = dict.fromkeys(("max_depth_exceeded", "max_children_exceeded", "several_roots", "none", "pushed"), 0)
    for seed in range(200 if pytestconfig.getoption("--thorough") else 140):
        file, warehouse, bounds = random_case(seed)
        found = check(file, warehouse, every=False, **bounds)
        assert {finding[:2] for finding in found} == expected(file, warehouse, bounds), f"seed {seed}"
        assert len({finding[:3] for finding in found}) == len(found), f"seed {seed}: each once"
        tree: Tree = {**warehouse, **{str(one): parent for one, parent in file}}
        for code, row, message, _ in found:
            if message.startswith("The record is on level"):
                assert f"level {len(way_up(tree, str(file[row - 1][0])) or [])};" in message, f"seed {seed}"
            seen[code] += 1
            seen["pushed"] += "moves its descendant" in message
        seen["none"] += not found
    assert min(seen.values()) >= 10, f"the cases are of every kind: {seen}"


def test_a_chain_in_places_is_refused_by_its_depth(tmp_path: Path) -> None:
    """A whole validation. The mart of places is as deep as the dataset allows, and no file can make it deeper."""
    places = load_dataset("places")
    rows, last = 30_000, ""
    names = map("".join, itertools.product(string.ascii_uppercase, repeat=3))
    ids = [f"{a}{b}-{name}" for name, (a, b) in itertools.islice(itertools.product(names, ["AA", "AB"]), rows)]
    with (tmp_path / validate_file.SOURCE).open("w") as file:
        file.write("id,parentId,name,kind\n")
        for one in ids:
            file.write(f"{one},{last},n,k\n")
            last = one
    counted = validate_file.validate(tmp_path, places, "a.csv", "run", BatchSizes("i"), Options(), lambda wanted: None)
    limit = places.bounds.max_depth
    assert limit is not None and counted.by_code == {"max_depth_exceeded": rows - limit}
    assert not counted.verdict().accepted
    mart = load("marts/places_tree")
    assert f"where tree.depth < {limit - 1}\n" in mart and f"computed for {limit} levels" in mart
