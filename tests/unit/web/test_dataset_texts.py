"""What a dataset demands, in words."""

from __future__ import annotations

from pipeline.datasets.dataset import load_dataset
from web.pages.dataset_texts import RuleText, column_texts, other_rules


def test_the_rules_of_each_column_and_of_the_whole_file() -> None:
    places = load_dataset("places")
    by_name = {one.name: one for one in column_texts(places)}
    assert list(by_name) == [*places.names]
    assert (by_name["id"].role, by_name["parentId"].role, by_name["name"].role) == ("ID", "Parent", "")
    assert by_name["name"].rules == (RuleText("Every record has a value."),)
    assert "Values have the form ^[A-Z]{2}(-[A-Z0-9]{1,3})?$" in {rule.text for rule in by_name["id"].rules}
    assert by_name["flag"].rules == ()
    assert RuleText("The tree has at most 20 levels.") in other_rules(places)
    assert not any("column" in rule.text and "lengths" in rule.text for rule in other_rules(places))


def test_a_required_column_without_an_expectation_says_so_too() -> None:
    records = load_dataset("records")
    assert {rule.text for one in column_texts(records) if one.name == "id" for rule in one.rules} >= {
        "Every record has a value."
    }
