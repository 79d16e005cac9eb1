"""What is not kept any longer goes, at its time and not before, and nothing of an import that is not over goes with it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from temporalio.client import Client

from pipeline import retention
from pipeline.adapters import postgres
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import Cleaned
from pipeline.contracts.object_keys import Kept, batches_prefix, report_prefix, results_prefix
from pipeline.contracts.options import Options
from pipeline.contracts.patches import patches_prefix
from pipeline.contracts.states import AT_WORK, MOVES, State
from pipeline.errors import IllegalMove
from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.ledger.ledger import Ledger
from pipeline.receive.reconciliation import Reconciler
from pipeline.settings import Settings
from tests.support.bulkhead import Bulkhead, tree
from tests.support.waiting import wait_until
from tests.support.workers import running_worker

ROOT = Path(__file__).resolve().parents[3]
DAY = timedelta(days=1)
FOREVER = {f"keep_{what}": None for what in ("batches", "results", "reports", "sources", "uploads")}
SINCE_THEN = ("dry_runs", "idempotency_keys", "outbox", "dead_letters", "work")
AT_ONCE = dict.fromkeys(FOREVER, timedelta(0))


@dataclass
class House:
    """A clean-up with this test's database and bucket, and imports that only the ledger and the bucket know."""

    settings: Settings
    store: Store
    engine: Engine
    ledger: Ledger
    orchestrator: TemporalClient
    uploads: dict[str, str] = field(default_factory=dict)  # the import that each open multipart upload is of

    def clean(self, *, dry_run: bool = False, now: datetime | None = None, **kept: timedelta | None) -> Cleaned:
        settings = self.settings.model_copy(update={**FOREVER, **kept})
        return retention.clean(settings, self.store, self.ledger, dry_run=dry_run, beat=lambda _: None, now=now)

    def an_import(self, state: State, *, ended: datetime | None = None, dropped: bool = False) -> str:
        """One in that state, which it reached by legal moves, with all that an import can leave anywhere."""
        import_id = str(uuid.uuid4())
        key = f"incoming/records/{import_id[:8]}.csv" if dropped else f"incoming/records/{import_id}/a.csv"
        etag = ""
        if state is not State.AWAITING_UPLOAD:
            self.store.put_bytes(key, import_id.encode())
            etag = self.store.head(key).etag  # type: ignore[union-attr]
        dataset = f"records_{import_id[:8]}" if state in AT_WORK else "records"  # of each dataset one at most is at work
        self.ledger.imports.open(import_id, dataset=dataset, filename="a.csv", bucket=self.store.bucket, key=key, etag=etag)
        for one in way_to(state):
            self.ledger.imports.move(import_id, one)
        if ended is not None:
            self.run("update ledger.import set finished_at = :ended where id = :id", id=import_id, ended=ended)
        for one in (f"{batches_prefix(import_id)}part-000001.parquet", f"{batches_prefix(import_id)}manifest.json"):
            self.store.put_bytes(one, b"x")
        for one in (f"{results_prefix(import_id)}summary.json", f"{results_prefix(import_id)}failed.csv"):
            self.store.put_bytes(one, b"x")
        for one in (f"{report_prefix(import_id)}findings.csv", f"{report_prefix(import_id)}docs/a/index.html"):
            self.store.put_bytes(one, b"x")
        self.run(
            "insert into ledger.finding (import_id, finding_no, code, severity, message)"
            " values (:id, 1, 'missing_id', 'error', '')",
            id=import_id,
        )
        self.run(
            "insert into ledger.failure (import_id, _row, part_no, batch_no, id, code, message)"
            " values (:id, 1, 0, 0, 'a', 'quarantined', ''), (:id, 2, 1, 1, 'b', 'warehouse_refused', '')",
            id=import_id,
        )
        for one in (key, f"{batches_prefix(import_id)}part-000002.parquet"):
            begun = self.store._s3.create_multipart_upload(Bucket=self.store.bucket, Key=one)
            self.uploads[begun["UploadId"]] = import_id
        folder = self.settings.work_dir / import_id
        folder.mkdir(parents=True)
        (folder / "load-000001-aa.parquet").write_bytes(b"x")
        return import_id

    def run(self, sql: str, **values: Any) -> list[Any]:
        with self.engine.begin() as connection:
            result = connection.execute(text(sql), values)
            return list(result.mappings()) if result.returns_rows else []

    def objects(self) -> set[str]:
        return {stored.key for stored in self.store.list("")}

    def open_uploads(self) -> set[str]:
        return {upload.upload_id for page in self.store.uploads("") for upload in page}

    def folders(self) -> set[str]:
        return {path.name for path in self.settings.work_dir.iterdir()}

    def rows(self) -> dict[str, list[str]]:
        """Whose findings and failures are there."""
        return {
            table: [row["id"] for row in self.run(f"select import_id::text as id from ledger.{table} order by import_id, 1")]
            for table in ("finding", "failure")
        }

    def imports(self) -> list[dict[str, Any]]:
        """Every import, as the ledger has it, without what the clean-up notes."""
        rows = self.run("select * from ledger.import order by id")
        return [{name: value for name, value in row.items() if not name.endswith("_removed_at")} for row in rows]


