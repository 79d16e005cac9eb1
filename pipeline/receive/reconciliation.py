"""Reconciliation: compare S3, the ledger and Temporal, and repair what differs.

Events are delivered at least once, but they can be lost with the relay, and workflow runs with Temporal. The reconciliation
announces objects of which no event was received, restarts lost queues, ends runs of unknown imports, has each run do what the
ledger says, gives up uploads that were not completed, and has notifications sent whose workflow was lost.

The imports in the ledger come first, all of them in every run. Then the bucket is listed, page by page, and a page costs the
ledger one query. If one run does not get through a large bucket, the next run continues the listing where it stopped.
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
from pipeline.receive.arrivals import Arrivals, ObjectOwner, is_unchanged, trace_of
from pipeline.settings import Settings

log = structlog.get_logger()

KEYS_REPORTED = 100
"""How many keys a run reports; all are counted."""

LISTING_SECONDS = 15.0
"""Seconds that one run lists objects; half of the time between two runs if that is less."""

NOTIFIED_WITHIN = timedelta(days=3)
"""How long after an import's end its notifications are attempted."""

ENDED = timedelta(seconds=30)
OVERDUE = timedelta(minutes=1)
"""How long after an import's end, or after a message was due, the workflow that sends it may be lost."""

POSTPONED = timedelta(minutes=5)
NOTIFIED_AT_MOST = 500
"""How many imports' notifications one run starts again, and how long an import's messages are not overdue after that."""

UNKNOWN_AFTER = timedelta(minutes=5)
"""A run begins after its import's row is in the ledger. If a run this old has no import there, the ledger has lost it."""

LEFT_ALONE_MAX = 100_000
"""How many objects that are left alone a worker remembers, so that it asks S3 about each of them once."""

_RESTORED = "its import is in the ledger: the object was restored from a backup"

GROWING = timedelta(minutes=2)
"""An upload whose lease has lapsed is not given up if S3 received a part of it within this time."""


