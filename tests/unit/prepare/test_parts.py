# ruff: noqa: E501 - SQL in one piece
"""Cutting: parents first in the tree that results, batches of 100 to 200, the same bytes every time."""

from __future__ import annotations

import json
import random
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from pipeline.contracts.messages import Plan
from pipeline.datasets.dataset import load_dataset
from pipeline.prepare import part_files, parts
from pipeline.prepare.manifest import BatchSizes, Manifest
from pipeline.prepare.parts import cut
from tests.support.parts import in_order, random_forest, staged
from tests.support.staging import opened, run_stage
from tests.support.tables import fill

RECORDS = load_dataset("records")


def chain(database: Path, length: int) -> Path:
    staged(database, [])
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            f"""insert into incoming select i + 1, 'r' || i, case when i > 0 then 'r' || (i - 1) end, 'n', '{{}}'
            from range({length}) t(i) order by hash(i)"""
        )
    return database


@pytest.mark.parametrize("seed", range(40))
def test_no_record_comes_before_one_above_it_in_the_tree_that_results(tmp_path: Path, database: Path, seed: int) -> None:
    chance = random.Random(seed)
    file, warehouse = random_forest(chance, chance.randrange(1, 900))
    if not file:
        return
    folder = tmp_path / "parts"
    manifest = run_stage(cut, staged(database, file, warehouse), RECORDS, BatchSizes("i", batches_per_part=1), folder=folder)
    rows = in_order(manifest, folder)
    assert sorted(str(row["id"]) for row in rows) == sorted(id_ for id_, _ in file)
    above, place = dict(file) | dict(warehouse), {str(row["id"]): n for n, row in enumerate(rows)}
    wave = {part.part_no: part.wave for part in manifest.parts}
    needs = {part.part_no: part.needs for part in manifest.parts}
    for row in rows:
        up = above[str(row["id"])]
        while up is not None:
            if up in place:
                over = rows[place[up]]
                assert place[up] < place[str(row["id"])]
                assert over["part"] == row["part"] or wave[over["part"]] < wave[row["part"]]  # type: ignore[index]
                assert over["part"] == row["part"] or over["part"] <= needs[row["part"]]  # type: ignore[index, operator]
            up = above[up]
    assert [part.wave for part in manifest.parts] == sorted(part.wave for part in manifest.parts)
    assert list(needs.values()) == sorted(needs.values())
    assert all(needed < part_no for part_no, needed in needs.items())
    assert all(wave[needed] < wave[part_no] for part_no, needed in needs.items() if needed)


@pytest.mark.parametrize("records", [1, 99, 100, 101, 200, 201, 399, 401, 999, 20_001])
def test_batches_have_100_to_200_records_and_are_numbered_through(tmp_path: Path, database: Path, records: int) -> None:
    folder = tmp_path / "parts"
    staged(database, [])
    with duckdb.connect(str(database)) as connection:
        connection.execute(f"insert into incoming select i, 'r' || i, null, 'n', '{{}}' from range(1, {records} + 1) t(i)")
    manifest = run_stage(cut, database, RECORDS, BatchSizes("i"), folder=folder)
    sizes: dict[int, int] = {}
    for part in manifest.parts:
        batches = pq.read_table(folder / part.filename).column("_batch").to_pylist()
        assert (batches[0], batches[-1]) == (part.first_batch, part.last_batch)
        for number in batches:
            sizes[number] = sizes.get(number, 0) + 1
    assert sorted(sizes) == list(range(1, manifest.batches + 1))
    assert sum(sizes.values()) == records == manifest.records
    assert max(sizes.values()) <= 200
    assert min(sizes.values()) >= min(100, records)


def test_the_same_file_gives_the_same_bytes_whatever_the_order_of_work(tmp_path: Path) -> None:
    file, warehouse = random_forest(random.Random(3), 30_000)
    database = staged(tmp_path / "d.duckdb", file, warehouse)
    manifests = [run_stage(cut, database, RECORDS, BatchSizes("i"), folder=tmp_path / "parts") for _ in range(2)]
    with opened(database) as connection:
        connection.execute("set threads = 1")
        manifests.append(cut(connection, RECORDS, BatchSizes("i"), folder=tmp_path / "parts"))
    assert manifests[0] == manifests[1] == manifests[2]


