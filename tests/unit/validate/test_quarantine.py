"""What is held back: given rows, expected rows; and random trees against an oracle, split between file and warehouse."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import duckdb
import pytest

from pipeline.contracts.options import OnError, Options
from pipeline.datasets.dataset import load_dataset
from pipeline.datasets.suite_meta import Tolerance
from pipeline.staging.database import FINDINGS
from pipeline.staging.hierarchy import lay_out
from pipeline.validate.quarantine import Quarantined, quarantine_records, write_rows
from pipeline.validate.sql_check_file import read_check
from pipeline.validate.sql_checks import run_checks
from tests.support.cases import seeds
from tests.support.staging import run_stage
from tests.support.tables import fill

RECORDS = load_dataset("records")
CHECKS = [read_check(path) for path in RECORDS.check_files]
QUARANTINE = Tolerance(OnError.QUARANTINE)

Row = tuple[str | None, str | None]
Tree = dict[str, str | None]


def staged(database: Path, rows: list[Row], warehouse: Tree | None = None, bad: dict[int, str] | None = None) -> Path:
    """The file's rows, checked for duplicates and circles; ``bad`` are findings of other checks, by row."""
    with duckdb.connect(str(database)) as connection:
        connection.execute(FINDINGS)
        connection.execute("delete from findings")
        connection.execute('create or replace table raw (_row bigint, id varchar, "parentId" varchar, name varchar)')
        if rows:
            fill(connection, "raw", ((n, *row, "n") for n, row in enumerate(rows, 1)))
        connection.execute("create or replace table lines as select 1::bigint as first_row, 2::bigint as first_line")
        connection.execute("create or replace table incoming as select *, '{}' as attributes from raw")
        connection.execute('create or replace table warehouse_edges (id varchar, "parentId" varchar)')
        if warehouse:
            fill(connection, "warehouse_edges", warehouse.items())
        connection.execute("drop table if exists links")
        lay_out(connection, RECORDS)
        run_checks(connection, CHECKS)
        for check in CHECKS:
            connection.execute(
                f"""insert into findings by name select '{check.code}' as code, '{check.severity}' as severity, _row as row,
                'm' as message from check_{check.name}"""
            )
        for row, code in (bad or {}).items():
            connection.execute(
                "insert into findings by name select ? as code, 'error' as severity, ? as row, 'm' as message", [code, row]
            )
    return database


def held(database: Path) -> dict[int, str]:
    with duckdb.connect(str(database)) as connection:
        return dict(connection.execute("select _row, code from quarantined").fetchall())


def test_descendants_of_a_bad_record_are_quarantined_with_it(database: Path) -> None:
    rows: list[Row] = [("a", None), ("b", "a"), ("c", "b"), ("d", "c"), ("e", "a")]
    staged(database, rows, bad={2: "invalid_type"})
    assert run_stage(quarantine_records, database, RECORDS, QUARANTINE, 5) == Quarantined(3)
    assert held(database) == {2: "invalid_type", 3: "parent_quarantined", 4: "parent_quarantined"}
    with duckdb.connect(str(database)) as connection:
        ((message,),) = connection.execute("select message from quarantined where _row = 4").fetchall()
    assert message == "Its ancestor b (line 3) is in quarantine."


def test_nothing_is_quarantined_in_a_good_file_or_where_bad_files_are_rejected(database: Path) -> None:
    staged(database, [("a", None), ("b", "a")])
    assert run_stage(quarantine_records, database, RECORDS, QUARANTINE, 2) == Quarantined()
    staged(database, [("a", None), ("b", "x")])
    assert run_stage(quarantine_records, database, RECORDS, Tolerance(), 2) == Quarantined()
    assert held(database) == {}


def test_of_equal_copies_the_first_one_stays_and_of_unequal_ones_none(database: Path) -> None:
    staged(database, [("a", None), ("b", "a"), ("b", "a"), ("c", "b"), ("d", None), ("d", "a"), ("e", "d")])
    run_stage(quarantine_records, database, RECORDS, QUARANTINE, 7)
    assert held(database) == {
        **{3: "duplicate_id", 5: "conflicting_duplicate", 6: "conflicting_duplicate", 7: "parent_quarantined"}
    }


