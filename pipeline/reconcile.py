"""Announcing what no event announced (events are sometimes lost, and so are runs); giving up uploads that never became whole;
having users told where what did so was lost.

What the ledger has comes first, and is whole in every run. Then objects are looked for, a page at a time, and a page costs the
ledger one query. A bucket that is too large for one run is listed over several: each goes on where the one before it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pipeline.contracts import INCOMING, Arrival, Reconciled, State, dataset_of
from pipeline.errors import IllegalMove
from pipeline.incoming import ids_of, import_id_of
from pipeline.ledger import Import, Ledger
from pipeline.orchestrator import Orchestrator
from pipeline.settings import Settings
from pipeline.store import Store, Stored

KEYS_TOLD = 100

LISTING_SECONDS = 15.0
"""How long one run lists objects; half of the time between two runs, if that is less."""

TOLD_WITHIN = timedelta(days=3)
"""A message is tried for so long; what is older is not told any more."""

ENDED = timedelta(seconds=30)
OVERDUE = timedelta(minutes=1)
"""So long after an import's end, or after a message should have been tried, whatever was to see to it may be lost."""

TOLD_AGAIN = timedelta(minutes=5)
TOLD_AT_ONCE = 500
"""Imports in one run whose messages are started again, and for how long that is not asked again of one of them."""


class Reconciler:
    """One worker's, on its edges."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger, orchestrator: Orchestrator) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger
        self._orchestrator = orchestrator

    def reconcile(self, *, beat: Callable[[int], None], now: datetime | None = None) -> Reconciled:
        """Announce imports whose queue is gone; give up uploads begun long ago; have users told; then look for objects that the
        ledger does not know, for a while."""
        stranded = [Arrival(one.bucket, one.key, one.id) for one in self._stranded()]
        seen, started, keys = 0, self._announce(stranded), [arrival.key for arrival in stranded[:KEYS_TOLD]]
        expired, told = self._expire(now or datetime.now(UTC)), self._tell(beat)
        bucket, until = self._store.bucket, time.monotonic() + min(LISTING_SECONDS, self._settings.reconcile_seconds / 2)
        after = begun_after = self._ledger.listed_up_to(bucket)
        for page in self._store.pages(f"{INCOMING}/", after=after):
            files = [stored for stored in page if dataset_of(stored.key) is not None]
            missed = [Arrival(bucket, stored.key) for stored in self._unknown(files)]
            seen, started = seen + len(files), started + self._announce(missed)
            keys += [arrival.key for arrival in missed[: KEYS_TOLD - len(keys)]]
            beat(seen)
            after = page[-1].key
            if time.monotonic() > until:
                break
        else:
            after = ""
        if after != begun_after:
            self._ledger.keep_listed(bucket, after)
        return Reconciled(seen, started, expired, told, is_whole=not (after or begun_after), keys=tuple(keys))

    def _tell(self, beat: Callable[[int], None]) -> int:
        """Have users told of ends of which nothing tells any more. Where it is being done, that has no effect."""
        untold = self._ledger.untold(within=TOLD_WITHIN, ended=ENDED, overdue=OVERDUE, limit=TOLD_AT_ONCE)
        for told, outcome in enumerate(untold):
            self._orchestrator.tell(outcome)
            self._ledger.told_again(outcome.import_id, TOLD_AGAIN)
            beat(told)
        return len(untold)

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
