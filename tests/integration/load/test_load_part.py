"""Loading a part into a real PostgreSQL: exact counts, nothing twice, and a bad record costs itself and what is below it."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.adapters import postgres
from pipeline.contracts.messages import DryRunCounts, PartResult
from pipeline.datasets.table import Column
from pipeline.errors import (
    DamagedPart,
    InternalInconsistency,
    NotLoading,
    PartsLost,
    Rewound,
    Superseded,
    SystemFault,
    TransientError,
    Unreachable,
)
from pipeline.ledger.ledger import Ledger
from pipeline.load import isolate, upsert
from pipeline.load import load_part as load
from pipeline.load.arriving import PartLoad
from pipeline.load.dry_run import preview
from pipeline.load.load_part import fail_part, load_part
from pipeline.load.part_file import PartFile
from pipeline.prepare import parts as batch
from pipeline.prepare.manifest import BatchSizes
from pipeline.sqlfiles import load as query_text
from tests.support.loader import Loader, Record, flat
from tests.support.staging import run_stage


@pytest.mark.all_versions
def test_the_counts_are_exact_and_only_changed_rows_are_written_again(loader: Loader) -> None:
    assert loader.load(flat(500)) == PartResult(inserted=500)
    before = loader.rows("select id, xmin::text, _loaded_at, _import_id from warehouse.records order by id")
    first_import = loader.import_id
    loader.new_import()
    changed = [*flat(500)[:498], ("r0498", "r0001", "name 498"), ("r0499", None, "other"), ("new", "r0000", None)]
    assert loader.load(changed) == PartResult(inserted=1, updated=2, unchanged=498)
    after = loader.rows("select id, xmin::text, _loaded_at, _import_id from warehouse.records order by id")
    assert len(set(before) - set(after)) == 2
    written = {row[0]: str(row[3]) for row in after if str(row[3]) != first_import}
    assert written == dict.fromkeys(["new", "r0498", "r0499"], loader.import_id)


@pytest.mark.parametrize("known", [("r0001",), ("r0298", "r0299"), ("r0000",)])
@pytest.mark.all_versions
def test_a_part_that_looks_new_and_is_not_is_merged_all_the_same(loader: Loader, known: tuple[str, ...]) -> None:
    """Of 300 records every fourth is looked up: the table has none of those, or it has."""
    earlier = [(id_, None, "earlier") for id_ in known]
    assert loader.load(earlier) == PartResult(inserted=len(known))
    loader.new_import()
    assert loader.load(flat(300)) == PartResult(inserted=300 - len(known), updated=len(known))
    assert loader.rows("select count(*), count(distinct name) from warehouse.records") == [(300, 300)]
    assert loader.rows("select code from ledger.failure") == []


def test_a_record_that_another_client_inserts_meanwhile_is_merged(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = upsert.looks_new

    def late(part: PartLoad) -> bool:
        new = looked(part)
        loader.run(
            "insert into warehouse.records (id, name, _import_id, _row) values ('r0000', 'x', gen_random_uuid(), 1)"
            " on conflict do nothing"
        )
        return new

    monkeypatch.setattr(upsert, "looks_new", late)
    assert loader.load(flat(300)) == PartResult(inserted=299, updated=1)
    assert loader.rows("select count(*), count(distinct name) from warehouse.records") == [(300, 300)]


def test_the_same_part_again_counts_nothing_twice(loader: Loader) -> None:
    first = loader.load(flat(300))
    assert loader.load(flat(300)) == first == PartResult(inserted=300)
    assert loader.rows("select count(*), sum(inserted) from ledger.part") == [(1, 300)]


# --- Attempts that overtake one another ---


STEPS = {
    **dict.fromkeys(("acquire_lease", "known_result", "write_records", "enter_result"), load),
    "looks_new": upsert,
}
"""The steps of an attempt at a part, and the module that calls each."""


class Sleeper(threading.Thread):
    """An attempt that falls asleep in the middle of its part, before one of its STEPS, until it is woken."""

    def __init__(self, loader: Loader, monkeypatch: pytest.MonkeyPatch, *, before: str) -> None:
        super().__init__()
        self.asleep, self.woken = threading.Event(), threading.Event()
        self.outcome: PartResult | BaseException | None = None
        self._loader = loader
        real = getattr(STEPS[before], before)

        def sleep(*args: Any, **options: Any) -> Any:
            if threading.current_thread() is self:
                self.asleep.set()
                assert self.woken.wait(60)
            return real(*args, **options)

        monkeypatch.setattr(STEPS[before], before, sleep)
        self.start()
        assert self.asleep.wait(60)

    def run(self) -> None:
        with psycopg.connect(self._loader.url) as connection:
            try:
                self.outcome = self._loader.load(flat(500), connection=connection)
            except BaseException as error:
                self.outcome = error

    def wake(self) -> PartResult | BaseException | None:
        self.woken.set()
        self.join(30)
        return self.outcome


@pytest.mark.parametrize("before", ["known_result", "write_records", "looks_new", "enter_result"])
@pytest.mark.all_versions
def test_an_attempt_that_slept_while_another_loaded_its_part_writes_nothing(
    loader: Loader, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    sleeper = Sleeper(loader, monkeypatch, before=before)
    assert loader.load(flat(500)) == PartResult(inserted=500), "it does not wait for the sleeper either"
    trace = "select count(*), count(distinct xmin::text), sum(hashtext(id || name)) from warehouse.records"
    after, entries = loader.rows(trace), loader.rows("select inserted, updated, unchanged, failed from ledger.part")
    assert isinstance(sleeper.wake(), Superseded | Unreachable | PartResult)
    if before != "known_result":
        assert isinstance(sleeper.outcome, Superseded | Unreachable)
    assert loader.rows(trace) == after
    assert loader.rows("select inserted, updated, unchanged, failed from ledger.part") == entries == [(500, 0, 0, 0)]
    assert loader.rows("select count(*) from ledger.claim") == [(0,)]


@pytest.mark.parametrize("before", ["acquire_lease", "known_result", "write_records", "looks_new", "enter_result"])
def test_an_attempt_that_slept_while_the_import_was_closed_writes_nothing(
    loader: Loader, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    sleeper = Sleeper(loader, monkeypatch, before=before)
    engine = postgres.connect(loader.url)
    assert Ledger(engine).imports.close(loader.import_id).inserted == 0
    engine.dispose()
    assert isinstance(sleeper.wake(), Superseded | NotLoading | Unreachable)
    assert loader.rows("select (select count(*) from warehouse.records), (select count(*) from ledger.part)") == [(0, 0)]


def test_an_attempt_that_sleeps_as_it_acquires_the_lease_holds_the_others_up_no_longer_than_a_transaction_may_be_idle(
    loader: Loader,
) -> None:
    engine = postgres.connect(loader.url, idle_seconds=1.5)
    asleep = engine.raw_connection()
    lease = query_text("queries/load/lease")
    asleep.driver_connection.execute(lease, {"import_id": loader.import_id, "part_no": 1})  # type: ignore[union-attr]
    began = time.monotonic()
    assert loader.load(flat(500)) == PartResult(inserted=500)
    assert 1.0 < time.monotonic() - began < 15, "it waited, but not for ever"
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
        asleep.driver_connection.execute("select 1")  # type: ignore[union-attr]
    asleep.invalidate()
    engine.dispose()


def test_of_attempts_that_load_one_part_at_once_exactly_one_counts(loader: Loader) -> None:
    results: list[PartResult | BaseException] = []

    def attempt() -> None:
        with psycopg.connect(loader.url) as connection:
            try:
                results.append(loader.load(flat(2000), connection=connection))
            except (Superseded, Unreachable) as error:
                results.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert {one for one in results if isinstance(one, PartResult)} == {PartResult(inserted=2000)}
    assert loader.rows("select sum(inserted), sum(updated), sum(unchanged) from ledger.part") == [(2000, 0, 0)]


def test_a_part_of_another_cut_is_not_taken_for_the_one_that_was_loaded(loader: Loader) -> None:
    loader.load(flat(300))
    with pytest.raises(InternalInconsistency, match="cut differently"):
        loader.load(flat(301))


def test_a_part_of_an_import_that_is_not_being_loaded_is_not_loaded(loader: Loader) -> None:
    loader.run("update ledger.import set state = 'canceled'")
    with pytest.raises(NotLoading, match="not being loaded"):
        loader.load(flat(3))


def test_an_attempt_that_is_overtaken_by_one_that_slept_is_tried_again(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sleeper takes the lease while another loads the part: Temporal waits for that one, and must begin it once more."""
    sleeper = Sleeper(loader, monkeypatch, before="acquire_lease")
    enter = load.enter_result

    def overtaken(part: PartLoad, *args: Any) -> PartResult:
        if threading.current_thread() is not sleeper:
            with psycopg.connect(loader.url) as connection:  # the sleeper's lease; it has not come to ending this session
                connection.execute(query_text("queries/load/lease"), {"import_id": part.import_id, "part_no": 1})  # type: ignore[call-overload]
        return enter(part, *args)

    monkeypatch.setattr(load, "enter_result", overtaken)
    with pytest.raises(Superseded) as raised:
        loader.load(flat(500))
    assert isinstance(raised.value, TransientError), "it is worth another attempt"
    monkeypatch.setattr(load, "enter_result", enter)
    assert sleeper.wake() == PartResult(inserted=500)
    assert loader.load(flat(500)) == PartResult(inserted=500), "the next attempt finds what the sleeper did"
    assert loader.rows("select count(*), sum(inserted) from ledger.part") == [(1, 500)]


