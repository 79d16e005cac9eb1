"""An audit of what is loaded: the export of real tables, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import psycopg
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.adapters import postgres
from pipeline.cli.commands import app
from pipeline.datasets.dataset import load_dataset
from pipeline.settings import ROOT
from pipeline.warehouse import existing_edges
from pipeline.warehouse.table_export import export_table


def put(url: str, rows: list[tuple[str, str | None, str | None, str]]) -> None:
    """Records that another client wrote."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            """insert into warehouse.records (id, "parentId", name, attributes, _import_id, _row)
            values (%s, %s, %s, %s, gen_random_uuid(), 1)""",
            rows,
        )


@pytest.mark.all_versions
def test_a_table_is_exported_as_it_is(database: str, tmp_path: Path) -> None:
    put(database, [("a", None, "", '{"x": "1\\n2"}'), ("b", "a", None, "{}")])
    engine = postgres.connect(database)
    exported = export_table(engine, load_dataset("records"), tmp_path / "table.csv")
    engine.dispose()
    assert sorted((tmp_path / "table.csv").read_text().splitlines()) == ['a,,"","{""x"": ""1\\n2""}"', "b,a,,{}"]
    assert (exported.records, exported.longest_bytes) == (2, 26)


def test_the_rules_get_the_values_of_the_warehouse(database: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "expectations").mkdir(parents=True)
    (root / "sql").symlink_to(ROOT / "sql")
    suite = json.loads((ROOT / "expectations" / "records.json").read_text())
    suite["meta"]["rules"] = {"unique_siblings": "name"}
    (root / "expectations" / "records.json").write_text(json.dumps(suite))
    put(database, [("a", None, "x", "{}"), ("b", "a", "y", "{}"), ("c", "b", None, "{}")])
    duckdb.execute(f"copy (select 'around' as what, 'a' as id, null as parent) to '{tmp_path / 'w'}' (format parquet)")
    engine = postgres.connect(database)
    edges = tmp_path / "edges.parquet"
    existing_edges.edges(engine, load_dataset("records", root), tmp_path / "w", edges, beat=lambda: None)
    engine.dispose()
    assert sorted(pq.read_table(edges).to_pylist(), key=lambda row: str(row["id"])) == [
        {"id": "a", "parentId": None, "value_0": "x"},
        {"id": "b", "parentId": "a", "value_0": "y"},
    ]


def test_the_command_audits_what_is_loaded(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    put(database, [("a", None, "x", "{}"), ("b", "a", "y", "{}")])
    clean = CliRunner().invoke(app, ["audit", "records"])
    assert clean.exit_code == 0, clean.output
    with psycopg.connect(database) as connection:
        recorded = connection.execute("select action, actor_kind, target_id from ledger.audit_event").fetchall()
    assert recorded == [("audit_started", "cli", "records")]
    put(database, [("c", "gone", None, "{}"), ("d", "d", None, "{}")])
    found = CliRunner().invoke(app, ["audit", "records", "--json", "--output", str(tmp_path / "report")])
    assert found.exit_code == 3
    document = json.loads(found.stdout)
    assert {one["code"]: one["percent"] for one in document["codes"]} == {"missing_parent": 25.0, "self_parent": 25.0}
    assert sorted(one["id"] for one in document["findings"]) == ["c", "d"]
    assert (tmp_path / "report" / "findings.csv").read_text().count("\n") == 3
    shown = CliRunner().invoke(app, ["audit", "records"])
    assert shown.exit_code == 3 and "record c" in shown.stdout and "25 %" in shown.stdout


def test_an_audit_without_a_warehouse_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://absent@127.0.0.1:1/none")
    result = CliRunner().invoke(app, ["audit", "records"])
    assert result.exit_code == 7
    assert "The warehouse does not answer, or has no table of records: run bulkhead migrate." in " ".join(result.stderr.split())
