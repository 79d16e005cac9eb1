"""The rules for values in the tree that results: given rows, expected findings; and random trees against plain Python."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.contracts.options import OnError, Options
from pipeline.datasets.dataset import Column, Dataset, load_dataset
from pipeline.errors import InvalidConfiguration
from pipeline.prepare.manifest import BatchSizes
from pipeline.report.findings import Counted
from pipeline.sandbox import validate_file
from pipeline.settings import ROOT
from pipeline.staging.hierarchy import lay_out
from pipeline.validate.sql_check_file import read_check
from pipeline.validate.sql_checks import _find_by_check, run_checks
from pipeline.validate.tree_overlay import add_edges, ask_for
from tests.support.tables import fill
from tests.support.tree_edges import answer

Record = tuple[str, str | None, str | None, str | None]
"""id, parent, kind, note"""

PLAIN = load_dataset("places")
COLUMNS = tuple(Column(name, "text", False) for name in ("id", "parentId", "kind", "note"))
RANKS = {"column": "kind", "order": ["Country", "Region", "City"]}


def ruled(rules: dict[str, Any], bounds: dict[str, Any] | None = None) -> Dataset:
    """A dataset of places with a note, with these rules and no others of its own."""
    meta = {"key": "id", "parent": "parentId", "rules": rules, "bounds": bounds or {}}
    return replace(PLAIN, name="ruled", columns=COLUMNS, suite={"name": "ruled", "meta": meta, "expectations": []})


def edges_for(records: list[Record], wanted: Path, to: Path, columns: tuple[str, ...]) -> Path:
    """Answer what the warehouse is asked, with the values of the columns that the rules look at."""
    known = {one: {"kind": kind, "note": note} for one, _, kind, note in records}
    found = answer({one: parent for one, parent, *_ in records}, pq.read_table(wanted).to_pylist())
    rows = [
        {"id": one, "parentId": parent, **{f"value_{n}": known[one][c] for n, c in enumerate(columns)}}
        for one, parent in found.items()
    ]
    names = ["id", "parentId", *(f"value_{n}" for n, _ in enumerate(columns))]
    pq.write_table(pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in names])), to)
    return to


@contextmanager
def checked(
    folder: Path, file: list[Record], warehouse: list[Record], dataset: Dataset, *, every: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A staging database in which the checks have run."""
    with duckdb.connect() as connection:
        connection.execute('create table raw (_row bigint, id varchar, "parentId" varchar, kind varchar, note varchar)')
        fill(connection, "raw", ((n, *row) for n, row in enumerate(file, 1)))
        connection.execute("create table incoming as from raw")
        connection.execute("create table lines as select 1::bigint as first_row, 2::bigint as first_line")
        lay_out(connection, dataset)
        ask_for(connection, dataset, folder / "wanted.parquet")
        edges = edges_for(warehouse, folder / "wanted.parquet", folder / "edges.parquet", dataset.tree_rules.columns)
        add_edges(connection, edges)
        checks = [read_check(path) for path in dataset.check_files if every or path.parent.name in ("rules", "bounds")]
        run_checks(connection, checks)
        for one in checks:
            _find_by_check(connection, one, dataset)
        yield connection


def found(folder: Path, file: list[Record], warehouse: list[Record] | None = None, **said: Any) -> list[tuple[str, int, str]]:
    bounds = said.pop("bounds", None)
    with checked(folder, file, warehouse or [], ruled(said, bounds)) as connection:
        return connection.execute(
            "select code, row, message from findings where severity = 'error' order by code, row, message"
        ).fetchall()


def codes(folder: Path, file: list[Record], warehouse: list[Record] | None = None, **said: Any) -> list[tuple[str, int]]:
    return [(code, row) for code, row, _ in found(folder, file, warehouse, **said)]


# --- Given rows, expected findings ---

GOOD: list[Record] = [("FR", None, "Country", None), ("FR.1", "FR", "Region", None), ("FR.1.2", "FR.1", "City", "a")]


def test_a_tree_that_keeps_all_rules_has_no_findings(tmp_path: Path) -> None:
    rules = {"ranks": {**RANKS, "strict": True}, "unique_siblings": ["kind", "note"], "code_prefix": {"separator": "."}}
    assert found(tmp_path, GOOD, **rules, leaf_only="note", bounds={"min_depth": 3}) == []


