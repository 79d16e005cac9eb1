"""Announcing what no event announced (events are sometimes lost, and so are runs); giving up uploads that never became whole.

Objects are looked for a page at a time, and a page costs the ledger one query, however large bucket and ledger are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from pipeline.contracts import INCOMING, Arrival, Reconciled, State, dataset_of
from pipeline.errors import IllegalMove
from pipeline.incoming import Incoming, is_unchanged, trace_of
from pipeline.ledger import Import, Ledger
from pipeline.orchestrator import Orchestrator
from pipeline.settings import Settings
from pipeline.store import Store, Stored

log = structlog.get_logger()

KEYS_TOLD = 100

LEFT_ALONE_MOST = 100_000
"""How many objects of which no import may be made a worker remembers, so that it asks S3 about each of them once."""

GROWING = timedelta(minutes=2)
"""An upload whose lease has lapsed is not given up while S3 has had a part of it within so long."""


class Reconciler:
    """One worker's, on its edges."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger, orchestrator: Orchestrator) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger
        self._orchestrator = orchestrator
        self._incoming = Incoming(store, ledger)
        self._left_alone: dict[tuple[str, str], str] = {}

    def reconcile(self, *, beat: Callable[[int], None], now: datetime | None = None) -> Reconciled:
        """Announce imports whose queue is gone, then objects that the ledger does not know; give up uploads begun long ago."""
        stranded = [Arrival(one.bucket, one.key, one.id) for one in self._stranded()]
        seen, started, keys = 0, self._announce(stranded), [arrival.key for arrival in stranded[:KEYS_TOLD]]
        left, replaced = list[str](), 0
        for page in self._store.pages(f"{INCOMING}/"):
            files = [stored for stored in page if dataset_of(stored.key) is not None]
            missed, alone, changed = self._look(files, beat=partial(beat, seen))
            seen, started = seen + len(files), started + self._announce(missed)
            keys += [arrival.key for arrival in missed[: KEYS_TOLD - len(keys)]]
            left, replaced = left + alone, replaced + changed
            beat(seen)
        return Reconciled(
            seen=seen,
            started=started,
            expired=self._expire(now or datetime.now(UTC)),
            keys=tuple(keys),
            unknown=len(left),
            unknown_keys=tuple(left[:KEYS_TOLD]),
            replaced=replaced,
        )

    def _expire(self, now: datetime) -> int:
        """Give up uploads that are not whole: those whose process is dead, and those that began and last grew long ago."""
        limit, expired = self._settings.keep_uploads, 0
        since = None if limit is None else now - limit
        for import_id, key, was_leased in self._ledger.stale_uploads(since):
            silent_since = datetime.now(UTC) - GROWING if was_leased or since is None else since
            if any(self._store.last_heard(upload) > silent_since for page in self._store.uploads(key) for upload in page):
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

    def _look(self, files: Sequence[Stored], *, beat: Callable[[], None]) -> tuple[list[Arrival], list[str], int]:
        """Arrivals that no event announced, keys of objects that no import may be made of, and a count of changed objects."""
        bucket, known = self._store.bucket, self._incoming.traces(files)
        missed, alone, changed = list[Arrival](), list[str](), 0
        for stored in files:
            trace = trace_of(bucket, stored, known)
            if trace is None:
                beat()
                if self._why_left_alone(stored):
                    alone.append(stored.key)
                else:
                    missed.append(Arrival(bucket, stored.key))
            elif trace.state is State.AWAITING_UPLOAD:  # it is whole, and no answer to its uploader said so
                missed.append(Arrival(bucket, stored.key))
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

    def _announce(self, arrivals: Sequence[Arrival]) -> int:
        for arrival in arrivals:
            self._orchestrator.announce(arrival)
        return len(arrivals)
