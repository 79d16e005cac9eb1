"""``bulkhead migrate`` on a real PostgreSQL: tables follow their files beside reads and loads, or nothing is changed."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors as pg

from pipeline.adapters import postgres
from pipeline.adapters.s3 import Store
from pipeline.contracts.messages import PartResult
from pipeline.contracts.states import State
from pipeline.datasets.dataset import load_dataset
from pipeline.errors import Conflict, InvalidConfiguration, Unreachable
from pipeline.load.dry_run import preview
from pipeline.load.load_part import load_part
from pipeline.load.part_file import PartFile
from pipeline.settings import Settings
from pipeline.warehouse import existing_edges, lock_waits, table_changes, table_plan
from pipeline.warehouse import migrate as warehouse
from tests.support.bulkhead import Bulkhead, balance, tree
from tests.support.loader import Loader, flat
from tests.support.workers import running_worker

INDEX = 'create index if not exists "records_parentId_id" on warehouse.records ("parentId", id);'


class Files:
    """The table file of ``records`` in a root of its own, and the database that follows it."""

    def __init__(self, url: str, root: Path) -> None:
        self.url, self.root = url, root
        self.file = root / "sql" / "tables" / "records.sql"

    def say(self, old: str, new: str) -> None:
        text = self.file.read_text(encoding="utf-8")
        assert old in text
        self.file.write_text(text.replace(old, new), encoding="utf-8")

    def add_column(self, column: str) -> None:
        self.say("    _import_id uuid", f"    {column},\n    _import_id uuid")

    def add(self, statement: str) -> None:
        self.file.write_text(f"{self.file.read_text(encoding='utf-8')}\n{statement}\n", encoding="utf-8")

    def migrate(self) -> tuple[str, ...]:
        done = warehouse.migrate(self.url, root=self.root)
        return next(one.done for one in done if one.what == "table warehouse.records")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query).fetchall()

    def run(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def columns(self) -> dict[str, str]:
        return dict(
            self.rows(
                """select attname, format_type(atttypid, atttypmod) from pg_attribute
                where attrelid = 'warehouse.records'::regclass and attnum > 0 and not attisdropped"""
            )
        )

    def indexes(self) -> dict[str, str]:
        return dict(
            self.rows(
                """select indexrelid::regclass::text,
                    case when indisvalid then '' else 'invalid ' end || pg_get_indexdef(indexrelid)
                from pg_index where indrelid = 'warehouse.records'::regclass"""
            )
        )

    def file_on_disk(self) -> Any:
        return self.rows("select pg_relation_filenode('warehouse.records')")


@pytest.fixture
def files(database: str, a_root: Path) -> Files:
    return Files(database, a_root)


def put(files: Files, count: int = 1000) -> None:
    files.run(
        f"""insert into warehouse.records (id, "parentId", name, _import_id, _row)
        select 'r' || n, null, 'old', gen_random_uuid(), n from generate_series(1, {count}) as n"""
    )


@pytest.mark.all_versions
def test_a_second_time_there_is_nothing_to_do(files: Files) -> None:
    before = files.indexes()
    assert files.migrate() == ()
    assert files.indexes() == before


@pytest.mark.all_versions
def test_new_columns_are_added_without_writing_the_table_anew(files: Files) -> None:
    put(files)
    before = files.file_on_disk()
    files.add_column("colour text")
    files.add_column("size numeric(8, 2) not null default 1.5")
    files.add_column("seen timestamptz default now()")
    files.add_column('letters text collate "C"')
    assert files.migrate() == ("column colour added", "column size added", "column seen added", "column letters added")
    assert files.columns().keys() >= {"colour", "size", "seen", "letters"}
    assert files.rows("select distinct colour, size::text, seen is null from warehouse.records") == [(None, "1.50", False)]
    assert files.file_on_disk() == before
    assert files.migrate() == ()


@pytest.mark.all_versions
def test_what_a_column_may_hold_is_widened_in_place(files: Files) -> None:
    files.say("attributes jsonb not null default '{}'", "attributes jsonb default '{\"a\": 1}'")
    assert files.migrate() == ("""column attributes: set default '{"a": 1}'::jsonb""", "column attributes may be null")
    assert files.migrate() == ()


REFUSALS = {
    "dropped": ("    name text,\n", "", "the column name is not declared any more", "drop column"),
    "typed anew": ("name text,", "name varchar(40),", "is text, declared is character varying(40)", "type character varying"),
    "needed": ("name text,", "name text not null,", "name may be null, declared is NOT NULL", "validate constraint"),
    "new and needed": ("name text,", "name text, must text not null,", "new column must may not be null", "fill it"),
    "each its own": ("name text,", "name text, tag uuid default gen_random_uuid(),", "written anew", "in pieces"),
    "computed": ("name text,", "name text, n text generated always as (lower(name)) stored,", "written anew", "in pieces"),
    "keyed anew": ("id text primary key", "id text unique", "the key is PRIMARY KEY (id), declared is none", "add primary key"),
    "constrained": ("name text,", "name text check (name <> ''),", "the constraint records_name_check is new", "validate"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "what", "by_hand"), REFUSALS.values(), ids=list(REFUSALS))
def test_what_is_not_safe_is_refused_and_nothing_is_changed(files: Files, old: str, new: str, what: str, by_hand: str) -> None:
    put(files, 10)
    files.say(old, new)
    files.add_column("harmless text")
    (files.root / "sql" / "tables" / "places.sql").write_text(
        (files.root / "sql" / "tables" / "places.sql").read_text().replace("flag text", "flag text,\n    harmless text")
    )
    before = files.columns(), files.indexes(), files.rows("select * from warehouse.records order by id")
    with pytest.raises(Conflict, match="Nothing was changed") as refused:
        files.migrate()
    assert what in str(refused.value) and by_hand in str(refused.value) and "warehouse.records" in str(refused.value)
    assert (files.columns(), files.indexes(), files.rows("select * from warehouse.records order by id")) == before
    assert files.rows("select count(*) from pg_attribute where attname = 'harmless'") == [(0,)]
    assert files.rows("select count(*) from pg_namespace where nspname = 'bulkhead_declared'") == [(0,)]


def test_all_refused_changes_are_in_one_message(files: Files) -> None:
    files.say("    name text,\n", "")
    places = files.root / "sql" / "tables" / "places.sql"
    places.write_text(places.read_text().replace("numeric_code integer", "numeric_code bigint"))
    with pytest.raises(Conflict) as refused:
        files.migrate()
    assert "warehouse.records: the column name" in str(refused.value)
    assert "warehouse.places: the column numeric_code is integer, declared is bigint" in str(refused.value)


# --- indexes ---

ODD_INDEXES = {
    "an expression": "create index records_lower on warehouse.records (lower(name));",
    "a part of the rows": "create index records_named on warehouse.records (name) where name like 'a%;' and _row > 1;",
    "more than the key": "create index records_with on warehouse.records (name) include (id, _row) with (fillfactor = 80);",
    "another order": "create index records_order on warehouse.records (name desc nulls last, id);",
    "another kind": "create index records_gin on warehouse.records using gin (attributes jsonb_path_ops);",
    "unique": "create unique index records_unique on warehouse.records (name) where name <> 'old';",
    "odd name": 'create index "an index; on warehouse.records USING x" on warehouse.records (name);',
    "no name": "create index on warehouse.records (name, id);",
}


@pytest.mark.parametrize("statement", ODD_INDEXES.values(), ids=list(ODD_INDEXES))
def test_an_index_is_built_when_it_is_declared_and_dropped_when_it_is_not(files: Files, statement: str) -> None:
    put(files, 100)
    before, plain = files.indexes(), files.file.read_text(encoding="utf-8")
    files.add(statement)
    (done,) = files.migrate()
    assert done.endswith("built") and len(files.indexes()) == len(before) + 1
    assert "invalid" not in "".join(files.indexes().values())
    assert files.migrate() == (), "and PostgreSQL's spelling of it is known for the same"
    files.file.write_text(plain, encoding="utf-8")
    (done,) = files.migrate()
    assert done.endswith("dropped") and files.indexes() == before


def test_an_index_of_a_new_table_is_as_much_ours(files: Files) -> None:
    files.run("drop table warehouse.records cascade")  # with the view of its tree
    assert files.migrate() == ("made",)
    assert files.migrate() == ()
    files.say(INDEX, "")
    assert files.migrate() == ("index records_parentId_id dropped",)


def test_an_index_that_others_made_is_left_alone(files: Files) -> None:
    files.run("create index another_clients on warehouse.records (name)")
    assert files.migrate() == ("index another_clients is not declared, and not ours; left as it is",)
    assert "warehouse.another_clients" in files.indexes()


@pytest.mark.all_versions
def test_a_changed_index_is_built_before_the_old_one_goes(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    put(files, 100)
    files.say(INDEX, INDEX.replace("id)", "id) include (name)"))
    real, seen = table_changes._build, []

    def build(connection: Any, plan: Any, index: Any, name: str, say: Any) -> None:
        real(connection, plan, index, name, say)
        seen.append(files.indexes())
        raise pg.QueryCanceled("interrupted with Ctrl-C")

    monkeypatch.setattr(table_changes, "_build", build)
    with pytest.raises(Unreachable):
        files.migrate()
    assert len(seen[0]) == 3 and not any("invalid" in one for one in seen[0].values())
    monkeypatch.setattr(table_changes, "_build", None)  # what was built is taken, not built once more
    assert files.migrate() == ("index records_parentId_id built anew",)
    assert "INCLUDE (name)" in files.indexes()['warehouse."records_parentId_id"']
    assert len(files.indexes()) == 2
    assert files.migrate() == ()


def test_what_an_interrupted_build_left_is_dropped_and_built(files: Files) -> None:
    put(files, 100)
    files.add("create index records_name on warehouse.records (name);")
    with psycopg.connect(files.url) as holder, closing(psycopg.connect(files.url, autocommit=True)) as builder:
        holder.execute("insert into warehouse.records (id, _import_id, _row) values ('held', gen_random_uuid(), 1)")
        builder.execute("set lock_timeout = 100")
        with pytest.raises(pg.LockNotAvailable):
            builder.execute("create index concurrently records_name on warehouse.records (name)")
        holder.rollback()
    assert files.indexes()["warehouse.records_name"].startswith("invalid")
    assert files.migrate() == ("index records_name built",)
    assert files.indexes()["warehouse.records_name"].startswith("CREATE INDEX")


@pytest.mark.all_versions
def test_a_unique_index_that_the_records_violate_is_reported_and_leaves_nothing(files: Files) -> None:
    put(files, 2)
    files.add("create unique index records_name on warehouse.records (name);")
    with pytest.raises(Conflict, match=r"records_name cannot be built.*\(name\)=\(old\) is duplicated"):
        files.migrate()
    assert "warehouse.records_name" not in files.indexes()


def test_other_statements_of_the_file_are_run_each_time(files: Files) -> None:
    files.add("comment on table warehouse.records is 'all; of them';")
    files.migrate()
    assert files.rows("select obj_description('warehouse.records'::regclass)") == [("all; of them",)]


@pytest.mark.parametrize("text", ["create table", "create table warehouse.recordz (id text primary key)", "select '"])
def test_a_file_that_makes_no_such_table_is_refused(files: Files, text: str) -> None:
    dataset = load_dataset("records", files.root)
    with (
        closing(psycopg.connect(files.url, autocommit=True)) as connection,
        pytest.raises(InvalidConfiguration, match=r"records\.sql"),
    ):
        table_plan.plan(connection, replace(dataset, table_sql=text))


# --- beside others ---


class Busy(threading.Thread):
    """Loads part after part, from ``first_part`` on, in a session of its own, until it is to stop."""

    def __init__(self, loader: Loader, first_part: int) -> None:
        super().__init__()
        self.loader, self.over, self.loaded, self.first_part = loader, threading.Event(), 0, first_part
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with psycopg.connect(self.loader.url) as connection:
                while not self.over.is_set():
                    records = [(f"{self.name}-{self.loaded}-{n}", None, "x") for n in range(2000)]
                    self.loader.load(records, part_no=self.first_part + self.loaded + 1, connection=connection)
                    self.loaded += 1
        except BaseException as error:
            self.error = error

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self.start()
        try:
            yield
        finally:
            self.over.set()
            self.join(60)
            self.loader.connection.close()

    def until(self, loaded: int) -> None:
        """Wait for so many parts."""
        deadline = time.monotonic() + 20
        while self.loaded < loaded:
            assert self.is_alive() and time.monotonic() < deadline, f"it stands still: {self.error}"
            time.sleep(0.05)


UNFIT = [
    ("    id text primary key", "    id text collate ci primary key", "the column id (text) treats different ids as equal"),
    ('    "parentId" text', '    "parentId" text collate ci', "the column parentId (text) treats different ids as equal"),
    ("    name text", "    name text,\n    place point", "cannot compare values of the column place (point)"),
]


@pytest.mark.parametrize(("old", "new", "said"), UNFIT)
@pytest.mark.parametrize("is_new", [True, False])
def test_a_table_whose_records_cannot_be_told_apart_is_refused(
    files: Files, old: str, new: str, said: str, is_new: bool
) -> None:
    files.run("create collation public.ci (provider = libc, locale = 'C')")
    files.run(
        "update pg_collation set collisdeterministic = false where collname = 'ci'"
    )  # as ICU has them, which not all have
    if is_new:
        files.run("drop table warehouse.records cascade")
    files.say(old, new.replace("collate ci", "collate public.ci"))
    with pytest.raises(InvalidConfiguration) as caught:
        files.migrate()
    assert said in str(caught.value)
    assert files.rows("select to_regclass('warehouse.records') is null") == [(is_new,)]


@pytest.mark.all_versions
def test_it_works_while_files_are_loaded_and_neither_side_fails(files: Files, tmp_path: Path) -> None:
    """Two loads without a pause, while a column and two indexes come."""
    put(files, 50_000)
    loaders = [Busy(Loader(files.url, tmp_path), first_part=number * 10_000) for number in range(2)]
    loaders[0].loader.import_id = loaders[1].loader.import_id  # one import of a dataset is at work
    with loaders[0].at_work(), loaders[1].at_work():
        for one in loaders:
            one.until(1)
        files.add_column("colour text")
        files.add("create index records_name on warehouse.records (name, id);")
        files.say(INDEX, INDEX.replace("id)", "id) include (name)"))
        done = files.migrate()
        for one in loaders:
            one.until(one.loaded + 2)
    assert set(done) == {"column colour added", "index records_name built", "index records_parentId_id built anew"}
    assert [one.error for one in loaders] == [None, None]
    assert files.migrate() == ()
    loaded = sum(one.loaded for one in loaders) * 2000
    assert files.rows("select count(*)::int from warehouse.records where name = 'x'") == [(loaded,)]
    assert files.rows("select sum(inserted)::int from ledger.part") == [(loaded,)]


@pytest.mark.alone
def test_readers_do_not_wait_long_behind_a_column_that_waits(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction keeps the table for a second and a half; the column waits for it, readers as long as one of its tries."""
    monkeypatch.setattr(lock_waits, "LOCK_SECONDS", (0.2,) * 20)
    put(files, 10)
    files.add_column("colour text")
    waits: list[float] = []
    with psycopg.connect(files.url) as holder, psycopg.connect(files.url, autocommit=True) as reader:
        holder.execute("insert into warehouse.records (id, _import_id, _row) values ('held', gen_random_uuid(), 1)")
        worker = threading.Thread(target=files.migrate)
        worker.start()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            began = time.monotonic()
            reader.execute("select id from warehouse.records limit 1")
            waits.append(time.monotonic() - began)
        holder.commit()
        worker.join(30)
    assert max(waits) < 1.0, "five times a try"
    assert sum(wait < 0.05 for wait in waits) > 20
    assert "colour" in files.columns()


