"""The SQL checks: given rows, expected findings. Random ones are in test_hierarchy_property.py."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.datasets.dataset import load_dataset
from pipeline.staging.hierarchy import lay_out
from pipeline.validate import parent_causes
from pipeline.validate.cycles import PATH_SHOWN, find_cycles
from pipeline.validate.missing_parents import likely_spellings
from pipeline.validate.sql_check_file import Check, read_check
from pipeline.validate.sql_checks import run_checks
from pipeline.validate.tree_overlay import add_edges, ask_for
from tests.support.staging import run_stage
from tests.support.tables import fill

Tree = dict[str, str | None]  # id -> parent
Offenders = Callable[[str], list[dict[str, object]]]

RECORDS = load_dataset("records")
CHECKS = [read_check(path) for path in RECORDS.check_files]


@pytest.fixture
def connection(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(database)) as connection:
        yield connection


def checked(
    connection: duckdb.DuckDBPyConnection,
    rows: list[tuple[str | None, str | None]] | list[tuple[str | None, str | None, str]],
    warehouse: Tree | None = None,
) -> Offenders:
    """Run every check on records (id, parent, name) below the warehouse's edges; gives a check's offenders by its name."""
    full = [(number, *row, "name")[:4] for number, row in enumerate(rows, 1)]
    connection.execute('create or replace table raw (_row bigint, id varchar, "parentId" varchar, name varchar)')
    if full:
        fill(connection, "raw", full)
    connection.execute("create or replace table incoming as select *, '{}' as attributes from raw")
    connection.execute("drop table if exists links")
    connection.execute("create or replace table lines as select 1::bigint as first_row, 2::bigint as first_line")
    lay_out(connection, RECORDS)
    connection.execute('create or replace table warehouse_edges (id varchar, "parentId" varchar)')
    if warehouse:
        fill(connection, "warehouse_edges", warehouse.items())
    run_checks(connection, CHECKS)

    def offenders(name: str) -> list[dict[str, object]]:
        cursor = connection.execute(f'select * from "check_{name}"')
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    return offenders


# --- Given rows, expected rows ---


def test_a_good_file_has_no_findings(connection: duckdb.DuckDBPyConnection) -> None:
    offenders = checked(connection, [("2", "1"), ("1", None), ("3", "w")], {"w": "v", "v": None})
    assert [one.name for one in CHECKS if offenders(one.name)] == []


def test_an_empty_file_has_no_findings(connection: duckdb.DuckDBPyConnection) -> None:
    offenders = checked(connection, [])
    assert [one.name for one in CHECKS if offenders(one.name)] == []


def test_equal_duplicates_and_conflicting_ones_are_told_apart(connection: duckdb.DuckDBPyConnection) -> None:
    rows = [("1", None, "a"), ("1", None, "a"), ("2", None, "a"), ("2", None, "b"), ("2", None, "a"), ("1", None, "a")]
    offenders = checked(connection, rows)
    assert [(o["_row"], o["value"], o["related"]) for o in offenders("duplicate_id")] == [
        (2, "1", ["1", "6"]),
        (6, "1", ["1", "2"]),
    ]
    assert [(o["_row"], o["value"], o["related"]) for o in offenders("conflicting_duplicate")] == [
        (3, "2", ["4", "5"]),
        (4, "2", ["3", "5"]),
        (5, "2", ["3", "4"]),
    ]


def test_records_without_an_id_are_no_duplicates(connection: duckdb.DuckDBPyConnection) -> None:
    offenders = checked(connection, [(None, "1"), (None, "1"), ("1", None)])
    assert [one.name for one in CHECKS if offenders(one.name)] == []


def test_many_rows_of_one_id_do_not_name_all_the_others(connection: duckdb.DuckDBPyConnection) -> None:
    offenders = checked(connection, [("1", None, "a")] * 500)("duplicate_id")
    assert len(offenders) == 499
    assert max(len(o["related"]) for o in offenders) == 10  # type: ignore[arg-type]


def test_a_missing_parent_comes_with_the_nearest_spelling(connection: duckdb.DuckDBPyConnection) -> None:
    rows = [("FR", None), ("FR-01", "fr"), ("é1", None), ("5", "E-01"), ("6", "nowhere"), (None, "gone"), ("7", "--")]
    offenders = checked(connection, rows, {"W-9": None})("missing_parent")
    assert [(o["_row"], o["value"], o["hint"]) for o in offenders] == [
        (2, "fr", f"Did you mean FR? {CASE}"),
        (4, "E-01", None),
        (5, "nowhere", None),
        (6, "gone", None),
        (7, "--", 'If "--" means that a record has no parent, leave it empty, or declare it: no_parent_values=--.'),
    ]


NONE = 'If "{0}" means that a record has no parent, leave it empty, or declare it: no_parent_values={0}.'
CASE = 'They differ in case only; one rule makes them one: clean={"case": {"value": "upper", "columns": ["id", "parentId"]}}.'
ALIKE = "Did you mean {}? They look alike, but the parent has {}, the ID has {}."
CAUSES = {
    "a word for none": ([("a", None), ("b", "NULL")], NONE.format("NULL")),
    "zero": ([("1", None), ("2", "0")], NONE.format("0")),
    "copied from PostgreSQL": ([("1", None), ("2", r"\N")], NONE.format(r"\N")),
    "a tree widget's root": ([("1", None), ("2", "#")], NONE.format("#")),
    "a name": (
        [("1", None, "Europe"), ("2", "Europe", "x")],
        'Record "1" has that name; parents are given by name: parent_by=name.',
    ),
    "a name of two": (
        [("1", None, "Europe"), ("3", None, "Europe"), ("2", "Europe", "x")],
        'Several records have that name, for instance "1", "3". Write the ID of one of them.',
    ),
    "a name that is a word for none too": (
        [("1", None, "Root"), ("2", "Root", "x")],
        'Record "1" has that name; parents are given by name: parent_by=name.',
    ),
    "a number that is elsewhere by chance": ([("1", None, "7"), ("2", "7", "x")], None),
    "a title that begins with an ID": (
        [("11401", None), ("2", "Story #11401: Export")],
        'It contains the ID "11401": write only the ID.',
    ),
    "an ID and a name": ([("FR-75", None), ("2", "FR-75 - Paris")], 'It contains the ID "FR-75": write only the ID.'),
    "an ID of two words": ([("New York", None), ("2", "New York - US")], 'It contains the ID "New York": write only the ID.'),
    "several, with bars": (
        [("A", None), ("B", None), ("C", "A|B")],
        'It has several IDs: "A", "B". A record can have only one parent.',
    ),
    "several, with commas": (
        [("A", None), ("B", None), ("C", "B, A")],
        'It has several IDs: "A", "B". A record can have only one parent.',
    ),
    "several, as JSON": (
        [("A", None), ("B", None), ("C", '["B","A"]')],
        'It has several IDs: "A", "B". A record can have only one parent.',
    ),
    "the number of a row": (
        [("A", None), ("B", "2")],
        'No ID is a number. If it is the number of a row or a line, write the ID: row 2 has "B". Line 2 has "A".',
    ),
    "a Cyrillic letter": (
        [("A1", None), ("2", "\u04101")],
        ALIKE.format("A1", "U+0410 CYRILLIC CAPITAL LETTER A", "U+0041 LATIN CAPITAL LETTER A"),
    ),
    "full-width digits": (
        [("A1", None), ("2", "A\uff11")],
        ALIKE.format("A1", "U+FF11 FULLWIDTH DIGIT ONE", "U+0031 DIGIT ONE"),
    ),
    "another space": (
        [("a\u00a0b", None), ("2", "a b")],
        ALIKE.format("a\u00a0b", "U+0020 SPACE", "U+00A0 NO-BREAK SPACE")
        + ' The rules clean={"trim": true, "collapse_spaces": true} make them one.',
    ),
    "another Unicode form": (
        [("Z\u00fcrich", None), ("2", "Zu\u0308rich")],
        ALIKE.format(
            "Z\u00fcrich",
            "U+0075 LATIN SMALL LETTER U, U+0308 COMBINING DIAERESIS",
            "U+00FC LATIN SMALL LETTER U WITH DIAERESIS",
        )
        + ' The rule clean={"nfc": true} makes them one.',
    ),
    "an invisible character": (
        [("ab", None), ("2", "a\u200bb")],
        ALIKE.format("ab", "U+200B ZERO WIDTH SPACE", "nothing there"),
    ),
    "zeros": (
        [("007", None), ("2", "7")],
        "Did you mean 007? Zeros before 7 make them different: a spreadsheet removes them from numbers.",
    ),
    "case": ([("EU", None), ("2", "eu")], f"Did you mean EU? {CASE}"),
    "a space at the end": ([("EU ", None), ("2", "EU")], 'Did you mean "EU "?'),
    "an invisible character in the ID": (
        [("a\u200bb", None), ("2", "ab")],
        ALIKE.format('"a\\u200bb"', "nothing there", "U+200B ZERO WIDTH SPACE"),
    ),
    "a negative number": ([("1", None), ("2", "-9999")], NONE.format("-9999")),
    "a negative number among negative numbers": ([("-1", None), ("2", "-9999")], None),
    "an error of a spreadsheet": (
        [("1", None), ("2", "#REF!")],
        '"#REF!" is an error of a spreadsheet, saved as text. Correct it there, and save the file again.',
    ),
    "a lookup that found nothing": (
        [("1", None), ("2", "#N/A")],
        '"#N/A" is an error of a spreadsheet, saved as text. Correct it there, and save the file again.'
        " If it means that a record has no parent: no_parent_values=#N/A.",
    ),
    "a second header": (
        [("1", None), ("id", "Parent_ID")],
        'It is the name of the column: this may be a second header. If so, leave it out: clean={"skip_rows": [3]}.',
    ),
    "the end of an ID": (
        [("http://x/Q1", None), ("2", "Q1")],
        'The ID "http://x/Q1" ends with it: write the whole ID.',
    ),
    "the end of several IDs": ([("x/Q1", None), ("y/Q1", None), ("2", "Q1")], None),
    "decimals": (
        [("7", None), ("2", "7.0")],
        "Did you mean 7? The parents were written as decimals: write the column as whole numbers, or as text.",
    ),
    "none of these": ([("7", None), ("2", "elsewhere")], None),
}


@pytest.mark.parametrize(("rows", "hint"), CAUSES.values(), ids=CAUSES)
def test_a_missing_parent_is_diagnosed(connection: duckdb.DuckDBPyConnection, rows: list[Any], hint: str | None) -> None:
    rows = [(*row, "")[:3] for row in rows]
    (offender,) = checked(connection, rows)("missing_parent")
    assert offender["hint"] == hint


@pytest.mark.parametrize("word", ["0", "-", "NULL", "n/a", r"\N", "#", "root", "none", "null", "nil"])
def test_a_word_for_none_is_diagnosed_as_one(connection: duckdb.DuckDBPyConnection, word: str) -> None:
    rows = [("a1", None, "x"), ("b1", word, "y"), ("c1", word, "z"), ("d1", f"{word}~x", "w")]
    offenders = checked(connection, rows)("missing_parent")
    assert [(one["_row"], one["hint"]) for one in offenders if one["value"] == word] == [
        (2, NONE.format(word)),
        (3, NONE.format(word)),
    ]
    assert {one["hint"] for one in offenders if one["value"] != word} == {None}


def test_fifty_thousand_rows_of_one_cause_have_one_hint(connection: duckdb.DuckDBPyConnection) -> None:
    checked(connection, [("top", None), *((f"x{n}", "NULL") for n in range(50_000))])
    found = connection.execute("select count(*), any_value(hint), count(distinct hint) from check_missing_parent").fetchall()
    assert found == [(50_000, NONE.format("NULL"), 1)]


def test_one_parent_of_all_that_is_missing_may_be_the_root(connection: duckdb.DuckDBPyConnection) -> None:
    rows = [("10", "1"), ("11", "1"), ("12", "10")]
    said = (
        'No record lacks a parent, and no other parent is missing. If "1" is the root, add its record, or declare that it means'
        " no parent: no_parent_values=1."
    )
    assert [one["hint"] for one in checked(connection, rows)("missing_parent")] == [said, said]
    (other, *_) = checked(connection, [*rows, ("13", None)])("missing_parent")
    assert other["hint"] == "Add the parent to the file, or correct the parent ID. 3 records of the file are its descendants."


def test_an_error_of_a_spreadsheet_is_no_id(connection: duckdb.DuckDBPyConnection) -> None:
    rows = [("#####", None), ("#n/a", None), ("#REF!", None), ("#1", None), ("##", None), ("#", None), ("$", None)]
    assert [one["value"] for one in checked(connection, rows)("spreadsheet_error")] == ["#####", "#n/a", "#REF!"]


def test_roots_that_name_themselves_as_their_parent_are_recognised(connection: duckdb.DuckDBPyConnection) -> None:
    (offender,) = checked(connection, [("1", "1"), ("2", "1")])("self_parent")
    assert "no_parent_values={id}" in offender["hint"]
    (offender,) = checked(connection, [("1", "1"), ("2", "1"), ("3", None)])("self_parent")
    assert offender["hint"] is None


def test_causes_that_need_no_comparison_are_found_for_any_number_of_parents(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parent_causes, "COMPARED_MOST", 1)
    rows = [
        ("1", None, "one"),
        ("2", "one", "two"),
        ("3", "2.0", "three"),
        ("4", "null", "four"),
        ("5", "Q", ""),
        ("a", None, ""),
    ]
    hints = [str(one["hint"]).partition(" ")[0] for one in checked(connection, rows)("missing_parent")]
    assert hints == ["Record", "Did", "If", "None"]


@pytest.mark.parametrize(
    ("parent", "meant"),
    [
        ("Pari", "Paris"),
        ("Parris", "Paris"),
        ("Paros", "Paris"),
        ("Prais", "Paris"),
        ("Pa", None),
        ("Berne", None),
        ("1235", None),
    ],
)
def test_a_missing_parent_that_is_one_slip_away_is_guessed(
    connection: duckdb.DuckDBPyConnection, parent: str, meant: str | None
) -> None:
    rows = [("Paris", None), ("Bern1", None), ("Bern2", None), ("1234", None), ("x", parent)]
    (offender,) = checked(connection, rows)("missing_parent")
    assert offender["hint"] == (f"Did you mean {meant}?" if meant else None)


def test_a_missing_parent_says_how_many_descendants_it_has(connection: duckdb.DuckDBPyConnection) -> None:
    """Also what hangs there through the warehouse, and nothing that goes in circles."""
    rows = [("a", "gone"), ("b", "gone"), ("c", "b"), ("d", "w"), ("e", "lost"), ("f", None), ("g", "h"), ("h", "g")]
    offenders = checked(connection, rows, {"w": "c"})("missing_parent")
    assert [(o["_row"], str(o["hint"]).partition(". ")[2] or o["hint"]) for o in offenders] == [
        (1, "4 records of the file are its descendants."),
        (2, "4 records of the file are its descendants."),
        (5, None),
    ]


def test_a_misspelt_parent_is_found_in_the_warehouse(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    checked(connection, [("0001", None), ("0002", "7"), ("0003", "FR")])
    asked = connection.execute(f"select id from ({likely_spellings('(select distinct parent as id from orphans)')})").fetchall()
    assert {("0007",), ("fr",)} <= set(asked)


def test_ids_that_can_be_taken_for_one_another_are_a_warning(connection: duckdb.DuckDBPyConnection) -> None:
    rows = [("ab", None), ("AB", None), ("caf\u00e9", None), ("cafe\u0301", None), ("007", None), ("7", None), ("8", None)]
    offenders = checked(connection, [*rows, ("x", "W1")], {"W1": None, "X": None, "w1": None})("similar_id")
    assert {(o["_row"], o["value"], o["path"], *o["related"]) for o in offenders} == {  # type: ignore[misc]
        (1, "ab", "AB", "2"),
        (3, "caf\u00e9", "cafe\u0301", "4"),
        (5, "007", "7", "6"),
        (8, "x", "X"),
    }, "and what is in the warehouse alone is not this file's"
    assert checked(connection, [("1", None), ("10", None), ("100", "1")])("similar_id") == []


def test_ids_that_a_spreadsheet_made_dates_are_a_warning(connection: duckdb.DuckDBPyConnection) -> None:
    dates = ["1-Mar", "2-Sep", "Dec-01", "01. Mrz", "5-SEPT", "3-avr"]
    others = ["TP53", "A-12", "2024-01", "Mar-2024", "1-Marble", "Decem-01", "1-2", "dec", "31-Mars-1"]
    offenders = checked(connection, [(one, None) for one in dates + others])("spreadsheet_damage")
    assert [o["value"] for o in offenders] == dates


def test_ids_that_a_spreadsheet_rounded_are_a_warning(connection: duckdb.DuckDBPyConnection) -> None:
    offenders = checked(connection, [("1.23457E+15", None), ("E+", None), ("1E5", None)])("spreadsheet_damage")
    assert [o["_row"] for o in offenders] == [1]
    rounded = [(f"12345678901234{n}00", None) for n in range(5)]
    assert len(checked(connection, rounded)("spreadsheet_damage")) == 5
    assert checked(connection, [(f"1234567890123456{n}", None) for n in range(10)])("spreadsheet_damage") == []


def test_a_self_parent_is_no_cycle_and_not_missing(connection: duckdb.DuckDBPyConnection) -> None:
    offenders = checked(connection, [("1", "1"), ("2", "1")])
    assert [(o["_row"], o["value"]) for o in offenders("self_parent")] == [(1, "1")]
    assert offenders("circular_reference") == []
    assert offenders("missing_parent") == []


def test_a_cycle_is_one_finding_with_its_path_and_without_its_descendants(connection: duckdb.DuckDBPyConnection) -> None:
    rows = [("c", "a"), ("b", "c"), ("a", "b"), ("below", "a"), ("deeper", "below"), ("top", None)]
    (offender,) = checked(connection, rows)("circular_reference")
    assert offender["cycle"] == ["a", "b", "c", "a"]
    assert (offender["_row"], offender["value"], offender["length"]) == (3, "a", 3)
    assert sorted(offender["related"]) == ["1", "2", "3"]  # type: ignore[call-overload]
    assert offender["path"] == "a → b → c → a"


def test_a_cycle_through_the_warehouse_says_which_edges_are_old(connection: duckdb.DuckDBPyConnection) -> None:
    (offender,) = checked(connection, [("b", "a")], {"a": "x", "x": "b"})("circular_reference")
    assert offender["cycle"] == ["a", "x", "b", "a"]
    assert offender["_row"] == 1
    assert str(offender["hint"]).startswith("In the warehouse: a → x, x → b.")


def test_duplicates_do_not_break_the_search_for_circles(connection: duckdb.DuckDBPyConnection) -> None:
    """Of duplicates the first one's edge counts."""
    offenders = checked(connection, [("1", "2"), ("2", "1"), ("2", None), ("1", "1"), ("3", None), ("3", "1")])
    assert [o["cycle"] for o in offenders("circular_reference")] == [["1", "2", "1"]]


