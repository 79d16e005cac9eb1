"""Audits by the client and by `bulkhead audit --server`, against a real server and a real worker."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock

import psycopg
import pytest
from typer.testing import CliRunner

from pipeline.cli.commands import app
from pipeline.client.api import Client, TimedOut
from pipeline.orchestration import audit_activities
from pipeline.settings import Settings
from tests.support.web_app import Server
from tests.support.workers import running_worker


@pytest.fixture
def client(server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client, and the settings of the command line; one of two records has no parent."""
    monkeypatch.setenv("BULKHEAD_URL", server.url)
    monkeypatch.setenv("BULKHEAD_API_KEY", server.key)
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            """insert into warehouse.records (id, "parentId", name, _import_id, _row)
            values ('a', null, 'x', gen_random_uuid(), 1), ('b', 'gone', 'y', gen_random_uuid(), 2)"""
        )
    return Client(server.url, server.key)


def test_an_audit_by_the_client_and_by_the_command(
    client: Client, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_activities, "log", Mock())  # the worker's stdout is the command's here
    started = client.audits.start("records")
    assert client.audits.start("records")["id"] == started["id"], "one at a time"
    with pytest.raises(TimedOut) as late:
        client.audits.wait(started, timeout=0)
    assert late.value.last["state"] == "queued"
    assert CliRunner().invoke(app, ["audit", "records", "--server", "--timeout", "0"]).exit_code == 6
    assert client.audits.cancel("records", started["id"])["state"] == "canceled"
    with running_worker(settings):
        done = client.audits.wait(client.audits.start("records"), timeout=300)
        assert (done["state"], done["invalid_percent"]) == ("succeeded", 50.0)
        assert [found["id"] for found in client.audits.errors(done)] == ["b"]
        assert client.audits.error_groups(done)["total"] == 1
        assert [one["state"] for one in client.audits.list("records")] == ["succeeded", "canceled"]

        shown = CliRunner().invoke(app, ["audit", "records", "--server", "--output", str(tmp_path / "report")])
        assert shown.exit_code == 3 and "50 %" in shown.stdout, shown.output
        assert {file.name for file in (tmp_path / "report").iterdir()} == {
            *("findings.csv", "findings.json", "findings.parquet", "findings.xlsx")
        }
        document = json.loads(CliRunner().invoke(app, ["audit", "records", "--server", "--json"]).stdout)
    assert (document["errors"], document["records"], document["findings"][0]["id"]) == (1, 2, "b")
    assert {"dataset", "rules_version", "warnings", "invalid", "codes", "rules"} <= document.keys(), "as without --server"


def test_a_timeout_needs_a_server() -> None:
    assert CliRunner().invoke(app, ["audit", "records", "--timeout", "3"]).exit_code == 2