def test_a_table_that_is_never_free_is_left_as_it_is_and_its_holder_named(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_waits, "LOCK_SECONDS", (0.05, 0.05))
    files.add_column("colour text")
    with psycopg.connect(files.url, application_name="a long report") as holder:
        holder.execute("select id from warehouse.records")
        with pytest.raises(Unreachable, match="a long report"):
            files.migrate()
    assert "colour" not in files.columns()
    assert files.migrate() == ("column colour added",)


def test_two_at_once_go_one_after_the_other(files: Files) -> None:
    put(files, 20_000)
    files.add_column("colour text")
    files.add("create index records_name on warehouse.records (name, id);")
    results: list[tuple[str, ...] | BaseException] = []

    def run() -> None:
        try:
            results.append(files.migrate())
        except BaseException as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results, key=str, reverse=True) == [(), (), (), ("column colour added", "index records_name built")]


def test_analyze_beside_an_index_that_is_being_built_ends_neither(files: Files) -> None:
    """PostgreSQL's ANALYZE waits for the index, and the index for all that began before it: one of them would be ended."""
    put(files, 1000)
    engine = postgres.connect(files.url, pool_size=1)
    with psycopg.connect(files.url) as holder:
        holder.execute("insert into warehouse.records (id, _import_id, _row) values ('held', gen_random_uuid(), 1)")
        files.add("create index records_name on warehouse.records (name);")
        worker = threading.Thread(target=files.migrate)
        worker.start()
        until(lambda: bool(files.rows(BUILDING)))
        existing_edges.analyze(engine, "records")
        holder.commit()
        worker.join(30)
    engine.dispose()
    assert files.indexes()["warehouse.records_name"].startswith("CREATE INDEX")