def test_a_long_cycle_is_shown_without_its_middle(connection: duckdb.DuckDBPyConnection) -> None:
    size = PATH_SHOWN + 5
    connection.execute(_edges(size, f"(i + 1) % {size}"))
    assert find_cycles(connection) == 1
    ((path, length),) = connection.execute("select path, length from cycles").fetchall()
    half = PATH_SHOWN // 2
    assert length == size
    assert path[:2] == ["i0000000", "i0000001"]
    assert path[half - 1 : half + 2] == [f"i{half - 1:07}", "(5 more)", f"i{half + 5:07}"]
    assert path[-2:] == [f"i{size - 1:07}", "i0000000"]
    assert len(path) == PATH_SHOWN + 2


def _edges(size: int, above: str) -> str:
    return f"""create or replace table edges as
        with n as (select i as number, printf('i%07d', i) as id, {above} as above from range({size}) t(i))
        select n.number, n.id, up.id as parent, n.number as _row, up.number as above
        from n left join n up on n.above = up.number"""


def test_descendants_of_a_cycle_are_reported_apart_from_it(connection: duckdb.DuckDBPyConnection) -> None:
    rows = [("a", "b"), ("b", "a"), ("c", "a"), ("d", "c"), ("e", "w"), ("f", None), ("g", "g")]
    offenders = checked(connection, rows, {"w": "d"})
    assert [(o["_row"], o["value"], o["path"], o["related"]) for o in offenders("below_cycle")] == [
        (3, "a", "a → b → a", ["1", "2"]),
        (4, "c", "a → b → a", ["1", "2"]),
        (5, "w", "a → b → a", ["1", "2"]),
    ]
    assert len(offenders("circular_reference")) == 1


