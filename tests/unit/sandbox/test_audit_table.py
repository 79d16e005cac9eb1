"""An audit of a table as PostgreSQL exports it: the same findings as for a file with these records, with ids for rows."""

from __future__ import annotations

import csv
import json
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.datasets.dataset import Column, Dataset, load_dataset
from pipeline.report.findings import Counted
from pipeline.report.rule_results import percent
from pipeline.sandbox import audit_table, process
from pipeline.staging import database as staging

PLACES, RECORDS = load_dataset("places"), load_dataset("records")
HEAD = "id,parentId,name,kind,alpha_3,numeric_code,flag\n"


def audited(folder: Path, text: str, dataset: Dataset = PLACES) -> tuple[Counted, dict[str, Any], list[dict[str, Any]]]:
    """The counts, the summary and the findings of a table that PostgreSQL wrote as ``text``."""
    (folder / audit_table.TABLE).write_text(text)
    longest = max(map(len, text.encode().split(b"\n")), default=0) + 1
    rows = len(list(csv.reader(text.splitlines())))
    counted = audit_table.audit(folder, dataset, "run", rows, longest)
    report = folder / audit_table.REPORT
    summary = json.loads((report / audit_table.SUMMARY).read_bytes())
    return counted, summary, json.loads((report / "findings.json").read_bytes())


def test_a_table_that_keeps_all_rules_has_no_findings(tmp_path: Path) -> None:
    counted, summary, findings = audited(tmp_path, "DE,,Germany,Country,DEU,276,\nDE-BE,DE,Berlin,State,,,\n")
    assert (counted.records, counted.errors, findings) == (2, 0, [])
    assert (summary["records"], summary["invalid_percent"], summary["codes"]) == (2, 0.0, [])
    assert {one["met"] for one in summary["rules"]} == {True}
    assert summary["rules"][-1]["rule"] == "No ID was rounded by a spreadsheet." or len(summary["rules"]) > 10


def test_all_rules_are_checked_and_counted(tmp_path: Path) -> None:
    rows = [
        "DE,,Germany,Country,DE,276,",
        "IT,IT,Italy,Country,ITA,,",
        "FR-1,FR,x,State,,,",
        "A,B,a,State,,,",
        "B,A,b,State,,,",
    ]
    counted, summary, findings = audited(tmp_path, "\n".join([*rows, ""]))
    codes = {one["code"]: one for one in summary["codes"]}
    assert {"self_parent", "missing_parent", "circular_reference"} <= codes.keys()
    assert codes["missing_parent"] == {
        "code": "missing_parent",
        "severity": "error",
        "findings": 1,
        "records": 1,
        "percent": 20.0,
    }
    missing = next(one for one in findings if one["code"] == "missing_parent")
    assert (missing["id"], missing["place"]) == ("FR-1", "record FR-1")
    cycle = next(one for one in findings if one["code"] == "circular_reference")
    assert sorted(cycle["related"]) == ["A", "B"]
    assert summary["invalid"] == counted.invalid and summary["invalid_percent"] == 20.0 * counted.invalid
    rules = {one["rule"]: one for one in summary["rules"]}
    assert rules["No record is its own parent."] == {
        "rule": "No record is its own parent.",
        "severity": "error",
        "met": False,
        "records": 1,
        "percent": 20.0,
    }
    for name in ("findings.csv", "findings.parquet", "findings.xlsx", "groups.json", "docs/index.html", "docs/validation.json"):
        assert (tmp_path / audit_table.REPORT / name).stat().st_size > 0


def test_rules_and_limits_of_the_tree_hold_for_what_is_loaded(tmp_path: Path) -> None:
    rules = {"ranks": {"column": "kind", "order": ["Country", "State"]}, "unique_siblings": "name"}
    meta = {**PLACES.suite["meta"], "rules": rules, "bounds": {"min_depth": 2}}
    dataset = replace(PLACES, suite={**PLACES.suite, "meta": meta})
    text = "AA,,a,Country,,,\nAA-1,AA,b,State,,,\nAA-2,AA,b,State,,,\nAA-3,AA-1,c,State,,,\nBB,,d,Country,,,\n"
    _, _, findings = audited(tmp_path, text, dataset)
    assert sorted((one["code"], one["id"], one["related"]) for one in findings if one["code"] != "expectation_failed") == [
        ("duplicate_sibling", "AA-2", ["AA-1"]),
        ("min_depth_not_reached", "BB", None),
        ("wrong_rank", "AA-3", ["AA-1"]),
    ]