BUILDING = "select 1 from pg_stat_activity where query like 'create index concurrently%' and wait_event is not null"


# --- parts that were cut before ---


@pytest.fixture
def loader(files: Files, tmp_path: Path) -> Iterator[Loader]:
    one = Loader(files.url, tmp_path)
    yield one
    one.connection.close()


def test_a_part_cut_before_the_column_came_is_loaded_and_the_column_keeps_its_values(files: Files, loader: Loader) -> None:
    loader.load(flat(300))
    path, sha256 = loader.part([*((child, parent, "renamed") for child, parent, _ in flat(100)), ("new", None, "new")])
    files.add_column("colour text default 'grey'")
    files.add_column("weight integer not null default 7")
    files.migrate()
    files.run("update warehouse.records set colour = 'red', weight = 9")
    dataset, import_id = load_dataset("records", files.root), loader.new_import()
    foreseen = preview(loader.connection, dataset, [(path, sha256)])
    assert (foreseen.inserted, foreseen.updated, foreseen.unchanged) == (1, 100, 0)
    part = PartFile(path, import_id, 1, sha256)
    assert load_part(loader.connection, dataset, part) == PartResult(inserted=1, updated=100)
    assert loader.rows("select colour, weight, count(*)::int from warehouse.records group by 1, 2 order by 3") == [
        ("grey", 7, 1),
        ("red", 9, 300),
    ]


