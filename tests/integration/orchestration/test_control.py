"""What may be asked of an import on its way: known content, a pause, a retry. And what a damaged part costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import uuid_utils

from pipeline.contracts.object_keys import manifest_key, part_key
from pipeline.contracts.options import OnError, Options
from pipeline.contracts.states import State
from pipeline.ledger.models import ImportRecord
from pipeline.prepare.manifest import Manifest, Part
from tests.support.bulkhead import HEADER, SMALL_PARTS, Bulkhead, balance, tree
from tests.support.import_steps import (
    ORPHANS,
    QUARANTINE,
    ended,
    flipped,
    known,
    pause,
    paused_before_loading,
    promote,
    slow,
    upload,
)
from tests.support.imports import imports_of
from tests.support.waiting import wait_until
from web.app_context import AppContext

pytestmark = pytest.mark.settings(**SMALL_PARTS)


# --- Known content ---


def test_known_content_is_answered_with_the_import_that_loaded_it(bulkhead: Bulkhead) -> None:
    first = upload(bulkhead, tree(300), Options())
    again = upload(bulkhead, tree(300), Options())
    assert (again.state, again.duplicate_of) == (State.DUPLICATE, first.id)
    assert first.id in again.reason
    assert "force" in again.reason
    assert (again.records_total, again.unprocessed, again.parts_total) == (0, 0, 0)
    assert balance(again)
    dropped = bulkhead.ingest(tree(300), name="dropped.csv")
    assert (dropped.state, dropped.duplicate_of) == (State.DUPLICATE, first.id)
    forced = upload(bulkhead, tree(300), Options(force=True))
    assert (forced.state, forced.unchanged) == (State.SUCCEEDED, 300)
    assert upload(bulkhead, tree(300), Options()).duplicate_of == forced.id


def test_what_did_not_load_whole_or_by_other_rules_is_not_known(bulkhead: Bulkhead) -> None:
    bad = HEADER + "1,,a\n2,9,b\n"
    assert upload(bulkhead, bad, Options()).state is State.REJECTED
    assert upload(bulkhead, bad, Options()).state is State.REJECTED
    held = Options(on_error=OnError.QUARANTINE)
    assert [upload(bulkhead, bad, held).state for _ in range(2)] == [State.PARTIALLY_SUCCEEDED] * 2
    good = HEADER + "1,,a\n"
    assert upload(bulkhead, good, Options()).state is State.SUCCEEDED
    with bulkhead.engine.begin() as connection:
        connection.exec_driver_sql('update ledger.import set reading = reading || \'{"rules_version": "older"}\'')
    assert upload(bulkhead, good, Options()).state is State.SUCCEEDED


def test_a_dry_run_of_known_content_is_no_duplicate(bulkhead: Bulkhead) -> None:
    upload(bulkhead, tree(300), Options())
    dry = upload(bulkhead, tree(300), Options(dry_run=True))
    assert (dry.state, dry.preview) == (State.VALIDATED, {"inserted": 0, "updated": 0, "unchanged": 300, "moved": 0})
    assert promote(bulkhead, dry.id).unchanged == 300


def test_the_same_content_ten_times_at_once_is_loaded_once(bulkhead: Bulkhead) -> None:
    ids = [upload(bulkhead, tree(400), Options(), wait=False).id for _ in range(10)]
    states = [ended(bulkhead, import_id).state for import_id in ids]
    assert sorted(states) == [*[State.DUPLICATE] * 9, State.SUCCEEDED]
    assert bulkhead.rows("select sum(inserted), sum(unchanged) from ledger.part") == [(400, 0)]


def test_content_is_known_only_while_no_other_import_has_changed_anything(bulkhead: Bulkhead) -> None:
    """A, B, A: the third is loaded, for it is not what the warehouse holds."""
    before, after = tree(300), tree(300).replace("n7\n", "changed\n")
    first = upload(bulkhead, before, Options())
    assert upload(bulkhead, before + "\n", Options()).unchanged == 300, "this changes nothing"
    assert upload(bulkhead, before, Options(dry_run=True)).state is State.VALIDATED
    assert upload(bulkhead, before.replace("n7\n", "other\n"), Options(dry_run=True)).state is State.VALIDATED
    known_still = upload(bulkhead, before, Options())
    assert (known_still.state, known_still.duplicate_of) == (State.DUPLICATE, first.id)
    assert first.id in known_still.reason
    assert "no import has changed records since" in known_still.reason
    assert upload(bulkhead, after, Options()).updated == 1
    third = upload(bulkhead, before, Options())
    assert (third.state, third.updated, third.unchanged) == (State.SUCCEEDED, 1, 299)
    assert third.source["taken_over_from"] == first.id, "it need not be validated again"
    assert bulkhead.rows("select name from warehouse.records where id = 'r7'") == [("n7",)]
    again = upload(bulkhead, before, Options())
    assert (again.state, again.duplicate_of) == (State.DUPLICATE, third.id)
    partly = upload(bulkhead, HEADER + "r7,,changed by a file of which a record is held back\n1,9,x\n", QUARANTINE)
    assert partly.state is State.PARTIALLY_SUCCEEDED
    fourth = upload(bulkhead, before, Options())
    assert (fourth.state, fourth.updated) == (State.SUCCEEDED, 1)


@pytest.mark.parametrize(
    ("state", "inserted", "updated", "changed"),
    [
        *((state, 1, 0, True) for state in ("failed", "canceled", "loading", "paused", "partially_succeeded")),
        *(("succeeded", 0, 1, True), ("succeeded", 0, 0, False), ("canceled", 0, 0, False)),
    ],
)
def test_whatever_else_was_loaded_counts_however_it_ended(
    edges: AppContext, state: str, inserted: int, updated: int, changed: bool
) -> None:
    ids = [str(uuid_utils.uuid7()) for _ in range(3)]
    for one, dataset in zip(ids, ("records", "records", "places"), strict=True):
        edges.ledger.imports.open(one, dataset=dataset, filename="a.csv", bucket="b", key=one, state=State.QUEUED)
    part = (
        "insert into ledger.part (import_id, part_no, records, inserted, updated, unchanged, failed)"
        " values (%s, %s, 9, %s, %s, 0, 0)"
    )
    with edges.engine.begin() as connection:
        connection.exec_driver_sql(part, (ids[1], 1, 9, 0))  # before it, and so in it
        connection.exec_driver_sql(part, (ids[0], 1, 9, 0))
        connection.exec_driver_sql(part, (ids[2], 1, 9, 0))  # another dataset
        connection.exec_driver_sql("update ledger.import set state = 'succeeded', finished_at = clock_timestamp()")
    assert not edges.ledger.imports.changed_since(edges.ledger.imports.known(ids[0]))
    with edges.engine.begin() as connection:
        connection.exec_driver_sql(part, (ids[1], 2, inserted, updated))
        finished = "null" if state in ("loading", "paused") else "clock_timestamp()"
        connection.exec_driver_sql(
            f"update ledger.import set state = '{state}', finished_at = {finished} where id = %s", (ids[1],)
        )
    assert edges.ledger.imports.changed_since(edges.ledger.imports.known(ids[0])) is changed


# --- Pause and resume ---


def test_a_paused_import_stands_still_also_over_a_restart_and_then_goes_on(bulkhead: Bulkhead, settings: Any) -> None:
    slow(bulkhead)
    one = upload(bulkhead, tree(8000), Options(), wait=False)  # 20 parts
    wait_until(lambda: known(bulkhead, one.id).parts_done >= 2)
    pause(bulkhead, one.id, wanted=True)
    wait_until(lambda: known(bulkhead, one.id).state is State.PAUSED)
    stands = known(bulkhead, one.id)
    assert 2 <= stands.parts_done < stands.parts_total == 21
    assert stands.inserted == bulkhead.rows("select count(*) from warehouse.records")[0][0]
    later = upload(bulkhead, HEADER + "x,,later\n", Options(), wait=False)
    assert later.queue_position == 1
    time.sleep(1.0)
    assert known(bulkhead, one.id).parts_done == stands.parts_done
    assert known(bulkhead, later.id).state is State.QUEUED
    pause(bulkhead, one.id, wanted=False)
    done = ended(bulkhead, one.id)
    assert (done.state, done.inserted, done.pause_wanted) == (State.SUCCEEDED, 8000, False)
    assert [move.to_state for move in bulkhead.ledger.imports.moves(one.id)][-4:] == [
        "loading",
        "paused",
        "loading",
        "succeeded",
    ]
    assert ended(bulkhead, later.id).state is State.SUCCEEDED


def test_a_paused_import_may_be_canceled_and_says_exactly_what_was_loaded(bulkhead: Bulkhead) -> None:
    slow(bulkhead)
    one = upload(bulkhead, tree(8000), Options(), wait=False)
    pause(bulkhead, one.id, wanted=True)  # before anything is loaded
    wait_until(lambda: known(bulkhead, one.id).state is State.PAUSED)
    assert known(bulkhead, one.id).parts_done == 0
    pause(bulkhead, one.id, wanted=False)
    wait_until(lambda: known(bulkhead, one.id).parts_done >= 2)
    pause(bulkhead, one.id, wanted=True)
    wait_until(lambda: known(bulkhead, one.id).state is State.PAUSED)
    assert bulkhead.orchestrator.cancel(one.id)
    done = ended(bulkhead, one.id)
    assert done.state is State.CANCELED
    assert balance(done)
    assert done.inserted == bulkhead.rows("select count(*) from warehouse.records")[0][0] > 0
    assert done.unprocessed == 8000 - done.inserted > 0
    assert bulkhead.rows(ORPHANS) == [(0,)]


# --- Damaged parts ---


DAMAGES: dict[str, Callable[[bytes], bytes] | None] = {
    "flipped": flipped,
    "cut short": lambda data: data[:200],
    "empty": lambda data: b"",
    "missing": None,
}


def damaged(bulkhead: Bulkhead, text: str, part_no: int, damage: Callable[[bytes], bytes] | None) -> tuple[ImportRecord, Part]:
    """Import a file one part of which is damaged before it is loaded; return how it ended, and the part."""
    one = paused_before_loading(bulkhead, text)
    manifest = Manifest.from_json(bulkhead.store.get_bytes(manifest_key(one.id)).decode())
    assert manifest.order == "depth first"
    key = part_key(one.id, part_no)
    data = bulkhead.store.get_bytes(key)
    if damage is None:
        bulkhead.store.delete(key)
    else:
        bulkhead.store.put_bytes(key, damage(data))
    pause(bulkhead, one.id, wanted=False)
    done = ended(bulkhead, one.id)
    assert done.state is State.PARTIALLY_SUCCEEDED
    assert balance(done)
    assert (done.parts_done, done.unprocessed) == (done.parts_total, 0)
    assert bulkhead.rows("select count(*) from warehouse.records") == [(done.inserted,)]
    assert bulkhead.rows(ORPHANS) == [(0,)]
    ((message,),) = bulkhead.rows("select distinct message from ledger.failure where code = 'part_damaged'")
    assert f"part {part_no} is damaged" in message
    assert "retry" in message
    return done, manifest.part(part_no)


@pytest.mark.parametrize(("name", "damage"), DAMAGES.items())
def test_a_damaged_part_costs_its_records_alone_where_their_descendants_are_with_them(
    bulkhead: Bulkhead, name: str, damage: Callable[[bytes], bytes] | None
) -> None:
    done, part = damaged(bulkhead, tree(2000), 2, damage)
    assert bulkhead.rows("select code, count(*) from ledger.failure group by code") == [("part_damaged", part.records)]
    assert (done.failed, done.inserted) == (part.records, 2000 - part.records)


def test_a_damaged_spine_costs_all_records_below_it_and_no_other_tree(bulkhead: Bulkhead) -> None:
    others = "".join(f"x{number},,n\n" for number in range(400))
    done, part = damaged(bulkhead, tree(2000) + others, 1, flipped)
    codes = dict(bulkhead.rows("select code, count(*) from ledger.failure group by code"))
    assert codes == {"part_damaged": part.records, "parent_failed": 2000 - part.records}
    assert done.inserted == 400


def test_a_damaged_manifest_fails_the_import_and_says_so(bulkhead: Bulkhead) -> None:
    one = paused_before_loading(bulkhead, tree(2000))
    bulkhead.store.put_bytes(f"batches/{one.id}/manifest.json", b"{")
    pause(bulkhead, one.id, wanted=False)
    done = ended(bulkhead, one.id)
    assert (done.state, done.unprocessed) == (State.FAILED, 2000)
    assert "manifest" in done.reason


# --- Nobody ever sees an orphan ---


class Watcher(threading.Thread):
    """Reads the table over and over, each time in one statement, and notes what it sees."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.seen: list[tuple[int, int]] = []
        self.over = threading.Event()
        self._url = url
        self.start()

    def run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self.over.is_set():
                self.seen.append(
                    connection.execute(f"select (select count(*) from warehouse.records), ({ORPHANS})").fetchone()  # type: ignore[arg-type]
                )


