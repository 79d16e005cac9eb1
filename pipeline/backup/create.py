"""Make a backup while imports go on.

The order makes the point consistent. The lock keeps retention from deleting objects. Then the database is dumped in one
snapshot. Then the bucket is listed and copied: an object is stored before the ledger speaks of it, so the bucket has
everything that the snapshot refers to. What came later is copied too, and found by reconciliation after a restore. The manifest
comes last (docs/decisions/0043).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from sqlalchemy import Engine

from pipeline.adapters import postgres, postgres_programs
from pipeline.adapters.postgres_access import DatabaseAccess, to_database, to_owner
from pipeline.adapters.s3 import Store
from pipeline.backup.manifest import (
    DUMP,
    LIST,
    MANIFEST,
    Database,
    Manifest,
    Objects,
    folder_of,
    list_text,
    manifest_text,
    names_in,
)
from pipeline.backup.objects import Copying
from pipeline.backup.places import Place
from pipeline.backup.progress import Tell, silent
from pipeline.backup.prune import prune
from pipeline.backup.snapshot import Snapshot, open_snapshot
from pipeline.ledger.removal_lock import removal_lock
from pipeline.settings import Settings

LOCK_SECONDS = 1800.0
"""How long a backup waits for a clean-up that is running."""


@dataclass(frozen=True)
class Made:
    """A backup that was made, and the names of the older ones that were removed."""

    manifest: Manifest
    removed: tuple[str, ...]


def back_up(settings: Settings, place: Place, *, keep: int, tell: Tell = silent) -> Made:
    """Make a backup in ``place``, and remove all but the newest ``keep``.

    Raises Unreachable, Conflict if another backup or a clean-up is running all the time, NoSpace or InvalidRequest if the place
    cannot be written to. Then there is no backup: what was written is removed by the next one.
    """
    access = to_owner(settings) or to_database(settings)
    engine = postgres.connect(access, pool_size=2, name="bulkhead backup", statement_seconds=None)
    store = Store.of(settings)
    try:
        store.must_answer()
        with removal_lock(engine, wait_seconds=LOCK_SECONDS, waiting=lambda: tell("waiting for a clean-up to end", 0, None)):
            manifest = _make(access, place, engine, store, tell)
            return Made(manifest, prune(place, keep))
    finally:
        engine.dispose()


def _make(access: DatabaseAccess, place: Place, engine: Engine, store: Store, tell: Tell) -> Manifest:
    name = _new_name(place)
    with open_snapshot(engine) as snapshot:
        database = _dump(access.with_secret(), place, folder_of(name), snapshot, tell)
    copying = Copying(store, place, tell)
    listed = place.write(folder_of(name) + LIST, list_text(copying.entries()))
    counts = copying.counts
    manifest = Manifest(
        name=name,
        taken_at=snapshot.taken_at.astimezone(UTC).isoformat(),
        finished_at=datetime.now(UTC).isoformat(),
        bulkhead=_release(),
        database=database,
        objects=Objects(
            bucket=store.bucket,
            list=listed,
            count=counts["objects"],
            size_bytes=counts["bytes"],
            copied=counts["copied"],
            copied_bytes=counts["copied_bytes"],
            vanished=counts["vanished"],
        ),
    )
    place.write(folder_of(name) + MANIFEST, [manifest_text(manifest)])
    return manifest


def _dump(url: str, place: Place, folder: str, snapshot: Snapshot, tell: Tell) -> Database:
    def counted(chunks: Iterator[bytes]) -> Iterator[bytes]:
        done = 0
        for chunk in chunks:
            done += len(chunk)
            tell("database, bytes", done, None)
            yield chunk

    major = snapshot.server_major
    with postgres_programs.dump(url, major, snapshot=snapshot.snapshot, without_schemas=snapshot.other_schemas) as dumped:
        written = place.write(folder + DUMP, counted(dumped))
    return Database(
        dump=written,
        dump_major=postgres_programs.dump_version(major),
        server_version=snapshot.server_version,
        lsn=snapshot.lsn,
        role=snapshot.role,
        roles=snapshot.roles,
        ledger_version=snapshot.ledger_version,
        imports=snapshot.imports,
        records=snapshot.records,
    )


def _new_name(place: Place) -> str:
    """Return the present second as a name, one that is not taken."""
    taken = {name for names in names_in(place) for name in names}
    while (name := datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")) in taken:
        time.sleep(0.1)
    return name


def _release() -> str:
    try:
        return version("bulkhead")
    except PackageNotFoundError:
        return "unknown"