def test_an_attempt_says_that_it_lives_before_it_takes_the_part_from_another(loader: Loader) -> None:
    def over() -> None:
        raise InterruptedError("timed out long ago")

    path, sha256 = loader.part(flat(3))
    with pytest.raises(InterruptedError):
        load_part(loader.connection, loader.dataset, PartFile(path, loader.import_id, 1, sha256), beat=over)
    assert loader.rows("select count(*) from ledger.claim") == [(0,)]


# --- What a failover may lose ---


def test_a_part_is_not_loaded_over_parts_that_were_lost(loader: Loader) -> None:
    loader.load(flat(300), part_no=1)
    loader.run("delete from ledger.part")
    loader.run("delete from warehouse.records")
    path, sha256 = loader.part([("child", "r0001", None)])
    part = PartFile(path, loader.import_id, 2, sha256, needed=1)
    with pytest.raises(PartsLost):
        load_part(loader.connection, loader.dataset, part)
    assert loader.rows("select count(*) from warehouse.records") == [(0,)]
    assert loader.load(flat(300), part_no=1) == PartResult(inserted=300)
    assert load_part(loader.connection, loader.dataset, part) == PartResult(inserted=1)


@pytest.mark.parametrize("state", ["queued", "validating", "preparing"])
def test_an_import_whose_last_states_were_lost_begins_again(loader: Loader, state: str) -> None:
    loader.run(f"update ledger.import set state = '{state}'")
    with pytest.raises(Rewound):
        loader.load(flat(3))