def way_to(state: State) -> list[State]:
    """The shortest way from the first byte to ``state``."""
    ways: list[list[State]] = [[State.AWAITING_UPLOAD]]
    for way in ways:
        if way[-1] is state:
            return way[1:]
        ways += [[*way, after] for after in MOVES[way[-1]] if after not in way]
    raise AssertionError(state)


@pytest.fixture
def house(settings: Settings, store: Store) -> Iterator[House]:
    engine = postgres.connect(settings.database_url)
    with closing(TemporalClient.of(settings)) as orchestrator:
        yield House(settings, store, engine, Ledger(engine), orchestrator)
    engine.dispose()


# --- what goes, and what stays ---


@pytest.mark.all_versions
def test_of_every_state_exactly_what_is_over_for_good_goes_and_each_kind_only_if_its_own_time_has_come(house: House) -> None:
    now = datetime.now(UTC) + 30 * DAY
    old, young = now - 2 * DAY, now - timedelta(hours=1)
    ids = {state: house.an_import(state, ended=old if state.is_final else None) for state in State}
    recent = {state: house.an_import(state, ended=young) for state in State if state.is_settled}
    dropped = house.an_import(State.SUCCEEDED, ended=old, dropped=True)
    promoted = house.an_import(State.VALIDATED, ended=old)
    house.ledger.imports.promote(promoted)
    over = {ids[state] for state in ids if state.is_settled} | {dropped}
    final = over | {*recent.values(), ids[State.VALIDATED]}
    unknown = str(uuid.uuid4())
    for prefix in (batches_prefix(unknown), results_prefix(unknown), report_prefix(unknown)):
        house.store.put_bytes(f"{prefix}a", b"x")
    house.store.put_bytes("batches/notes/a", b"somebody else's")
    overwritten = house.ledger.imports.known(ids[State.SUCCEEDED]).key
    house.store.put_bytes(overwritten, b"another file over it, which has an import of its own")
    imports, keys, uploads, rows = house.imports(), house.objects(), house.open_uploads(), house.rows()
    assert uploads == set(house.uploads)

    def of(root: str) -> set[str]:
        """What is to go; a file that was put over an uploaded one, and one that was dropped, are their owners'."""
        return {key for key in keys if key.startswith(root) and any(one in key for one in over)} - {overwritten}

    nothing = house.clean(now=now, dry_run=True, **dict.fromkeys(FOREVER, DAY))
    assert (house.objects(), house.open_uploads(), house.rows()) == (keys, uploads, rows)
    assert house.folders() == {*ids.values(), *recent.values(), dropped, promoted}

    done = house.clean(now=now)  # all is kept for ever, but for what killed workers left on this machine
    assert (house.objects(), house.open_uploads(), house.rows()) == (keys, uploads, rows)
    assert house.folders() == {*ids.values(), *recent.values(), dropped, promoted} - final
    assert done == Cleaned(folders=len(final))

    gone = set[str]()
    for kept, root, what in (
        ("batches", "batches/", Kept.BATCHES),
        ("results", "results/", Kept.RESULTS),
        ("reports", "reports/", Kept.REPORT),
        ("sources", "incoming/", Kept.SOURCE),
    ):
        done = house.clean(now=now, **{f"keep_{kept}": DAY})
        expected = of(root)
        assert expected
        gone |= expected
        assert house.objects() == keys - gone, kept
        whole = {one for one in over if any(one in key for key in expected)}
        assert (getattr(done, kept), done.objects, done.failed) == (len(whole), len(expected), 0)
        assert {one for one in map(str, house_ids(house)) if house.ledger.imports.known(one).removed_at(what)} == whole
    assert house.rows() == {
        "finding": [one for one in rows["finding"] if one not in over],
        "failure": [one for one in rows["failure"] if one not in over],
    }

    done = house.clean(now=now, keep_uploads=31 * DAY)
    assert (done.uploads, house.open_uploads()) == (0, uploads)
    settled = over | set(recent.values())
    done = house.clean(now=now, keep_uploads=DAY)
    assert house.open_uploads() == {one for one, of_ in house.uploads.items() if of_ not in settled}
    assert done.uploads == 2 * len(settled)

    assert house.imports() == imports  # and nothing else has changed about any of them
    before = (house.objects(), house.open_uploads(), house.folders(), house.rows())
    done = house.clean(now=now, **dict.fromkeys(FOREVER, DAY))
    assert (house.objects(), house.open_uploads(), house.folders(), house.rows()) == before
    assert done == Cleaned(unknown=4), "the second time there is nothing left to remove"
    assert (nothing.batches, nothing.uploads, nothing.folders) == (len(over), 2 * len(settled), len(final))


