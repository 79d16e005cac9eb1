"""Restore the objects of a backup to a bucket, and have the ledger recognise them there.

A copy has a new time, and after a multipart upload another ETag. Files that were dropped into the bucket are recognised by
both: their copies carry the ID of their import in their metadata (receive/restored.py). The ledger is given the new ETags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from pipeline.adapters.s3 import Store
from pipeline.backup.manifest import Entry, Manifest, entries_in, object_name
from pipeline.backup.objects import AT_ONCE, NOT_KEPT
from pipeline.backup.places import Place
from pipeline.backup.progress import Tell
from pipeline.backup.written import Digesting
from pipeline.contracts.object_keys import dataset_of, import_id_in
from pipeline.errors import InternalInconsistency
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import Trace
from pipeline.ledger.statements import execute
from pipeline.receive.arrivals import ids_of, is_ours
from pipeline.receive.chunk_stream import ChunkStream
from pipeline.receive.restored import mark

_PAGE = 500


@dataclass
class RestoredObjects:
    """What was done with the objects of a backup.

    ``unchanged`` were there already. ``newer``: keys of dropped files that another file has replaced since; that one stays.
    """

    written: int = 0
    unchanged: int = 0
    size_bytes: int = 0
    newer: list[str] = field(default_factory=list)


def contents(store: Store) -> list[str]:
    """Return in words what is in a bucket; empty if nothing."""
    counts = Counter[str]()
    for page in store.pages(""):
        counts.update(stored.key.partition("/")[0] for stored in page if stored.key not in NOT_KEPT)
    return [f"{count:,} {'object' if count == 1 else 'objects'} under {name}/" for name, count in sorted(counts.items())]


class ObjectRestore:
    """Writes the objects of one backup to a bucket."""

    def __init__(self, store: Store, ledger: Ledger, place: Place, manifest: Manifest, tell: Tell) -> None:
        self._store = store
        self._ledger = ledger
        self._place = place
        self._manifest = manifest
        self._tell = tell

    def run(self) -> RestoredObjects:
        """Restore all objects. The ledger in the database must be the one that is to be used with them."""
        done, entries = RestoredObjects(), entries_in(self._place, self._manifest.name)
        with ThreadPoolExecutor(AT_ONCE, "restore") as pool:
            while page := [*islice(entries, _PAGE)]:
                marks = self._marks(page)
                etags = [*pool.map(lambda entry, own=marks: self._restore(entry, own.get(entry.key, {})), page)]
                self._note(page, etags, done)
        if self._manifest.objects.bucket != self._store.bucket:
            with self._ledger.engine.begin() as connection:
                execute(connection, "backup/move_bucket", bucket=self._store.bucket)
        self._ledger.listings.keep(self._store.bucket, "")  # the next reconciliation begins with the first object
        return done

    def _marks(self, page: Sequence[Entry]) -> dict[str, Mapping[str, str]]:
        """Return the metadata by which the copies of dropped files are recognised, by key."""
        bucket = self._manifest.objects.bucket
        dropped = {entry.key: ids_of(bucket, entry.stored)[0] for entry in page if _is_dropped(entry.key)}
        known: Mapping[str, Trace] = self._ledger.imports.traces(dropped.values())
        return {key: mark(id_, key) for key, id_ in dropped.items() if id_ in known}

    def _restore(self, entry: Entry, added: Mapping[str, str]) -> str | None:
        """Restore an object; return its ETag, empty if it was there already, None if a newer file has its key."""
        there, metadata = self._store.head(entry.key), {**entry.metadata, **added}
        if there is not None and (there.etag, there.size_bytes) == (entry.etag, entry.size_bytes):
            is_same = ids_of("", there) == ids_of("", entry.stored)
            if is_same or not added or dict(there.metadata) == metadata:
                return ""
        elif there is not None and _is_dropped(entry.key) and dict(there.metadata) != metadata:
            return None
        digesting = Digesting(self._place.read(object_name(entry.sha256)))
        stored = self._store.put_stream(
            entry.key, ChunkStream(iter(digesting)), metadata=metadata, content_type=entry.content_type
        )
        if stored.sha256 != entry.sha256:
            self._store.delete(entry.key)
            raise InternalInconsistency(
                f"The content of {entry.key} in {self._place.shown} is damaged. bulkhead backup --verify says more."
            )
        return stored.etag

    def _note(self, page: Sequence[Entry], etags: Sequence[str | None], done: RestoredObjects) -> None:
        changed = []
        for entry, etag in zip(page, etags, strict=True):
            if etag is None:
                done.newer.append(entry.key)
            elif not etag:
                done.unchanged += 1
            else:
                done.written, done.size_bytes = done.written + 1, done.size_bytes + entry.size_bytes
                if etag != entry.etag:
                    changed.append({"key": entry.key, "etag": etag, "former": entry.etag})
        if changed:
            with self._ledger.engine.begin() as connection:
                for values in changed:
                    execute(connection, "backup/adopt", **values)
        self._tell("objects", done.written + done.unchanged + len(done.newer), self._manifest.objects.count)


def _is_dropped(key: str) -> bool:
    """Return whether a key is that of a file that a client placed in the bucket, and not of an upload."""
    return dataset_of(key) is not None and not is_ours(import_id_in(key))
