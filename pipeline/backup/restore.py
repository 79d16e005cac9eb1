"""Restore a backup, then have everything go on from there: reconciliation, and what is missing, named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

from sqlalchemy import Engine

from pipeline.adapters import postgres
from pipeline.adapters.postgres_access import to_database, to_owner
from pipeline.adapters.postgres_errors import DATABASE_ERRORS, in_words
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.backup import restore_database, restore_objects
from pipeline.backup.compare import Missing, missing_objects
from pipeline.backup.kinds import Only
from pipeline.backup.manifest import DUMP, LIST, Manifest, folder_of
from pipeline.backup.places import Place
from pipeline.backup.progress import Tell, silent
from pipeline.backup.restore_database import RestoredDatabase
from pipeline.backup.restore_objects import ObjectRestore, RestoredObjects
from pipeline.backup.verify import difference
from pipeline.contracts.object_keys import dataset_of, import_id_in
from pipeline.errors import Conflict, InternalInconsistency, Unreachable
from pipeline.ledger.ledger import Ledger
from pipeline.receive.reconciliation import Reconciler
from pipeline.settings import Settings

SHOWN = 1_000
"""How many imports and keys of each kind a restore reports."""

_AHEAD = timedelta(days=1)
"""Runs are ended whatever the clocks of this machine and of Temporal's server say."""


@dataclass(frozen=True)
class Continuing:
    """An import that was not over at the backup's moment, and goes on once a worker runs."""

    import_id: str
    dataset: str
    filename: str
    state: str


@dataclass
class Restored:
    """What a restore did, and what follows.

    ``later``: keys of files in the bucket that the database knows nothing of; they are imported like new ones. ``unknown``:
    uploaded files that no import can be made of. ``lost_runs``: imports whose run in Temporal was ended. ``problem``: why
    reconciliation was left to the workers.
    """

    manifest: Manifest
    database: RestoredDatabase | None = None
    objects: RestoredObjects | None = None
    continuing: list[Continuing] = field(default_factory=list)
    later: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    lost_runs: int = 0
    problem: str = ""


def _must_answer(engine: Engine) -> None:
    """Raise Unreachable with the reason if there is no such database, or no server."""
    try:
        engine.connect().close()
    except DATABASE_ERRORS as error:
        said = in_words(error)
        raise Unreachable(f"{said.rstrip('.')}. The database has to exist: create it first, and set DATABASE_URL.") from error


def restore(
    settings: Settings,
    place: Place,
    manifest: Manifest,
    *,
    only: Only | None = None,
    force: bool = False,
    tell: Tell = silent,
) -> Restored:
    """Restore a backup to the database and the bucket of the settings, or one of them.

    Raises, before anything is changed, InternalInconsistency if the backup is damaged, InvalidRequest if it is of a newer
    release, Conflict if processes of Bulkhead are connected or, unless ``force``, the target is not empty. Safe to repeat with
    ``force``.
    """
    access = to_owner(settings) or to_database(settings)
    engine = postgres.connect(access, pool_size=4, name="bulkhead restore", statement_seconds=None)
    store, done = Store.of(settings), Restored(manifest)
    try:
        _must_answer(engine)
        if settings.s3_endpoint:  # in AWS the bucket is created together with its notification
            store.ensure_bucket()
        _check(engine, store, place, manifest, only, force, tell)
        if only is not Only.OBJECTS:
            done.database = restore_database.restore_database(engine, access, settings, place, manifest, say=tell)
        ledger = Ledger(engine)
        if only is not Only.DATABASE:
            done.objects = ObjectRestore(store, ledger, place, manifest, tell).run()
        tell("comparing ledger and bucket", 0, None)
        done.missing = [*islice(missing_objects(ledger, store), SHOWN)]
        _reconcile(settings, store, ledger, done, tell)
        return done
    finally:
        engine.dispose()


def _check(engine: Engine, store: Store, place: Place, manifest: Manifest, only: Only | None, force: bool, tell: Tell) -> None:
    restore_database.check_release(manifest)
    restore_database.check_alone(engine)
    found = restore_database.contents(engine) if only is not Only.OBJECTS else []
    found += restore_objects.contents(store) if only is None else []
    if found and not force:
        raise Conflict(
            f"The target is not empty: {', '.join(found)}. Restore into an empty database and bucket, or replace what is there"
            " with --force: the database is replaced as a whole, objects that the backup does not have stay."
        )
    tell("checking the backup", 0, None)
    files = {DUMP: manifest.database.dump, LIST: manifest.objects.list}
    for name, written in files.items():
        if problem := difference(place, folder_of(manifest.name) + name, written):
            raise InternalInconsistency(f"Backup {manifest.name} cannot be restored: {problem}. Nothing was changed.")


def _reconcile(settings: Settings, store: Store, ledger: Ledger, done: Restored, tell: Tell) -> None:
    """End runs that know of a later time, and announce everything that is not over. Workers do the same if Temporal is away."""
    tell("reconciliation", 0, None)
    known = [*ledger.imports.active()]
    done.continuing = [Continuing(one.id, one.dataset, one.filename, one.state) for one in known[:SHOWN]]
    temporal = TemporalClient.of(settings)
    try:
        for import_id in temporal.running_imports(begun_before=datetime.now(UTC) + _AHEAD):
            temporal.terminate(import_id, f"The database was restored from backup {done.manifest.name}.")
            done.lost_runs += 1
        reconciler = Reconciler(settings, store, ledger, temporal)
        announced = _announce(reconciler, store, ledger, done, lambda seen: tell("reconciliation", seen, None))
        _sort_out(announced, {one.key for one in known}, ledger, done)
    except Unreachable as error:
        done.problem = f"{error} The workers reconcile when they start."
    finally:
        temporal.close()


def _announce(reconciler: Reconciler, store: Store, ledger: Ledger, done: Restored, beat: Callable[[int], None]) -> list[str]:
    """Reconcile until the whole bucket has been listed once, from its beginning; return the announced keys."""
    keys = dict[str, None]()
    ledger.listings.keep(store.bucket, "")
    while True:
        found = reconciler.reconcile(beat=beat)
        keys.update(dict.fromkeys(found.keys))
        done.unknown = [*dict.fromkeys([*done.unknown, *found.unknown_keys])][:SHOWN]
        if not ledger.listings.position(store.bucket):
            return [*keys]


def _sort_out(announced: list[str], active: set[str], ledger: Ledger, done: Restored) -> None:
    """Tell files that the database knows nothing of from those whose upload was complete, but not yet confirmed."""
    others = {key: import_id_in(key) for key in announced if key not in active}
    known = ledger.imports.traces(filter(None, others.values()))
    for key, import_id in others.items():
        if import_id in known:
            name = key.rpartition("/")[2]
            done.continuing.append(Continuing(str(import_id), dataset_of(key) or "", name, known[import_id].state))
        else:
            done.later.append(key)
