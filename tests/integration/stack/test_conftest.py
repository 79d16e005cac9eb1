"""The shared stack itself: each test gets edges of its own."""

from __future__ import annotations

import psycopg

from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.settings import Settings


def test_a_test_has_a_database_a_bucket_and_a_namespace(settings: Settings, store: Store, database: str) -> None:
    store.put_bytes("k", b"x")
    with psycopg.connect(database) as connection:
        assert connection.execute("select count(*) from ledger.import").fetchone() == (0,)
    orchestrator = TemporalClient.of(settings)
    assert orchestrator.is_up()
    assert not orchestrator.queue_is_running("places")


def test_the_next_one_has_others(settings: Settings, store: Store, database: str) -> None:
    assert store.head("k") is None
    with psycopg.connect(database) as connection:
        assert connection.execute("select count(*) from ledger.import").fetchone() == (0,)