class Reconciler:
    """Reconcile for one worker. Keeps in memory which objects are left alone."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger, orchestrator: TemporalClient) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger
        self._orchestrator = orchestrator
        self._arrivals = Arrivals(store, ledger)
        self._left_alone: dict[tuple[str, str], str] = {}

    def reconcile(self, *, beat: Callable[[int], None], now: datetime | None = None) -> Reconciled:
        """Do one run: first what the ledger, Temporal and open uploads need, then list objects for LISTING_SECONDS.

        ``beat`` is called with the number of objects listed so far.
        """
        now = now or datetime.now(UTC)
        terminated = self._terminate_unknown(now)
        stranded = [ObjectArrived(one.bucket, one.key, one.id) for one in self._stranded()]
        beat(0)
        seen, started, keys = 0, self._announce(stranded), [arrival.key for arrival in stranded[:KEYS_REPORTED]]
        expired, notified = self._expire(now), self._notify(beat)
        left, replaced, begins = list[str](), 0, not self._ledger.listings.position(self._store.bucket)
        for page in self._next_pages():
            files = [stored for stored in page if dataset_of(stored.key) is not None]
            missed, alone, changed = self._compare(files, beat=partial(beat, seen))
            seen, started = seen + len(files), started + self._announce(missed)
            keys += [arrival.key for arrival in missed[: KEYS_REPORTED - len(keys)]]
            left, replaced = left + alone, replaced + changed
            beat(seen)
        return Reconciled(
            seen=seen,
            started=started,
            expired=expired,
            told=notified,
            is_whole=begins and not self._ledger.listings.position(self._store.bucket),
            terminated=terminated,
            keys=tuple(keys),
            unknown=len(left),
            unknown_keys=tuple(left[:KEYS_REPORTED]),
            replaced=replaced,
        )

    def _next_pages(self) -> Iterator[Sequence[Stored]]:
        """Yield pages of incoming objects for a while, from where the previous run stopped."""
        bucket, until = self._store.bucket, time.monotonic() + min(LISTING_SECONDS, self._settings.reconcile_seconds / 2)
        after = self._ledger.listings.position(bucket)
        for page in self._store.pages(f"{INCOMING}/", after=after):
            yield page
            after = page[-1].key
            if time.monotonic() > until:
                self._ledger.listings.keep(bucket, after)
                return
        self._ledger.listings.keep(bucket, "")

    def _notify(self, beat: Callable[[int], None]) -> int:
        """Have the notifications sent that no workflow sends any more; return the number of imports."""
        forgotten = self._ledger.deliveries.forgotten(
            within=NOTIFIED_WITHIN, ended=ENDED, overdue=OVERDUE, limit=NOTIFIED_AT_MOST
        )
        for done, outcome in enumerate(forgotten):
            self._orchestrator.notify(outcome)
            self._ledger.deliveries.postpone_overdue(outcome.import_id, POSTPONED)
            beat(done)
        return len(forgotten)

    def _expire(self, now: datetime) -> int:
        """Give up incomplete uploads: those whose lease has lapsed, and those that began and last grew long ago."""
        limit, expired = self._settings.keep_uploads, 0
        since = None if limit is None else now - limit
        for stale in self._ledger.uploads.stale(since):
            silent_since = datetime.now(UTC) - GROWING if stale.was_leased or since is None else since
            if any(self._store.last_heard(upload) > silent_since for page in self._store.uploads(stale.key) for upload in page):
                continue
            if self._store.head(stale.key) is not None:  # it is complete; its event is on its way
                continue
            with suppress(IllegalMove):  # it was completed at the same time
                expired += self._ledger.imports.move(stale.import_id, State.EXPIRED)
        return expired

    def _stranded(self) -> list[ImportRecord]:
        """Return one import of each dataset that has active imports but no queue, or no run for the import at work.

        One is enough: it starts the queue, which asks the ledger for the others.
        """
        of_dataset: dict[str, list[ImportRecord]] = {}
        for one in self._ledger.imports.active():
            of_dataset.setdefault(one.dataset, []).append(one)
        stranded = []
        for dataset, active in of_dataset.items():
            lost = [one for one in active if one.state in AT_WORK and not self._signal(one)]
            if lost or not self._orchestrator.queue_is_running(dataset):
                stranded.append((lost or active)[0])
        return stranded

    def _signal(self, one: ImportRecord) -> bool:
        """Signal an import's run again to cancel or to pause if it does not do so: Temporal may have been away.

        Return False if there is no run.
        """
        if not self._orchestrator.import_is_running(one.id):
            return False
        if one.cancel_requested:
            self._orchestrator.cancel(one.id)
        is_paused = one.pause_wanted and not one.cancel_requested
        if (one.state, is_paused) in ((State.PAUSED, False), (State.LOADING, True)):
            self._orchestrator.pause(one.id, wanted=is_paused)
        return True

    def _terminate_unknown(self, now: datetime) -> int:
        """Terminate the runs of imports that are not in the ledger, as after it was restored from an older copy.

        They would block their datasets for ever. Their files are found in the bucket like any others. Return their number.
        """
        running = self._orchestrator.running_imports(begun_before=now - UNKNOWN_AFTER)
        unknown = sorted(set(running) - set(self._ledger.imports.traces(running)))
        for import_id in unknown:
            log.warning("run of an unknown import terminated", import_id=import_id)
            self._orchestrator.terminate(import_id, "The ledger does not know this import.")
        return len(unknown)

    def _compare(self, files: Sequence[Stored], *, beat: Callable[[], None]) -> tuple[list[ObjectArrived], list[str], int]:
        """Return arrivals of which no event was received, keys of objects to leave alone, and the number of changed objects."""
        bucket, known = self._store.bucket, self._arrivals.traces(files)
        missed, alone, changed = list[ObjectArrived](), list[str](), 0
        for stored in files:
            trace = trace_of(bucket, stored, known)
            if trace is None:
                beat()
                why = self._why_left_alone(stored)
                if not why:
                    missed.append(ObjectArrived(bucket, stored.key))
                elif why != _RESTORED:
                    alone.append(stored.key)
            elif trace.state is State.AWAITING_UPLOAD:  # it is complete, but its uploader has no answer
                missed.append(ObjectArrived(bucket, stored.key))
            else:
                changed += not is_unchanged(stored, trace)
        return missed, alone, changed

    def _why_left_alone(self, listed: Stored) -> str:
        """Return why no import is made of an object that is not in the ledger; empty if one is, or if the object is gone."""
        name = (listed.key, listed.etag)
        if name not in self._left_alone:
            stored = self._store.head(listed.key)
            owner = self._arrivals.find(stored) if stored else ObjectOwner()
            why = _RESTORED if owner.is_known else owner.why
            if not why:
                return ""
            if why != _RESTORED:
                log.warning("unknown upload left alone", key=listed.key, why=why)
            if len(self._left_alone) >= LEFT_ALONE_MAX:
                self._left_alone.clear()
            self._left_alone[name] = why
        return self._left_alone[name]

    def _announce(self, arrivals: Sequence[ObjectArrived]) -> int:
        for arrival in arrivals:
            self._orchestrator.announce(arrival)
        return len(arrivals)