def test_a_whole_cycle_also_through_the_warehouse_is_quarantined_with_its_descendants(database: Path) -> None:
    staged(database, [("a", "c"), ("d", "b"), ("e", None), ("f", "d")], {"c": "b", "b": "a"})
    run_stage(quarantine_records, database, RECORDS, QUARANTINE, 4)
    assert held(database) == {1: "circular_reference", 2: "parent_quarantined", 4: "parent_quarantined"}
    staged(database, [("a", "b"), ("b", "c"), ("c", "a"), ("e", None)])
    run_stage(quarantine_records, database, RECORDS, QUARANTINE, 4)
    assert held(database) == dict.fromkeys((1, 2, 3), "circular_reference")


def test_descendants_of_an_old_cycle_are_quarantined_and_a_cycle_without_any_does_no_harm(database: Path) -> None:
    ring: Tree = {"x": "y", "y": "x"}
    staged(database, [("a", "x"), ("b", "a"), ("c", None), ("d", "y")], ring)
    run_stage(quarantine_records, database, RECORDS, QUARANTINE, 4)
    assert held(database) == {1: "circular_reference", 2: "below_cycle", 4: "below_cycle"}
    staged(database, [("a", "nowhere"), ("b", "a"), ("c", None)], ring)
    run_stage(quarantine_records, database, RECORDS, QUARANTINE, 3)
    assert held(database) == {1: "missing_parent", 2: "parent_quarantined"}


@pytest.mark.parametrize(
    ("tolerance", "refusal"),
    [
        (Tolerance(OnError.QUARANTINE, max_errors=1), ""),
        (
            Tolerance(OnError.QUARANTINE, max_errors=0),
            "1 of 4 records has errors; at most 0 may go into quarantine (max_errors).",
        ),
        (Tolerance(OnError.QUARANTINE, max_error_ratio=0.25), ""),
        (
            Tolerance(OnError.QUARANTINE, max_error_ratio=0.24),
            "1 of 4 records has errors; at most a share of 0.24 may go into quarantine (max_error_ratio).",
        ),
    ],
)
def test_the_limits_are_of_records_with_errors_of_their_own(database: Path, tolerance: Tolerance, refusal: str) -> None:
    staged(database, [("a", "x"), ("b", "a"), ("c", "b"), ("d", None)])
    assert run_stage(quarantine_records, database, RECORDS, tolerance, 4).refusal == refusal
    assert len(held(database)) == (0 if refusal else 3)


def test_a_file_of_which_nothing_would_be_left_or_that_is_wrong_as_a_whole_is_refused(database: Path) -> None:
    staged(database, [("a", "x"), ("b", "a")])
    assert "nothing is left" in run_stage(quarantine_records, database, RECORDS, QUARANTINE, 2).refusal
    assert held(database) == {}
    staged(database, [("a", None)])
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            "insert into findings by name select 'error' as severity, 'unknown_column' as code, 'No.' as message"
        )
    assert run_stage(quarantine_records, database, RECORDS, QUARANTINE, 1).refusal.endswith("No.")


