"""The file to fill in: what it holds can be read, and loaded."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.datasets.table import Column
from pipeline.datasets.template import FORMS, template_rows
from pipeline.read import read
from pipeline.staging.cast import stage
from pipeline.staging.database import StagingDatabase

TYPES = (
    *("text", "smallint", "integer", "bigint", "numeric(6, 2)", "double precision", "boolean", "date", "timestamptz"),
    *("timestamp without time zone", "time", "interval", "uuid", "jsonb", "varchar(9)"),
)


def of_all_types() -> Dataset:
    columns = [Column("id", "text", True), Column("parentId", "text", False)]
    columns += [Column(f"c{at}", kind, False) for at, kind in enumerate(TYPES)]
    table = ", ".join(f'"{one.name}" {one.type}' for one in columns)
    suite = {"name": "all_types", "expectations": []}
    return Dataset(
        "all_types", Path(), tuple(columns), "id", "parentId", None, suite, f"create table warehouse.all_types ({table})"
    )


@pytest.mark.parametrize("form", FORMS)
def test_the_example_is_of_the_columns_types(tmp_path: Path, form: str) -> None:
    dataset = of_all_types()
    (tmp_path / "source").write_bytes(FORMS[form](dataset))
    with StagingDatabase.in_memory(tmp_path) as database, database.connect() as connection:
        reading = read(tmp_path / "source", dataset, connection=connection)
        stage(connection, dataset)
        ((found, wrong),) = connection.execute("select count(*), (select count(*) from findings) from incoming").fetchall()
    assert (reading.format, reading.records, found, wrong) == (form, 1, 1, 0)


def test_every_dataset_has_one() -> None:
    header, row = template_rows(load_dataset("places"))
    assert header == ["id", "parentId", "name", "kind", "alpha_3", "numeric_code", "flag"]
    assert row == ["1", "", "text", "text", "text", "1", "text"]
    assert template_rows(load_dataset("records"))[0] == ["id", "parentId", "name"], "the rest is no column to fill in"
    assert [*csv.reader(io.StringIO(FORMS["csv"](load_dataset("records")).decode()))] == [
        ["id", "parentId", "name"],
        ["1", "", "text"],
    ]
