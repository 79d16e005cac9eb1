"""Backups in a folder and in a bucket: incremental, verifiable, whole or none; and what a restore refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from pipeline import retention
from pipeline.adapters import postgres
from pipeline.adapters.s3 import Store
from pipeline.backup import create, manifest
from pipeline.backup.create import back_up
from pipeline.backup.manifest import chosen, names_in
from pipeline.backup.places import Folder, Place, place_of
from pipeline.backup.restore import restore
from pipeline.backup.snapshot import Snapshot
from pipeline.backup.verify import verify
from pipeline.errors import Conflict, InternalInconsistency, InvalidRequest, NoSpace, NotFound, SystemFault
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.removal_lock import removal_lock
from pipeline.settings import Settings
from tests.support.restored_target import empty_target
from tests.support.waiting import wait_until

OBJECTS = {"incoming/records/a.csv": b"id\n1\n", "reports/x/findings.csv": b"", "results/x/same.csv": b"id\n1\n"}


@pytest.fixture
def filled(store: Store) -> Store:
    """A bucket with three objects, two of them with the same content, and one with metadata."""
    for key, content in OBJECTS.items():
        store.put_bytes(key, content, content_type="text/csv", metadata={"force": "true"} if "incoming" in key else {})
    return store


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, settings: Settings, store: Store, tmp_path: Path) -> Iterator[Place]:
    """A place for backups of each kind."""
    if request.param == "folder":
        yield Folder(tmp_path / "backups")
        return
    other = Store.of(settings.model_copy(update={"bucket": f"{store.bucket}-b"}))
    other.ensure_bucket()
    yield place_of(f"s3://{other.bucket}/nightly", settings)
    other.delete_prefix("")
    other._s3.delete_bucket(Bucket=other.bucket)


def test_only_what_is_new_is_copied_and_old_backups_go(settings: Settings, filled: Store, place: Place) -> None:
    first = back_up(settings, place, keep=2).manifest
    assert (first.objects.count, first.objects.copied, first.objects.vanished) == (3, 3, 0)
    assert len([*place.names("objects/")]) == 2, "equal contents are kept once"
    filled.put_bytes("reports/x/findings.csv", b"code\n")
    second = back_up(settings, place, keep=2).manifest
    assert (second.objects.count, second.objects.copied) == (3, 1)
    assert verify(place).is_good
    third = back_up(settings, place, keep=2)
    assert third.manifest.objects.copied == 0 and third.removed == (first.name,)
    assert names_in(place) == ([second.name, third.manifest.name], [])
    assert len([*place.names("objects/")]) == 2, "what only the first backup had is gone"
    assert verify(place).is_good


def test_a_restored_object_is_as_it_was(settings: Settings, filled: Store, place: Place, tmp_path: Path) -> None:
    back_up(settings, place, keep=7)
    with empty_target(settings, tmp_path) as target:
        restored = restore(target, place, chosen(place))
        assert restored.objects and restored.objects.written == 3 and restored.database and not restored.database.notes
        there = Store.of(target)
        for key, content in OBJECTS.items():
            stored, before = there.head(key), filled.head(key)
            assert stored and before and there.get_bytes(key) == content
            assert (stored.content_type, dict(stored.metadata)) == (before.content_type, dict(before.metadata))
        assert restored.later == ["incoming/records/a.csv"], "the ledger knows nothing of it"


def test_damage_is_found_and_never_restored(settings: Settings, filled: Store, tmp_path: Path) -> None:
    place = Folder(tmp_path / "backups")
    name = back_up(settings, place, keep=7).manifest.name
    content = next(file for file in place.names("objects/") if (place.path / file).stat().st_size)
    (place.path / content).write_bytes(b"id\n2\n")
    (found,) = verify(place).backups
    assert found.damaged == 2 and "incoming/records/a.csv: " in found.problems[0] and "damaged" in found.problems[0]
    with empty_target(settings, tmp_path) as target:
        with pytest.raises(InternalInconsistency, match=r"incoming/records/a\.csv"):
            restore(target, place, chosen(place))
        dump = place.path / "backups" / name / "database.dump"
        dump.write_bytes(dump.read_bytes()[:-10])
        with pytest.raises(InternalInconsistency, match=r"database.dump is damaged.* Nothing was changed"):
            restore(target, place, chosen(place), force=True)
    (found,) = verify(place).backups
    assert any("database.dump" in problem for problem in found.problems)
    (place.path / "backups" / name / "manifest.json").write_text("{}")
    (found,) = verify(place).backups
    assert found.damaged == 1 and "manifest" in found.problems[0]


def test_a_killed_backup_is_none(settings: Settings, filled: Store, environment: dict[str, str], tmp_path: Path) -> None:
    place = Folder(tmp_path / "backups")
    good = back_up(settings, place, keep=7).manifest.name
    for number in range(300):
        filled.put_bytes(f"results/{number}/a.csv", os.urandom(2_000))
    command = [sys.executable, "-m", "pipeline.cli", "backup", str(place.path)]
    process = subprocess.Popen(command, env=environment, cwd=create.__file__.split("/pipeline/")[0], stderr=subprocess.PIPE)
    with process:
        wait_until(lambda: len([*place.names("objects/")]) > 10 or process.poll() is not None, 300.0)
        process.kill()
        said = process.stderr.read() if process.stderr else b""
    assert process.returncode == -9, said
    complete, incomplete = names_in(place)
    assert complete == [good]
    found = verify(place)
    assert found.is_good and [one.name for one in found.backups] == [good] and list(found.incomplete) == incomplete
    back_up(settings, place, keep=7)
    assert not names_in(place)[1] and not [*place.path.glob(".partial*")]


@pytest.mark.parametrize("step", ["database.dump", "objects.ndjson.gz", "manifest.json"])
def test_a_full_disk_is_said_and_leaves_no_backup(
    settings: Settings, filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    place = Folder(tmp_path / "backups")
    real = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target).name == step:
            raise OSError(28, os.strerror(28))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(NoSpace, match=r"The disk of .*backups is full"):
        back_up(settings, place, keep=7)
    assert names_in(place)[0] == [] and not [*place.path.glob(".partial*")]
    with pytest.raises(NotFound, match="There is no complete backup"):
        verify(place)


def test_a_place_that_cannot_be_used_is_said(settings: Settings, filled: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRequest, match=r"cannot be written to .*file/backups: Not a directory"):
        back_up(settings, Folder(tmp_path / "file" / "backups"), keep=7)
    with pytest.raises(InvalidRequest, match="would be lost with it"):
        place_of(f"s3://{settings.bucket}/backups", settings)
    with pytest.raises(InvalidRequest, match="Write s3://BUCKET"):
        place_of("s3://", settings)


def test_a_dump_that_fails_makes_no_backup(
    settings: Settings, filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Folder(tmp_path / "backups")
    real = create.open_snapshot

    @contextmanager
    def lost(engine: Engine) -> Iterator[Snapshot]:
        with real(engine) as snapshot:
            yield replace(snapshot, snapshot="00000000-00000000-1")

    monkeypatch.setattr(create, "open_snapshot", lost)
    with pytest.raises(SystemFault, match=r"pg_dump failed: .*snapshot"):
        back_up(settings, place, keep=7)
    assert names_in(place)[0] == []


def test_nothing_is_removed_during_a_backup(settings: Settings, filled: Store, tmp_path: Path) -> None:
    engine = postgres.connect(settings.database_url, pool_size=2)
    try:
        with removal_lock(engine):
            said = retention.clean(settings, filled, Ledger(engine), beat=lambda _: None)
            assert said.failed == 1 and "A backup or a clean-up is running" in said.errors[0]
            assert retention.clean(settings, filled, Ledger(engine), dry_run=True, beat=lambda _: None).failed == 0
        assert retention.clean(settings, filled, Ledger(engine), beat=lambda _: None).failed == 0
    finally:
        engine.dispose()


def test_a_target_that_is_not_empty_is_refused_unless_forced(settings: Settings, filled: Store, tmp_path: Path) -> None:
    place = Folder(tmp_path / "backups")
    back_up(settings, place, keep=7)
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("insert into warehouse.records (id, name, _import_id, _row) values ('a', 'a', gen_random_uuid(), 1)")
        with pytest.raises(Conflict, match=r"not empty: 1 records of records, 1 object under incoming/.*--force"):
            restore(settings, place, chosen(place))
        connection.execute("set application_name = 'bulkhead worker'")
        with pytest.raises(Conflict, match=r"connected to this database: bulkhead worker \(1\)\. Stop"):
            restore(settings, place, chosen(place), force=True)
        connection.execute("set application_name = 'psql'")
    filled.put_bytes("incoming/records/b.csv", b"id\n2\n")
    restored = restore(settings, place, chosen(place), force=True)
    assert restored.database and restored.database.records["records"] == 0
    assert restored.objects and restored.objects.unchanged == 3
    assert restored.later == ["incoming/records/a.csv", "incoming/records/b.csv"]


def test_a_backup_of_a_newer_release_is_refused(settings: Settings, filled: Store, tmp_path: Path) -> None:
    place = Folder(tmp_path / "backups")
    name = back_up(settings, place, keep=7).manifest.name
    file = place.path / "backups" / name / "manifest.json"
    said = json.loads(file.read_text())
    said["database"]["ledger_version"] = "9999"
    file.write_text(json.dumps(said))
    with pytest.raises(InvalidRequest, match="ledger at version 9999"):
        restore(settings, place, chosen(place), force=True)
    file.write_text(json.dumps({**said, "format": manifest.FORMAT + 1}))
    with pytest.raises(InvalidRequest, match="newer release"):
        chosen(place)