def house_ids(house: House) -> list[str]:
    return [str(row["id"]) for row in house.run("select id from ledger.import")]


def test_more_keys_and_more_imports_than_fit_on_a_page(house: House) -> None:
    large, others = house.an_import(State.SUCCEEDED), sorted(str(uuid.uuid4()) for _ in range(1_050))
    over, waiting = {*others[:3], *others[500:503], *others[-3:]}, others[3:500] + others[503:-3]
    running = house.an_import(State.LOADING)
    house.run(
        "insert into ledger.import (id, dataset, state, finished_at)"
        " select unnest(cast(:ids as uuid[])), 'records', 'failed', now()",
        ids=[*over],
    )
    house.run(
        "insert into ledger.import (id, dataset, state) select unnest(cast(:ids as uuid[])), 'records', 'queued'", ids=waiting
    )
    keys = [f"{batches_prefix(large)}part-{n:06d}.parquet" for n in range(1_150)]
    keys += [f"{batches_prefix(running)}part-{n:06d}.parquet" for n in range(20)]
    keys += [f"{batches_prefix(one)}manifest.json" for one in others]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: house.store.put_bytes(key, b"x"), keys))
    done = house.clean(keep_batches=timedelta(0))
    assert (done.batches, done.objects, done.unknown, done.failed) == (10, 1_151 + 9, 0, 0)
    left = {stored.key for stored in house.store.list("batches/")}
    assert left == {f"{batches_prefix(one)}manifest.json" for one in [running, *waiting]} | {
        f"{batches_prefix(running)}part-{n:06d}.parquet" for n in range(20)
    }
    assert house.clean(keep_batches=timedelta(0)).batches == 0, "empty folders are not met again"


def test_an_upload_that_still_grows_is_not_abandoned_however_long_ago_it_began(house: House) -> None:
    s3, bucket, key = house.store._s3, house.store.bucket, "incoming/records/large.csv"
    begun = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    silent = s3.create_multipart_upload(Bucket=bucket, Key="incoming/records/silent.csv")["UploadId"]
    time.sleep(2.1)
    part = s3.upload_part(Bucket=bucket, Key=key, UploadId=begun, PartNumber=1, Body=b"id\n1\n")
    [first, second] = [upload for page in house.store.uploads("incoming/") for upload in page]
    now = max(first.begun, second.begun) + DAY + timedelta(seconds=0.9)
    assert house.clean(now=now, keep_uploads=DAY).uploads == 1
    assert house.open_uploads() == {begun}
    assert silent != begun
    s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=begun, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    assert house.store.get_bytes(key) == b"id\n1\n"
    assert house.clean(now=now + DAY, keep_uploads=DAY).uploads == 0


