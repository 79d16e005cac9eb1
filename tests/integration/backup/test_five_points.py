"""Backups at five moments of a running import, each restored elsewhere: what was accepted by then ends as if undisturbed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.adapters.s3 import Store
from pipeline.backup.create import back_up
from pipeline.backup.kinds import Only
from pipeline.backup.manifest import chosen, names_in
from pipeline.backup.places import Folder
from pipeline.backup.restore import Restored, restore
from pipeline.backup.verify import verify
from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.ledger.models import ImportRecord
from pipeline.receive.upload import Intake
from pipeline.receive.upload_metadata import UploadRequest
from pipeline.settings import Settings
from tests.support.bulkhead import HEADER, SMALL_PARTS, Bulkhead, balance, tree
from tests.support.import_steps import ended
from tests.support.restored_target import empty_target
from tests.support.waiting import wait_until
from tests.support.workers import running_worker

pytestmark = [pytest.mark.settings(**SMALL_PARTS), pytest.mark.early]

RECORDS = 6_000
GATE = 4711
"""An advisory lock: while the test has it, no part is committed; given up and taken again, it lets those through that wait."""

CYCLES = (0, 1, 1, 1)
"""How often that is done before each backup but the first one, which is made while the import is validated; of 15 parts."""


@dataclass
class Origin:
    """A system with a history, its backups, and how it ended undisturbed. ``known``: what was accepted before each backup."""

    bulkhead: Bulkhead
    place: Folder
    known: dict[str, list[str]] = field(default_factory=dict)
    ends: dict[str, ImportRecord] = field(default_factory=dict)
    later: str = ""
    rows: str = ""


def _digest(bulkhead: Bulkhead) -> str:
    """Return a digest of the table, without the times of loading and what came after all backups."""
    rows = bulkhead.rows(
        """select id, "parentId", name, _import_id::text from warehouse.records where id <> 'later' order by id"""
    )
    assert len({row[0] for row in rows}) == len(rows)
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def _send(bulkhead: Bulkhead, text: str, *, name: str = "sent.csv", announce: bool = True) -> str:
    """Upload a file as the API does it, and return the ID of its import."""
    request = UploadRequest(Options(), name)
    made = Intake(bulkhead.store, bulkhead.ledger).stream("records", request, iter([text.encode()])).made
    if announce:
        bulkhead.orchestrator.announce(ObjectArrived(made.bucket, made.key))
    return made.id


def _states(bulkhead: Bulkhead) -> dict[str, ImportRecord]:
    return {one.id: one for one in bulkhead.ledger.imports.page(limit=1_000)}


@contextmanager
def gate(bulkhead: Bulkhead) -> Iterator[Callable[[int], None]]:
    """Keep parts from being committed during the block; what it provides lets those through that wait, so often."""
    with psycopg.connect(bulkhead.settings.database_url, autocommit=True) as connection:
        connection.execute(
            f"""create function gate() returns trigger language plpgsql as
            $$ begin perform pg_advisory_xact_lock_shared({GATE}); return null; end $$"""
        )
        connection.execute("create trigger gate before insert on warehouse.records for each statement execute function gate()")
        connection.execute(f"select pg_advisory_lock({GATE})")

        def let_through(cycles: int) -> None:
            for _ in range(cycles):
                wait_until(lambda: _waiting(connection) > 0)
                connection.execute(f"select pg_advisory_unlock({GATE})")
                connection.execute(f"select pg_advisory_lock({GATE})")

        yield let_through
        connection.execute(f"select pg_advisory_unlock({GATE})")


def _waiting(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(
        """select count(*) from pg_locks where locktype = 'advisory' and objid = %s and not granted
        and database = (select oid from pg_database where datname = current_database())""",
        (GATE,),
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def origin(settings: Settings, store: Store, tmp_path: Path) -> Iterator[Origin]:
    """One import succeeded, one was rejected, one runs, an uploaded and a dropped one wait; one comes after all backups."""
    bulkhead, place = Bulkhead(settings, store), Folder(tmp_path / "backups")
    origin = Origin(bulkhead, place)

    def back_up_now() -> None:
        made = back_up(settings, place, keep=7)
        origin.known[made.manifest.name] = [*_states(bulkhead)]

    with running_worker(settings):
        assert bulkhead.ingest(tree(300, name="first"), name="first.csv").state is State.SUCCEEDED
        assert bulkhead.ingest(HEADER + "x,missing,a\n", name="bad.csv").state is State.REJECTED
        with gate(bulkhead) as let_through:
            running = bulkhead.drop(tree(RECORDS), name="large.csv")
            wait_until(lambda: len(_states(bulkhead)) == 3)
            second = _send(bulkhead, tree(500, name="second"))
            bulkhead.drop(tree(200, name="third"), name="third.csv")
            wait_until(lambda: len(_states(bulkhead)) == 5)
            back_up_now()
            wait_until(lambda: _is_loading(bulkhead, running), 300.0)
            for cycles in CYCLES:
                let_through(cycles)
                back_up_now()
            assert _is_loading(bulkhead, running), "the last backup was made while the import was running"
        origin.later = _send(bulkhead, HEADER + "later,,later\n", name="later.csv")
        assert ended(bulkhead, second).state is State.SUCCEEDED
        assert ended(bulkhead, origin.later).state is State.SUCCEEDED
    origin.ends = _states(bulkhead)
    origin.rows = _digest(bulkhead)
    yield origin
    bulkhead.close()


def _run(bulkhead: Bulkhead, key: str) -> ImportRecord:
    (one,) = [one for one in _states(bulkhead).values() if one.key == key]
    return one


def _is_loading(bulkhead: Bulkhead, key: str) -> bool:
    return _run(bulkhead, key).state is State.LOADING


def _finish(target: Settings, restored: Restored) -> Bulkhead:
    """Have a worker do what is left, and return the application on the target."""
    bulkhead = Bulkhead(target, Store.of(target))
    with bulkhead.engine.begin() as connection:
        connection.exec_driver_sql("drop trigger if exists gate on warehouse.records")
    with running_worker(target):
        for one in restored.continuing:
            ended(bulkhead, one.import_id)
        for key in restored.later:
            bulkhead.import_of(key)
    return bulkhead


def _check(bulkhead: Bulkhead, origin: Origin, accepted: list[str]) -> None:
    """Each of these imports is there once and ended as in the undisturbed run, with the same counts; no import is doubled."""
    found = _states(bulkhead)
    assert {*found} == {*accepted}
    for import_id in accepted:
        one, expected = found[import_id], origin.ends[import_id]
        assert (one.state, one.counts) == (expected.state, expected.counts), one
        assert balance(one)
    parts = bulkhead.rows("select import_id, part_no, count(*) from ledger.part group by 1, 2 having count(*) > 1")
    assert not parts
    sums = bulkhead.rows("select import_id::text, sum(records) from ledger.part where part_no > 0 group by 1")
    assert all(origin.ends[import_id].counts["valid"] == records for import_id, records in sums)


def test_what_was_accepted_ends_as_if_undisturbed(origin: Origin, settings: Settings, tmp_path: Path) -> None:
    """From one origin, since that takes a while: both halves lost at each moment, then the database alone, then the bucket."""
    each_of_five_moments_is_brought_to_the_same_end(origin, settings, tmp_path)
    a_bucket_that_survived_is_newer_than_the_database(origin, settings, tmp_path)
    a_bucket_that_is_older_than_the_database(origin, settings, tmp_path)


def each_of_five_moments_is_brought_to_the_same_end(origin: Origin, settings: Settings, tmp_path: Path) -> None:
    assert verify(origin.place).is_good
    complete, incomplete = names_in(origin.place)
    assert [*origin.known] == complete and len(complete) == 5 and not incomplete
    loaded = []
    for name in complete:
        manifest = chosen(origin.place, name)
        with empty_target(settings, tmp_path) as target:
            restored = restore(target, origin.place, manifest)
            assert restored.database and restored.database.imports == 5
            assert [one.state for one in restored.continuing].count("queued") == 2 and len(restored.continuing) == 3
            assert not restored.missing and not restored.later and not restored.problem
            loaded.append(restored.database.records["records"])
            done = _finish(target, restored)
            _check(done, origin, origin.known[name])
            assert _digest(done) == origin.rows
            done.close()
    assert loaded == sorted(loaded) and len({*loaded}) >= 4, loaded


def a_bucket_that_survived_is_newer_than_the_database(origin: Origin, settings: Settings, tmp_path: Path) -> None:
    """The database is lost and restored; what came later is found in the bucket and imported with its previous ID."""
    first = next(iter(origin.known))
    with empty_target(settings, tmp_path, bucket=settings.bucket) as target:
        restored = restore(target, origin.place, chosen(origin.place, first), only=Only.DATABASE)
        assert [key for key in restored.later if origin.later in key] == restored.later and len(restored.later) == 1
        done = _finish(target, restored)
        _check(done, origin, [*origin.known[first], origin.later])
        assert _digest(done) == origin.rows
        done.close()


def a_bucket_that_is_older_than_the_database(origin: Origin, settings: Settings, tmp_path: Path) -> None:
    """The bucket is lost and restored: each import that lacks objects is named, and the table stays true."""
    waiting = _send(origin.bulkhead, HEADER + "never,,a\n", name="waiting.csv", announce=False)
    origin.bulkhead.engine.dispose()  # else a process of Bulkhead is connected
    with empty_target(settings, tmp_path, database_url=settings.database_url) as target:
        restored = restore(target, origin.place, chosen(origin.place), only=Only.OBJECTS)
        said = {one.import_id: one for one in restored.missing}
        assert "upload the file again" in said[waiting].meaning
        assert said[origin.later].missing and "records stay" in said[origin.later].meaning
        ended_later = {id_ for id_, one in origin.ends.items() if one.finished_at and id_ not in (origin.later, waiting)}
        reports = {id_ for id_ in ended_later if id_ in said}
        assert all(said[id_].missing == (f"reports/{id_}/",) for id_ in reports)
        assert {one.import_id for one in restored.continuing} == {waiting}
        done = _finish(target, restored)
        found = _states(done)
        assert found.pop(waiting).state is State.REJECTED
        assert {id_: (one.state, one.counts) for id_, one in found.items()} == {
            id_: (one.state, one.counts) for id_, one in origin.ends.items()
        }
        assert _digest(done) == origin.rows
        done.close()