def test_a_kind_comes_after_its_parents(tmp_path: Path) -> None:
    rows: list[Record] = [("a", None, "City", None), ("b", "a", "Region", None), ("c", "w", "City", None)]
    assert found(tmp_path, rows, [("w", None, "City", None)], ranks=RANKS) == [
        (
            "wrong_rank",
            2,
            'The record is of the kind "Region", and its parent a is of the kind "City". The order is Country, Region, City.',
        ),
        (
            "wrong_rank",
            3,
            'The record is of the kind "City", and its parent w is of the kind "City". The order is Country, Region, City.',
        ),
    ]


def test_a_kind_that_changes_answers_for_its_children_in_the_warehouse(tmp_path: Path) -> None:
    warehouse: list[Record] = [
        ("a", None, "Country", None),
        ("b", "a", "Region", None),
        ("c", "b", "City", None),
        ("d", "b", "City", None),
    ]
    assert codes(tmp_path, [("b", "a", "Region", None)], warehouse, ranks=RANKS) == []
    ((code, row, message),) = found(tmp_path, [("b", "a", "City", None)], warehouse, ranks=RANKS)
    assert (code, row) == ("wrong_rank", 1)
    assert "its child c in the warehouse" in message and message.endswith("2 of its children are not in order.")


def test_strict_ranks_leave_none_out(tmp_path: Path) -> None:
    rows: list[Record] = [("a", None, "Country", None), ("b", "a", "City", None), ("c", None, "Region", None)]
    assert codes(tmp_path, rows, ranks=RANKS) == []
    assert codes(tmp_path, rows, ranks={**RANKS, "strict": True}) == [("wrong_rank", 2), ("wrong_rank", 3)]


def test_an_unknown_kind_is_named_with_what_is_possible(tmp_path: Path) -> None:
    rows: list[Record] = [("a", None, "country", None), ("b", "a", None, None)]
    assert found(tmp_path, rows, ranks=RANKS) == [
        ("unknown_rank", 1, 'The kind "country" is unknown; possible are Country, Region, City.'),
        ("unknown_rank", 2, "The record has no kind; possible are Country, Region, City."),
    ]


def test_siblings_differ_in_the_columns_declared(tmp_path: Path) -> None:
    rows: list[Record] = [("a", None, "x", "Bern"), ("b", "a", "x", "Bern"), ("c", "a", "x", "Bern"), ("d", "w", "x", "Bern")]
    warehouse: list[Record] = [("w", None, "x", "Bern"), ("v", "w", "x", "Bern"), ("u", "w", "x", "Basel")]
    messages = [message for _, _, message in found(tmp_path, rows, warehouse, unique_siblings="note")]
    assert codes(tmp_path, rows, warehouse, unique_siblings="note") == [("duplicate_sibling", row) for row in (1, 3, 4)]
    assert messages[0] == 'Another root has "Bern" in note too: w.'
    assert messages[1] == 'Another record below the same parent has "Bern" in note too: b.'
    assert codes(tmp_path, rows[:2], unique_siblings=["kind", "note"]) == []


def test_siblings_may_be_compared_without_case_and_outer_spaces(tmp_path: Path) -> None:
    rows: list[Record] = [("a", None, "x", None), ("b", "a", "x", "É"), ("c", "a", "x", " e\u0301"), ("d", "a", "x", None)]
    assert codes(tmp_path, rows, unique_siblings="note") == []
    assert codes(tmp_path, rows, unique_siblings={"columns": "note", "folded": True}) == [("duplicate_sibling", 3)]


def test_a_sibling_that_the_file_moves_away_makes_room(tmp_path: Path) -> None:
    warehouse: list[Record] = [("w", None, "x", "r"), ("v", "w", "x", "n"), ("u", None, "x", "s")]
    rows: list[Record] = [("v", "u", "x", "n"), ("t", "w", "x", "n")]
    assert codes(tmp_path, rows, warehouse, unique_siblings="note") == []
    assert codes(tmp_path, rows[1:], warehouse, unique_siblings="note") == [("duplicate_sibling", 1)]


def test_an_id_begins_with_its_parents(tmp_path: Path) -> None:
    rows: list[Record] = [("1", None, None, None), ("1.1", "1", None, None), ("12", "1", None, None), ("2.1", "1", None, None)]
    assert codes(tmp_path, rows, code_prefix=True) == [("wrong_prefix", 4)]
    assert found(tmp_path, rows, code_prefix={"separator": "."})[0] == (
        "wrong_prefix",
        3,
        'The ID 12 does not begin with "1.", as its parent says.',
    )
    assert codes(tmp_path, [("31", "3-3", None, None)], [("3-3", None, None, None)], code_prefix=True) == [("wrong_prefix", 1)]


