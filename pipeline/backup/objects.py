"""Copy the objects of a bucket to a backup: only those that no earlier backup in this place has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pipeline.adapters.s3 import NotThere, Store, Stored
from pipeline.backup.index import Index
from pipeline.backup.manifest import Entry, as_line, entries_in, entry_of, names_in, object_name, version_of
from pipeline.backup.places import Place
from pipeline.backup.progress import Tell
from pipeline.errors import FileReplaced

AT_ONCE = 4
"""How many objects are copied at once."""

NOT_KEPT = frozenset({"health", "readyz"})
"""Keys with which health checks try the bucket."""

_ATTEMPTS = 3


class Copying:
    """Copies a bucket. ``counts`` says what was done so far: objects, bytes, copied, copied_bytes, vanished."""

    def __init__(self, store: Store, place: Place, tell: Tell) -> None:
        self._store = store
        self._place = place
        self._tell = tell
        self.counts = Counter[str]()

    def entries(self) -> Iterator[Entry]:
        """Copy all objects that are in the bucket when it is listed, and yield them in the order of the listing."""
        with Index() as known, ThreadPoolExecutor(AT_ONCE, "backup") as pool:
            for name in names_in(self._place)[0][-1:]:
                known.update((_name(one.key, one.version), as_line(one)) for one in entries_in(self._place, name))
            for page in self._store.pages(""):
                wanted = [one for one in page if one.key not in NOT_KEPT and not one.key.endswith("/")]
                yield from self._copied(pool, wanted, [known.get(_name(one.key, _version(one))) for one in wanted])

    def _copied(self, pool: ThreadPoolExecutor, page: Sequence[Stored], earlier: Sequence[str | None]) -> Iterator[Entry]:
        for entry in pool.map(self._copy, page, earlier):
            if entry is None:
                self.counts["vanished"] += 1
                continue
            found, is_new = entry
            self.counts.update(objects=1, bytes=found.size_bytes, copied=is_new, copied_bytes=found.size_bytes if is_new else 0)
            self._tell("objects", self.counts["objects"], None)
            yield found

    def _copy(self, listed: Stored, earlier: str | None) -> tuple[Entry, bool] | None:
        """Return the entry of an object, and whether its content was copied; None if it is gone.

        ``earlier``: the same object's line in the last backup.
        """
        if earlier is not None:
            entry = entry_of(earlier)
            if self._place.has(object_name(entry.sha256), entry.size_bytes):
                return entry, False
        for _ in range(_ATTEMPTS):
            stored = self._store.head(listed.key)  # the listing has no metadata
            if stored is None:
                return None
            try:
                written = self._place.add(object_name, self._store.ranges(stored))
            except FileReplaced:
                continue
            except NotThere:
                return None
            listing_time = listed.modified if stored.etag == listed.etag else stored.modified  # some stores list fractions
            return _entry(replace(stored, modified=listing_time), written.sha256), True
        raise FileReplaced(
            f"{listed.key} is replaced all the time, so it could not be copied. Back up again when that has ended."
        )


def _entry(stored: Stored, sha256: str) -> Entry:
    assert stored.modified is not None, "S3 says of each object when it was stored"
    modified = stored.modified.isoformat()
    return Entry(stored.key, stored.size_bytes, stored.etag, modified, sha256, stored.content_type, dict(stored.metadata))


def _version(stored: Stored) -> str:
    return version_of(stored.size_bytes, stored.etag, stored.modified.isoformat() if stored.modified else "")


def _name(key: str, version: str) -> str:
    return f"{key}\n{version}"