def test_a_chain_has_as_many_waves_as_parts_and_not_as_records(tmp_path: Path, database: Path) -> None:
    manifest = run_stage(cut, chain(database, 1_000_000), RECORDS, BatchSizes("i"), folder=tmp_path / "parts")
    assert (manifest.records, len(manifest.parts)) == (1_000_000, 20)
    assert manifest.waves == tuple(range(1, 21))
    first = pq.read_table(tmp_path / "parts" / manifest.parts[0].filename).column("id").to_pylist()
    assert first[:3] == ["r0", "r1", "r2"]


def test_a_part_has_fewer_batches_where_records_are_wide(tmp_path: Path, database: Path) -> None:
    sizes = BatchSizes("i", part_bytes=400 * 1000)
    chain(database, 3000)
    narrow = run_stage(cut, database, RECORDS, sizes, folder=tmp_path / "narrow")
    with duckdb.connect(str(database)) as connection:
        connection.execute("update incoming set name = repeat('é', 500)")
    wide = run_stage(cut, database, RECORDS, sizes, folder=tmp_path / "wide")
    assert (len(narrow.parts), narrow.batches) == (1, 15)
    assert (len(wide.parts), wide.batches) == (15, 15)  # a batch of 200 kB each, and two would be too much
    assert [row["_batch"] for row in in_order(wide, tmp_path / "wide")] == [n // 200 + 1 for n in range(3000)]
    assert narrow.is_cut_by(BatchSizes("other", part_bytes=400 * 1000))
    assert wide.is_cut_by(BatchSizes("other", part_bytes=400 * 1000))
    assert not wide.is_cut_by(BatchSizes("other"))


def wide_records(database: Path, sizes: list[int]) -> Path:
    """Records in a chain of trees, each with a name of so many bytes."""
    chance = random.Random(2)
    file, warehouse = random_forest(random.Random(1), len(sizes) * 2)
    file = file[: len(sizes)]
    staged(database, file, warehouse)
    with duckdb.connect(str(database)) as connection:
        widths = [(sizes[row % len(sizes)], chance.randrange(26), row + 1) for row in range(len(file))]
        connection.execute("create table widths (width integer, letter integer, _row bigint)")
        fill(connection, "widths", widths)
        connection.execute(
            """create or replace table incoming as select _row, id, "parentId", repeat(chr(65 + letter), width) as name, attributes
            from incoming join widths using (_row) order by _row"""
        )
    return database


@pytest.mark.parametrize("seed", range(4))
def test_a_part_holds_so_many_bytes_or_one_record_whatever_the_widths(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Wide records side by side among small ones, and a record wider than a part."""
    limits = BatchSizes("i", batches_per_part=4, part_bytes=200_000)
    monkeypatch.setattr(part_files, "SPOOL_BYTES", 150_000)
    chance = random.Random(seed)
    sizes = [*[10] * 1500, *[chance.randrange(2_000, 60_000) for _ in range(60)], *[10] * 1500, 500_000, *[1000] * 400]
    wide_records(database, sizes if seed else sorted(sizes))
    manifest = run_stage(cut, database, RECORDS, limits, folder=tmp_path / "parts")
    rows = in_order(manifest, tmp_path / "parts")
    by_part: dict[int, list[int]] = {}
    by_batch: dict[int, int] = {}
    for row in rows:
        size = sum(len(str(row[name] or "")) for name in RECORDS.names)
        by_part.setdefault(row["part"], []).append(size)  # type: ignore[call-overload, arg-type]
        by_batch[row["_batch"]] = by_batch.get(row["_batch"], 0) + 1  # type: ignore[index, call-overload, arg-type]
    assert all(sum(part) <= 200_000 or len(part) == 1 for part in by_part.values())
    assert max(map(sum, by_part.values())) > 500_000
    assert max(by_batch.values()) <= 200
    assert list(by_batch) == list(range(1, manifest.batches + 1))
    assert all(part.last_batch - part.first_batch < 4 for part in manifest.parts)
    assert [part.records for part in manifest.parts] == [len(part) for part in by_part.values()]
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [
        "manifest.json",
        *(part.filename for part in manifest.parts),
    ]
    monkeypatch.setattr(parts, "WIDE_BYTES", 1 << 30)
    assert run_stage(cut, database, RECORDS, limits, folder=tmp_path / "sorted") == manifest, "either way"


def test_a_manifest_of_parts_of_any_size_is_not_how_we_would_cut(tmp_path: Path, database: Path) -> None:
    manifest = run_stage(cut, staged(database, [("a", None)]), RECORDS, BatchSizes("i"), folder=tmp_path / "p")
    told = json.loads(manifest.to_json())
    del told["part_bytes"]
    earlier = Manifest.from_json(json.dumps(told))
    assert (manifest.is_cut_by(BatchSizes("j")), earlier.is_cut_by(BatchSizes("j"))) == (True, False)
    assert earlier.plan == manifest.plan, "and is loaded all the same"


def test_an_old_cycle_without_descendants_does_no_harm(tmp_path: Path, database: Path) -> None:
    staged(database, [("a", "w"), ("b", "a")], [("w", None), ("x", "y"), ("y", "x"), ("z", "z")])
    assert run_stage(cut, database, RECORDS, BatchSizes("an import"), folder=tmp_path / "parts").records == 2


def test_a_manifest_comes_back_from_its_json(tmp_path: Path, database: Path) -> None:
    manifest = run_stage(cut, staged(database, [("a", None), ("b", "a")]), RECORDS, BatchSizes("i"), folder=tmp_path / "p")
    assert Manifest.from_json((tmp_path / "p" / "manifest.json").read_text()) == manifest
    assert (manifest.plan.waves, manifest.plan.needs) == ((1,), (0,))


def test_a_manifest_of_earlier_has_parts_that_need_all_earlier_waves(tmp_path: Path, database: Path) -> None:
    manifest = run_stage(cut, chain(database, 900), RECORDS, BatchSizes("i", batches_per_part=1), folder=tmp_path / "parts")
    told = json.loads(manifest.to_json())
    for part in told["parts"]:
        del part["needs"]
    assert Manifest.from_json(json.dumps(told)) == manifest, "in a chain they do"


def test_a_plan_of_earlier_has_parts_that_need_all_earlier_waves() -> None:
    plan = Plan(records=900, batches=6, parts=6, waves=(1, 4, 6))
    assert [plan.wave_of(part_no) for part_no in range(1, 7)] == [1, 2, 2, 2, 3, 3]
    assert [plan.needed_by(part_no) for part_no in range(1, 7)] == [0, 1, 1, 1, 4, 4]


def test_every_type_of_the_table_is_kept(tmp_path: Path, database: Path) -> None:
    root = tmp_path / "root"
    for folder in ("expectations", "sql/tables"):
        (root / folder).mkdir(parents=True)
    (root / "expectations" / "things.json").write_text('{"name": "things", "expectations": []}')
    (root / "sql" / "tables" / "things.sql").write_text(
        """create table warehouse.things (id text primary key, "parentId" text, price numeric(12,2), born date, seen timestamptz,
        good boolean, ref uuid, big bigint, ratio double precision, extra jsonb, _import_id uuid, _row bigint, _loaded_at timestamptz)"""
    )
    dataset = load_dataset("things", root)
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            """create table incoming as select 1::bigint as _row, 'a' as id, null::varchar as "parentId", 12.50::decimal(12,2) as price,
            date '2024-05-31' as born, timestamptz '2024-05-31 12:00:00+00' as seen, true as good,
            '5f1d4c52-7f0e-5d0b-9c39-3f8b6c0c7a11'::uuid as ref, 9007199254740993 as big, 0.1::double as ratio, '{"a":1}' as extra"""
        )
    manifest = run_stage(cut, database, dataset, BatchSizes("i"), folder=tmp_path / "p")
    (row,) = in_order(manifest, tmp_path / "p")
    assert (str(row["price"]), str(row["born"]), row["good"], row["big"]) == ("12.50", "2024-05-31", True, 9007199254740993)
