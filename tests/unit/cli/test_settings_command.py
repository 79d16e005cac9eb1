"""The command that shows the settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli.commands import app


def run(*args: str) -> Result:
    return CliRunner().invoke(app, ["settings", *args])


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BULKHEAD_HOME", str(tmp_path))
    (tmp_path / "database-url").write_text("postgresql://me:SENTINEL@db.internal/bulkhead\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "database-url"))
    monkeypatch.delenv("BULKHEAD_WARM_SECONDS", raising=False)  # which all tests have


def test_settings_are_shown_with_value_source_and_meaning(tmp_path: Path) -> None:
    done = run()
    assert done.exit_code == 0
    words = " ".join(done.stdout.split())
    assert "BULKHEAD_RECONCILE_SECONDS = 1 minute (default) The interval of reconciliation" in words
    source = f"(from the file {tmp_path / 'database-url'}, named in: environment)"
    assert f"DATABASE_URL = postgresql://me:…@db.internal/bulkhead {source}" in words
    assert "SENTINEL" not in done.output
    assert "Insecure: DATABASE_URL: The connection to PostgreSQL need not be encrypted." in " ".join(done.stderr.split())


def test_settings_as_json(tmp_path: Path) -> None:
    done = run("DATABASE_URL", "--json", "--strict")
    assert done.exit_code == 1
    shown = json.loads(done.stdout)
    (one,) = shown["settings"]
    assert (one["name"], one["source"], one["file"]) == ("DATABASE_URL", "environment", str(tmp_path / "database-url"))
    assert [fault["name"] for fault in shown["insecure"]] == ["DATABASE_URL"]
    assert "SENTINEL" not in done.output


def test_only_what_differs_from_the_default() -> None:
    assert [one["name"] for one in json.loads(run("--changed", "--json").stdout)["settings"]] == [
        "BULKHEAD_HOME",
        "DATABASE_URL",
    ]


def test_a_setting_that_does_not_exist() -> None:
    done = run("BULKHEAD_COLOUR")
    assert done.exit_code == 1
    assert "There is no setting BULKHEAD_COLOUR. List all: bulkhead settings" in done.stderr


def test_settings_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://x/y")
    done = run()
    assert done.exit_code == 1
    assert "DATABASE_URL and DATABASE_URL_FILE are both set" in " ".join(done.stderr.split())
