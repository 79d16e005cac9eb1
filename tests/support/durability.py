"""Import a tree of records while workers are killed, and compare what the warehouse then has."""

from __future__ import annotations

import hashlib
import random
import time

import psycopg

from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import ObjectArrived
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.settings import Settings
from tests.support.imports import imports_of


def places_of_a_tree(count: int) -> list[tuple[str, str, str]]:
    """Return id, parent and name of ``count`` records, each with four children."""
    return [(f"r{i}", f"r{(i - 1) // 4}" if i else "", f"name {i}") for i in range(count)]


def digest(rows: list[tuple[str, str, str]]) -> str:
    """Return a digest of the rows that does not depend on their order."""
    return hashlib.sha256("\n".join("|".join(row) for row in sorted(rows)).encode()).hexdigest()


def announce(settings: Settings, store: Store, rows: list[tuple[str, str, str]]) -> ObjectArrived:
    """Upload the rows in a shuffled order, and announce the object."""
    key = "incoming/records/tree.csv"
    shuffled = random.Random(7).sample(rows, len(rows))
    store.put_bytes(key, ("id,parentId,name\n" + "".join(f"{','.join(row)}\n" for row in shuffled)).encode())
    arrival, orchestrator = ObjectArrived(store.bucket, key), TemporalClient.of(settings)
    orchestrator.announce(arrival)
    orchestrator.close()
    return arrival


def current(ledger: Ledger, arrival: ObjectArrived) -> ImportRecord | None:
    """Return the newest import of the object, or None if there is none yet."""
    return next(iter(imports_of(ledger, arrival.key)), None)


def wait_until_over(ledger: Ledger, arrival: ObjectArrived, seconds: float = 200.0) -> ImportRecord:
    """Wait for the end of the import of the object, and return it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        one = current(ledger, arrival)
        if one and one.state.is_final:
            return one
        time.sleep(0.2)
    raise AssertionError(f"not over after {seconds} s: {one}")


def orphans_and_rows(settings: Settings) -> tuple[int, list[tuple[str, str, str]]]:
    """Return how many records lack their parent, and id, parent and name of all records."""
    with psycopg.connect(settings.database_url) as connection:
        orphans = connection.execute(
            """select count(*) from warehouse.records child where child."parentId" is not null
            and not exists (select 1 from warehouse.records parent where parent.id = child."parentId")"""
        ).fetchone()
        rows = connection.execute("""select id, coalesce("parentId", ''), name from warehouse.records""").fetchall()
    assert orphans is not None
    return orphans[0], rows
