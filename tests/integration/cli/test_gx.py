"""`bulkhead gx`: what it writes is opened and run by Great Expectations itself, with a login that may only read."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from pipeline.cli.commands import app
from pipeline.datasets.gx_project import ADDRESS
from pipeline.settings import Settings
from pipeline.warehouse.sql_reader import sql_url
from tests.support.records import IMPORT_ID
from web.app_context import AppContext

Run = Callable[..., Result]
PLACES = [("XA", None, "Atlantis", "ATL"), ("XA-1", "XA", "Lost Valley", None), ("XA-2", "XA", "Found Valley", None)]


@pytest.fixture
def run(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `bulkhead gx` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BULKHEAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(ADDRESS, sql_url(settings))
    return lambda *args: CliRunner().invoke(app, ["gx", *map(str, args)])


def fill(settings: Settings, rows: list[tuple[str, str | None, str, str | None]]) -> None:
    with psycopg.connect(settings.database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            'insert into warehouse.places (id, "parentId", name, kind, alpha_3, _import_id, _row)'
            " values (%s, %s, %s, 'Place', %s, %s, 1)",
            [(*row, IMPORT_ID) for row in rows],
        )


def checked(folder: Path, dataset: str) -> dict[str, dict[str, Any]]:
    """Open the project and run a checkpoint of it, by the library's own means; each expectation's result by what it expects."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as library

        context = library.get_context(mode="file", project_root_dir=folder)
        result = context.checkpoints.get(dataset).run()
    (found,) = result.run_results.values()
    assert found.statistics["evaluated_expectations"] == len(found.results)
    assert [message for one in found.results for message in _raised(one.exception_info or {})] == []
    by_name = {
        str(one.expectation_config.description or one.expectation_config.type): one.to_json_dict() for one in found.results
    }
    assert result.success is all(one["success"] for one in by_name.values())
    return by_name


def _raised(info: dict[str, Any]) -> list[str]:
    """The messages of the exceptions: of the expectation, or of its metrics."""
    if "raised_exception" in info:
        return [str(info["exception_message"])] if info["raised_exception"] else []
    return [message for one in info.values() for message in _raised(one)]


def test_the_library_opens_it_and_its_checkpoint_succeeds(
    run: Run, edges: AppContext, settings: Settings, tmp_path: Path
) -> None:
    fill(settings, PLACES)
    written = run("project", "--json")
    assert written.exit_code == 0, written.output
    said = json.loads(written.stdout)
    assert {one["dataset"] for one in said["datasets"]} == {"places", "records"} and said["address_from"] == ADDRESS
    assert all((tmp_path / "project" / name).is_file() for name in said["files"])
    found = checked(tmp_path / "project", "places")
    assert {name for name, one in found.items() if not one["success"]} == set()
    assert {"Every parent is loaded.", "No record is its own ancestor.", "The tree has at most 20 levels."} <= found.keys()
    site = tmp_path / "project" / "gx" / "uncommitted" / "data_docs" / "local_site" / "index.html"
    assert "places" in site.read_text(encoding="utf-8"), "its own Data Docs are built"
    password = settings.database_url.partition("://")[2].partition("@")[0].partition(":")[2]
    texts = [(tmp_path / "project" / name).read_text(encoding="utf-8") for name in said["files"]]
    assert password and not any(password in text for text in texts)

    fill(settings, [("XB-1", "XB", "Orphan", None), ("XC", "XC", "Round", "XC")])
    fill(settings, [("XD", "XE", "There", None), ("XE", "XD", "and back", None)])
    found = checked(tmp_path / "project", "places")
    missed = {name: one["result"] for name, one in found.items() if not one["success"]}
    assert {name: one.get("observed_value", one.get("unexpected_count")) for name, one in missed.items()} == {
        "Every parent is loaded.": 1,
        "No record is its own parent.": 1,
        "No record is its own ancestor.": 3,
        "expect_column_value_lengths_to_equal": 1,
    }


def test_a_folder_with_files_is_kept_unless_forced(run: Run, tmp_path: Path) -> None:
    assert run("project", "-d", "places").exit_code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "project").rglob("*") if path.is_file()}
    notes = tmp_path / "project" / "notes.txt"
    notes.write_text("mine")
    refused = run("project", "-d", "places")
    assert refused.exit_code == 1 and "not empty" in refused.stderr and refused.stdout == ""
    assert run("project", "-d", "places", "--force").exit_code == 0
    assert {path: path.read_bytes() for path in before} == before, "the same again"
    assert notes.read_text() == "mine"
    assert run("other", "-d", "nothing").exit_code == 1 and not (tmp_path / "other").exists()
    assert run(notes).exit_code == 2, "a file is no folder"