def test_only_leaves_have_a_value(tmp_path: Path) -> None:
    rows: list[Record] = [("a", None, None, "5"), ("b", "a", None, "5"), ("c", "w", None, None), ("d", "v", None, "")]
    warehouse: list[Record] = [("w", None, None, "5"), ("v", None, None, None), ("d", "v", None, "5"), ("e", "d", None, None)]
    assert codes(tmp_path, rows, warehouse, leaf_only=["note"]) == [("value_in_branch", 1), ("value_in_branch", 3)]


def test_only_branches_have_a_value(tmp_path: Path) -> None:
    warehouse: list[Record] = [("w", None, None, "5"), ("v", "w", None, None), ("u", None, None, None)]
    assert codes(tmp_path, [("a", None, None, "5"), ("w", None, None, "6")], warehouse, branch_only="note") == [
        ("value_in_leaf", 1)
    ]
    ((code, row, message),) = found(tmp_path, [("v", "u", None, None)], warehouse, branch_only="note")
    assert (code, row) == ("value_in_leaf", 1) and message.startswith("The record is moved away from w, which then has no")
    assert codes(tmp_path, [("v", "u", None, None), ("t", "w", None, None)], warehouse, branch_only="note") == []


def test_leaves_are_deep_enough(tmp_path: Path) -> None:
    warehouse: list[Record] = [("r", None, None, None), ("s", "r", None, None), ("t", "s", None, None), ("q", "r", None, None)]
    bounds = {"min_depth": 3}
    assert codes(tmp_path, [("a", None, None, None), ("b", "r", None, None)], warehouse, bounds=bounds) == [
        ("min_depth_not_reached", 1),
        ("min_depth_not_reached", 2),
    ]
    assert found(tmp_path, [("s", None, None, None)], warehouse, bounds=bounds) == [
        (
            "min_depth_not_reached",
            1,
            "Because of this record, t in the warehouse would be on level 2 without children;"
            " a record without children is on level 3 or deeper.",
        )
    ]
    assert "s in the warehouse" in found(tmp_path, [("t", "q", None, None)], warehouse, bounds=bounds)[0][2]
    assert codes(tmp_path, [("x", "nowhere", None, None)], warehouse, bounds=bounds) == [("missing_parent", 1)]


# --- A whole validation, and quarantine ---


def validated(folder: Path, text: str, dataset: Dataset, warehouse: list[Record], **options: Any) -> Counted:
    (folder / validate_file.SOURCE).write_text("id,parentId,kind,note\n" + text)

    def ask(wanted: Path) -> Path:
        return edges_for(warehouse, wanted, folder / validate_file.EDGES, dataset.tree_rules.columns)

    return validate_file.validate(folder, dataset, "a.csv", "run", BatchSizes("i"), Options(**options), ask)


def test_room_that_a_record_in_quarantine_was_to_make_is_no_room(tmp_path: Path) -> None:
    warehouse: list[Record] = [("w", None, "Country", "w"), ("v", "w", "Region", "n"), ("u", None, "Country", "u")]
    dataset = ruled({"ranks": RANKS, "unique_siblings": "note"})
    assert validated(tmp_path, "v,u,Region,n\nt,w,City,n\n", dataset, warehouse).verdict().accepted
    counted = validated(tmp_path, "v,u,none,n\nt,w,City,n\n", dataset, warehouse, on_error=OnError.QUARANTINE)
    assert counted.by_code == {"unknown_rank": 1}
    assert not counted.verdict().accepted
    assert counted.refusal.startswith("Without the quarantined records, t would break a rule. No two records")
    counted = validated(tmp_path, "v,u,none,n\nt,w,City,m\n", dataset, warehouse, on_error=OnError.QUARANTINE)
    assert counted.verdict().accepted and counted.quarantined == 1


def test_a_branch_whose_children_are_in_quarantine_is_a_leaf(tmp_path: Path) -> None:
    dataset = ruled({"ranks": RANKS, "branch_only": "note"})
    counted = validated(tmp_path, "a,,Country,5\nb,a,none,\nc,,Country,\n", dataset, [], on_error=OnError.QUARANTINE)
    assert "a would break a rule. Only records with children" in counted.refusal