# --- What may stand in a record ---


ODD = [
    'a "quote"',
    "two\nlines",
    "back\\slash",
    "\\.",
    "",
    "  ",
    "tab\there",
    "émoji 🚢",
    "NULL",
    "\\N",
    "'); drop table x;--",
    "\r\n",
]


def test_every_text_comes_out_as_it_went_in_and_empty_is_not_nothing(loader: Loader) -> None:
    records: list[Record] = [(f"r{i}", None, text) for i, text in enumerate(ODD)] + [("none", None, None)]
    loader.load(records)
    assert dict(loader.rows("select id, name from warehouse.records")) == {id_: name for id_, _, name in records}


@pytest.mark.parametrize("place", [*range(0, 200, 12), 1, 99, 100, 198, 199])
@pytest.mark.all_versions
def test_a_poisonous_record_costs_one_record_and_few_statements(
    loader: Loader, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader.run("alter table warehouse.records add constraint no_poison check (name <> 'poison')")
    upserts: list[tuple[int, int]] = []
    real = isolate.upsert_range

    def counted(part: PartLoad, first: int, last: int) -> PartResult:
        upserts.append((first, last))
        return real(part, first, last)

    monkeypatch.setattr(isolate, "upsert_range", counted)
    records = flat(200)
    records[place] = (records[place][0], None, "poison")
    assert loader.load(records) == PartResult(inserted=199, failed=1)
    assert len(upserts) <= 2 * math.log2(200) + 1, "after the first try with the whole part"
    ((id_, code, sqlstate, message, record),) = loader.rows("select id, code, sqlstate, message, record from ledger.failure")
    assert (id_, code, sqlstate) == (records[place][0], "warehouse_refused", "23514")
    assert "no_poison" in message
    assert record["name"] == "poison"


def test_if_all_are_poisonous_all_are_named(loader: Loader) -> None:
    loader.run("alter table warehouse.records add constraint no_poison check (name <> 'poison')")
    assert loader.load([(f"r{i}", None, "poison") for i in range(200)]) == PartResult(failed=200)
    assert loader.rows("select count(*) from ledger.failure") == [(200,)]


@pytest.mark.all_versions
def test_a_trigger_may_refuse_a_record_too(loader: Loader) -> None:
    loader.run(
        """create function picky() returns trigger language plpgsql as
        $$ begin if new.id = 'r0007' then raise exception 'seven is not welcome'; end if; return new; end $$"""
    )
    loader.run("create trigger picky before insert on warehouse.records for each row execute function picky()")
    assert loader.load(flat(450)) == PartResult(inserted=449, failed=1)
    assert "seven is not welcome" in loader.rows("select message from ledger.failure")[0][0]


@pytest.mark.all_versions
def test_the_descendants_of_a_refused_record_are_refused_with_that_reason(loader: Loader) -> None:
    loader.run("alter table warehouse.records add constraint no_poison check (name <> 'poison')")
    chain: list[Record] = [("a", None, "x"), ("b", "a", "poison"), ("c", "b", "x"), ("d", "c", "x"), ("e", "a", "x")]
    assert loader.load(chain) == PartResult(inserted=2, failed=3)
    assert loader.failures() == {"b": "warehouse_refused", "c": "parent_failed", "d": "parent_failed"}
    assert loader.load([("f", "d", "x"), ("g", "e", "x")], part_no=2) == PartResult(inserted=1, failed=1)
    assert loader.failures()["f"] == "parent_failed"


@pytest.mark.all_versions
def test_a_refused_move_cannot_leave_a_cycle(loader: Loader) -> None:
    """Before: x below f. The file takes f away to the top and puts x's child w above it; f is refused."""
    loader.load([("x", None, "x"), ("f", "x", "x"), ("w", "f", "x")])
    loader.run("alter table warehouse.records add constraint no_poison check (name <> 'poison')")
    loader.new_import()
    assert loader.load([("f", None, "poison"), ("x", "w", "x")]) == PartResult(failed=2)
    assert loader.failures() == {"f": "warehouse_refused", "x": "parent_failed"}
    assert dict(loader.rows('select id, "parentId" from warehouse.records')) == {"x": None, "f": "x", "w": "f"}


def test_a_damaged_part_is_refused_at_once(loader: Loader) -> None:
    path, sha256 = loader.part(flat(300))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedPart, match="checksum"):
        load_part(loader.connection, loader.dataset, PartFile(path, loader.import_id, 1, sha256))
    path.write_bytes(data[:100])
    broken = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DamagedPart, match="cannot be read"):
        load_part(loader.connection, loader.dataset, PartFile(path, loader.import_id, 1, broken))
    pq.write_table(pa.table({"id": ["1"], "other": ["x"]}), path)
    other = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DamagedPart, match="its columns are id, other"):
        load_part(loader.connection, loader.dataset, PartFile(path, loader.import_id, 1, other))
    assert loader.rows("select (select count(*) from warehouse.records), (select count(*) from ledger.claim)") == [(0, 0)]


