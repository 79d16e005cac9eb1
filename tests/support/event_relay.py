"""Announce uploaded files to the queue of their dataset, as S3's events do where Bulkhead runs."""

from __future__ import annotations

import threading

from pipeline.contracts.messages import ObjectArrived
from web.app_context import AppContext

EVERY_SECONDS = 0.1


class relayed_events:  # noqa: N801 - reads as a statement
    """For as long as the block lasts, each queued import is announced once."""

    def __init__(self, edges: AppContext) -> None:
        self._edges = edges
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        announced: set[str] = set()
        while not self._stop.wait(EVERY_SECONDS):
            for one in self._edges.ledger.imports.page(state="queued", limit=200):
                if one.id not in announced:
                    self._edges.temporal.announce(ObjectArrived(one.bucket, one.key, one.id))
                    announced.add(one.id)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
