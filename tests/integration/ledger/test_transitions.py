"""What a change of state sets beside the state, and what a change without one leaves alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.adapters.postgres import connect
from pipeline.contracts.object_keys import Kept
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.ledger.imports import Imports
from pipeline.ledger.ledger import Ledger
from pipeline.settings import Settings


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    engine = connect(settings.database_url)
    yield Ledger(engine)
    engine.dispose()


def opened(imports: Imports, options: Options | None = None) -> str:
    import_id = str(uuid.uuid4())
    imports.open(import_id, dataset="places", filename="a.csv", bucket="b", key="k", state=State.QUEUED, options=options)
    return import_id


@pytest.mark.all_versions
def test_an_update_sets_what_is_given_and_nothing_else(ledger: Ledger) -> None:
    import_id = opened(ledger.imports)
    ledger.imports.update(import_id, records_total=3, findings_by_code={"missing_id": 1}, preview={"inserted": 1})
    first = ledger.imports.known(import_id)
    ledger.imports.update(import_id, records_valid=2, reading={"format": "csv"})
    ledger.imports.update(import_id)
    second = ledger.imports.known(import_id)
    assert second == replace(first, records_valid=2, reading={"format": "csv"})
    assert (first.records_total, first.findings_by_code, first.preview) == (3, {"missing_id": 1}, {"inserted": 1})


@pytest.mark.all_versions
def test_each_transition_sets_its_times(ledger: Ledger) -> None:
    imports, import_id = ledger.imports, opened(ledger.imports)
    waiting = imports.known(import_id)
    assert (waiting.started_at, waiting.finished_at) == (None, None)
    imports.take_up(import_id, datetime.now(UTC))
    validating = imports.known(import_id)
    assert validating.started_at is not None
    imports.move(import_id, State.PREPARING)
    imports.move(import_id, State.LOADING, parts_total=7)
    loading = imports.known(import_id)
    assert (loading.started_at, loading.finished_at, loading.parts_total) == (validating.started_at, None, 7)
    assert imports.move(import_id, State.FAILED, "a disk is full")
    assert not imports.move(import_id, State.FAILED, "again")
    failed = imports.known(import_id)
    assert failed.finished_at is not None
    assert (failed.reason, failed.parts_total) == ("a disk is full", 7)
    assert [move.to_state for move in imports.moves(import_id)] == ["queued", "validating", "preparing", "loading", "failed"]


@pytest.mark.all_versions
def test_a_promoted_dry_run_waits_with_nothing_counted(ledger: Ledger) -> None:
    imports, import_id = ledger.imports, opened(ledger.imports, Options(dry_run=True, force=True))
    imports.move(import_id, State.VALIDATING)
    imports.move(import_id, State.VALIDATED, "a dry run", records_total=5, unprocessed=5, preview={"inserted": 5})
    imports.promote(import_id)
    one = imports.known(import_id)
    assert (one.state, one.options, one.promoted) == (State.QUEUED, Options(force=True), True)
    assert (one.records_total, one.unprocessed, one.reason, one.started_at, one.finished_at) == (0, 0, "", None, None)


@pytest.mark.parametrize("what", list(Kept))
@pytest.mark.all_versions
def test_a_removal_is_marked_once_and_for_one_kind(ledger: Ledger, what: Kept) -> None:
    import_id, long_ago = opened(ledger.imports), datetime.now(UTC) - timedelta(days=1)
    ledger.imports.move(import_id, State.CANCELED)
    assert not ledger.removals.mark(import_id, what, long_ago), "it was not over by then"
    assert ledger.removals.mark(import_id, what, datetime.now(UTC))
    marked = ledger.imports.known(import_id)
    assert {kind for kind in Kept if marked.removed_at(kind)} == {what}
    assert ledger.removals.mark(import_id, what, datetime.now(UTC))
    assert ledger.imports.known(import_id).removed_at(what) == marked.removed_at(what)
