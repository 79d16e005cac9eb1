"""What the steps leave in the staging database is what tables.py lists, and no step uses a temporary table of another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.contracts.options import OnError, Options
from pipeline.datasets.dataset import load_dataset
from pipeline.prepare.manifest import BatchSizes
from pipeline.sandbox import validate_file
from pipeline.staging.database import StagingDatabase
from pipeline.staging.tables import TABLES

ROOT = Path(__file__).resolve().parents[3]
STEPS = ("read", "staging", "validate", "report", "prepare")
RECORDS = load_dataset("records")
FILE = "id,parentId,name,colour\na,,x,red\nb,a,x,red\nc,b,x,red\nc,b,x,red\nd,nowhere,x,red\ne,f,x,red\nf,e,x,red\n"


def test_the_database_has_the_tables_that_are_listed_after_a_validation(tmp_path: Path) -> None:
    bounds = {"max_depth": 2, "max_children": 5, "single_root": True, "min_depth": 1}
    rules = {"ranks": {"column": "name", "order": ["x", "y"]}, "unique_siblings": "name", "leaf_only": "name"}
    meta = {**RECORDS.suite["meta"], "bounds": bounds, "rules": rules}
    dataset = replace(RECORDS, suite={**RECORDS.suite, "meta": meta})
    (tmp_path / validate_file.SOURCE).write_text(FILE)
    options = Options(on_error=OnError.QUARANTINE)
    with StagingDatabase.in_memory(tmp_path) as database:
        validate_file._validate(tmp_path, dataset, "a.csv", "run", BatchSizes("i"), options, lambda wanted: None, database)
        with database.connect() as connection:
            found: dict[str, list[str]] = {}
            for table, column in connection.execute(
                "select table_name, column_name from duckdb_columns() where not internal order by column_index"
            ).fetchall():
                found.setdefault(table, []).append(column)
    found = {name: columns for name, columns in found.items() if not name.startswith("check_")}
    listed = {table.name: table for table in TABLES}
    assert found.keys() - listed.keys() == set()
    assert listed.keys() - found.keys() <= {"cleaned", "members", "laid_over_warehouse", "text_rows", "own", "remaining"}, (
        "of some files only"
    )
    for name, columns in found.items():
        if listed[name].has_own_columns:
            assert set(listed[name].columns) <= set(columns), name
        else:
            assert set(listed[name].columns) == set(columns), name


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_writer_of_a_table_names_it(table: object) -> None:
    name, _, written_by, read_by, _ = table  # type: ignore[misc]
    place = ROOT / "pipeline" / written_by
    files = [*place.glob("*.py")] if place.is_dir() else [place.with_suffix(".py")]
    assert any(re.search(rf"\b{name}\b", file.read_text()) for file in files)
    for package in read_by:
        folder, suffix = (ROOT / "sql" / "checks", "sql") if package == "sql" else (ROOT / "pipeline" / package, "py")
        assert any(re.search(rf"\b{name}\b", file.read_text()) for file in folder.rglob(f"*.{suffix}")), package


def temporary(text: str) -> Iterator[str]:
    """The names of the temporary tables that a module makes."""
    yield from re.findall(r"\btemp (?:table|view) (\w+)", text)
    yield from re.findall(r"\binto=\"(\w+)\"", text)


def test_no_step_reads_a_temporary_table_of_another() -> None:
    texts = {step: "\n".join(file.read_text() for file in (ROOT / "pipeline" / step).rglob("*.py")) for step in STEPS}
    made = {step: set(temporary(text)) for step, text in texts.items()}
    assert {"tops", "movers", "nearest_bad"} <= made["validate"] and {"in_order", "levels"} <= made["prepare"]
    for step, text in texts.items():
        for other in STEPS:
            foreign = made[other] - made[step] if other != step else set()
            used = [name for name in foreign if re.search(rf"(?<!yield )\b(?:from|join|into|update) {name}\b", text)]
            assert used == [], (step, other)
    assert {table.name for table in TABLES} & set().union(*made.values()) == set()
