"""A canary for upgrades of Great Expectations: what its renderers and its results give today, as far as we rely on it.

If a test here fails after an upgrade, nothing may be wrong yet: its message says what to look at. Then write what the new
version gives into this file. tests/unit/validate/test_data_docs.py has the private methods that we override,
tests/integration/cli/test_gx.py the files of a project.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest

from pipeline.contracts.options import Options
from pipeline.datasets.dataset import load_dataset
from pipeline.sandbox import validate_file

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import great_expectations as gx
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    from pipeline.validate.data_docs import bounded

RENDERED = (
    f"Great Expectations {gx.__version__} renders results in another way. Check pipeline/validate/data_docs.py (_rendered,"
    " _Page, _THE_FILE, _OUR_WORDS) and docs.j2, and look at the page of a rejected import: /imports/ID/report."
)
RESULTS = (
    f"Great Expectations {gx.__version__} writes results in another form. Check what reads validation.json:"
    " pipeline/validate/expectations.py (_judged, _require_consistency), pipeline/report/rule_results.py,"
    " pipeline/lineage/events.py, and the masking in data_docs.without_values."
)
BROKEN = "id,parentId,name,kind\nFR,,France,Country\nparis,FR,Paris,City\nFR-1,XX,Lost,Region\n"

MAPPED = {
    *("element_count", "missing_count", "missing_percent", "partial_unexpected_counts", "partial_unexpected_index_list"),
    *("partial_unexpected_list", "unexpected_count", "unexpected_index_column_names", "unexpected_index_list"),
    *("unexpected_index_query", "unexpected_list", "unexpected_percent", "unexpected_percent_nonmissing"),
    "unexpected_percent_total",
}
"""The fields of a result about the values of a column."""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The validation.json of a file with an ID that has the wrong form, and a missing parent."""
    folder = tmp_path_factory.mktemp("canary")
    (folder / validate_file.SOURCE).write_text(BROKEN, encoding="utf-8")
    validate_file.validate(folder, load_dataset("places"), "x.csv", "run", None, Options(), lambda _: None)
    found: dict[str, Any] = json.loads((folder / "report" / "docs" / "validation.json").read_bytes())
    return found


def of(verdicts: dict[str, Any], kind: str) -> dict[str, Any]:
    """The first result of a kind of expectation that was not met."""
    found = (one for one in verdicts["results"] if one["expectation_config"]["type"] == kind and not one["success"])
    return next(found)


def test_the_form_of_a_result(verdicts: dict[str, Any]) -> None:
    assert verdicts.keys() == {"success", "results", "suite_name", "suite_parameters", "statistics", "meta", "id"}, RESULTS
    assert verdicts["statistics"].keys() == {
        *("evaluated_expectations", "success_percent", "successful_expectations", "unsuccessful_expectations"),
    }, RESULTS
    one = of(verdicts, "expect_column_values_to_match_regex")
    assert one.keys() == {"success", "expectation_config", "result", "meta", "exception_info"}, RESULTS
    assert one["expectation_config"].keys() == {"type", "kwargs", "meta", "severity"}, RESULTS
    assert one["exception_info"] == {"raised_exception": False, "exception_traceback": None, "exception_message": None}, RESULTS
    assert one["result"].keys() == MAPPED, f"{RESULTS} {one['result'].keys() ^ MAPPED}"
    shown = {name: one["result"][name] for name in ("unexpected_count", "unexpected_list", "unexpected_index_list")}
    assert shown == {
        "unexpected_count": 1,
        "unexpected_list": ["paris"],
        "unexpected_index_list": [{"id": "paris", "_row": 2}],
    }, RESULTS
    assert one["result"]["unexpected_index_query"].lower().startswith("select _row, id"), RESULTS


def test_the_form_of_the_result_of_a_query(verdicts: dict[str, Any]) -> None:
    one = of(verdicts, "offending_rows")
    assert one["result"].keys() == {"observed_value", "details"}, RESULTS
    assert one["result"]["observed_value"] == 1, RESULTS
    (row,) = one["result"]["details"]["unexpected_rows"]
    assert (row["_row"], row["value"]) == (3, "XX"), RESULTS