# --- What a suite may say ---


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"x": 1}, r"meta\.rules is an object that takes branch_only, code_prefix"),
        ({"ranks": ["a", "b"]}, r"meta\.rules\.ranks is an object like"),
        ({"ranks": {"column": None, "order": ["a", "b"]}}, r"meta\.rules\.ranks is an object like"),
        ({"ranks": {"column": "kind", "order": ["a", "a"]}}, "two kinds or more"),
        ({"ranks": {"column": "numeric_code", "order": ["a", "b"]}}, "is a column of text"),
        ({"ranks": {"column": "kynd", "order": ["a", "b"]}}, "Did you mean kind"),
        ({"ranks": {"column": "kind", "order": ["a", "b"], "strict": 1}}, r"meta\.rules\.ranks is an object like"),
        ({"unique_siblings": []}, "possible: name, kind, alpha_3"),
        ({"unique_siblings": "parentId"}, "names 'parentId'"),
        ({"unique_siblings": {"columns": "name", "folded": 1}}, r"unique_siblings is a column, a list"),
        ({"code_prefix": "."}, r"code_prefix is true, false or"),
        ({"code_prefix": {"separator": ""}}, r"code_prefix is true, false or"),
        ({"leaf_only": 5}, "leaf_only is a column or a list"),
        ({"leaf_only": "flag", "branch_only": ["flag"]}, "in leaf_only and in branch_only"),
    ],
)
def test_a_rule_that_means_nothing_is_refused_with_what_is_possible(rules: Any, said: str, tmp_path: Path) -> None:
    (tmp_path / "expectations").mkdir()
    (tmp_path / "sql").symlink_to(ROOT / "sql")
    suite = json.loads((ROOT / "expectations" / "places.json").read_text())
    suite["meta"]["rules"] = rules
    (tmp_path / "expectations" / "places.json").write_text(json.dumps(suite))
    with pytest.raises(InvalidConfiguration, match=said):
        load_dataset("places", tmp_path)


def test_a_min_depth_above_the_max_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="at most max_depth, 2, not 3"):
        _ = ruled({}, {"max_depth": 2, "min_depth": 3}).bounds


@pytest.mark.parametrize("path", sorted((ROOT / "sql/checks/rules").glob("*.sql")), ids=lambda path: path.stem)
def test_the_checks_of_rules_have_codes_and_hints(path: Path) -> None:
    check = read_check(path)
    assert (check.code, check.severity) == (path.stem, "error")
    assert check.hint and not check.expects.startswith("No no ")


# --- Oracles: random trees, split between file and warehouse ---

IDS = [*"abcdefgh"]
KINDS = st.sampled_from(["Country", "Region", "City", "other", None])
NOTES = st.sampled_from(["1", "2", None])


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Record], list[Record]]:
    """A file and a warehouse without cycles and missing parents."""
    tree: dict[str, Record] = {}
    for place, one in enumerate(IDS[: draw(st.integers(1, 6))]):
        if draw(st.booleans()):
            parent = draw(st.sampled_from([None, *tree])) if place else None
            tree[one] = (one, parent, draw(KINDS), draw(NOTES))
    warehouse, after = [*tree.values()], {**tree}
    file: list[Record] = []
    for one in draw(st.permutations(IDS[:6])):
        if draw(st.booleans()):
            parents = [other for other in after if other != one and one not in way_up(after, other)]
            row = (one, draw(st.sampled_from([None, *parents])), draw(KINDS), draw(NOTES))
            file.append(row)
            after[one] = row
    return file, warehouse


def way_up(tree: dict[str, Record], one: str) -> list[str]:
    way = [one]
    while (parent := tree[way[-1]][1]) is not None:
        way.append(parent)
    return way


class Oracle:
    """The tree that results, and what is in it."""

    def __init__(self, file: list[Record], warehouse: list[Record]) -> None:
        self.row = {one[0]: row for row, one in enumerate(file, 1)}
        self.old = {one[0]: one for one in warehouse}
        self.tree = {**self.old, **{one[0]: one for one in file}}
        self.children = {one: [c for c, r in self.tree.items() if r[1] == one] for one in self.tree}
        self.moved = [one for one in self.row if one not in self.old or self.old[one][1] != self.tree[one][1]]


