"""What is done though nobody asks for it: announcing what no event announced.

Each thing is looked for a page at a time, and a page costs the ledger one query, however large bucket and ledger are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from pipeline.contracts import INCOMING, Arrival, Reconciled, dataset_of, import_id_for, import_id_in
from pipeline.ledger import Import, Ledger, Trace
from pipeline.orchestrator import Orchestrator
from pipeline.settings import Settings
from pipeline.store import Store, Stored

KEYS_TOLD = 100


class Caretaker:
    """One worker's, on its edges."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger, orchestrator: Orchestrator) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger
        self._orchestrator = orchestrator

    # --- what no event announced ---

    def reconcile(self, *, beat: Callable[[int], None]) -> Reconciled:
        """Announce imports whose queue is gone, then objects that the ledger does not know; give up uploads begun long ago."""
        stranded = [Arrival(one.bucket, one.key, one.id) for one in self._stranded()]
        seen, started, keys = 0, self._announce(stranded), [arrival.key for arrival in stranded[:KEYS_TOLD]]
        for page in self._store.pages(f"{INCOMING}/"):
            files = [stored for stored in page if dataset_of(stored.key) is not None]
            missed = [Arrival(self._store.bucket, stored.key) for stored in self._unknown(files)]
            seen, started = seen + len(files), started + self._announce(missed)
            keys += [arrival.key for arrival in missed[: KEYS_TOLD - len(keys)]]
            beat(seen)
        limit = self._settings.keep_uploads
        expired = self._ledger.expire_uploads(limit) if limit is not None else 0
        return Reconciled(seen=seen, started=started, expired=expired, keys=tuple(keys))

    def _stranded(self) -> list[Import]:
        """Imports under way in the ledger though no queue is at work for their dataset, oldest first."""
        active = self._ledger.active()
        running = {dataset: self._orchestrator.queue_is_running(dataset) for dataset in {one.dataset for one in active}}
        return [one for one in active if not running[one.dataset]]

    def _unknown(self, files: Sequence[Stored]) -> Iterator[Stored]:
        bucket = self._store.bucket
        known = self._ledger.traces({one for stored in files for one in ids_of(bucket, stored)})
        return (stored for stored in files if import_id_of(bucket, stored, known) not in known)

    def _announce(self, arrivals: Sequence[Arrival]) -> int:
        for arrival in arrivals:
            self._orchestrator.announce(arrival)
        return len(arrivals)


def ids_of(bucket: str, stored: Stored) -> tuple[str, ...]:
    """The ids that an incoming file's import may have: as a dropped file, and the one in its key, if there is one."""
    modified = stored.modified.isoformat() if stored.modified else ""
    dropped, own = import_id_for(bucket, stored.key, stored.etag, modified), import_id_in(stored.key)
    return (dropped, own) if own else (dropped,)


def import_id_of(bucket: str, stored: Stored, known: Mapping[str, Trace]) -> str:
    """The id in an uploaded file's key, unless another file was put over it; a dropped file has one of its own.

    ``known``: what the ledger knows of ``ids_of`` the file.
    """
    dropped, *own = ids_of(bucket, stored)
    trace = known.get(own[0]) if own else None
    is_own = trace is not None and trace.key == stored.key and trace.etag in ("", stored.etag)
    return own[0] if is_own else dropped