def test_what_the_renderers_make_of_a_result() -> None:
    results = [
        _result("expect_column_values_to_match_regex", {"column": "id", "regex": "^[A-Z]+$"}),
        _result("expect_table_row_count_to_be_between", {"min_value": 5}, {"observed_value": 3}),
    ]
    page = ValidationResultsPageRenderer().render(
        ExpectationSuiteValidationResult(
            success=False,
            results=results,
            suite_name="suite",
            statistics={"evaluated_expectations": 2, "successful_expectations": 0, "success_percent": 0.0},
            meta={"run_id": RunIdentifier(run_name="run"), "active_batch_definition": {}},
        )
    )
    overview, whole, column = [section.to_json_dict() for section in page.sections]
    assert [one["section_name"] for one in (overview, whole, column)] == ["Overview", "Table-Level Expectations", "id"], (
        RENDERED
    )
    heading, table = column["content_blocks"]
    assert (heading["header"]["string_template"]["template"], heading["header"]["string_template"]["tag"]) == ("id", "h5"), (
        RENDERED
    )
    assert table["header_row"] == ["Status", "Expectation", "Observed Value"], RENDERED
    ((status, said, observed),) = table["table"]
    assert status["string_template"]["styling"]["params"]["icon"]["classes"] == ["fas", "fa-times", "text-danger"], RENDERED
    assert [one["string_template"]["template"] for one in said[:2]] == [
        "values must match this regular expression: $regex.",
        "\n\n$unexpected_count unexpected values found. $unexpected_percent of $element_count total rows.",
    ], RENDERED
    assert (said[2]["header_row"], said[2]["table"]) == (["Unexpected Value", "Count", "_row"], [["a", 1, "2"]]), RENDERED
    assert said[3]["collapse_toggle_link"] == "To retrieve all unexpected values...", RENDERED
    assert observed == "33.3% unexpected", RENDERED
    ((_, said, observed),) = whole["content_blocks"][1]["table"]
    assert said["string_template"]["template"] == "Must have greater than or equal to $min_value rows.", RENDERED
    assert observed == "3", RENDERED


def test_the_verdicts_are_bounded_whatever_the_file_has() -> None:
    long, many = "x" * 100_000, [{"value": "y" * 5000, "_row": n} for n in range(1000)]
    one = {"result": {"unexpected_list": [long] * 1000, "details": {"unexpected_rows": many}, "unexpected_count": 1000}}
    query = {"result": {"unexpected_index_query": long}, "expectation_config": {"kwargs": {"value_set": [long]}}}
    found, kept = bounded({"success": False, "results": [one, query]})["results"]
    assert len(json.dumps(found)) < 100_000
    assert found["result"]["unexpected_count"] == 1000 and found["result"]["unexpected_list"][0].endswith("x…")
    assert [row["_row"] for row in found["result"]["details"]["unexpected_rows"]] == [*range(200)]
    assert kept == query, "what the suite says stays whole"


def _result(kind: str, kwargs: dict[str, Any], details: dict[str, Any] | None = None) -> ExpectationValidationResult:
    mapped = {
        "element_count": 3,
        "unexpected_count": 1,
        "unexpected_percent": 33.3,
        "partial_unexpected_list": ["a"],
        "missing_count": 0,
        "missing_percent": 0.0,
        "partial_unexpected_counts": [{"value": "a", "count": 1}],
        "partial_unexpected_index_list": [{"id": "a", "_row": 2}],
        "unexpected_index_column_names": ["_row"],
        "unexpected_list": ["a"],
        "unexpected_index_list": [{"id": "a", "_row": 2}],
        "unexpected_index_query": "select",
    }
    configuration = ExpectationConfiguration(type=kind, kwargs=kwargs, meta={"severity": "error"})
    fine = {"raised_exception": False, "exception_message": None, "exception_traceback": None}
    return ExpectationValidationResult(
        success=False, expectation_config=configuration, result=details or mapped, exception_info=fine
    )