def test_a_part_that_is_given_up_is_entered_as_failed_with_its_descendants(loader: Loader) -> None:
    path, sha256 = loader.part([("a", None, "x"), ("b", "a", "x")])
    part, given = PartFile(path, loader.import_id, 1, sha256), {"code": "part_damaged", "reason": "It is damaged."}
    assert fail_part(loader.connection, loader.dataset, part, **given) == PartResult(failed=2)
    assert fail_part(loader.connection, loader.dataset, part, **given) == PartResult(failed=2), "and once only"
    assert loader.load([("d", None, "x"), ("e", "d", "x"), ("c", "b", "x")], part_no=2) == PartResult(inserted=2, failed=1)
    assert loader.failures() == {"a": "part_damaged", "b": "part_damaged", "c": "parent_failed"}
    assert loader.rows("select sum(records), sum(failed) from ledger.part") == [(5, 3)]


def test_a_connection_that_breaks_in_the_middle_leaves_nothing(loader: Loader) -> None:
    loader.run(
        """create function cut() returns trigger language plpgsql as
        $$ begin if new.id = 'r0250' then perform pg_terminate_backend(pg_backend_pid()); end if; return new; end $$"""
    )
    loader.run("create trigger cut before insert on warehouse.records for each row execute function cut()")
    with pytest.raises(Unreachable):
        loader.load(flat(500))
    assert loader.rows("select (select count(*) from warehouse.records), (select count(*) from ledger.part)") == [(0, 0)]


