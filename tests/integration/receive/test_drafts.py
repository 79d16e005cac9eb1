"""Drafts: files that are kept for a form, found by their owner only, and removed by their age."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from pipeline import retention
from pipeline.adapters.s3 import Store
from pipeline.contracts.object_keys import dataset_of
from pipeline.ledger.ledger import Ledger
from pipeline.receive.drafts import find_draft, keep_draft, remove_draft
from pipeline.receive.upload import EmptyFile
from pipeline.settings import Settings
from web.app_context import AppContext

OURS, THEIRS = str(uuid.uuid4()), str(uuid.uuid4())
NAME = "Produkte <b>2026 – é.csv"


def test_only_its_owner_finds_it(store: Store) -> None:
    made = keep_draft(store, OURS, f"folder/{NAME}", iter([b"sku\n", b"007\n"]))
    found = find_draft(store, OURS, made.id)
    assert found is not None
    assert (found.filename, found.key, found.stored.size_bytes) == (NAME, made.key, 8)
    assert store.get_bytes(found.key) == b"sku\n007\n"
    assert dataset_of(found.key) is None, "its event begins no import"
    for owner, draft_id in ((THEIRS, made.id), (OURS, str(uuid.uuid4())), (OURS, "../x"), (OURS, "")):
        assert find_draft(store, owner, draft_id) is None
    remove_draft(store, found)
    assert find_draft(store, OURS, made.id) is None


def test_nothing_is_kept_of_what_fails(store: Store) -> None:
    def broken() -> Iterator[bytes]:
        yield b"sku\n"
        raise ConnectionError

    with pytest.raises(EmptyFile):
        keep_draft(store, OURS, "empty.csv", iter([]))
    with pytest.raises(ConnectionError):
        keep_draft(store, OURS, "broken.csv", broken())
    assert [*store.list("drafts/")] == []


def test_retention_removes_those_that_are_old(settings: Settings, store: Store, edges: AppContext) -> None:
    made = keep_draft(store, OURS, NAME, iter([b"x"]))
    soon, later = datetime.now(UTC), datetime.now(UTC) + timedelta(days=1, minutes=1)

    def clean(now: datetime, **options: bool) -> int:
        return retention.clean(settings, store, Ledger(edges.engine), beat=lambda _: None, now=now, **options).drafts

    assert clean(soon) == 0 and clean(later, dry_run=True) == 1
    assert find_draft(store, OURS, made.id) is not None
    assert clean(later) == 1
    assert find_draft(store, OURS, made.id) is None and [*store.list("drafts/")] == []
