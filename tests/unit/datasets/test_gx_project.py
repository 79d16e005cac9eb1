"""The files of a Great Expectations project: no password, the same again, and what is left out is said."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.datasets.gx_project import ADDRESS, project_files

PLACES = load_dataset("places")


def with_meta(**meta: Any) -> Dataset:
    return replace(PLACES, suite={**PLACES.suite, "meta": {**PLACES.suite["meta"], **meta}})


def test_the_same_dataset_gives_the_same_files() -> None:
    assert project_files([PLACES]) == project_files([load_dataset("places")])
    files, (exported,) = project_files([PLACES])
    assert f'"connection_string": "${{{ADDRESS}}}"' in files["gx/great_expectations.yml"]
    suite = json.loads(files["gx/expectations/places.json"])
    assert exported.expectations == len(suite["expectations"]) == len({one["id"] for one in suite["expectations"]})
    assert exported.left_out == () and suite["notes"] is None


def test_what_only_a_file_can_be_asked_for_is_left_out_and_said() -> None:
    dataset = with_meta(rules={"unique_siblings": "name"}, bounds={"min_depth": 2, "max_children": 3, "single_root": True})
    files, (exported,) = project_files([dataset])
    assert len(exported.left_out) == 2
    suite = json.loads(files["gx/expectations/places.json"])
    assert all(reason in suite["notes"] for reason in exported.left_out)
    said = [one.get("description") for one in suite["expectations"]]
    assert "A record has at most 3 children." in said and "There is only one root." in said


def test_a_column_with_braces_and_quotes_is_a_column() -> None:
    odd = replace(PLACES, parent='up {batch} "x"')
    files, _ = project_files([odd])
    queries = [
        one["kwargs"].get("unexpected_rows_query", "")
        for one in json.loads(files["gx/expectations/places.json"])["expectations"]
    ]
    (query,) = [one for one in queries if "as parent" in one]
    assert 'child."up {{batch}} ""x""" as parent' in query and query.format(batch="t").count('"up {batch} ""x"""') == 3


def test_results_of_personal_data_have_no_values() -> None:
    files, _ = project_files([with_meta(personal=["name"])])
    assert json.loads(files["gx/checkpoints/places.json"])["result_format"] == "BOOLEAN_ONLY"
    files, _ = project_files([PLACES])
    assert json.loads(files["gx/checkpoints/places.json"])["result_format"] == "SUMMARY"
