"""The suite and the checks under Great Expectations: complete findings, one page, and two verdicts that must agree."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import networkx as nx
import pytest

from pipeline.contracts.messages import Verdict
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.staging.cast import stage
from pipeline.validate import expectations as expect
from pipeline.validate import sql_checks
from pipeline.validate.data_docs import OffendingRows
from tests.support.staging import read_into, run_stage
from tests.support.tree_edges import write_edges

PLACES = "id,parentId,name,kind,alpha_3,numeric_code,flag\n"


@dataclass(frozen=True)
class Checked:
    """What became of one file."""

    verdict: Verdict
    findings: list[dict[str, Any]]
    page: str
    validation: dict[str, Any]

    def rows(self, code: str) -> list[Any]:
        """The row numbers of the findings with that code."""
        return [finding["row"] for finding in self.findings if finding["code"] == code]


Check = Callable[..., Checked]


@pytest.fixture
def checked(tmp_path: Path, database: Path) -> Check:
    """Read, stage and check a file's text by a dataset's rules."""

    def run(text: str, dataset: Dataset, edges: Mapping[str, str | None] | None = None, run_name: str = "import-1") -> Checked:
        source, docs = tmp_path / "source", tmp_path / "docs"
        source.write_text(text, encoding="utf-8")
        read_into(database, source, dataset)
        run_stage(stage, database, dataset)
        seen = run_stage(sql_checks.look, database, dataset, edges=_edges(tmp_path, edges))
        verdict = run_stage(sql_checks.judge, database, dataset, seen, docs=docs, run_name=run_name)
        with duckdb.connect(str(database)) as connection:
            cursor = connection.execute("select * from findings order by row, code")
            names = [column[0] for column in cursor.description or []]
            findings = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        validation = json.loads((docs / "validation.json").read_text(encoding="utf-8"))
        return Checked(verdict, findings, (docs / "index.html").read_text(encoding="utf-8"), validation)

    return run


def _edges(folder: Path, edges: Mapping[str, str | None] | None) -> Path | None:
    if edges is None:
        return None
    return write_edges(folder / "edges.parquet", edges.items())


def records_with(*expectations: dict[str, Any]) -> Dataset:
    """The dataset records with these expectations alone."""
    dataset = load_dataset("records")
    return replace(dataset, suite={**dataset.suite, "expectations": list(expectations)})


# --- Verdicts ---


def test_a_good_file_is_accepted_and_its_page_says_so(checked: Check) -> None:
    got = checked(PLACES + "FR,,France,Country,FRA,250,\nFR-75,FR,Paris,Department,,,\n", load_dataset("places"))
    assert got.verdict == Verdict(records=2, errors=0, warnings=0)
    assert got.findings == []
    assert "<h1>Accepted</h1>" in got.page and "not met" not in _body(got.page)
    assert got.validation["success"] is True


def test_everything_wrong_is_found_at_once_and_nothing_twice(checked: Check) -> None:
    rows = [
        "FR,,France,Country,FRA,250,",
        "fr-1,FR,,Department,,,",  # not an ISO code, no name
        "FR-75,FR,Paris,,,,",  # no kind
        ",FR,Lost,Department,,,",  # no id
        "DE,XX,Germany,Country,DE,two,",  # missing parent, alpha-3 of two letters, a number in words
        "IT,IT,Italy,Country,ITA,1.0,",  # own parent, not a whole number
        "ES,PT,Spain,Country,ESP,,",
        "PT,ES,Portugal,Country,PRT,,",  # in circles
        "FR,,France,Country,FRA,250,",  # the same again
        "GB,,Britain,Country,GBR,,\nGB,,Brexitland,Country,GBR,,",  # the same id for two
    ]
    got = checked(PLACES + "\n".join(rows) + "\n", load_dataset("places"))
    assert sorted((f["row"], f["column"], f["code"]) for f in got.findings) == [
        (2, "id", "expectation_failed"),
        (2, "name", "expectation_failed"),
        (3, "kind", "expectation_failed"),
        (4, "id", "missing_id"),
        (5, "alpha_3", "expectation_failed"),
        (5, "numeric_code", "invalid_type"),
        (5, "parentId", "missing_parent"),
        (6, "numeric_code", "invalid_type"),
        (6, "parentId", "self_parent"),
        (7, "parentId", "circular_reference"),
        (9, "id", "duplicate_id"),
        (10, "id", "conflicting_duplicate"),
        (11, "id", "conflicting_duplicate"),
    ]
    assert got.verdict == Verdict(records=11, errors=13, warnings=0)
    (cycle,) = (f for f in got.findings if f["code"] == "circular_reference")
    assert cycle["cycle"] == ["ES", "PT", "ES"]
    assert cycle["message"] == "The record ES is its own ancestor, in a cycle of 2 records: ES → PT → ES."
    assert "<h1>Rejected</h1>" in got.page
    assert all(finding["message"] and finding["severity"] == "error" for finding in got.findings)


def test_the_warehouse_is_looked_at_too(checked: Check) -> None:
    got = checked("id,parentId\nb,a\nc,w\nd,nowhere\n", load_dataset("records"), {"a": "b", "w": None})
    assert [(f["code"], f["row"], f["cycle"]) for f in got.findings] == [
        ("circular_reference", 1, ["a", "b", "a"]),
        ("missing_parent", 3, None),
    ]


def test_what_the_reader_found_is_on_the_page_as_well(checked: Check) -> None:
    got = checked("id,parentId,name\n1,,a\n2,1,b,too,many\n3,1,c\n", load_dataset("records"))
    assert got.rows("malformed_row") == [2]
    assert "<h1>Rejected</h1>" in got.page
    assert got.validation["success"] is False


def test_all_failing_rows_are_found_not_the_first_two_hundred(checked: Check) -> None:
    lines = "".join(f"{number},,{'x' if number % 2 else ''}\n" for number in range(1, 2001))
    got = checked(
        "id,parentId,name\n" + lines,
        records_with({"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "name"}}),
    )
    assert got.rows("expectation_failed") == list(range(2, 2001, 2))


def test_an_uncast_value_is_not_missing_too(checked: Check) -> None:
    dataset = load_dataset("places")
    suite = {
        "expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "numeric_code"}}],
    }
    got = checked(PLACES + "FR,,France,Country,,abc,\nDE,,Germany,Country,,,\n", replace(dataset, suite=suite))
    assert [(f["row"], f["code"]) for f in got.findings] == [(1, "invalid_type"), (2, "expectation_failed")]


@pytest.mark.parametrize("seed", range(5))
def test_random_trees_have_the_cycles_that_an_oracle_sees(checked: Check, seed: int) -> None:
    """The whole way, Great Expectations included; test_check.py tries hundreds of trees, split with a warehouse, without it."""
    dice = random.Random(seed)
    ids = [f"n{number:02}" for number in range(20)]
    tree = {one: dice.choice([*ids, None, "gone"]) for one in ids}
    got = checked("id,parentId\n" + "".join(f"{one},{above or ''}\n" for one, above in tree.items()), load_dataset("records"))
    graph = nx.DiGraph([(one, above) for one, above in tree.items() if above is not None and above != one])
    wanted = [frozenset(cycle) for cycle in nx.simple_cycles(graph)]
    found = [frozenset(finding["cycle"]) for finding in got.findings if finding["code"] == "circular_reference"]
    assert sorted(map(sorted, found)) == sorted(map(sorted, wanted))
    assert got.rows("self_parent") == [row for row, one in enumerate(ids, 1) if tree[one] == one]
    assert got.rows("missing_parent") == [row for row, one in enumerate(ids, 1) if tree[one] == "gone"]


# --- Expectations of every kind ---

KINDS: list[tuple[dict[str, Any], list[int | None]]] = [
    ({"type": "expect_column_values_to_be_unique", "kwargs": {"column": "name"}}, [1, 3]),
    ({"type": "expect_column_values_to_match_regex", "kwargs": {"column": "name", "regex": "a"}}, [2, 4, 5]),
    ({"type": "expect_column_values_to_match_regex", "kwargs": {"column": "name", "regex": "^[^':%\\\\]$"}}, [4, 5]),
    ({"type": "expect_column_values_to_not_match_regex", "kwargs": {"column": "name", "regex": "'"}}, [4]),
    ({"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "name", "value_set": ["a", "b"]}}, [4, 5]),
    (
        {
            "type": "expect_column_pair_values_a_to_be_greater_than_b",
            "kwargs": {"column_A": "id", "column_B": "parentId", "ignore_row_if": "either_value_is_missing"},
        },
        [3],
    ),
    ({"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": ["name", "parentId"]}}, []),
    ({"type": "expect_table_row_count_to_be_between", "kwargs": {"max_value": 3}}, [None]),
    ({"type": "expect_column_distinct_values_to_equal_set", "kwargs": {"column": "name", "value_set": ["a"]}}, [None]),
    ({"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "name", "value_set": ["a"], "mostly": 0.4}}, []),
]


@pytest.mark.parametrize(("expectation", "rows"), KINDS, ids=lambda value: str(value)[:80])
def test_the_complete_rows_of_every_kind(checked: Check, expectation: dict[str, Any], rows: list[int | None]) -> None:
    text = "id,parentId,name\n1,,a\n2,1,b\n3,4,a\n4,1,it's\n5,1,50%:x\\y\n"
    got = checked(text, records_with(expectation))
    assert sorted(got.rows("expectation_failed"), key=str) == rows
    assert got.verdict.accepted == (not rows)
    assert all(finding["message"] for finding in got.findings)


def test_a_warning_does_not_reject(checked: Check) -> None:
    warned = {
        "type": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "name"},
        "meta": {"severity": "warning", "code": "no_name", "message": "The record has no name.", "hint": "Name it."},
    }
    got = checked("id,parentId,name\n1,,\n", records_with(warned))
    assert got.verdict == Verdict(records=1, errors=0, warnings=1)
    assert [(f["code"], f["severity"], f["message"], f["hint"]) for f in got.findings] == [
        ("no_name", "warning", "The record has no name.", "Name it.")
    ]
    assert "<h1>Accepted, with warnings</h1>" in got.page


def test_a_dataset_may_bring_a_check_of_its_own(checked: Check, tmp_path: Path) -> None:
    dataset = load_dataset("records")
    folder = tmp_path / "sql" / "checks" / "records"
    folder.mkdir(parents=True)
    (folder / "loud.sql").write_text(
        "-- {column} shouts: {value}\n-- severity: warning\n-- column: name\n"
        "select _row, name as value, 'name' as \"column\" from incoming where name = upper(name) -- and a comment"
    )
    got = checked("id,parentId,name\n1,,HEY\n2,,hey\n", replace(dataset, root=tmp_path))
    assert [(f["code"], f["row"], f["message"], f["column"]) for f in got.findings] == [
        ("check_failed", 1, "name shouts: HEY", "name")
    ]
    assert "fa-exclamation-triangle" in _body(got.page) and "fa-times" not in _body(got.page)


# --- The page ---


def test_the_page_shows_values_and_runs_nothing(checked: Check) -> None:
    evil = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "$name {{7*7}} ${x}"]
    quoted = ['"' + value.replace('"', '""') + '"' for value in evil]
    text = "id,parentId,name\n" + "".join(f"{value},{value},{value}\n" for value in quoted)
    got = checked(
        text,
        records_with(
            {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "name", "value_set": ["<i>a</i>"]}},
            {"type": "expect_column_distinct_values_to_equal_set", "kwargs": {"column": "name", "value_set": ["a"]}},
        ),
    )
    assert got.rows("self_parent") == [1, 2, 3, 4]
    assert not re.search(r"<(script|img|svg|i>a)", got.page)
    for shown in ("&lt;script&gt;alert(1)", "&lt;img src=x onerror=alert(1)&gt;", "&lt;svg onload", "{{7*7}} ${x}"):
        assert got.page.count(shown) >= 2, shown
    assert not re.search(r"<[^>]*\son\w+\s*=", got.page)


def test_the_page_needs_only_the_stylesheet_beside_it(checked: Check, tmp_path: Path) -> None:
    styled = [
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "name", "value_set": ["a"]}},
        {"type": "expect_column_value_lengths_to_be_between", "kwargs": {"column": "name", "min_value": 2}},
        {"type": "expect_column_unique_value_count_to_be_between", "kwargs": {"column": "name", "min_value": 2}},
        {"type": "expect_table_columns_to_match_set", "kwargs": {"column_set": ["id", "x"]}},
    ]
    page = checked("id,parentId,name\n1,1,b\n", records_with(*styled)).page
    assert re.findall(r"(?:src|href)\s*=\s*\S+", page) == ['href="docs.css">']
    assert not re.search(r"url\(|@import|<script|<style|\sstyle\s*=|https?:", page)
    sheet = (tmp_path / "docs" / "docs.css").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in sheet
    assert not re.search(r"url\(|@import|https?:", sheet)


def test_the_page_of_an_import_leads_back_to_it(checked: Check) -> None:
    import_id = "01990b3c-0000-7000-8000-000000000001"
    page = checked("id,parentId\n1,1\n", load_dataset("records"), run_name=import_id).page
    assert re.findall(r'<a target="_top" href="([^"]+)"', page) == [
        *(f"/imports/{import_id}", f"/imports/{import_id}/findings"),
        *("/datasets/records/suite", "/datasets/records/validations"),
    ]


def test_all_verdicts_are_on_the_one_page(checked: Check) -> None:
    dataset = load_dataset("places")
    got = checked(PLACES + "FR,,France,Country,FRA,250,\n", dataset)
    wanted = len(dataset.suite["expectations"]) + len(dataset.check_files) + 1
    assert got.validation["statistics"]["evaluated_expectations"] == wanted
    assert _body(got.page).count("fa-check-circle") == wanted


def _body(page: str) -> str:
    return page.partition("<body>")[2]


# --- No verdict is better than a wrong one ---


def test_an_exception_inside_an_expectation_is_no_verdict(checked: Check) -> None:
    broken = {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "name", "regex": "(unclosed"}}
    with pytest.raises(RuntimeError, match="could not evaluate"):
        checked("id,parentId,name\n1,,a\n", records_with(broken))


@pytest.mark.parametrize("text", ["id,parentId\n1,\n", "id,parentId\n1,1\n"], ids=["good file", "bad file"])
def test_a_verdict_turned_round_is_caught(checked: Check, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    honest = OffendingRows._validate

    def turned(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = honest(self, *args, **kwargs)
        return {**result, "success": not result["success"]}

    monkeypatch.setattr(OffendingRows, "_validate", turned)
    with pytest.raises(RuntimeError, match="contradicts"):
        checked(text, load_dataset("records"))


def test_a_count_that_is_not_ours_is_caught(checked: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = expect._judged
    monkeypatch.setattr(expect, "_judged", lambda result: replace(honest(result), rows=honest(result).rows + 1))
    with pytest.raises(RuntimeError, match="counts 2 offending rows, our SQL 1"):
        checked("id,parentId,name\n,,a\n", load_dataset("records"))


def test_a_whole_verdict_that_is_not_ours_is_caught(checked: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = expect.judge
    monkeypatch.setattr(expect, "judge", lambda *a, **k: replace(honest(*a, **k), accepted=True))
    with pytest.raises(RuntimeError, match="accepted=True"):
        checked("id,parentId\n1,1\n", load_dataset("records"))


def test_an_expectation_left_out_is_caught(checked: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = expect._evaluate

    def forgetful(database: Path, name: str, configurations: Any, run_name: str) -> Any:
        return honest(database, name, configurations[1:], run_name)

    monkeypatch.setattr(expect, "_evaluate", forgetful)
    with pytest.raises(RuntimeError, match="no expectation 0"):
        checked("id,parentId\n1,\n", load_dataset("records"))


def test_no_metric_fails_and_is_computed_again(checked: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Great Expectations tries three times, and with a failed metric it computes again all that were ready with it."""
    honest = expect._Engine.resolve_metrics
    failed: list[Exception] = []

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return honest(self, *args, **kwargs)
        except Exception as error:
            failed.append(error)
            raise

    monkeypatch.setattr(expect._Engine, "resolve_metrics", watched)
    checked("id,parentId\n1,\n", load_dataset("records"))
    assert failed == []
