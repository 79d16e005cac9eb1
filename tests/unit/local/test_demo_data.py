"""The demo's data: real places, whole, each below a place that is there; and a file with the mistakes it promises."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from pipeline.datasets.dataset import load_dataset
from pipeline.local.demo_data import COLUMNS, broken_csv, parent_of, places, places_csv


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    path = tmp_path_factory.mktemp("places") / "places.csv"
    count = places_csv(path)
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == count
    return rows


def test_all_places_are_there_once(rows: list[dict[str, str]]) -> None:
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids)) > 5_000
    assert {"FR", "FR-IDF", "FR-75C", "GB-SCT", "US-CA"} <= set(ids)


def test_each_lies_in_a_place_that_is_there(rows: list[dict[str, str]]) -> None:
    ids = {row["id"] for row in rows}
    assert [row for row in rows if row["parentId"] and row["parentId"] not in ids] == []
    assert {row["id"] for row in rows if not row["parentId"]} == {id_ for id_ in ids if "-" not in id_}


def test_nothing_lies_in_itself(rows: list[dict[str, str]]) -> None:
    above = {row["id"]: row["parentId"] for row in rows}
    for start in above:
        at, steps = start, 0
        while at:
            at, steps = above[at], steps + 1
            assert steps < 10, f"from {start} one never gets out"


def test_a_department_lies_in_its_region(rows: list[dict[str, str]]) -> None:
    above = {row["id"]: row["parentId"] for row in rows}
    assert (above["FR-01"], above["FR-ARA"], above["FR"]) == ("FR-ARA", "FR", "")


def test_the_columns_are_the_table_s(rows: list[dict[str, str]]) -> None:
    assert tuple(rows[0]) == COLUMNS == load_dataset("places").names


def test_the_values_fit_the_suite(rows: list[dict[str, str]]) -> None:
    for row in rows:
        assert re.fullmatch(r"[A-Z]{2}(-[A-Z0-9]{1,3})?", row["id"])
        assert row["name"] == row["name"].strip() != ""
        assert row["kind"]
        of_country = (3, True) if "-" not in row["id"] else (0, False)
        assert (len(row["alpha_3"]), row["numeric_code"].isdigit()) == of_country


def test_the_file_is_the_same_each_time(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    places_csv(one)
    places_csv(two)
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("country", "parent", "wanted"),
    [("FR", None, "FR"), ("FR", "", "FR"), ("FR", "ARA", "FR-ARA"), ("FR", "FR-ARA", "FR-ARA")],
)
def test_a_parent_with_its_country_s_prefix_or_without(country: str, parent: str | None, wanted: str) -> None:
    assert parent_of(country, parent) == wanted


def test_the_broken_file_is_broken_as_promised(tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    broken_csv(path)
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    ids, real = Counter(row["id"] for row in rows), {place[0] for place in places()}
    assert [name for name, times in ids.items() if times > 1] == ["XA"]
    assert {row["parentId"] for row in rows} - set(ids) - {""} - real == {"XB"}
    above = {row["id"]: row["parentId"] for row in rows}
    assert above[above[above["XC"]]] == "XC"
    assert real.isdisjoint(ids), "it must not touch what the real file loads"
