"""Retention: remove what has been kept for as long as the settings BULKHEAD_KEEP_* say.

Everything is listed page by page, and a page costs the ledger one query, however large the bucket and the ledger are.

docs/decisions/0012 says what is removed and why that is safe. In short: only of settled imports, whose state is the last; the
ledger records a removal before the first object is deleted; and the next clean-up finds what a killed one has left.
"""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy.exc import DBAPIError

from pipeline import expired_files
from pipeline.adapters.s3 import OpenUpload, Store, Stored
from pipeline.contracts.messages import Cleaned
from pipeline.contracts.object_keys import (
    INCOMING,
    Kept,
    batches_prefix,
    dataset_of,
    import_id_in,
    report_prefix,
    results_prefix,
)
from pipeline.contracts.states import State
from pipeline.errors import BulkheadError, IllegalMove
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import Trace
from pipeline.receive.arrivals import is_unchanged
from pipeline.receive.upload_metadata import IMPORT_ID
from pipeline.settings import Settings

log = structlog.get_logger()

ERRORS_REPORTED = 20
PAGE = 1_000
_NOT_PROMOTED = (
    "The dry run was not promoted within the time that BULKHEAD_KEEP_DRY_RUNS sets. Upload the file again to load it."
)

FOREIGN_WRITES_KEPT = timedelta(days=7)
"""For operators who look up who wrote to a table; active imports keep what they need for longer."""

GONE = ".gone"
"""The ending of the name of a scratch folder that is being removed."""

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

    What cannot be removed is reported, and does not stop the rest.
    """
    run = _CleanUp(settings, store, ledger, now or datetime.now(UTC), dry_run, beat)
    run.dry_runs()
    run.requests()
    for what in PREFIXES:
        run.prefixes(what)
    run.sources()
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
        """Delete old idempotency keys, expired sign-in links, and other clients' writes that no active import needs."""
        since = self._since(self._settings.keep_idempotency_keys)
        if since is not None:
            with self._trying("idempotency keys"):
                count = self._ledger.removals.expire_idempotency_keys(since, dry_run=self._dry_run)
                self.counts["idempotency_keys"] += count
        with self._trying("sign-in links"):
            self.counts["sign_ins"] += self._ledger.removals.expire_sign_ins(self._now, dry_run=self._dry_run)
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
            traces = self._ledger.imports.traces(filter(None, (_id_in(prefix.split("/")[1]) for prefix in page)))
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
        if since is None:
            return
        for root in (f"{INCOMING}/", *(prefix_of("").removesuffix("/") for prefix_of in PREFIXES.values())):
            for page in self._store.uploads(root):
                old = {upload: _import_in(upload.key) for upload in page if upload.begun <= since}
                traces = self._ledger.imports.traces(filter(None, old.values()))
                for upload, id_ in old.items():
                    trace = traces.get(id_ or "")
                    if trace is None or trace.state.is_settled:
                        with self._trying(f"upload to {upload.key}"):
                            self._abort(upload, since)

    def _abort(self, upload: OpenUpload, since: datetime) -> None:
        if self._store.last_heard(upload) > since:
            return
        if not self._dry_run:
            self._store.abort(upload.key, upload.upload_id)
        self.counts["uploads"] += 1

    def scratch(self) -> None:
        """Remove folders that killed workers left in this worker's scratch space. Other workers remove theirs."""
        work = self._settings.work_dir
        names = sorted(path.name for path in work.iterdir()) if work.is_dir() else []
        for name in names:
            if name.endswith(GONE) and not self._dry_run:
                with self._trying(f"folder {name}"):
                    _remove_tree(work / name)
        for at in range(0, len(names), PAGE):
            ids = [id_ for id_ in map(_id_in, names[at : at + PAGE]) if id_]
            traces = self._ledger.imports.traces(ids)
            for trace in traces.values():
                if trace.state.is_final:
                    with self._trying(f"folder {trace.id}"):
                        self._remove_folder(work / trace.id)
            for id_ in (one for one in ids if one not in traces):
                with self._trying(f"folder {id_}"):
                    self._remove_orphan(work / id_)

    def _remove_orphan(self, folder: Path) -> None:
        """Remove the folder of an import that is not in the ledger, if it has not been used for long."""
        since = self._since(self._settings.keep_work)
        if since is None or expired_files.last_change(folder) > since.timestamp():
            return
        if not self._dry_run:
            _remove_tree(folder)
        self.counts["folders"] += 1

    def old_files(self) -> None:
        """Remove old mail in the worker's outbox, and old dead letters of an event relay that shares the worker's disk."""
        self._remove_old_files("mails", self._settings.outbox_dir, self._settings.keep_outbox)
        self._remove_old_files("dead_letters", self._settings.dead_letters_dir, self._settings.keep_dead_letters)

    def _remove_old_files(self, counted: str, folder: Path, kept: timedelta | None) -> None:
        since = self._since(kept)
        if since is not None:
            with self._trying(f"files in {folder}"):
                self.counts[counted] += expired_files.remove(folder, since.timestamp(), dry_run=self._dry_run)

    def _remove_folder(self, folder: Path) -> None:
        """Remove a folder. It is renamed first, with the import's row locked: a promoted dry run uses its folder again."""
        if not self._dry_run:
            gone = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}{GONE}")
            with self._ledger.imports.locked(folder.name) as state:
                if not state.is_final or not folder.is_dir():
                    return
                folder.rename(gone)
            _remove_tree(gone)
        self.counts["folders"] += 1

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


def _remove_tree(folder: Path) -> None:
    """Remove a folder that another process may be removing at the same time, as the step that ends an import does."""

    def unless_gone(_: object, __: str, why: tuple[type[BaseException], BaseException, object]) -> None:
        if not isinstance(why[1], FileNotFoundError):
            raise why[1]

    shutil.rmtree(folder, onerror=unless_gone)


def _id_in(name: str) -> str | None:
    """Return a name if it is an import ID as the ledger writes it, else None."""
    try:
        return name if str(uuid.UUID(name)) == name else None
    except ValueError:
        return None


def _import_in(key: str) -> str | None:
    """Return the import ID in the key of any object of ours, or None."""
    root, _, rest = key.partition("/")
    return import_id_in(key) if root == INCOMING else _id_in(rest.partition("/")[0])