def test_an_upload_that_never_became_whole_expires_and_then_its_parts_go(house: House) -> None:
    awaited = house.an_import(State.AWAITING_UPLOAD)
    now = datetime.now(UTC) + 30 * DAY
    assert house.clean(now=now, keep_uploads=DAY).uploads == 0, "it is waited for"
    house.run("update ledger.import set created_at = now() - interval '25 hours' where id = :id", id=awaited)
    reconciler = Reconciler(house.settings, house.store, house.ledger, house.orchestrator)
    assert reconciler.reconcile(beat=lambda _: None).expired == 0, "it grew a moment ago"
    assert reconciler.reconcile(beat=lambda _: None, now=now).expired == 1
    assert house.clean(now=now, keep_uploads=DAY).uploads == 2
    assert house.open_uploads() == set()


# --- what belongs to no import, or to one that was only tried ---


def test_a_dry_run_that_is_not_promoted_in_time_expires_and_then_goes_as_any_import(house: House) -> None:
    now = datetime.now(UTC)
    old, young = (house.an_import(State.VALIDATED, ended=now - days * DAY) for days in (8, 6))
    promoted = house.an_import(State.VALIDATED, ended=now - 9 * DAY)
    house.ledger.imports.promote(promoted)
    assert house.settings.keep_dry_runs == 7 * DAY
    assert house.clean(now=now, keep_dry_runs=None).dry_runs == 0
    assert house.clean(now=now, dry_run=True).dry_runs == 1
    assert house.ledger.imports.known(old).state is State.VALIDATED
    done = house.clean(now=now, keep_batches=timedelta(0))
    assert (done.dry_runs, done.failed) == (1, 0)
    states = {one: house.ledger.imports.known(one).state for one in (old, young, promoted)}
    assert states == {old: State.EXPIRED, young: State.VALIDATED, promoted: State.QUEUED}
    assert "BULKHEAD_KEEP_DRY_RUNS" in house.ledger.imports.known(old).reason
    with pytest.raises(IllegalMove, match="expired"):
        house.ledger.imports.promote(old)
    later = house.clean(now=datetime.now(UTC) + timedelta(seconds=1), keep_dry_runs=None, **AT_ONCE)
    assert (later.batches, later.results, later.reports, later.sources) == (1, 1, 1, 1)
    assert not [key for key in house.objects() if old in key]


def test_requests_that_will_not_be_repeated_and_links_that_open_nothing_are_forgotten(house: House) -> None:
    keys, now = ApiKeys(house.engine), datetime.now(UTC)
    _, key = keys.create("a", Role.UPLOADER)
    awaited, over = house.an_import(State.AWAITING_UPLOAD), house.an_import(State.SUCCEEDED)
    for name, import_id, days in (("old", over, 8), ("young", over, 6), ("awaited", awaited, 8)):
        house.run(
            "insert into access.idempotency (key_id, idempotency_key, fingerprint, import_id, created_at)"
            " values (:key, :name, '', :id, :at)",
            key=key.id,
            name=name,
            id=import_id,
            at=now - days * DAY,
        )
    used, late, good = (keys.sign_in_token(key.id, seconds) for seconds in (3600, 0, 3600))
    assert keys.redeem(used) is not None and keys.redeem(late) is None
    left = "select count(*) as n from access.sign_in"
    foreseen = house.clean(dry_run=True)
    assert house.run(left)[0]["n"] == 3
    done = house.clean()
    assert (done.idempotency_keys, done.sign_ins) == (foreseen.idempotency_keys, foreseen.sign_ins) == (1, 2)
    named = house.run("select idempotency_key as name from access.idempotency order by 1")
    assert [row["name"] for row in named] == ["awaited", "young"]
    assert keys.redeem(good) is not None
    assert house.clean(keep_idempotency_keys=None).idempotency_keys == 0


