"""Attempts at one step that overtake one another on one machine: each has its own files, none trusts a stale manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.adapters import postgres
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import ImportRef, PartRef, PartResult
from pipeline.contracts.object_keys import PartSet, batches_prefix, manifest_key, part_key, report_prefix
from pipeline.errors import DamagedPart
from pipeline.load import load_part
from pipeline.orchestration.import_activities import ImportActivities
from pipeline.orchestration.part_activities import PartActivities
from pipeline.orchestration.validator import Validator
from pipeline.prepare.manifest import MANIFEST, Manifest, Part
from pipeline.sandbox import validate_file
from pipeline.settings import Settings
from tests.support.loader import Loader, flat


@pytest.fixture
def validator(settings: Settings, store: Store) -> Iterator[Validator]:
    engine = postgres.connect(settings.database_url)
    yield Validator(settings, store, engine)
    engine.dispose()


@pytest.fixture
def ref(loader: Loader, store: Store) -> ImportRef:
    return ImportRef(loader.import_id, "records", store.bucket, "incoming/records/a.csv", "etag")


def test_an_attempt_that_slept_stores_nothing_of_its_successor(
    settings: Settings, validator: Validator, ref: ImportRef, store: Store
) -> None:
    activities = ImportActivities(settings, store, validator.engine, validator, TemporalClient.of(settings))
    files = validator.files
    with files.attempt_folder(ref.import_id) as slept:
        (slept / validate_file.REPORT).mkdir()
        files.remove(ref.import_id)  # as the next attempt at a validation begins
        with files.attempt_folder(ref.import_id) as awake:
            (awake / validate_file.REPORT).mkdir()
            (awake / validate_file.REPORT / "findings.json").write_text("half of it")
            (awake / validate_file.SOURCE).write_text("half of it")
            assert not (slept / validate_file.SOURCE).exists()
            activities._save_report(ref, slept / validate_file.REPORT)
    assert [*store.list(report_prefix(ref.import_id))] == []


def parts(folder: Path, import_id: str, contents: Sequence[str]) -> Path:
    """Write parts with these contents and their manifest, as a validation does; each counts as ten records."""
    made = [Part(n, 1, 0, 10, n, n, "", len(text)) for n, text in enumerate(contents, 1)]
    folder.mkdir()
    for part, text in zip(made, contents, strict=True):
        (folder / part.filename).write_text(text)
    (folder / MANIFEST).write_text(Manifest(import_id, "records", 10 * len(made), len(made), 200, tuple(made)).to_json())
    return folder


def test_what_an_attempt_cut_is_there_for_later_steps_whole_and_once(
    validator: Validator, ref: ImportRef, store: Store, tmp_path: Path
) -> None:
    stored, id_ = validator.parts, ref.import_id
    assert stored.find(id_, PartSet.LOAD, records=20) is None, "nothing is stored yet"
    cut = parts(tmp_path / "first", id_, ["one", "two"])

    def interrupt(*_: object) -> None:
        if store.head(part_key(id_, 2)):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        stored.save(id_, cut, beat=interrupt)
    assert stored.find(id_, PartSet.LOAD, records=20) is None, "the manifest comes last"
    manifest = stored.save(id_, cut, beat=lambda *_: None)
    assert stored.find(id_, PartSet.LOAD, records=20) == manifest
    assert stored.find(id_, PartSet.LOAD, records=19) is None, "these parts are of another validation"
    again = stored.save(id_, parts(tmp_path / "second", id_, ["one", "two"]), beat=lambda *_: None)
    assert (again, stored.find(id_, PartSet.LOAD, records=20)) == (manifest, manifest), "two that cut the same are as one"
    with stored.fetched(id_, 2, beat=lambda *_: None) as path:
        assert path.read_text() == "two"
    assert not path.exists()
    assert {one.key for one in store.list(batches_prefix(id_))} == {part_key(id_, 1), part_key(id_, 2), manifest_key(id_)}
    store.put_bytes(part_key(id_, 2), b"tw")
    assert stored.find(id_, PartSet.LOAD, records=20) is None, "it is not as long as it was"
    store.delete(part_key(id_, 2))
    assert stored.find(id_, PartSet.LOAD, records=20) is None
    with pytest.raises(DamagedPart, match="missing"), stored.fetched(id_, 2, beat=lambda *_: None):
        pass


def test_a_dry_runs_parts_are_apart_from_those_to_load(validator: Validator, ref: ImportRef, tmp_path: Path) -> None:
    stored, id_ = validator.parts, ref.import_id
    stored.save(id_, parts(tmp_path / "load", id_, ["one"]), beat=lambda *_: None)
    stored.save(id_, parts(tmp_path / "dry", id_, ["two"]), PartSet.DRY_RUN, beat=lambda *_: None)
    manifest = stored.manifest(id_, PartSet.DRY_RUN)
    texts = [path.read_text() for path, _ in stored.fetch_each(manifest, PartSet.DRY_RUN, beat=lambda *_: None)]
    assert texts == ["two"]
    stored.remove(id_, PartSet.DRY_RUN)
    assert stored.find(id_, PartSet.DRY_RUN, records=10) is None
    assert stored.find(id_, PartSet.LOAD, records=10) is not None


def test_a_part_is_not_given_up_for_a_manifest_that_was_replaced(
    settings: Settings,
    validator: Validator,
    ref: ImportRef,
    loader: Loader,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that knows how the import was cut before looks once more before it takes a good part for damaged."""
    monkeypatch.setattr("pipeline.orchestration.part_activities.beat", lambda: None)  # there is no activity around it
    activities = PartActivities(settings, validator.engine, validator)

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