def test_such_a_part_with_a_record_that_is_refused_too(files: Files, loader: Loader) -> None:
    path, sha256 = loader.part([("a", None, "x"), ("b", None, "no"), ("c", "b", "x")])
    files.add_column("colour text")
    files.migrate()
    files.run("alter table warehouse.records add constraint no_no check (name <> 'no')")
    part = PartFile(path, loader.import_id, 1, sha256)
    dataset = load_dataset("records", files.root)
    assert load_part(loader.connection, dataset, part) == PartResult(inserted=1, failed=2)
    assert loader.failures() == {"b": "warehouse_refused", "c": "parent_failed"}


def test_a_part_with_a_column_that_the_table_is_yet_to_have_waits_for_the_migration(files: Files, loader: Loader) -> None:
    path, sha256 = loader.part(flat(10))
    loader.run("alter table warehouse.records drop column name")
    part = PartFile(path, loader.import_id, 1, sha256)
    with pytest.raises(Unreachable, match="bulkhead migrate"):
        load_part(loader.connection, loader.dataset, part)
    assert files.migrate() == ("column name added",)
    assert load_part(loader.connection, loader.dataset, part) == PartResult(inserted=10)


def test_an_import_under_way_goes_on_through_a_migration(files: Files, settings: Settings, store: Store) -> None:
    """The whole way, with a slow warehouse: a column and an index come between one part and the next."""
    settings = settings.model_copy(update={"batches_per_part": 2, "datasets_root": files.root})
    files.run(
        """create function slow() returns trigger language plpgsql as
        $$ begin perform pg_sleep(0.6); return null; end $$"""
    )
    files.run("create trigger slow after insert on warehouse.records execute function slow()")
    bulkhead = Bulkhead(settings, store)
    with closing(bulkhead), running_worker(settings):
        key = bulkhead.drop(tree(8000))
        until(lambda: files.rows("select count(*) > 2 from ledger.part") == [(True,)])
        files.add_column("colour text default 'grey'")
        files.add("create index records_colour on warehouse.records (colour);")
        assert files.migrate() == ("column colour added", "index records_colour built")
        assert files.rows("select count(*) < 20 from ledger.part") == [(True,)], "it was under way all the time"
        one = bulkhead.import_of(key)
        assert (one.state, one.inserted) == (State.SUCCEEDED, 8000) and balance(one)
        assert files.rows("select colour, count(*)::int from warehouse.records group by 1") == [("grey", 8000)]
        files.run("drop trigger slow on warehouse.records")
        next_one = bulkhead.ingest("id,parentId,name,colour\nr0,,n0,red\nmore,r0,x,\n", name="b.csv")
        assert (next_one.state, next_one.updated, next_one.inserted) == (State.SUCCEEDED, 1, 1)
        assert files.rows("select id, colour from warehouse.records where id in ('r0', 'r1', 'more') order by 1") == [
            ("more", None),
            ("r0", "red"),
            ("r1", "grey"),
        ]


def until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


def test_the_command_tells_what_it_did_table_by_table(files: Files, environment: dict[str, str]) -> None:
    files.add_column("colour text")
    command = ["bulkhead", "migrate"]
    there = {**environment, "BULKHEAD_DATASETS_ROOT": str(files.root)}
    done = subprocess.run([*command, "--json"], env=there, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = {one["what"]: one["done"] for one in json.loads(done.stdout)}
    assert found["table warehouse.records"] == ["column colour added"] and found["table warehouse.places"] == []
    files.say("colour text", "colour integer")
    done = subprocess.run(command, env=there, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the column colour is text, declared is integer" in done.stderr
