"""What is to be added is one file or one line: the examples of docs/extending.md, run as they stand there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest

from pipeline.contracts.options import Options
from pipeline.datasets.dataset import load_dataset
from pipeline.read import read_file as reading
from pipeline.report.findings import Counted
from pipeline.sandbox import validate_file
from pipeline.staging.hierarchy import lay_out
from pipeline.validate.sql_check_file import read_check
from pipeline.validate.sql_checks import run_checks
from pipeline.validate.tree_overlay import add_edges
from tests.support.staging import run_stage

PAGE = Path(__file__).resolve().parents[3] / "docs" / "extending.md"
PLACES = "id,parentId,name,kind,alpha_3,numeric_code,flag\n"

Add = Callable[[str], str]
Findings = list[dict[str, Any]]
Validate = Callable[[str, str], tuple[Counted, Findings]]


@pytest.fixture
def add(extending: dict[str, str], a_root: Path) -> Add:
    """Put an example where the page says that it belongs; gives its text."""

    def put(name: str) -> str:
        (a_root / name).parent.mkdir(parents=True, exist_ok=True)
        (a_root / name).write_text(extending[name], encoding="utf-8")
        return extending[name]

    return put


@pytest.fixture
def validate(a_root: Path, tmp_path: Path) -> Validate:
    """Validate a text by a dataset of the root; gives the counts and the findings."""

    def run(dataset: str, text: str) -> tuple[Counted, Findings]:
        (tmp_path / validate_file.SOURCE).write_text(text, encoding="utf-8")
        rules = load_dataset(dataset, a_root)
        counted = validate_file.validate(tmp_path, rules, "f.csv", "run", None, Options(), lambda wanted: None)
        return counted, json.loads((tmp_path / validate_file.REPORT / "findings.json").read_bytes())

    return run


def test_a_check_is_one_file(add: Add, validate: Validate) -> None:
    text = PLACES + "FR,,France,Country,,,\nFR-75,FR,Paris,Department,,,\n"
    assert validate("places", text)[1] == []
    add("sql/checks/places/country_without_code.sql")
    counted, (finding,) = validate("places", text)
    assert counted.verdict().accepted and counted.warnings == 1
    assert {**finding, "cycle": None, "related": None} == {
        "code": "no_alpha_3",
        "severity": "warning",
        "message": "The country France has no alpha-3 code.",
        "place": "line 2",
        "row": 1,
        "line": 2,
        "column": "alpha_3",
        "value": "France",
        "hint": "Look it up in ISO 3166.",
        "id": "FR",
        "related": None,
        "cycle": None,
    }
    assert validate("records", "id,parentId\n1,\n")[1] == [], "it is for places only"


def test_an_expectation_is_one_line(extending: dict[str, str], a_root: Path, validate: Validate) -> None:
    text = PLACES + "FR,,France,Country,FRA,250,\nXX,,Nowhere,Country,XXX,1000,\n"
    assert validate("places", text)[1] == []
    line = extending["expectations/places.json"].strip()
    assert "\n" not in line
    suite = a_root / "expectations" / "places.json"
    suite.write_text(re.sub(r'("expectations": \[\n)', lambda found: f"{found[1]}    {line},\n", suite.read_text()))
    counted, (finding,) = validate("places", text)
    assert counted.verdict().accepted and counted.warnings == 1
    assert (finding["code"], finding["row"], finding["column"]) == ("no_such_number", 2, "numeric_code")
    assert (finding["message"], finding["hint"]) == ("1000 is no number of ISO 3166.", "It has three digits at most.")


def test_a_dataset_is_a_suite_and_a_table(add: Add, validate: Validate) -> None:
    for name in ("expectations/products.json", "sql/tables/products.sql"):
        add(name)
    assert validate("products", "sku,part_of,label,price\nBIK-1,,Bike,499.00\nWHE-2,BIK-1,Wheel,\n")[1] == []
    _, findings = validate("products", "sku,part_of,label,price\nbike,,Bike,1.999\nWHE-2,BIK-9,,5\n")
    assert sorted((one["row"], one["column"], one["code"]) for one in findings) == [
        (1, "price", "invalid_type"),
        (1, "sku", "expectation_failed"),
        (2, "label", "missing_value"),
        (2, "part_of", "missing_parent"),
    ]


def test_a_format_is_one_function(extending: dict[str, str], validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("arrows")
    exec(extending["pipeline/read/formats/arrows.py"], module.__dict__)
    entry = re.search(r'`"arrows": \((b"%arrows"), read_arrows\)`', PAGE.read_text())
    assert entry
    monkeypatch.setattr(reading, "TEXTS", {"arrows": (b"%arrows", module.read_arrows), **reading.TEXTS})
    counted, findings = validate("records", "%arrows\na -> \nb -> a\nc - a\nd -> gone\n")
    assert (counted.records, counted.reading["format"]) == (4, "arrows")
    assert [(one["row"], one["line"], one["code"]) for one in findings] == [(3, 4, "malformed_row"), (4, 5, "missing_parent")]


def test_every_example_is_run_here_or_against_a_database(extending: dict[str, str]) -> None:
    assert set(extending) == {
        "sql/checks/places/country_without_code.sql",
        "expectations/places.json",
        "expectations/products.json",
        "sql/tables/products.sql",
        "sql/marts/product_prices.sql",
        "pipeline/read/formats/arrows.py",
    }


# --- What the page says of checks ---


def test_a_check_may_ask_what_the_page_says(database: Path) -> None:
    relations = re.findall(r"^\| `(\w+)` \| (.*?) \| \w.* \|$", PAGE.read_text().split("read these relations")[1], re.MULTILINE)
    assert len(relations) == 16
    records = load_dataset("records")
    with duckdb.connect(str(database)) as connection:
        connection.execute("""create table raw as select 1 as _row, 'a' as id, 'b' as "parentId", null as name""")
        connection.execute("create table lines as select 1::bigint as first_row, 2::bigint as first_line")
        connection.execute("create view incoming as select *, '{}' as attributes from raw")
        lay_out(connection, records)
    run_stage(add_edges, database, None)
    with duckdb.connect(str(database)) as connection:
        run_checks(connection, [read_check(path) for path in records.check_files])
        for relation, columns in relations:
            there = [str(row[0]) for row in connection.execute(f'describe "{relation}"').fetchall()]
            wanted = re.sub(r"[`\"]", "", columns).split(" and ")[0].split(", ")
            assert wanted == (there[:1] if " and " in columns else there), relation


def test_a_check_says_of_itself_what_the_page_lists(extending: dict[str, str], tmp_path: Path) -> None:
    """All lines of its opening comment are in the example, and none is passed over."""
    file = tmp_path / "x.sql"
    file.write_text(extending["sql/checks/places/country_without_code.sql"])
    check = read_check(file)
    said = dict(re.findall(r"^-- (\w+): (.*)$", file.read_text(), re.MULTILINE))
    table = PAGE.read_text().split("opening comment is the message")[1].split("The query returns")[0]
    assert said == {name: getattr(check, name) for name in re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)}