def test_a_missing_table_is_said_to_be_so_and_not_tried_for_ever(loader: Loader) -> None:
    loader.run("alter table warehouse.records rename to elsewhere")
    with pytest.raises(SystemFault, match=r"42P01.*bulkhead migrate"):
        loader.load(flat(3))


def test_loads_of_the_same_records_in_other_orders_do_not_wait_for_each_other_in_a_circle(loader: Loader) -> None:
    errors: list[BaseException] = []

    def attempt(number: int) -> None:
        records = [(id_, parent, f"{name} {number}") for id_, parent, name in flat(1500)]
        with psycopg.connect(loader.url) as connection:
            try:
                loader.load(records[::-1] if number % 2 else records, part_no=number, connection=connection)
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert loader.rows("select sum(inserted), sum(updated + unchanged) from ledger.part") == [(1500, 7500)]


# --- Memory ---

MEASURED = """
import json, resource, sys
import psycopg
from pathlib import Path
from pipeline.datasets.dataset import load_dataset
from pipeline.load.dry_run import preview
from pipeline.load.load_part import fail_part, load_part
from pipeline.load.part_file import PartFile

url, folder, manifest, plan = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4])
dataset = load_dataset("records")


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


with psycopg.connect(url) as connection:
    grown = {}
    for what, import_id in plan:
        if import_id:  # one import of a dataset is at work
            connection.execute("update ledger.import set state = 'succeeded' where state = 'loading'")
            connection.execute("update ledger.import set state = 'loading' where id = %s", (import_id,))
            connection.commit()
        before = peak()
        for part_no, name, sha256 in manifest:
            part = PartFile(folder / name, import_id, part_no, sha256)
            if what == "preview":
                preview(connection, dataset, [(folder / name, sha256)])
            elif what == "give up":
                fail_part(connection, dataset, part, code="part_damaged", reason="It is damaged.")
            elif part_no > 0:
                load_part(connection, dataset, part)
        if what == "warm":
            grown = {}
            continue
        grown[what] = peak() - before
print(json.dumps(grown))
"""