def test_depth_costs_rounds_and_not_steps(connection: duckdb.DuckDBPyConnection) -> None:
    """A chain and a ring of 200,000 records: a walk of that many steps would not end in time."""
    size = 200_000
    connection.execute(_edges(size, "i + 1"))
    assert find_cycles(connection) == 0
    connection.execute(_edges(size, f"(i + 1) % {size}"))
    assert find_cycles(connection) == 1
    assert connection.execute("select length, path[1], _row from cycles").fetchall() == [(size, "i0000000", 0)]
    assert connection.execute("select count(distinct _row) from cycle_rows").fetchall() == [(size,)]
    connection.execute(_edges(size, "case when i > 0 then i - 1 else 1 end"))
    assert find_cycles(connection) == 1
    assert connection.execute("select count(*) from below_cycles").fetchall() == [(size - 2,)]


# --- Old faults of the warehouse ---

RING: Tree = {"a": "b", "b": "a"}


@pytest.mark.parametrize(
    ("rows", "warehouse"),
    [
        ([("p", None)], {"w": "p"}),  # an orphan of the warehouse gets its parent
        ([("p", "w2"), ("x", "w")], {"w": "p", "w2": None}),
        ([("a", None), ("x", "b")], {"b": "a"}),  # a circle is opened, and something hung below it
        ([("a", "c"), ("c", None), ("x", "a")], {"b": "a"}),
        ([("x", "w")], {"w": None, **RING}),  # a circle that was asked for by chance
        ([("x", "w")], {"w": "gone"}),
    ],
)
def test_a_file_that_corrects_an_old_fault_or_leaves_it_alone_has_no_findings(
    connection: duckdb.DuckDBPyConnection, rows: list[tuple[str | None, str | None]], warehouse: Tree
) -> None:
    offenders = checked(connection, rows, warehouse)
    assert [one.name for one in CHECKS if offenders(one.name)] == []


