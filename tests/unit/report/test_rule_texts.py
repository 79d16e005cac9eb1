"""What a rule demands, in a sentence that is true of good records."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.datasets.dataset import dataset_names, load_dataset
from pipeline.report.rule_texts import rule_text


@pytest.mark.parametrize(
    ("name", "kwargs", "text"),
    [
        ("expect_column_values_to_not_be_null", {}, "Every record has a value."),
        ("expect_column_values_to_match_regex", {"regex": "^[A-Z]{3}$"}, "Values have the form ^[A-Z]{3}$"),
        ("expect_column_values_to_be_between", {"min_value": 1, "max_value": 9}, "Values are from 1 to 9."),
        ("expect_column_values_to_be_between", {"max_value": 9}, "Values are at most 9."),
        ("expect_column_value_lengths_to_be_between", {"min_value": 2}, "Values have at least 2 characters."),
        ("expect_column_values_to_be_in_set", {"value_set": [*"abcdefg"]}, "Values are one of: a, b, c, d, e and 2 more."),
        ("expect_column_values_to_be_json_parseable", {}, "Expected: column values to be json parseable."),
    ],
)
def test_an_expectation(name: str, kwargs: dict[str, Any], text: str) -> None:
    config = {"type": name, "kwargs": kwargs, "meta": {"message": "What is wrong."}}
    assert rule_text(config) == text
    assert rule_text({**config, "description": "As the suite says."}) == "As the suite says."


@pytest.mark.parametrize("dataset", dataset_names())
def test_no_rule_of_ours_is_said_by_its_name(dataset: str) -> None:
    for config in load_dataset(dataset).suite["expectations"]:
        assert not rule_text(config).startswith("Expected"), config["type"]
