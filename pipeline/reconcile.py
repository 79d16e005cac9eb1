"""Announcing what no event announced (events are sometimes lost, and so are runs); giving up uploads that never became whole.

Objects are looked for a page at a time, and a page costs the ledger one query, however large bucket and ledger are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from pipeline.contracts import INCOMING, Arrival, Reconciled, State, dataset_of
from pipeline.errors import IllegalMove
from pipeline.incoming import ids_of, import_id_of
from pipeline.ledger import Import, Ledger
from pipeline.orchestrator import Orchestrator
from pipeline.settings import Settings
from pipeline.store import Store, Stored

KEYS_TOLD = 100


class Reconciler:
    """One worker's, on its edges."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger, orchestrator: Orchestrator) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger
        self._orchestrator = orchestrator

    def reconcile(self, *, beat: Callable[[int], None], now: datetime | None = None) -> Reconciled:
        """Announce imports whose queue is gone, then objects that the ledger does not know; give up uploads begun long ago."""
        stranded = [Arrival(one.bucket, one.key, one.id) for one in self._stranded()]
        seen, started, keys = 0, self._announce(stranded), [arrival.key for arrival in stranded[:KEYS_TOLD]]
        for page in self._store.pages(f"{INCOMING}/"):
            files = [stored for stored in page if dataset_of(stored.key) is not None]
            missed = [Arrival(self._store.bucket, stored.key) for stored in self._unknown(files)]
            seen, started = seen + len(files), started + self._announce(missed)
            keys += [arrival.key for arrival in missed[: KEYS_TOLD - len(keys)]]
            beat(seen)
        return Reconciled(seen=seen, started=started, expired=self._expire(now or datetime.now(UTC)), keys=tuple(keys))

    def _expire(self, now: datetime) -> int:
        """Give up the uploads that began long ago, never became whole, and have not grown for as long."""
        limit, expired = self._settings.keep_uploads, 0
        if limit is None:
            return 0
        since = now - limit
        for import_id, key in self._ledger.stale_uploads(since):
            if any(self._store.last_heard(upload) > since for page in self._store.uploads(key) for upload in page):
                continue
            if self._store.head(key) is not None:  # it is whole; its event was announced a moment ago
                continue
            with suppress(IllegalMove):  # it became whole in this very moment
                expired += self._ledger.move(import_id, State.EXPIRED)
        return expired

    def _stranded(self) -> list[Import]:
        """Imports under way in the ledger though no queue is at work for their dataset, oldest first."""
        active = self._ledger.active()
        running = {dataset: self._orchestrator.queue_is_running(dataset) for dataset in {one.dataset for one in active}}
        return [one for one in active if not running[one.dataset]]

    def _unknown(self, files: Sequence[Stored]) -> Iterator[Stored]:
        bucket = self._store.bucket
        known = self._ledger.traces({one for stored in files for one in ids_of(bucket, stored)})
        for stored in files:
            trace = known.get(import_id_of(bucket, stored, known))
            if trace is None or trace.state is State.AWAITING_UPLOAD:  # it is whole, and nobody has said so
                yield stored

    def _announce(self, arrivals: Sequence[Arrival]) -> int:
        for arrival in arrivals:
            self._orchestrator.announce(arrival)
        return len(arrivals)
