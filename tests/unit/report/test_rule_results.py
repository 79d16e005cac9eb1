"""What became of each rule, and its summary, which stays small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.report.rule_results import RULE_LENGTH, UNMET_NAMED, rule_results, summarized


def verdict(kind: str, *, success: bool, severity: str = "error", result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    meta = {"severity": severity, "bulkhead": "x"}
    return {"success": success, "result": result, "expectation_config": {"type": kind, "kwargs": kwargs, "meta": meta}}


def test_each_rule_in_words_with_its_count(tmp_path: Path) -> None:
    found = [
        verdict("expect_column_value_lengths_to_equal", success=False, result={"unexpected_count": 1}, column="a", value=3.0),
        verdict("offending_rows", success=True, result={"observed_value": 0}, unexpected_rows_query="select"),
    ]
    file = tmp_path / "validation.json"
    file.write_text(json.dumps({"results": found}))
    length, query = rule_results(file, 4)
    assert length == {
        "rule": "Values have 3 characters.",
        "severity": "error",
        "met": False,
        "records": 1,
        "percent": 25.0,
        "column": "a",
    }
    assert (query["met"], query["records"], "column" in query) == (True, 0, False)


def test_the_summary_names_the_first_that_are_not_met_errors_first() -> None:
    met = [{"rule": "fine", "severity": "error", "met": True, "records": 0}] * 5
    warned = {"rule": "w" * 1000, "severity": "warning", "met": False, "records": 2, "column": "c"}
    missed = {"rule": "e", "severity": "error", "met": False, "records": 7}
    found = summarized([*met, warned, missed])
    assert (found["evaluated"], found["met"]) == (7, 5)
    assert found["unmet"] == [
        {"rule": "e", "column": None, "severity": "error", "records": 7},
        {"rule": "w" * RULE_LENGTH, "column": "c", "severity": "warning", "records": 2},
    ]
    many = summarized([warned] * 10_000)
    assert (many["met"], len(many["unmet"])) == (0, UNMET_NAMED)
    assert len(json.dumps(many)) < 10_000