def test_old_files_on_the_workers_disk_go_and_what_is_used_stays(house: House) -> None:
    settings, now = house.settings, datetime.now(UTC)
    unknown_old, unknown_used = (settings.work_dir / str(uuid.uuid4()) for _ in range(2))
    running = settings.work_dir / house.an_import(State.LOADING)
    for folder in (unknown_old, unknown_used):
        (folder / "within").mkdir(parents=True)
        (folder / "within" / "part.parquet").touch()
    spool = settings.relay_dir / "spool"
    for folder in (settings.outbox_dir, settings.dead_letters_dir, spool):
        folder.mkdir(parents=True)
        for name in ("old", "young"):
            (folder / name).touch()
    aged = [folder / "old" for folder in (settings.outbox_dir, settings.dead_letters_dir, spool)]
    for path in (*aged, unknown_old / "within" / "part.parquet", unknown_old / "within", unknown_old, unknown_used, running):
        os.utime(path, ((now - 31 * DAY).timestamp(),) * 2)
    forever = dict.fromkeys((f"keep_{what}" for what in SINCE_THEN), None)
    assert house.clean(**forever) == Cleaned()
    foreseen = house.clean(dry_run=True)
    assert unknown_old.is_dir() and all(path.exists() for path in aged)
    assert house.clean() == foreseen == Cleaned(folders=1, mails=1, dead_letters=1)
    assert house.folders() == {unknown_used.name, running.name}
    assert [path.exists() for path in aged] == [False, False, True], "an event that was not delivered yet is kept"
    assert (settings.outbox_dir / "young").exists() and (settings.dead_letters_dir / "young").exists()


def test_a_source_that_was_encrypted_anew_goes_and_one_that_was_put_over_it_stays(house: House) -> None:
    kept, gone = (house.an_import(State.SUCCEEDED) for _ in range(2))
    house.store.put_bytes(house.ledger.imports.known(kept).key, b"another")
    house.store.put_bytes(house.ledger.imports.known(gone).key, b"the same in other bytes", metadata={"import-id": gone})
    assert house.clean(keep_sources=timedelta(0)).sources == 1
    assert {key for key in house.objects() if key.startswith("incoming/")} == {house.ledger.imports.known(kept).key}


# --- what could come between ---


def test_the_edits_of_a_file_go_when_no_kept_file_is_read_with_them(house: House) -> None:
    long_ago, now = datetime.now(UTC) - 9 * DAY, datetime.now(UTC)
    edited, retried = house.an_import(State.REJECTED, ended=long_ago), house.an_import(State.SUCCEEDED, ended=now)
    alone, kept = house.an_import(State.REJECTED, ended=long_ago), house.an_import(State.REJECTED, ended=now)
    house.run("update ledger.import set retry_of = :edited where id = :retried", edited=edited, retried=retried)
    for one in (edited, alone, kept):
        house.store.put_bytes(f"{patches_prefix(one)}version-000001-a.json.zz", b"x")

    def edits() -> set[str]:
        return {key.split("/")[1] for key in house.objects() if key.startswith("patches/")}

    house.clean(keep_sources=5 * DAY)
    assert edits() == {edited, kept}
    house.clean(keep_sources=timedelta(0), now=now + DAY)
    assert edits() == set()


def test_a_dry_run_that_is_promoted_while_its_folder_is_looked_at_keeps_it(house: House) -> None:
    one = house.an_import(State.VALIDATED)
    with ThreadPoolExecutor(1) as pool:
        with house.engine.begin() as promoting:  # it holds the import's row as Imports.promote does
            promoting.execute(text("update ledger.import set state = 'queued' where id = :id"), {"id": one})
            cleaning = pool.submit(house.clean)
            time.sleep(0.5)
            assert not cleaning.done()
        assert cleaning.result(timeout=300).folders == 0
    assert house.folders() == {one}


