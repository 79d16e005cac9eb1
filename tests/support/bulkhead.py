"""The application without the web app, for tests that drop files into its bucket."""

from __future__ import annotations

import json
import time
from typing import Any

import psycopg

from pipeline.adapters import postgres
from pipeline.adapters.postgres_access import to_database
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.object_keys import report_prefix
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.settings import Settings
from tests.support.imports import imports_of
from tests.support.waiting import pauses

HEADER = "id,parentId,name\n"
SMALL_PARTS: dict[str, Any] = {"email_to": ("you@example.org",), "batches_per_part": 2}
"""Settings with which a small file has several parts, and its import an e-mail recipient."""


class Bulkhead:
    """The application on a test's own servers, without the web app: files are dropped into the bucket."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.engine = postgres.connect(to_database(settings))
        self.ledger = Ledger(self.engine)
        self.orchestrator = TemporalClient.of(settings)

    def close(self) -> None:
        self.engine.dispose()
        self.orchestrator.close()

    def drop(
        self, text: str | bytes, *, dataset: str = "records", name: str = "a.csv", announce: bool = True, force: bool = False
    ) -> str:
        """Put a file into the bucket, announce it unless asked not to, and return its key."""
        key = f"incoming/{dataset}/{name}"
        metadata = {"force": "true"} if force else {}
        self.store.put_bytes(key, text.encode() if isinstance(text, str) else text, metadata=metadata)
        if announce:
            self.orchestrator.announce(ObjectArrived(self.store.bucket, key))
        return key

    def import_of(self, key: str, *, number: int = 1, seconds: float = 300.0) -> ImportRecord:
        """Wait for the end of the ``number``-th import of the object at ``key``, and return it."""
        for pause in pauses(seconds):
            known = imports_of(self.ledger, key)
            if len(known) >= number and known[0].state.is_final:
                return known[0]
            time.sleep(pause)
        raise AssertionError(f"{key}: {known}")

    def ingest(self, text: str | bytes, **options: Any) -> ImportRecord:
        """Drop a file, and return its import when it is over."""
        return self.import_of(self.drop(text, **options))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings.database_url) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]

    def findings(self, one: ImportRecord) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.store.get_bytes(report_prefix(one.id) + "findings.json"))
        return found


def tree(count: int, *, name: str = "n") -> str:
    """Return a CSV of ``count`` records, each with four children, in which children come before parents too."""
    rows = [f"r{i},{f'r{(i - 1) // 4}' if i else ''},{name}{i}" for i in range(count)]
    return HEADER + "\n".join(rows[1::2] + rows[::2]) + "\n"


def balance(one: ImportRecord) -> bool:
    """Return whether the counts of the outcomes add up to the total."""
    counts = one.counts
    done = counts["inserted"] + counts["updated"] + counts["unchanged"] + counts["failed"]
    return done + counts["unprocessed"] == counts["total"]
