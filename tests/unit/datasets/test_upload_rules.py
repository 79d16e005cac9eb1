"""The rules for values: what an upload and a suite may declare, and what each is told that is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.contracts.options import Options
from pipeline.datasets.cleaning_rules import RULES, Cleaning, ValueRule, parse_cleaning, strptime_format
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.datasets.parent_names import ParentNames, parent_names
from pipeline.datasets.upload_rules import check_suite, check_value_options, cleaning_of, no_parent_values_of, parent_by_of
from pipeline.errors import InvalidConfiguration, InvalidRequest

PLACES, RECORDS = load_dataset("places"), load_dataset("records")


def suited(dataset: Dataset = RECORDS, **meta: Any) -> Dataset:
    return replace(dataset, suite={**dataset.suite, "meta": {**dataset.suite["meta"], **meta}})


def test_rules_are_off_by_default_and_switched_off_by_false() -> None:
    assert cleaning_of(RECORDS) == parse_cleaning({}) == parse_cleaning(dict.fromkeys(RULES, False)) == Cleaning()


def test_rules_are_applied_in_one_order_whatever_the_order_in_which_they_are_written() -> None:
    said = {"case": "upper", "null_values": ["-"], "trim": {"columns": ["id"]}, "skip_rows": [3, "5-7"], "skip_totals": True}
    rules = (ValueRule("trim", True, ("id",)), ValueRule("null_values", ("-",)), ValueRule("case", "upper"))
    assert parse_cleaning(said) == Cleaning(rules, ((3, 3), (5, 7)), skip_totals=True)
    assert parse_cleaning({"case": {"value": "upper", "columns": ["a"]}}).rules == (ValueRule("case", "upper", ("a",)),)


def test_an_upload_overrides_the_suite_key_by_key() -> None:
    dataset = suited(clean={"trim": True, "case": "lower"}).for_upload(Options(clean={"case": "upper", "nfc": True}))
    assert [(rule.name, rule.value) for rule in cleaning_of(dataset).rules] == [
        ("trim", True),
        ("nfc", True),
        ("case", "upper"),
    ]
    assert cleaning_of(dataset.for_upload(Options(clean={"trim": None, "case": False}))).rules == ()


@pytest.mark.parametrize(
    ("clean", "said"),
    [
        ({"trimm": True}, "Clean has no rule 'trimm'; its rules: unquote_excel, "),
        ({"trim": "yes"}, "Clean.trim is true, false or"),
        ({"trim": {"column": "id"}}, "Clean.trim as an object has columns"),
        ({"case": "title"}, "Clean.case is upper or lower, not 'title'"),
        ({"null_values": "NULL"}, "Clean.null_values is a list of texts"),
        ({"decimal": ";"}, 'Clean.decimal is "," or "."'),
        ({"thousands": "x"}, "Clean.thousands is"),
        ({"decimal": ",", "thousands": ","}, "must be two different characters"),
        ({"date_format": {"name": "DD.MM"}}, "does not know 'DD.MM'"),
        ({"date_format": "DD.MM.YYYY"}, "Clean.date_format is an object of columns"),
        ({"skip_rows": ["3-2"]}, "Clean.skip_rows is a list of numbers and ranges"),
        ({"skip_rows": [True]}, "Clean.skip_rows is a list"),
        ({"skip_totals": "yes"}, "Clean.skip_totals is true or false"),
        ({"trim": {"columns": ["nmae"]}}, "Clean.trim names the column 'nmae'; the dataset has: id, parentId, name"),
    ],
)
def test_a_rule_that_means_nothing_is_refused_with_what_is_possible(clean: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_value_options(PLACES, Options(clean=clean))
    assert said in str(caught.value)
    with pytest.raises(InvalidConfiguration, match=r"expectations/places\.json: meta\.clean"):
        check_suite(suited(PLACES, clean=clean))


def test_a_suite_says_what_an_upload_may_override() -> None:
    dataset = suited(no_parent_values=["0"], parent_by="name")
    assert (no_parent_values_of(dataset), parent_by_of(dataset)) == (("0",), "name")
    asked = dataset.for_upload(Options(no_parent_values=("#",), parent_by="id"))
    assert (no_parent_values_of(asked), parent_by_of(asked)) == (("#",), None)
    check_suite(dataset)


@pytest.mark.parametrize("by", ["nmae", "parentId"])
def test_parents_are_given_by_a_column_that_there_is(by: str) -> None:
    with pytest.raises(InvalidRequest, match=f"parent_by is a column whose value names the parent, not '{by}'"):
        check_value_options(PLACES, Options(parent_by=by))
    with pytest.raises(InvalidConfiguration, match=r"meta\.parent_by"):
        check_suite(suited(PLACES, parent_by=by))
    with pytest.raises(InvalidConfiguration, match=r"meta\.no_parent_values"):
        check_suite(suited(PLACES, no_parent_values=by))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("name", ParentNames("name")),
        ("id,name", ParentNames("name", may_be_id=True)),
        ("id, full name", ParentNames("full name", may_be_id=True)),
        ("name > name", ParentNames("name", ">")),
        ("name/name", ParentNames("name", "/")),
        ("name::name", ParentNames("name", "::")),
        ("name,name", ParentNames("name", ",")),
        ("full name » full name", ParentNames("full name", "»")),
        ("a-b", ParentNames("a-b")),
        ("Go-Go", ParentNames("Go-Go")),
        ("no no", ParentNames("no no")),
        ("Size (cm)", ParentNames("Size (cm)")),
    ],
)
def test_parents_are_given_by_a_name_or_a_path_of_names(said: str, meant: ParentNames) -> None:
    assert parent_names(said, "id", ["id", "parentId", "Go-Go"]) == meant


def test_a_path_is_one_of_a_column_that_there_is() -> None:
    check_value_options(PLACES, Options(parent_by="name > name"))
    check_suite(suited(PLACES, parent_by="name > name"))
    with pytest.raises(InvalidRequest, match=r"not 'nmae'\. Did you mean name"):
        check_value_options(PLACES, Options(parent_by="nmae > nmae"))


def test_a_dataset_that_takes_any_column_takes_any_column_for_the_parents() -> None:
    check_value_options(RECORDS, Options(parent_by="code"))
    with pytest.raises(InvalidRequest):
        check_value_options(RECORDS, Options(parent_by="attributes"))


def test_a_date_format_is_one_of_whole_parts() -> None:
    assert strptime_format("DD.MM.YYYY HH:mm:ss") == "%d.%m.%Y %H:%M:%S"
    assert strptime_format("M/D/YYYY") == "%m/%d/%Y"
    for wrong in ("DD.MM.YY", "DD.DD.YYYY MM", "YYYY-MM-DDTHH", "%d.MM.YYYY", ""):
        with pytest.raises(ValueError, match="does not know"):
            strptime_format(wrong)