@pytest.fixture
def watcher(bulkhead: Bulkhead) -> Iterator[Watcher]:
    one = Watcher(bulkhead.settings.database_url)
    yield one
    one.over.set()
    one.join()


def chain(count: int) -> str:
    """Each record below the one before it, last first: the most waves there can be."""
    return HEADER + "\n".join(f"c{i},{f'c{i - 1}' if i else ''},n" for i in reversed(range(count))) + "\n"


def test_no_reader_sees_a_record_without_its_parent_while_files_are_loaded(bulkhead: Bulkhead, watcher: Watcher) -> None:
    slow(bulkhead, 0.02)
    assert upload(bulkhead, tree(6000), Options()).inserted == 6000
    deep = upload(bulkhead, chain(4000), Options())
    assert (deep.inserted, deep.parts_total) == (4000, 10)
    turned = HEADER + "\n".join(f"r{i},{f'c{i}' if i else ''},n" for i in range(3000)) + "\nc0,r0,moved\n"
    assert upload(bulkhead, turned, Options()).updated == 3001, "all under other parents, some of them new places"
    watcher.over.set()
    watcher.join()
    assert len(watcher.seen) > 20
    assert len({count for count, _ in watcher.seen}) > 10, "it was looked at while it grew"
    assert {orphans for _, orphans in watcher.seen} == {0}


# --- Others wait for nothing ---


@pytest.mark.early
def test_a_large_file_and_a_long_queue_hold_up_no_other_dataset(bulkhead: Bulkhead) -> None:
    with psycopg.connect(bulkhead.settings.database_url) as holder:
        holder.execute("lock table warehouse.records in share mode")  # none of its parts gets on
        large = bulkhead.drop(tree(12_000), name="large.csv")  # 30 parts, at most two at once
        wait_until(lambda: bulkhead.rows("select state from ledger.import") == [("loading",)])
        others = [bulkhead.drop(HEADER + f"x{number},,n\n", name=f"{number}.csv") for number in range(8)]
        for letter in "ABC":
            small = bulkhead.ingest(f"id,parentId,name,kind\nX{letter},,n,Country\n", dataset="places", name=f"{letter}.csv")
            assert (small.state, small.inserted) == (State.SUCCEEDED, 1), small.reason
        assert not imports_of(bulkhead.ledger, large)[0].state.is_final, "it was not waited for"
    assert bulkhead.import_of(large, seconds=600.0).inserted == 12_000
    assert bulkhead.import_of(others[-1], seconds=600.0).state is State.SUCCEEDED