def run_oracle(folder: Path, case: tuple[list[Record], list[Record]], expected: set[tuple[str, int]], **said: Any) -> None:
    bounds = said.pop("bounds", None)
    with checked(folder, *case, ruled(said, bounds), every=False) as connection:
        rows = connection.execute("select code, row from findings").fetchall()
    assert {*rows} == expected


ORACLE = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ORACLE
@given(case=cases(), strict=st.booleans())
def test_ranks_agree_with_the_oracle(case: tuple[list[Record], list[Record]], strict: bool, tmp_path: Path) -> None:
    this, expected = Oracle(*case), set()
    rank = {one: RANKS["order"].index(str(r[2])) if r[2] in RANKS["order"] else None for one, r in this.tree.items()}
    for one, (_, parent, _, _) in this.tree.items():
        low, high = rank[one], rank.get(str(parent))
        if low is None:
            expected |= {("unknown_rank", this.row[one])} if one in this.row else set()
        elif parent is None:
            expected |= {("wrong_rank", this.row[one])} if one in this.row and strict and low > 0 else set()
        elif high is not None and (low != high + 1 if strict else low <= high):
            row = this.row.get(one, this.row.get(parent))
            expected |= {("wrong_rank", row)} if row else set()
    run_oracle(tmp_path, case, expected, ranks={**RANKS, "strict": strict})


@ORACLE
@given(case=cases())
def test_siblings_agree_with_the_oracle(case: tuple[list[Record], list[Record]], tmp_path: Path) -> None:
    this, expected = Oracle(*case), set()
    seen = {r[1:] for one, r in this.tree.items() if one not in this.row}
    for one, row in this.row.items():
        record = this.tree[one]
        if None not in record[2:] and record[1:] in seen:
            expected.add(("duplicate_sibling", row))
        seen.add(record[1:])
    run_oracle(tmp_path, case, expected, unique_siblings=["kind", "note"])


@ORACLE
@given(case=cases(), separator=st.sampled_from(["", "."]))
def test_prefixes_agree_with_the_oracle(case: tuple[list[Record], list[Record]], separator: str, tmp_path: Path) -> None:
    named = {one: one if one in "abc" else f"{'abc'[n % 3]}{'.' * (n % 2)}{one}" for n, one in enumerate(IDS)}
    both = tuple([(named[r[0]], named.get(str(r[1])), *r[2:]) for r in records] for records in case)
    this = Oracle(*both)
    expected = {
        ("wrong_prefix", row)
        for one, row in this.row.items()
        if (parent := this.tree[one][1]) is not None
        and not (one.startswith(parent + separator) and len(one) > len(parent + separator))
    }
    run_oracle(tmp_path, both, expected, code_prefix={"separator": separator} if separator else True)  # type: ignore[arg-type]


@ORACLE
@given(case=cases(), only=st.sampled_from(["leaf_only", "branch_only"]))
def test_values_of_leaves_and_branches_agree_with_the_oracle(
    case: tuple[list[Record], list[Record]], only: str, tmp_path: Path
) -> None:
    this, expected = Oracle(*case), set()
    code = {"leaf_only": "value_in_branch", "branch_only": "value_in_leaf"}[only]
    for one, record in this.tree.items():
        if record[3] is None or bool(this.children[one]) == (only == "branch_only"):
            continue
        if one in this.row:
            expected.add((code, this.row[one]))
        for other in this.moved if one not in this.row else ():
            now, before = this.tree[other][1], this.old[other][1] if other in this.old else None
            if (now if only == "leaf_only" else before) == one:
                expected.add((code, this.row[other]))
    run_oracle(tmp_path, case, expected, **{only: "note"})


@ORACLE
@given(case=cases(), least=st.integers(1, 4))
def test_depths_of_leaves_agree_with_the_oracle(case: tuple[list[Record], list[Record]], least: int, tmp_path: Path) -> None:
    this, expected = Oracle(*case), set()
    for one in this.tree:
        way = way_up(this.tree, one)
        if this.children[one] or len(way) >= least:
            continue
        movers = [above for above in way[1:] if above in this.moved]
        if one in this.row:
            expected.add(("min_depth_not_reached", this.row[one]))
        elif movers:
            expected.add(("min_depth_not_reached", this.row[movers[0]]))
        else:
            left = [other for other in this.moved if other in this.old and this.old[other][1] == one]
            expected |= {("min_depth_not_reached", this.row[other]) for other in left}
    run_oracle(tmp_path, case, expected, bounds={"min_depth": least})