def test_what_cannot_be_removed_is_reported_and_stops_nothing_else(house: House) -> None:
    ids = [house.an_import(State.SUCCEEDED) for _ in range(3)]
    stuck = ids[1]
    with psycopg.connect(house.settings.database_url) as connection:
        connection.execute(
            "create function ledger.no() returns trigger language plpgsql as $$ begin raise exception 'not this one'; end $$"
        )
        connection.execute(
            "create trigger no before update on ledger.import"
            f" for each row when (old.id = '{stuck}') execute function ledger.no()"
        )
    done = house.clean(keep_batches=timedelta(0), keep_results=timedelta(0))
    assert (done.batches, done.results, done.failed) == (2, 2, 2)
    assert all(stuck in error and "not this one" in error for error in done.errors)
    assert {key for key in house.objects() if key.startswith(("batches/", "results/"))} == {
        f"{batches_prefix(stuck)}part-000001.parquet",
        f"{batches_prefix(stuck)}manifest.json",
        f"{results_prefix(stuck)}summary.json",
        f"{results_prefix(stuck)}failed.csv",
    }
    with psycopg.connect(house.settings.database_url) as connection:
        connection.execute("drop trigger no on ledger.import")
    assert house.clean(keep_batches=timedelta(0), keep_results=timedelta(0)).failed == 0
    assert not [key for key in house.objects() if key.startswith(("batches/", "results/"))]


CLEAN = """
import sys
from datetime import timedelta
from pipeline import retention
from pipeline.adapters.postgres import connect
from pipeline.adapters.s3 import Store
from pipeline.ledger.ledger import Ledger
from pipeline.settings import load_settings
settings = load_settings()
store, ledger = Store.of(settings), Ledger(connect(settings.database_url))
print("ready", flush=True)
retention.clean(settings, store, ledger, beat=lambda _: None)
"""


