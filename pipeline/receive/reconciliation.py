"""Announcing what no event announced (events are sometimes lost, and so are runs); giving up uploads that never became whole;
having each run do what the ledger says; having users told where what did so was lost.

What the ledger has comes first, and is whole in every run. Then objects are looked for, a page at a time, and a page costs the
ledger one query. A bucket that is too large for one run is listed over several: each goes on where the one before it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from pipeline.adapters.s3 import Store, Stored
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import ObjectArrived, Reconciled
from pipeline.contracts.object_keys import INCOMING, dataset_of
from pipeline.contracts.states import AT_WORK, State
from pipeline.errors import IllegalMove
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.receive.arrivals import Arrivals, is_unchanged, trace_of
from pipeline.settings import Settings

log = structlog.get_logger()

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

UNKNOWN_FOR = timedelta(minutes=5)
"""A run is older than its import's row in the ledger by nothing. Whose import is not there after so long has lost it."""

LEFT_ALONE_MOST = 100_000
"""How many objects of which no import may be made a worker remembers, so that it asks S3 about each of them once."""

GROWING = timedelta(minutes=2)
"""An upload whose lease has lapsed is not given up while S3 has had a part of it within so long."""


class Reconciler:
    """One worker's, on its edges."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger, orchestrator: TemporalClient) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger
        self._orchestrator = orchestrator
        self._incoming = Arrivals(store, ledger)
        self._left_alone: dict[tuple[str, str], str] = {}

    def reconcile(self, *, beat: Callable[[int], None], now: datetime | None = None) -> Reconciled:
        """Announce imports whose run or queue is gone; give up uploads begun long ago; have users told; then look for objects
        that the ledger does not know, for a while. Tell runs again what is wanted of them, and end those of imports that the
        ledger does not know."""
        now = now or datetime.now(UTC)
        terminated = self._end_unknown(now)
        stranded = [ObjectArrived(one.bucket, one.key, one.id) for one in self._stranded()]
        beat(0)
        seen, started, keys = 0, self._announce(stranded), [arrival.key for arrival in stranded[:KEYS_TOLD]]
        expired, told = self._expire(now), self._tell(beat)
        left, replaced, begins = list[str](), 0, not self._ledger.listings.position(self._store.bucket)
        for page in self._next_pages():
            files = [stored for stored in page if dataset_of(stored.key) is not None]
            missed, alone, changed = self._look(files, beat=partial(beat, seen))
            seen, started = seen + len(files), started + self._announce(missed)
            keys += [arrival.key for arrival in missed[: KEYS_TOLD - len(keys)]]
            left, replaced = left + alone, replaced + changed
            beat(seen)
        return Reconciled(
            seen=seen,
            started=started,
            expired=expired,
            told=told,
            is_whole=begins and not self._ledger.listings.position(self._store.bucket),
            terminated=terminated,
            keys=tuple(keys),
            unknown=len(left),
            unknown_keys=tuple(left[:KEYS_TOLD]),
            replaced=replaced,
        )

    def _next_pages(self) -> Iterator[Sequence[Stored]]:
        """Pages of incoming objects, for a while, from where the run before this one stopped."""
        bucket, until = self._store.bucket, time.monotonic() + min(LISTING_SECONDS, self._settings.reconcile_seconds / 2)
        after = self._ledger.listings.position(bucket)
        for page in self._store.pages(f"{INCOMING}/", after=after):
            yield page
            after = page[-1].key
            if time.monotonic() > until:
                self._ledger.listings.keep(bucket, after)
                return
        self._ledger.listings.keep(bucket, "")

    def _tell(self, beat: Callable[[int], None]) -> int:
        """Have users told of ends of which nothing tells any more. Where it is being done, that has no effect."""
        untold = self._ledger.deliveries.forgotten(within=TOLD_WITHIN, ended=ENDED, overdue=OVERDUE, limit=TOLD_AT_ONCE)
        for told, outcome in enumerate(untold):
            self._orchestrator.notify(outcome)
            self._ledger.deliveries.postpone_overdue(outcome.import_id, TOLD_AGAIN)
            beat(told)
        return len(untold)

    def _expire(self, now: datetime) -> int:
        """Give up uploads that are not whole: those whose process is dead, and those that began and last grew long ago."""
        limit, expired = self._settings.keep_uploads, 0
        since = None if limit is None else now - limit
        for stale in self._ledger.uploads.stale(since):
            silent_since = datetime.now(UTC) - GROWING if stale.was_leased or since is None else since
            if any(self._store.last_heard(upload) > silent_since for page in self._store.uploads(stale.key) for upload in page):
                continue
            if self._store.head(stale.key) is not None:  # it is whole; its event was announced a moment ago
                continue
            with suppress(IllegalMove):  # it became whole in this very moment
                expired += self._ledger.imports.move(stale.import_id, State.EXPIRED)
        return expired

    def _stranded(self) -> list[ImportRecord]:
        """One import of each dataset that has some under way, but no queue, or no run of the one that is at work.

        One wakes the queue, which asks the ledger for all.
        """
        of_dataset: dict[str, list[ImportRecord]] = {}
        for one in self._ledger.imports.active():
            of_dataset.setdefault(one.dataset, []).append(one)
        stranded = []
        for dataset, active in of_dataset.items():
            lost = [one for one in active if one.state in AT_WORK and not self._told(one)]
            if lost or not self._orchestrator.queue_is_running(dataset):
                stranded.append((lost or active)[0])
        return stranded

    def _told(self, one: ImportRecord) -> bool:
        """Tell an import's run what is wanted of it, if it does not do so: Temporal may have been away. False without a run."""
        if not self._orchestrator.import_is_running(one.id):
            return False
        if one.cancel_requested:
            self._orchestrator.cancel(one.id)
        stands_still = one.pause_wanted and not one.cancel_requested
        if (one.state, stands_still) in ((State.PAUSED, False), (State.LOADING, True)):
            self._orchestrator.pause(one.id, wanted=stands_still)
        return True

    def _end_unknown(self, now: datetime) -> int:
        """End the runs of imports that the ledger does not know, as after it was restored from an older copy.

        They would hold their datasets for ever, and nothing could be asked of them. Their files are found as any others are.
        """
        running = self._orchestrator.running_imports(begun_before=now - UNKNOWN_FOR)
        unknown = sorted(set(running) - set(self._ledger.imports.traces(running)))
        for import_id in unknown:
            log.warning("run of an unknown import terminated", import_id=import_id)
            self._orchestrator.terminate(import_id, "The ledger does not know this import.")
        return len(unknown)

    def _look(self, files: Sequence[Stored], *, beat: Callable[[], None]) -> tuple[list[ObjectArrived], list[str], int]:
        """Arrivals that no event announced, keys of objects that no import may be made of, and a count of changed objects."""
        bucket, known = self._store.bucket, self._incoming.traces(files)
        missed, alone, changed = list[ObjectArrived](), list[str](), 0
        for stored in files:
            trace = trace_of(bucket, stored, known)
            if trace is None:
                beat()
                if self._why_left_alone(stored):
                    alone.append(stored.key)
                else:
                    missed.append(ObjectArrived(bucket, stored.key))
            elif trace.state is State.AWAITING_UPLOAD:  # it is whole, and no answer to its uploader said so
                missed.append(ObjectArrived(bucket, stored.key))
            else:
                changed += not is_unchanged(stored, trace)
        return missed, alone, changed

    def _why_left_alone(self, listed: Stored) -> str:
        """Why no import may be made of an object that the ledger does not know; nothing if one is to be made, or it is gone."""
        name = (listed.key, listed.etag)
        if name not in self._left_alone:
            stored = self._store.head(listed.key)
            why = self._incoming.find(stored).why if stored else ""
            if not why:
                return ""
            log.warning("unknown upload left alone", key=listed.key, why=why)
            if len(self._left_alone) >= LEFT_ALONE_MOST:
                self._left_alone.clear()
            self._left_alone[name] = why
        return self._left_alone[name]

    def _announce(self, arrivals: Sequence[ObjectArrived]) -> int:
        for arrival in arrivals:
            self._orchestrator.announce(arrival)
        return len(arrivals)