def test_the_rows_are_written_with_all_their_columns_and_the_malformed_ones_with_their_text(
    database: Path, tmp_path: Path
) -> None:
    staged(database, [("a", None), ('b"\n,', "x"), ("c\0", "y")], bad={9: "malformed_row"})
    with duckdb.connect(str(database)) as connection:
        connection.execute("create table malformed as select 9 as _row, 10 as line, '1,2,3,4,5' as text")
    assert run_stage(quarantine_records, database, RECORDS, QUARANTINE, 4) == Quarantined(3)
    run_stage(write_rows, database, RECORDS, "the-import", tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    assert [line[:6] for line in lines] == [
        ["the-import", "2", "0", "0", 'b"\n,', "missing_parent"],
        ["the-import", "3", "0", "0", "c␀", "missing_parent"],
        ["the-import", "9", "0", "0", "", "malformed_row"],
    ]
    assert [json.loads(line[7]) for line in lines] == [
        {"id": 'b"\n,', "parentId": "x", "name": "n"},
        {"id": "c␀", "parentId": "y", "name": "n"},
        {"_text": "1,2,3,4,5"},
    ]


def test_an_uploads_wishes_go_before_the_datasets() -> None:
    own = RECORDS.tolerance
    assert RECORDS.tolerance_for(Options()) == own
    asked = RECORDS.tolerance_for(Options(on_error=OnError.QUARANTINE, max_errors=0))
    assert asked == Tolerance(OnError.QUARANTINE, 0, own.max_error_ratio)


# --- Against an oracle ---


def oracle(rows: list[Row], warehouse: Tree, bad: set[int]) -> set[int]:
    """Who walks up, step by step, and meets a bad record, or is one."""
    above = {**warehouse, **{str(id_): parent for id_, parent in rows}}
    row_of = {str(id_): number for number, (id_, _) in enumerate(rows, 1)}
    out = set()
    for id_, number in row_of.items():
        seen, at = set(), id_
        while at is not None and at not in seen:
            seen.add(at)
            if row_of.get(at) in bad:
                out.add(number)
                break
            at = above.get(at)  # type: ignore[assignment]
    return out


def bad_in(rows: list[Row], warehouse: Tree) -> set[int]:
    """The rows whose parent is nowhere, and those on a circle."""
    above = {**warehouse, **{str(id_): parent for id_, parent in rows}}
    bad = set()
    for number, (id_, parent) in enumerate(rows, 1):
        at, steps = parent, 0
        while at is not None and at != id_ and at in above and steps <= len(above):
            at, steps = above[at], steps + 1
        if at == id_ or (parent is not None and parent not in above):
            bad.add(number)
    return bad


@pytest.mark.parametrize("seed", seeds(60, daily=20))
def test_random_trees_against_the_oracle(database: Path, seed: int) -> None:
    chance = random.Random(seed)
    ids = [f"n{i}" for i in range(chance.randint(2, 25))]
    tree: Tree = {id_: chance.choice([*ids[:at], None]) for at, id_ in enumerate(ids)}
    warehouse = {id_: tree[id_] for id_ in ids if chance.random() < 0.5}
    for id_ in list(warehouse):  # no child without its parent there
        while (parent := tree[id_]) is not None:
            warehouse[parent], id_ = tree[parent], parent
    rows: list[Row] = [(id_, tree[id_]) for id_ in ids if id_ not in warehouse or chance.random() < 0.4]
    rows = [(id_, chance.choice([*ids, "nowhere"]) if chance.random() < 0.2 else parent) for id_, parent in rows]
    chance.shuffle(rows)
    named = {id_ for id_, _ in rows}
    old = {id_: parent for id_, parent in warehouse.items() if id_ not in named}
    other = {n for n in range(1, len(rows) + 1) if chance.random() < 0.1}
    bad = bad_in(rows, old) | other
    staged(database, rows, old, dict.fromkeys(other, "invalid_type"))
    expected = oracle(rows, old, bad)
    result = run_stage(quarantine_records, database, RECORDS, QUARANTINE, len(rows))
    if len(expected) == len(rows):
        assert bool(result.refusal) == bool(rows)
    else:
        assert set(held(database)) == expected


def test_a_chain_of_a_million_below_a_bad_record_takes_twenty_rounds(database: Path) -> None:
    """Walking it record by record would take a million rounds, and hours."""
    staged(database, [])
    with duckdb.connect(str(database)) as connection:
        connection.execute("drop view edges")
        connection.execute(
            """create table edges as
            select i as number, 'r' || i as id, 'r' || (i - 1) as parent, i as _row, nullif(i - 1, 0) as above
            from range(1, 1000001) t(i)"""
        )
        connection.execute("""create or replace table raw as select _row, id, parent as "parentId", 'n' as name from edges
            union all select 1000002, 'good', null, 'n'""")
        connection.execute("create or replace table incoming as select * from raw")
        connection.execute(
            "insert into findings by name select 'error' as severity, 1 as row, 'missing_parent' as code, 'm' as message"
        )
    assert run_stage(quarantine_records, database, RECORDS, QUARANTINE, 1_000_001) == Quarantined(1_000_000)
