"""What is read from the ledger at a scrape, what is counted at a commit, and the use of the pools."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.adapters import postgres
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.errors import IllegalMove
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.monitoring import Monitoring
from pipeline.monitoring.sources import metrics_engine, read_ledger
from pipeline.settings import ROOT, Settings
from pipeline.telemetry.labels import DatasetLabels
from pipeline.telemetry.metric import Program
from tests.support.recording import recording, series


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    engine = postgres.connect(settings.database_url)
    yield Ledger(engine)
    engine.dispose()


@pytest.fixture
def monitoring(settings: Settings) -> Iterator[Monitoring]:
    """The queries on the one connection that metrics have."""
    engine = metrics_engine(settings.database_url)
    yield Monitoring(engine)
    engine.dispose()


def opened(ledger: Ledger, dataset: str, *states: State, **more: Any) -> str:
    """Open an import in the first of the states, and move it through the others."""
    import_id = str(uuid.uuid4())
    first, *others = states
    ledger.imports.open(import_id, dataset=dataset, filename="a.csv", bucket="b", key="k", state=first, **more)
    for state in others:
        ledger.imports.move(import_id, state)
    return import_id


def change(settings: Settings, statement: str, *values: object) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(statement, values)  # type: ignore[call-overload]


def read(monitoring: Monitoring, *, most: int = 50, root: Path = ROOT) -> dict[tuple[str, ...], float]:
    """Return what is read, by the metric's name without its beginning and the labels' values; zeros are left out."""
    labels = DatasetLabels(most, lambda: [file.stem for file in (root / "expectations").glob("*.json")])
    readings = read_ledger(monitoring, labels, lambda: root)
    found = {(one.metric.name.removeprefix("bulkhead_"), *one.labels.values()): one.value for one in readings}
    return {key: value for key, value in found.items() if value}


def test_open_imports_and_queues(ledger: Ledger, monitoring: Monitoring, settings: Settings) -> None:
    opened(ledger, "places", State.QUEUED, State.VALIDATING)
    first = opened(ledger, "places", State.QUEUED)
    opened(ledger, "places", State.QUEUED)
    opened(ledger, "records", State.AWAITING_UPLOAD)
    opened(ledger, "invented", State.QUEUED)
    change(settings, "update ledger.move set at = now() - interval '2 hours' where import_id = %s", first)
    found = read(monitoring)
    age = found.pop(("queue_oldest_age_seconds", "places"))
    assert 7200 <= age < 7500
    assert {key: value for key, value in found.items() if "arrival" not in key[0]} == {
        ("open_imports", "places", "validating"): 1,
        ("open_imports", "places", "queued"): 2,
        ("open_imports", "records", "awaiting_upload"): 1,
        ("queue_length_imports", "places"): 2,
    }


def test_a_promoted_dry_run_has_waited_since_its_promotion(ledger: Ledger, monitoring: Monitoring, settings: Settings) -> None:
    dry = opened(ledger, "places", State.QUEUED, State.VALIDATING, State.VALIDATED, options=Options(dry_run=True))
    change(settings, "update ledger.move set at = now() - interval '2 days' where import_id = %s", dry)
    ledger.imports.promote(dry)
    assert read(monitoring).get(("queue_oldest_age_seconds", "places"), 0.0) < 300


def test_datasets_beyond_the_limit_are_summed(ledger: Ledger, monitoring: Monitoring) -> None:
    for dataset in ("places", "places", "records"):
        opened(ledger, dataset, State.QUEUED)
    assert read(monitoring, most=0)["open_imports", "other", "queued"] == 3
    assert read(monitoring, most=1)["open_imports", "other", "queued"] in (1, 2)


def test_the_last_arrival(ledger: Ledger, monitoring: Monitoring, settings: Settings) -> None:
    old = opened(ledger, "places", State.QUEUED, State.VALIDATING, State.REJECTED)
    change(settings, "update ledger.import set created_at = now() - interval '3 hours' where id = %s", old)
    opened(ledger, "places", State.QUEUED, options=Options(dry_run=True))
    opened(ledger, "places", State.QUEUED, retry_of=old)
    opened(ledger, "places", State.AWAITING_UPLOAD)
    opened(ledger, "places", State.AWAITING_UPLOAD, State.EXPIRED)
    found = read(monitoring)
    assert 3 * 3600 <= found["dataset_last_arrival_age_seconds", "places"] < 3 * 3600 + 300
    assert ("dataset_last_arrival_age_seconds", "records") not in found


def test_a_move_is_counted_at_its_commit(ledger: Ledger) -> None:
    with recording(Program.WORKER, "places") as recorder:
        import_id = opened(ledger, "places", State.AWAITING_UPLOAD)
        ledger.uploads.complete(import_id, size_bytes=1, sha256="", etag="e")
        ledger.uploads.complete(import_id, size_bytes=1, sha256="", etag="e")
        ledger.imports.move(import_id, State.VALIDATING)
        assert not ledger.imports.move(import_id, State.VALIDATING)
        with pytest.raises(IllegalMove):
            ledger.imports.move(import_id, State.SUCCEEDED)
        with pytest.raises(TypeError):
            ledger.imports.move(import_id, State.REJECTED, findings_by_code={"a": object()})  # type: ignore[dict-item]
        with pytest.raises(LookupError):
            ledger.imports.move(str(uuid.uuid4()), State.QUEUED)
        assert series(recorder, "bulkhead_import_transitions_total") == {
            'dataset="places",state="awaiting_upload"': 1,
            'dataset="places",state="queued"': 1,
            'dataset="places",state="validating"': 1,
        }


def test_the_use_of_a_pool(settings: Settings) -> None:
    with recording(Program.WORKER) as recorder:
        engine = postgres.connect(settings.database_url, pool_size=3, name="bulkhead worker")
        with engine.connect(), engine.connect():
            assert series(recorder, "bulkhead_postgresql_pool_used_connections") == {'pool="worker"': 2}
            assert series(recorder, "bulkhead_postgresql_pool_max_connections") == {'pool="worker"': 3}
        broken = engine.connect()
        broken.invalidate()
        broken.close()
        assert series(recorder, "bulkhead_postgresql_pool_used_connections") == {}
        engine.dispose()