@pytest.mark.parametrize(
    ("narrow", "wide"), [(0, 120), (20_000, 100)], ids=["batches of wide records", "wide ones side by side"]
)
def test_loading_a_part_takes_memory_for_a_part_whatever_the_widths(
    loader: Loader, tmp_path: Path, narrow: int, wide: int
) -> None:
    """100 records of 1 MiB are one batch, and with parts of 8 MiB some thirteen parts. A process of its own loads them."""
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        length = f"if(i between {narrow // 2} and {narrow // 2 + wide - 1}, 1 << 20, 10)::bigint"
        connection.execute(
            f"""create table incoming as
            select i + 1 as _row, 'r' || lpad(i::varchar, 6, '0') as id, null::varchar as "parentId",
                repeat(chr(65 + (i % 26)::integer), {length}) as name, '{{}}' as attributes
            from range({narrow + wide}) t(i)"""
        )
    sizes = BatchSizes("i", part_bytes=8 << 20)
    manifest = run_stage(batch.cut, tmp_path / "d.duckdb", loader.dataset, sizes, folder=tmp_path / "parts")
    told = [(part.part_no, part.filename, part.sha256) for part in manifest.parts]
    steps = [("preview", ""), ("insert", loader.import_id), ("merge", loader.new_import()), ("give up", loader.new_import())]
    call = [sys.executable, "-c", MEASURED, loader.url, str(tmp_path / "parts"), json.dumps(told), json.dumps(steps)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert max(json.loads(done.stdout).values()) < 100 << 20, "12 times a part; it was 500 MB"
    counts = loader.rows("select sum(inserted), sum(updated), sum(unchanged), sum(failed) from ledger.part group by import_id")
    records = narrow + wide
    assert sorted(counts) == sorted([(records, 0, 0, 0), (0, 0, records, 0), (0, 0, 0, records)])
    assert loader.rows("select count(*), max(length(name)) from warehouse.records") == [(records, 1 << 20)]
    assert loader.rows("select count(*) from ledger.failure where length(record ->> 'name') = 1048576") == [(wide,)]


@pytest.mark.all_versions
def test_a_record_that_is_refused_is_kept_with_all_digits(loader: Loader) -> None:
    loader.run("alter table warehouse.records add column ratio real, add constraint none check (ratio < 0)")
    columns = (*loader.dataset.columns, Column("ratio", "real", required=False))
    path, _ = loader.part([("a", None, "x")])
    table = pq.read_table(path).append_column("ratio", pa.array([0.1], pa.float32()))
    pq.write_table(table.set_column(5, "attributes", pa.array(['{"a": 0.12345678901234567890123}'])), path)
    part = PartFile(path, loader.import_id, 1, hashlib.sha256(path.read_bytes()).hexdigest())
    assert load_part(loader.connection, replace(loader.dataset, columns=columns), part) == PartResult(failed=1)
    told = loader.rows("select record ->> 'ratio', record ->> 'attributes' from ledger.failure")
    assert told == [("0.1", '{"a": 0.12345678901234567890123}')]


# --- Preview ---


@pytest.mark.all_versions
def test_a_preview_counts_what_the_load_then_does_and_leaves_no_trace(loader: Loader) -> None:
    loader.load(flat(500))
    loader.new_import()
    changed = [*flat(500)[:498], ("r0498", "r0001", "name 498"), ("r0499", None, "other"), ("new", "r0000", None)]
    trace = "select (select count(*) from ledger.part), array_agg(xmin::text order by id) from warehouse.records"
    before = loader.rows(trace)
    assert preview(loader.connection, loader.dataset, [loader.part(changed)] * 2) == DryRunCounts(2, 4, 996, 2)
    assert loader.connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
    assert loader.rows(trace) == before
    assert loader.load(changed) == PartResult(inserted=1, updated=2, unchanged=498)


@pytest.mark.all_versions
def test_a_dry_run_counts_records_that_the_warehouses_types_refuse_as_failed(loader: Loader) -> None:
    loader.run("alter table warehouse.records alter name type interval using null")
    columns = tuple(replace(one, type="interval") if one.name == "name" else one for one in loader.dataset.columns)
    dataset = replace(loader.dataset, columns=columns)
    parts = [loader.part([("a", None, "1 day"), ("b", None, "no interval"), ("c", "a", None)])]
    assert preview(loader.connection, dataset, parts) == DryRunCounts(inserted=2, failed=1)


def test_what_is_in_quarantine_does_not_slow_the_others_down(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    loader.run(
        f"""insert into ledger.failure (import_id, _row, part_no, batch_no, id, code, message)
        values ('{loader.import_id}', 9000, 0, 0, 'r0001', 'missing_parent', 'm')"""
    )
    monkeypatch.setattr(load, "load_by_batches", lambda *_, **__: pytest.fail("it went batch by batch"))
    assert loader.load([("x", None, "a"), ("y", "r0001", "b")]) == PartResult(inserted=2)


def test_a_record_that_was_set_aside_is_not_set_aside_again(loader: Loader) -> None:
    """Its batch is gone through in halves, and each half looks at what is above it."""
    loader.run("alter table warehouse.records add constraint no_poison check (name <> 'poison')")
    records: list[Record] = [
        ("a", None, "poison"),
        ("b", "a", "x"),
        ("c", "b", "x"),
        ("d", None, "poison"),
        ("e", "d", "poison"),
    ]
    records += [(f"f{n}", "e" if n % 2 else None, "x") for n in range(20)]
    assert loader.load(records) == PartResult(inserted=10, failed=15)
    assert loader.rows("select count(*), count(distinct id) from ledger.failure") == [(15, 15)]
    reasons = dict(loader.rows("select id, message from ledger.failure where code = 'parent_failed'"))
    assert reasons["b"] == "Its ancestor 'a' could not be loaded."
    assert "'a'" in reasons["b"] and "'a'" in reasons["c"] and "'d'" in reasons["e"]
    assert set(reasons) == {"b", "c", "e", *(f"f{n}" for n in range(1, 20, 2))}
