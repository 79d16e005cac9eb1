"""What a dataset expects, in words: of values, of the hierarchy as its suite declares it, and by checks of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline.datasets.dataset import Dataset, load_dataset
from web.services import suite_in_words

PLACES = load_dataset("places")


def with_meta(**meta: Any) -> Dataset:
    return replace(PLACES, suite={**PLACES.suite, "meta": {**PLACES.suite["meta"], **meta}})


def test_each_expectation_and_check_is_said_once() -> None:
    said = suite_in_words.expectations(PLACES)
    assert len(said) == len(PLACES.suite["expectations"])
    assert (said[0].text, said[0].column, said[0].code) == ("Every record has a value.", "id", "missing_id")
    checks = [*suite_in_words.tree_rules(PLACES), *suite_in_words.own_checks(PLACES)]
    assert len(checks) == len(PLACES.check_files)
    assert all(rule.text and rule.code and rule.severity in ("error", "warning") for rule in [*said, *checks])
    parent = next(rule for rule in checks if rule.code == "missing_parent")
    assert (parent.column, parent.key) == ("parentId", (parent.text, None))


def test_the_rules_of_the_tree_have_the_suites_own_values() -> None:
    rules = {
        "ranks": {"column": "kind", "order": ["Country", "Region", "City"], "strict": True},
        "unique_siblings": {"columns": ["name", "kind"], "folded": True},
        "code_prefix": {"separator": "-"},
        "leaf_only": "alpha_3",
        "branch_only": "flag",
    }
    bounds = {"max_depth": 4, "max_children": 9, "min_depth": 2, "single_root": True}
    found = suite_in_words.tree_rules(with_meta(rules=rules, bounds=bounds))
    assert {
        "The tree has at most 4 levels.",
        "A record has at most 9 children.",
        "There is only one root.",
        "A record without children is on level 2 or deeper.",
        "kind is one of: Country, Region, City.",
        "kind is the next one after that of the parent: Country → Region → City.",
        "No two records below one parent have the same name and kind, compared without case and outer spaces.",
        "Each ID begins with the ID of its parent and “-”.",
        "Only records without children have a value in alpha_3.",
        "Only records with children have a value in flag.",
    } <= {rule.text for rule in found}
    ranks = next(rule for rule in found if rule.code == "wrong_rank")
    assert ranks.key == ("Each record is of a kind that comes after its parent's.", None), "as validation runs name it"


def test_a_description_and_a_severity_of_the_suites_own() -> None:
    own = {
        "type": "expect_column_values_to_be_unique",
        "kwargs": {"column": "name"},
        "description": "Names differ.",
        "severity": "warning",
    }
    (rule,) = suite_in_words.expectations(replace(PLACES, suite={**PLACES.suite, "expectations": [own]}))
    assert (rule.text, rule.severity, rule.code) == ("Names differ.", "warning", "expectation_failed")
