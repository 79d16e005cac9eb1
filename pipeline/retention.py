"""Retention: remove what has been kept for as long as the settings BULKHEAD_KEEP_* say.

Everything is listed page by page, and a page costs the ledger one query, however large the bucket and the ledger are.

docs/decisions/0012 says what is removed and why that is safe. In short: only of settled imports, whose state is the last; the
ledger records a removal before the first object is deleted; and the next clean-up finds what a killed one has left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy.exc import DBAPIError

from pipeline import expired_files
from pipeline.adapters.s3 import Store, Stored
from pipeline.contracts.messages import Cleaned
from pipeline.contracts.object_keys import (
    INCOMING,
    Kept,
    batches_prefix,
    dataset_of,
    import_id_in,
    is_import_id,
    report_prefix,
    results_prefix,
)
from pipeline.contracts.patches import PATCHES, patches_prefix
from pipeline.contracts.states import State
from pipeline.errors import BulkheadError, Conflict, IllegalMove
from pipeline.expired_audits import remove_reports
from pipeline.expired_drafts import remove_drafts
from pipeline.expired_dumps import remove_dumps
from pipeline.expired_folders import ExpiredFolders
from pipeline.expired_uploads import abort_uploads
from pipeline.ledger.api_keys import ApiKeys
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import Trace
from pipeline.ledger.removal_lock import removal_lock
from pipeline.receive.arrivals import is_unchanged
from pipeline.receive.upload_metadata import IMPORT_ID
from pipeline.settings import Settings
from pipeline.warehouse.definitions import Definitions

log = structlog.get_logger()

ERRORS_REPORTED = 20
_NOT_PROMOTED = (
    "The dry run was not promoted within the time that BULKHEAD_KEEP_DRY_RUNS sets. Upload the file again to load it."
)

FOREIGN_WRITES_KEPT = timedelta(days=7)
"""For operators who look up who wrote to a table; active imports keep what they need for longer."""

PREFIXES: Mapping[Kept, Callable[[str], str]] = {
    Kept.BATCHES: batches_prefix,
    Kept.RESULTS: results_prefix,
    Kept.REPORT: report_prefix,
}
"""The prefixes that each import has in the bucket."""


def clean(
    settings: Settings,
    store: Store,
    ledger: Ledger,
    *,
    dry_run: bool = False,
    beat: Callable[[str], None],
    now: datetime | None = None,
) -> Cleaned:
    """Remove everything that has expired, or with ``dry_run`` only count it.

    What cannot be removed is reported, and does not stop the rest. Nothing is removed while a backup is made.
    """
    if dry_run:
        return _clean(settings, store, ledger, dry_run, beat, now)
    try:
        with removal_lock(ledger.engine, wait_seconds=5.0):  # the session of a killed clean-up ends a moment after it
            return _clean(settings, store, ledger, dry_run, beat, now)
    except Conflict as error:
        log.info("nothing removed", why=str(error))
        return Cleaned(failed=1, errors=(str(error),))


def _clean(
    settings: Settings,
    store: Store,
    ledger: Ledger,
    dry_run: bool,
    beat: Callable[[str], None],
    now: datetime | None,
) -> Cleaned:
    run = _CleanUp(settings, store, ledger, now or datetime.now(UTC), dry_run, beat)
    run.dry_runs()
    run.requests()
    for what in PREFIXES:
        run.prefixes(what)
    run.audits()
    run.drafts()
    run.dropped()
    run.sources()
    run.patches()
    run.uploads()
    run.scratch()
    run.old_files()
    log.info("cleaned up", dry_run=dry_run, **run.counts)
    return run.cleaned


class _CleanUp:
    """One clean-up. Retention periods count back from ``now``."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        ledger: Ledger,
        now: datetime,
        dry_run: bool,
        beat: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger
        self._keys = ApiKeys(ledger.engine)
        self._now = now
        self._dry_run = dry_run
        self._beat = beat
        self._errors: list[str] = []
        self.counts = Counter[str]()

    @property
    def cleaned(self) -> Cleaned:
        """Return what was removed so far."""
        return Cleaned(**self.counts, errors=tuple(self._errors))

    def _since(self, kept: timedelta | None) -> datetime | None:
        """Return the time before which things have expired; None if they are kept for ever."""
        return None if kept is None else self._now - kept

    def dry_runs(self) -> None:
        """Expire dry runs that were not promoted in time. From then on the retention of any import applies to them."""
        since = self._since(self._settings.keep_dry_runs)
        if since is None:
            return
        for id_ in self._ledger.removals.unpromoted(since):
            with self._trying(f"dry run {id_}"), suppress(IllegalMove):  # it was promoted at the same time
                self.counts["dry_runs"] += self._dry_run or self._ledger.imports.move(id_, State.EXPIRED, _NOT_PROMOTED)

    def requests(self) -> None:
        """Delete old idempotency keys, expired sign-in links, old events of the audit log, and other clients' writes that no
        active import needs. Keys that have expired are recorded in the audit log."""
        since = self._since(self._settings.keep_idempotency_keys)
        if since is not None:
            with self._trying("idempotency keys"):
                count = self._ledger.removals.expire_idempotency_keys(since, dry_run=self._dry_run)
                self.counts["idempotency_keys"] += count
        with self._trying("sign-in links"):
            self.counts["sign_ins"] += self._ledger.removals.expire_sign_ins(self._now, dry_run=self._dry_run)
        with self._trying("expired keys"):
            self.counts["expired_keys"] += 0 if self._dry_run else self._keys.record_expired()
        with self._trying("queries that were run long ago"):
            if not self._dry_run:
                self._ledger.saved_queries.expire(self._now)
        kept = self._settings.keep_audit_log
        if kept is not None:
            with self._trying("events of the audit log"):
                self.counts["audit_events"] += self._ledger.audit_log.remove(kept, dry_run=self._dry_run)
        with self._trying("writes of other clients"):
            before = self._now - FOREIGN_WRITES_KEPT
            self.counts["foreign_writes"] += self._ledger.removals.expire_foreign_writes(before, dry_run=self._dry_run)

    def prefixes(self, what: Kept) -> None:
        """Remove the objects under one prefix of each import. What is not in this ledger may be in another: it stays."""
        settings = self._settings
        kept = {Kept.BATCHES: settings.keep_batches, Kept.RESULTS: settings.keep_results, Kept.REPORT: settings.keep_reports}
        since, prefix_of = self._since(kept[what]), PREFIXES[what]
        if since is None:
            return
        counted = "reports" if what is Kept.REPORT else str(what)
        for page in self._store.folders(prefix_of("").removesuffix("/")):
            traces = self._ledger.imports.traces(filter(is_import_id, (prefix.split("/")[1] for prefix in page)))
            self.counts["unknown"] += len(page) - len(traces)
            for trace in traces.values():
                if trace.ended_by(since):
                    with self._trying(f"{what} of import {trace.id}"):
                        self._remove_prefix(trace, what, since, counted)

    def _remove_prefix(self, trace: Trace, what: Kept, since: datetime, counted: str) -> None:
        prefix = PREFIXES[what](trace.id)
        if self._dry_run:
            objects = sum(len(page) for page in self._store.pages(prefix))
        elif self._ledger.removals.mark(trace.id, what, since):
            objects = self._store.delete_prefix(prefix)
        else:
            return
        self.counts[counted] += 1
        self.counts["objects"] += objects

    def audits(self) -> None:
        """Remove the reports of audits."""
        since = self._since(self._settings.keep_audits)
        if since is not None:
            done = remove_reports(self._store, self._ledger.audits, since, dry_run=self._dry_run, trying=self._trying)
            self.counts.update(vars(done))

    def drafts(self) -> None:
        """Remove files that were kept for forms which were left."""
        since = self._since(self._settings.keep_drafts)
        if since is not None:
            self.counts["drafts"] += remove_drafts(self._store, since, dry_run=self._dry_run, trying=self._trying)

    def dropped(self) -> None:
        """Remove the dumps of datasets that were dropped."""
        since = self._since(self._settings.keep_dropped)
        if since is not None:
            definitions = Definitions(self._ledger.engine)
            done = remove_dumps(self._store, definitions, since, dry_run=self._dry_run, trying=self._trying)
            self.counts.update(vars(done))

    def sources(self) -> None:
        """Remove uploaded files. Dropped files belong to those who dropped them, and so do files they put in place of ours."""
        since = self._since(self._settings.keep_sources)
        if since is None:
            return
        for page in self._store.pages(f"{INCOMING}/"):
            own = {stored.key: id_ for stored in page if dataset_of(stored.key) and (id_ := import_id_in(stored.key))}
            traces = self._ledger.imports.traces(own.values())
            for stored in page:
                trace = traces.get(own.get(stored.key, ""))
                if trace and trace.ended_by(since) and trace.key == stored.key:
                    with self._trying(stored.key):
                        self._remove_source(stored, trace, since)

    def patches(self) -> None:
        """Remove the edits of files that were removed, once no import can be read with them any more."""
        for page in self._store.folders(f"{PATCHES}/"):
            ids = filter(is_import_id, (prefix.split("/")[1] for prefix in page))
            for id_ in self._ledger.patches.unneeded(ids):
                with self._trying(f"edits of import {id_}"):
                    prefix = patches_prefix(id_)
                    objects = sum(len(some) for some in self._store.pages(prefix))
                    self.counts["objects"] += objects if self._dry_run else self._store.delete_prefix(prefix)

    def _remove_source(self, stored: Stored, trace: Trace, since: datetime) -> None:
        if not is_unchanged(stored, trace):  # another file replaced it, unless it was re-encrypted or copied back
            there = self._store.head(stored.key)
            if there is None or there.etag != stored.etag or there.metadata.get(IMPORT_ID) != trace.id:
                return
        marked = self._dry_run or self._ledger.removals.mark(trace.id, Kept.SOURCE, since)
        if marked and (self._dry_run or self._store.delete_if(stored)):
            if not self._dry_run:
                self._store.delete_folder(stored.key.rpartition("/")[0] + "/")
            self.counts["sources"] += 1
            self.counts["objects"] += 1

    def uploads(self) -> None:
        """Abort multipart uploads, users' and our own, that began and last grew long ago and that no import waits for."""
        since = self._since(self._settings.keep_uploads)
        if since is not None:
            done = abort_uploads(self._store, self._ledger.imports, since, dry_run=self._dry_run, trying=self._trying)
            self.counts["uploads"] += done

    def scratch(self) -> None:
        """Remove folders that killed workers left in this worker's scratch space."""
        unused_since = self._since(self._settings.keep_work)
        folders = ExpiredFolders(self._settings.work_dir, self._ledger.imports, dry_run=self._dry_run, trying=self._trying)
        self.counts["folders"] += folders.remove(unused_since)

    def old_files(self) -> None:
        """Remove old mail in the worker's outbox, and old dead letters of an event relay that shares the worker's disk."""
        self._remove_old_files("mails", self._settings.outbox_dir, self._settings.keep_outbox)
        self._remove_old_files("dead_letters", self._settings.dead_letters_dir, self._settings.keep_dead_letters)

    def _remove_old_files(self, counted: str, folder: Path, kept: timedelta | None) -> None:
        since = self._since(kept)
        if since is not None:
            with self._trying(f"files in {folder}"):
                self.counts[counted] += expired_files.remove(folder, since.timestamp(), dry_run=self._dry_run)

    @contextmanager
    def _trying(self, what: str) -> Iterator[None]:
        """Report an error of the block and go on: the next clean-up tries again."""
        self._beat(what)
        try:
            yield
        except Exception as error:
            log.warning("not removed", what=what, error=str(error), exc_info=not isinstance(error, BulkheadError | DBAPIError))
            self.counts["failed"] += 1
            if len(self._errors) < ERRORS_REPORTED:
                self._errors.append(f"{what}: {error}")
