"""Every finding in a table, for people's own SQL: complete, idempotent, and the same as in the files."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine

from pipeline.adapters import postgres
from pipeline.ledger.findings import Findings
from pipeline.ledger.ledger import Ledger
from pipeline.settings import Settings

TYPES = {"number": pa.int64(), "row": pa.int64(), "line": pa.int64()}
TYPES |= dict.fromkeys(("id", "code", "severity", "message", "column", "value", "hint"), pa.string())
TYPES |= dict.fromkeys(("related", "cycle", "cells"), pa.list_(pa.string()))
EVIL = '\0 \\N \\. {"a",NULL} \' " \t\r\n \u202e 🚢 =1+1'


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = postgres.connect(settings.database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def import_id(engine: Engine) -> str:
    import_id = str(uuid.uuid4())
    Ledger(engine).imports.open(import_id, dataset="places", filename="a.csv", bucket="b", key="k", state="queued")  # type: ignore[arg-type]
    return import_id


def parquet(path: Path, findings: list[dict[str, Any]]) -> Path:
    known = {"code": "x", "severity": "error", "message": "Wrong."}
    rows = [{**known, "number": number, **finding} for number, finding in enumerate(findings, 1)]
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(TYPES)), path)
    return path


def kept(settings: Settings, import_id: str) -> list[dict[str, Any]]:
    with psycopg.connect(settings.database_url, row_factory=psycopg.rows.dict_row) as connection:
        query = "select * from warehouse.import_findings where import_id = %s order by finding_no"
        return connection.execute(query, (import_id,)).fetchall()


@pytest.mark.all_versions
def test_every_field_is_kept_whatever_stands_in_it(engine: Engine, import_id: str, settings: Settings, tmp_path: Path) -> None:
    said = dict.fromkeys(("id", "code", "severity", "message", "column", "value", "hint"), EVIL)
    findings = [{}, {**said, "row": 2, "line": 3, "related": [EVIL, "", None], "cycle": [EVIL]}, {"value": "", "related": []}]
    beats: list[int] = []
    count = Findings(engine).store(import_id, parquet(tmp_path / "f.parquet", findings), beat=lambda: beats.append(1))
    assert (count, len(beats)) == (3, 1)
    first, second, third = kept(settings, import_id)
    assert (first["finding_no"], first["code"], first["row"], first["value"], first["related"]) == (1, "x", None, None, None)
    assert (first["dataset"], first["filename"]) == ("places", "a.csv")
    spelled = EVIL.replace("\0", "\\u0000")
    assert {second[name] for name in said} == {spelled}
    assert (second["row"], second["line"], second["related"], second["cycle"]) == (2, 3, [spelled, "", None], [spelled])
    assert (third["value"], third["related"]) == ("", [])


@pytest.mark.all_versions
def test_a_second_try_takes_the_place_of_the_first(engine: Engine, import_id: str, settings: Settings, tmp_path: Path) -> None:
    for findings in ([{"row": 1}, {"row": 2}], [{"row": 3}]):
        Findings(engine).store(import_id, parquet(tmp_path / "f.parquet", findings), beat=lambda: None)
    assert [one["row"] for one in kept(settings, import_id)] == [3]


def test_a_try_that_is_cut_off_leaves_what_was_there(
    engine: Engine, import_id: str, settings: Settings, tmp_path: Path
) -> None:
    Findings(engine).store(import_id, parquet(tmp_path / "f.parquet", [{"row": 1}]), beat=lambda: None)

    def cut_off() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Findings(engine).store(import_id, parquet(tmp_path / "f.parquet", [{"row": 2}] * 5), beat=cut_off)
    assert [one["row"] for one in kept(settings, import_id)] == [1]