def test_values_are_read_as_postgresql_writes_them(tmp_path: Path) -> None:
    types = ("boolean", "numeric(12,2)", "numeric", "timestamptz", "date", "double precision", "jsonb", "uuid")
    named = [Column(f"c{n}", kind, False) for n, kind in enumerate(types)]
    dataset = replace(RECORDS, columns=(*RECORDS.columns[:2], *named), rest=None)
    values = 't,1.50,3,2024-05-31 10:00:00+00,2024-05-31,1e+300,"{""a"": ""x,\ny""}",5f1d4c52-7f0e-5d0b-9c39-3f8b6c0c7a11'
    text = f"a,,{values}\nb,a,,,,,,,,\nc,a,f,0.00,0.12345678901234567890123,,,,,\n"
    (tmp_path / audit_table.TABLE).write_text(text)
    counted = audit_table.audit(tmp_path, dataset, "run", 3, 200)
    assert counted.by_code == {"invalid_type": 1}, "a number with more digits than can be compared"


def test_an_empty_text_is_a_value_and_a_null_is_none(tmp_path: Path) -> None:
    dataset = replace(RECORDS, columns=(*RECORDS.columns[:2], Column("name", "text", True)), rest=None)
    counted, _, findings = audited(tmp_path, 'a,,""\nb,,\n', dataset)
    assert [(one["code"], one["id"]) for one in findings] == [("missing_value", "b")]
    assert counted.records == 2


def test_no_mapping_or_shape_changes_what_is_loaded(tmp_path: Path) -> None:
    meta = {**RECORDS.suite["meta"], "mapping": {"defaults": {"name": "unnamed"}}, "shape": {"path_separator": "/"}}
    dataset = replace(RECORDS, suite={**RECORDS.suite, "meta": meta})
    counted, *_ = audited(tmp_path, 'b,,,{}\na/b,b,,"{""x"": 1}"\n', dataset)
    assert (counted.records, counted.errors) == (2, 0)


def test_a_table_of_which_records_are_missing_has_no_verdict(tmp_path: Path) -> None:
    (tmp_path / audit_table.TABLE).write_text("DE,,Germany,Country,DEU,276,\n")
    with pytest.raises(RuntimeError, match="2 records were read"):
        audit_table.audit(tmp_path, PLACES, "run", 2, 100)


def test_an_empty_table_is_no_error(tmp_path: Path) -> None:
    counted, summary, _ = audited(tmp_path, "")
    assert (counted.records, counted.errors, summary["invalid_percent"]) == (0, 0, 0.0)


@pytest.mark.parametrize(
    ("some", "of", "share"), [(0, 0, 0), (0, 5, 0), (1, 3, 33.3333), (1, 10**9, 0.0001), (999_999_999, 10**9, 99.9999)]
)
def test_what_is_not_none_is_not_0_percent(some: int, of: int, share: float) -> None:
    assert percent(some, of) == share


def with_peak(folder: Path, dataset: Dataset, records: int, longest_bytes: int) -> tuple[int, int]:
    """Runs in a child: the errors, and its peak memory in MiB."""
    counted = audit_table.audit(folder, dataset, "run", records, longest_bytes)
    return counted.errors, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def test_memory_is_bounded_however_large_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """110 MB of records, with 64 MiB for DuckDB."""
    records = 200_000
    duckdb.execute(
        f"""copy (select i::varchar, case when i > 0 then ((i - 1) // 4)::varchar end, repeat(md5(i::varchar), 16), null
        from range({records}) t(i)) to '{tmp_path / audit_table.TABLE}' (format csv, header false)"""
    )
    assert staging.MEMORY_BYTES <= 512 << 20
    errors, peak_mib = process.run(with_peak, tmp_path, RECORDS, records, 600, memory_bytes=2 << 30, seconds=100.0)
    assert errors == 0
    assert peak_mib < (staging.MEMORY_BYTES >> 20) + 400, "DuckDB's share, and what the process starts with"
