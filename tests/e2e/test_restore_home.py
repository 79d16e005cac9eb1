"""From one system to a home that does not exist yet, by the commands alone: what waited there is finished here."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from pipeline.adapters.s3 import Store
from pipeline.contracts.options import Options
from pipeline.ledger.ledger import Ledger
from pipeline.local import postgres
from pipeline.local.home import Home
from pipeline.receive.upload import Intake
from pipeline.receive.upload_metadata import UploadRequest
from pipeline.settings import Settings
from tests.support.waiting import wait_until

pytestmark = pytest.mark.early


@contextmanager
def up(home: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run `bulkhead up` on a home during the block."""
    with (
        (home.parent / "up.log").open("wb") as log,
        subprocess.Popen(["bulkhead", "up", "--home", str(home)], env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _states(home: Path) -> dict[str, str]:
    try:
        with psycopg.connect(postgres.url(Home(home)), connect_timeout=2) as connection:
            return dict(connection.execute("select id::text, state from ledger.import").fetchall())
    except psycopg.OperationalError:
        return {}


@pytest.mark.thorough
def test_a_backup_goes_on_in_another_home(
    settings: Settings, store: Store, ledger: Ledger, environment: dict[str, str], tmp_path: Path
) -> None:
    content = b"id,parentId,name\n1,,a\n2,1,b\n"
    sent = Intake(store, ledger).stream("records", UploadRequest(Options(), "a.csv"), iter([content])).made
    store.put_bytes("incoming/records/dropped.csv", content.replace(b"1", b"3"))
    ledger.engine.dispose()
    backups, home = str(tmp_path / "backups"), tmp_path / "home"

    def run(*arguments: str) -> dict[str, object]:
        ran = subprocess.run(["bulkhead", *arguments, "--json"], env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        found: dict[str, object] = json.loads(ran.stdout)
        return found

    made = run("backup", backups)
    assert run("backup", "--verify", backups)["good"] is True
    done = run("restore", backups, "--home", str(home))
    assert done["backup"] == made["name"] and done["later"] == ["incoming/records/dropped.csv"]
    assert [one["import_id"] for one in done["continuing"]] == [sent.id]  # type: ignore[attr-defined]
    assert not done["missing"] and not done["unknown"] and not done["problem"]
    alone = {
        name: value for name, value in environment.items() if not name.startswith(("BULKHEAD_", "DATABASE_", "AWS_", "TEMP"))
    }
    with up(home, alone):
        wait_until(lambda: [*_states(home).values()] == ["succeeded"] * 2, 300.0)
        assert sent.id in _states(home)
        running = subprocess.run(
            ["bulkhead", "restore", backups, "--home", str(home)], env=alone, capture_output=True, text=True, check=False
        )
        assert running.returncode == 1 and "Another stack is running" in running.stderr
