"""Attempts at one step that overtake one another on one machine: each has its own files, none trusts a stale manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.adapters import postgres
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import ImportRef, PartRef, PartResult
from pipeline.contracts.object_keys import manifest_key, report_prefix
from pipeline.errors import DamagedPart
from pipeline.load import load_part
from pipeline.orchestration.import_activities import Activities
from pipeline.prepare.manifest import MANIFEST, Manifest, Part
from pipeline.sandbox import validate_file
from pipeline.settings import Settings
from tests.integration.load.test_load_part import Loader, flat, loader

__all__ = ["loader"]  # a fixture


@pytest.fixture
def activities(settings: Settings, store: Store) -> Iterator[Activities]:
    engine, orchestrator = postgres.connect(settings.database_url), TemporalClient.of(settings)
    yield Activities(settings, store, engine, orchestrator)
    orchestrator.close()
    engine.dispose()


@pytest.fixture
def ref(loader: Loader, store: Store) -> ImportRef:
    return ImportRef(loader.import_id, "records", store.bucket, "incoming/records/a.csv", "etag")


def test_an_attempt_that_slept_stores_nothing_of_its_successor(activities: Activities, ref: ImportRef, store: Store) -> None:
    slept = activities._fresh_folder(ref)
    (slept / validate_file.REPORT).mkdir()
    awake = activities._fresh_folder(ref)
    (awake / validate_file.REPORT).mkdir()
    (awake / validate_file.REPORT / "findings.json").write_text("half of it")
    (awake / validate_file.SOURCE).write_text("half of it")
    assert not (slept / validate_file.SOURCE).exists()
    activities._store_folder(slept / validate_file.REPORT, report_prefix(ref.import_id))
    assert [*store.list(report_prefix(ref.import_id))] == []


def parts(folder: Path, name: str) -> None:
    (folder / validate_file.PARTS).mkdir()
    (folder / validate_file.PARTS / MANIFEST).write_text(Manifest(name, "records", 0, 0, 200, ()).to_json())


def test_what_an_attempt_cut_is_there_for_later_steps_whole_and_once(activities: Activities, ref: ImportRef) -> None:
    folder = activities._fresh_folder(ref)
    parts(folder, "first")
    published = activities._publish(ref, folder)
    assert (activities._cut(ref)[0].import_id, activities._cut(ref)[1]) == ("first", published)
    assert not folder.exists(), "the rest of the folder, the file too, is needed no more"
    another = activities._attempt_folder(ref)
    parts(another, "second")
    assert activities._publish(ref, another) == published
    assert activities._cut(ref)[0].import_id == "first", "of two that cut the same, one is enough"
    refused = activities._fresh_folder(ref)
    activities._publish(ref, refused)
    assert not published.exists(), "a file that was refused has no parts, and those of an earlier attempt are gone"


def test_a_part_is_not_given_up_for_a_manifest_that_was_replaced(
    activities: Activities, ref: ImportRef, loader: Loader, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that knows how the import was cut before looks once more before it takes a good part for damaged."""
    monkeypatch.setattr("pipeline.orchestration.import_activities.beat", lambda: None)  # there is no activity around it

    def keep_manifest(sha256: str) -> None:
        part = Part(1, 1, 0, 300, 1, 2, sha256, 1)
        manifest = Manifest(ref.import_id, "records", 300, 2, 200, (part,))
        store.put_bytes(manifest_key(ref.import_id), manifest.to_json().encode())

    keep_manifest("that of before")
    assert activities._expected(ref, 1, tmp_path / "part").sha256 == "that of before"
    path, sha256 = loader.part(flat(300))
    keep_manifest(sha256)
    assert activities._with_part(load_part.load_part, PartRef(ref, 1), path) == PartResult(inserted=300)
    path.write_bytes(path.read_bytes()[:-9])
    assert hashlib.sha256(path.read_bytes()).hexdigest() != sha256
    with pytest.raises(DamagedPart, match="checksum"):
        activities._with_part(load_part.load_part, PartRef(ref, 1), path)
    with pytest.raises(DamagedPart):
        activities._with_part(load_part.load_part, PartRef(replace(ref), 2), path)