def test_descendants_of_an_old_cycle_are_reported_at_their_first_row(connection: duckdb.DuckDBPyConnection) -> None:
    offenders = checked(connection, [("top", None), ("x", "w"), ("y", "b"), ("z", "x")], {"w": "a", **RING})
    (offender,) = offenders("circular_reference")
    assert (offender["_row"], offender["cycle"], offender["related"]) == (2, ["a", "b", "a"], ["2", "3", "4"])
    assert offender["message"] == ("The record is a descendant of a cycle of 2 records in the warehouse: a → b → a.")
    assert str(offender["hint"]).startswith("In the warehouse: a → b, b → a.")
    assert [o["_row"] for o in offenders("below_cycle")] == [3, 4]


# --- What is asked of the warehouse ---


def test_the_parents_to_ask_for_are_those_not_in_the_file(tmp_path: Path, database: Path) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            """create table incoming as select * from (values
            (1, 'a', null), (2, 'b', 'a'), (3, 'c', 'x'), (4, 'd', 'x'), (5, null, 'y,"z'), (6, 'e', 'e')
            ) t(_row, id, "parentId")"""
        )
    assert run_stage(ask_for, database, RECORDS, tmp_path / "wanted.parquet") == 4
    asked = duckdb.sql(f"from '{tmp_path / 'wanted.parquet'}'")
    assert asked.columns == ["what", "id", "parent"]
    assert [row[1] for row in asked.fetchall()] == ["X", 'Y,"Z', "x", 'y,"z'], "and what they may be misspellings of"


