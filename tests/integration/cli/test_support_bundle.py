"""A support bundle of a real installation with secrets and hostile values everywhere: none is in the bundle's bytes."""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.adapters.s3 import Store
from pipeline.cli.commands import app
from pipeline.cli.support_bundle import write_bundle
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.errors import InvalidRequest
from pipeline.settings import Settings
from tests.support.bulkhead import HEADER, Bulkhead, tree
from tests.support.import_steps import QUARANTINE, upload
from tests.support.waiting import wait_until
from tests.support.workers import running_worker

HOSTILE = {
    "record": "zq-record-value",
    "parent": "zq-missing-parent",
    "filename": "zq-file-name",
    "mail": "zq.person@example.org",
    "hook": "zq-hook-token",
    "smtp": "zq-smtp-word",
    "signing": "whsec_enEtc2lnbmluZw==",
    "session": "zq-session-key-0123456789abcdef01234567",
    "api": "bk_" + "1" * 32 + "_" + "ab" * 24,
    "lineage": "zq-lineage-key",
    "log": "zq-log-value",
    "statement": "zq-statement-value",
    "relay": "zq-relay-token",
}
BROKEN = f"{HEADER}{HOSTILE['record']},{HOSTILE['parent']},x\nb,,{HOSTILE['record']}\nb,,{HOSTILE['record']}\nc,,x\n"
LOG = f"""2026-11-29T20:35:32.1Z [info     ] finished  import_id=01a22905-085d-742d-a81b-19b1a16fa404 name='{HOSTILE["log"]}'
2026-11-29 20:35:32.123 UTC [77] ERROR:  duplicate key value violates unique constraint "{HOSTILE["log"]}"
2026-11-29 20:35:32.123 UTC [77] DETAIL:  Key (id)=({HOSTILE["log"]}) already exists.
2026-11-29 20:35:32.123 UTC [77] STATEMENT:  insert into warehouse.records values ('{HOSTILE["statement"]}')
\t'{HOSTILE["statement"]}'
ValueError: {HOSTILE["log"]}
GET /s3/incoming/records/{HOSTILE["filename"]}.csv {HOSTILE["api"]} {HOSTILE["mail"]}
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "api_key": HOSTILE["api"],
            "secret_key": HOSTILE["session"],
            "relay_token": HOSTILE["relay"],
            "webhook_urls": (f"http://127.0.0.1:1/services/{HOSTILE['hook']}?key={HOSTILE['hook']}",),
            "webhook_allow_private": True,
            "webhook_secret": HOSTILE["signing"],
            "email_to": (HOSTILE["mail"],),
            "smtp_url": f"smtp://user:{HOSTILE['smtp']}@127.0.0.1:1",
            "openlineage_url": "http://127.0.0.1:1",
            "openlineage_api_key": HOSTILE["lineage"],
        }
    )


def opened(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as bundle:
        assert bundle.testzip() is None
        return {name: bundle.read(name) for name in bundle.namelist()}


def secrets_of(settings: Settings) -> list[str]:
    own = [settings.database_url, settings.s3_secret_key, settings.database_url.split(":")[2].split("@")[0]]
    return [*HOSTILE.values(), *(str(one) for one in own if one)]


def test_a_bundle_has_what_helps_and_no_secret_or_value(settings: Settings, store: Store, tmp_path: Path) -> None:
    bulkhead = Bulkhead(settings, store)
    with running_worker(settings):
        rejected = upload(bulkhead, BROKEN, Options(notify=(HOSTILE["mail"],)))
        partial = upload(bulkhead, BROKEN + "d,,y\n", QUARANTINE)
        named = bulkhead.ingest(tree(5), name=f"{HOSTILE['filename']}.csv")
        assert (rejected.state, partial.state, named.state) == (State.REJECTED, State.PARTIALLY_SUCCEEDED, State.SUCCEEDED)
        wait_until(lambda: any(step.failure_type for step in bulkhead.orchestrator.health(with_pending=True).pending))
    bulkhead.close()
    logs = settings.home / "logs"
    logs.mkdir(parents=True)
    (logs / "worker.log").write_text(LOG)
    file = tmp_path / "bundle.zip"
    sums = write_bundle(settings, file)
    content = opened(file)
    for secret in secrets_of(settings):
        for name, data in content.items():
            assert secret.encode() not in data, (secret, name)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    _check_manifest(content, sums)
    _check_content({name: json.loads(data) for name, data in content.items() if name.endswith(".json")}, rejected.id)
    assert b"ValueError" in content["logs/worker.log"] and b"finished import_id=01a22905" in content["logs/worker.log"]

    with_names = tmp_path / "names.zip"
    write_bundle(settings, with_names, with_names=True)
    ledger = opened(with_names)["ledger.json"]
    assert HOSTILE["filename"].encode() in ledger and HOSTILE["record"].encode() not in ledger
    with pytest.raises(InvalidRequest, match="exists already"):
        write_bundle(settings, file)


def _check_manifest(content: dict[str, bytes], sums: dict[str, str]) -> None:
    manifest = json.loads(content["manifest.json"])
    assert (
        manifest
        == sums
        == {name: hashlib.sha256(data).hexdigest() for name, data in content.items() if name != "manifest.json"}
    )
    assert all(name.split("/")[0] in content["README.txt"].decode() for name in content if name != "README.txt")


def _check_content(found: dict[str, Any], import_id: str) -> None:
    assert not [name for name, section in found.items() if isinstance(section, dict) and "error" in section]
    states = {(row["dataset"], row["state"]): row["imports"] for row in found["ledger.json"]["counts"]}
    assert states == {("records", "rejected"): 1, ("records", "partially_succeeded"): 1, ("records", "succeeded"): 1}
    one = next(one for one in found["ledger.json"]["imports"] if one["id"] == import_id)
    assert one["counts"]["total"] == 4 and one["findings_by_code"] and "filename" not in one
    assert {result["name"]: result["state"] for result in found["doctor.json"]}["mail"] == "fail"
    assert any(table["table_name"] == "records" for table in found["database.json"]["tables"])
    assert found["database.json"]["migrations"]["database"] == found["database.json"]["migrations"]["release"]
    assert found["temporal.json"]["exists"] and found["temporal.json"]["pending"][0]["step"] == "deliver"
    settings = {one["name"]: one["value"] for one in found["settings.json"]["settings"]}
    assert settings["BULKHEAD_WEBHOOK_URLS"] == settings["DATABASE_URL"] == "set, not shown"
    assert settings["BULKHEAD_BATCH_RECORDS"] == "200"


def test_without_any_server_the_command_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BULKHEAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:zq-word@127.0.0.1:1/gone")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setattr("pipeline.cli.doctor.object_store._put_get_delete", lambda store, bucket: None)  # it tries for long
    run = CliRunner().invoke(app, ["support-bundle", "out.zip", "--json"])
    assert run.exit_code == 0, run.output
    said = json.loads(run.stdout)
    assert said["file"] == "out.zip" and "ledger.json" in said["files"]
    content = opened(tmp_path / "out.zip")
    assert "error" in json.loads(content["ledger.json"]) and "error" in json.loads(content["temporal.json"])
    assert not any(b"zq-word" in data for data in content.values())
    again = CliRunner().invoke(app, ["support-bundle", "out.zip"])
    assert again.exit_code == 1 and "exists already" in again.output