def test_a_clean_up_that_is_killed_again_and_again_leaves_what_the_next_one_removes(
    house: House, environment: dict[str, str]
) -> None:
    over = [house.an_import(State.FAILED) for _ in range(15)]
    running = [house.an_import(State.LOADING), house.an_import(State.VALIDATED)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: house.store.put_bytes(f"{results_prefix(over[n % 15])}{n}", b"x"), range(300)))
    kept = {f"BULKHEAD_KEEP_{what}": "0" for what in ("BATCHES", "RESULTS", "REPORTS", "SOURCES")}
    before = len(house.objects())
    delays = random.Random(4)
    for attempt in range(6):
        left = len(house.objects())
        process = subprocess.Popen(
            [sys.executable, "-c", CLEAN],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            env={**environment, "PYTHONPATH": str(ROOT), **kept},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        if attempt % 2:  # killed in the middle, however slow the machine is; else at a random moment
            wait_until(lambda left=left, process=process: len(house.objects()) < left or process.poll() is not None)
        time.sleep(delays.uniform(0.05, 0.6))
        process.kill()
        process.communicate()
    assert len(house.objects()) < before, "it was killed before it had begun"
    assert house.clean(**AT_ONCE | {"keep_uploads": None}).failed == 0
    assert all(any(one in key for one in running) for key in house.objects())
    assert len(house.objects()) == 2 * 7
    assert house.folders() == {running[0]}
    removed = [house.ledger.imports.known(one) for one in over]
    assert all(one.removed_at(what) for one in removed for what in Kept)
    assert {*house.rows()["finding"], *house.rows()["failure"]} == set(running)
    house.store.put_bytes(f"{batches_prefix(over[0])}part-000009.parquet", b"of a worker that slept through all of this")
    house.store.put_bytes(house.ledger.imports.known(over[0]).key, over[0].encode())
    assert house.clean(**AT_ONCE | {"keep_uploads": None}).objects == 2
    assert len(house.objects()) == 2 * 7


def test_a_clean_up_without_end_beside_imports_changes_nothing_of_what_becomes_of_them(
    settings: Settings, store: Store, house: House
) -> None:
    settings = settings.model_copy(update={"batches_per_part": 1, "max_parallel_parts": 2})
    house.settings, stop, runs = settings, threading.Event(), list[Cleaned]()

    def go_on() -> None:
        while not stop.wait(0.1):  # it shares its processor with the worker
            runs.append(house.clean(**AT_ONCE))
            Reconciler(settings, store, house.ledger, house.orchestrator).reconcile(beat=lambda _: None)

    bulkhead = Bulkhead(settings, store)
    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        with running_worker(settings):
            keys = [bulkhead.drop(tree(2_000, name=f"v{n}"), name=f"{n}.csv") for n in range(3)]
            own = str(uuid.uuid4())
            house.ledger.imports.open(
                own,
                dataset="records",
                filename="a.csv",
                bucket=store.bucket,
                key=f"incoming/records/{own}/a.csv",
                options=Options(dry_run=True),
            )
            keys.append(bulkhead.drop(tree(3_000, name="dry"), name=f"{own}/a.csv"))
            bad = bulkhead.drop("id,parentId,name\n1,9,x\n", name="bad.csv")
            done = [bulkhead.import_of(key, seconds=600.0) for key in keys]
            rejected = bulkhead.import_of(bad, seconds=600.0)
            assert done[3].state is State.VALIDATED
            time.sleep(1)
            assert store.head(keys[3]) is not None, "its source is what would be loaded"
            house.ledger.imports.promote(own)
            deadline = time.monotonic() + 120
            while house.ledger.imports.known(own).state is not State.SUCCEEDED:
                assert time.monotonic() < deadline, house.ledger.imports.known(own)
                time.sleep(0.1)
    finally:
        stop.set()
        thread.join()
        bulkhead.close()
    assert [(one.state, one.records_total) for one in done[:3]] == [(State.SUCCEEDED, 2_000)] * 3
    promoted = house.ledger.imports.known(own)
    assert (promoted.inserted, promoted.updated, promoted.failed, promoted.parts_done) == (1_000, 2_000, 0, 16)
    assert (rejected.state, rejected.findings_errors) == (State.REJECTED, 1)
    assert house.run("select count(*) as n, min(name) as name from warehouse.records")[0]["n"] == 3_000
    assert sum(run.failed for run in runs) == 0
    house.clean(**AT_ONCE)
    assert {key for key in house.objects() if not key.startswith("incoming/")} == set()
    assert house.objects() == {*keys[:3], bad}, "what was dropped stays; what was uploaded went"
    assert len(runs) > 5


# --- who does it, and when ---


@pytest.mark.schedules
def test_temporal_is_asked_once_for_a_clean_up_again_and_again(settings: Settings, house: House) -> None:
    over, running = house.an_import(State.CANCELED), house.an_import(State.LOADING)
    for _ in range(2):
        house.orchestrator.schedule_clean_up(3600)
        house.orchestrator.schedule_reconciliation(3600)

    async def scheduled() -> list[str]:
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
        for _ in range(100):  # the list follows a moment later
            found = sorted([one.id async for one in await client.list_schedules()])
            if len(found) == 2:
                break
            await asyncio.sleep(0.1)
        await client.get_schedule_handle("clean").trigger()
        return found

    with running_worker(settings.model_copy(update={"keep_batches": timedelta(0)})):
        assert asyncio.run(scheduled()) == ["clean", "reconcile"]
        deadline = time.monotonic() + 60
        while any(over in key for key in house.objects() if key.startswith("batches/")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert any(running in key for key in house.objects() if key.startswith("batches/"))


def test_the_command_has_a_worker_clean_up(settings: Settings, house: House, environment: dict[str, str]) -> None:
    over = house.an_import(State.REJECTED, ended=datetime.now(UTC) - 2 * DAY)

    def clean(*options: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "pipeline.cli", "clean", "--json", *options]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=300)
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    with running_worker(settings):
        foreseen = clean("--dry-run")
        assert house.ledger.imports.known(over).batches_removed_at is None
        done = clean()
    assert (foreseen.pop("dry_run"), done.pop("dry_run")) == (True, False)
    assert foreseen == done
    assert (done["batches"], done["objects"], done["folders"], done["results"]) == (1, 2, 1, 0)
    assert house.ledger.imports.known(over).batches_removed_at is not None