def test_an_edge_of_the_file_takes_the_place_of_the_warehouses(tmp_path: Path, database: Path) -> None:
    edges = tmp_path / "edges.parquet"
    duckdb.sql(f"copy (select * from (values ('a', 'b'), ('x', 'a')) t(id, \"parentId\")) to '{edges}' (format parquet)")
    with duckdb.connect(str(database)) as connection:
        connection.execute("create table incoming as select 1 as _row, 'a' as id, 'x' as \"parentId\"")
        lay_out(connection, RECORDS)
    run_stage(add_edges, database, edges)
    with duckdb.connect(str(database)) as connection:
        assert connection.execute("from warehouse_edges").fetchall() == [("x", "a")]
        assert connection.execute("from overridden").fetchall() == [("a", "b")]


# --- The files ---


def test_a_check_is_read_from_its_opening_comment(tmp_path: Path) -> None:
    file = tmp_path / "no_x.sql"
    file.write_text(
        "-- The {value} is wrong: really.\n-- severity: warning\n-- code: wrong\n-- column: name\n-- hint: Mend: it.\n"
        "-- expects: All is well.\nselect 1 as _row;\n"
    )
    assert read_check(file) == Check(
        name="no_x",
        message="The {value} is wrong: really.",
        code="wrong",
        severity="warning",
        column="name",
        hint="Mend: it.",
        expects="All is well.",
        query=file.read_text().rstrip().rstrip(";"),
    )
    file.write_text("-- Wrong.\nselect 1 as _row")
    plain = read_check(file)
    assert (plain.code, plain.severity, plain.expects) == ("check_failed", "error", "No no x.")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_shipped_checks_say_all_there_is_to_say(check: Check) -> None:
    assert check.code == check.name
    assert check.hint and not check.expects.startswith("No no ") and check.column in ("key", "parent")


def test_checking_does_not_need_great_expectations_until_it_judges() -> None:
    import subprocess

    script = "import sys, pipeline.validate.sql_checks; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
