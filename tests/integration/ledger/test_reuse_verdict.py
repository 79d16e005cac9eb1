"""Content that was validated and is loaded again by force: verdict, report and parts are taken over, if they still hold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.adapters.s3 import Store
from pipeline.contracts.object_keys import batches_prefix, manifest_key, part_key, report_prefix
from pipeline.contracts.states import State
from pipeline.datasets.dataset import load_dataset
from pipeline.ledger.models import ImportRecord
from pipeline.orchestration.reuse_verdict import earlier_result
from pipeline.prepare.manifest import BatchSizes, Manifest
from pipeline.settings import ROOT, Settings
from tests.support.bulkhead import Bulkhead, tree
from tests.support.workers import running_worker

FILE = tree(1_000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The shipped datasets, as files of this test's own."""
    for folder in ("expectations", "sql"):
        shutil.copytree(ROOT / folder, tmp_path / "datasets" / folder)
    return tmp_path / "datasets"


@pytest.fixture
def bulkhead(settings: Settings, store: Store, root: Path) -> Iterator[Bulkhead]:
    own = settings.model_copy(update={"batches_per_part": 2, "datasets_root": root})
    one = Bulkhead(own, store)
    with running_worker(own):
        yield one
    one.close()


def keys(store: Store, prefix: str) -> set[str]:
    return {stored.key.removeprefix(prefix) for stored in store.list(prefix)}


def test_what_is_loaded_again_by_force_is_not_validated_again(bulkhead: Bulkhead, validated: list[str]) -> None:
    first = bulkhead.ingest(FILE)
    with bulkhead.engine.begin() as connection:
        connection.exec_driver_sql("update warehouse.records set name = 'changed by hand' where id in ('r7', 'r8')")
        connection.exec_driver_sql("delete from warehouse.records where id = 'r999'")
    again = bulkhead.ingest(FILE, name="again.csv", force=True)
    third = bulkhead.ingest(FILE, name="third.csv", force=True)
    assert validated == [first.id]
    assert (again.state, again.inserted, again.updated, again.unchanged) == (State.SUCCEEDED, 1, 2, 997)
    assert (third.state, third.unchanged) == (State.SUCCEEDED, 1_000)
    assert (again.source["taken_over_from"], third.source["taken_over_from"]) == (first.id, again.id)
    assert again.records_valid == first.records_valid == 1_000
    for one in (again, third):
        assert keys(bulkhead.store, report_prefix(one.id)) == keys(bulkhead.store, report_prefix(first.id)) != set()
        assert keys(bulkhead.store, batches_prefix(one.id)) == keys(bulkhead.store, batches_prefix(first.id))
        assert bulkhead.findings(one) == []
        manifest = Manifest.from_json(bulkhead.store.get_bytes(manifest_key(one.id)).decode())
        assert (manifest.import_id, len(manifest.parts)) == (one.id, one.parts_total)
    assert bulkhead.rows("select count(*), min(name) from warehouse.records where name = 'changed by hand'") == [(0, None)]


def change_a_check(bulkhead: Bulkhead, first: ImportRecord) -> None:
    folder = bulkhead.settings.datasets_root / "sql" / "checks" / "records"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "no_seven.sql").write_text("-- Seven is not wanted.\nselect _row, id as value from incoming where id = 'r7'\n")


def let_parts_go(bulkhead: Bulkhead, first: ImportRecord) -> None:
    bulkhead.store.delete_prefix(batches_prefix(first.id))


def let_the_report_go(bulkhead: Bulkhead, first: ImportRecord) -> None:
    bulkhead.store.delete_prefix(report_prefix(first.id))


@pytest.mark.parametrize(
    ("meanwhile", "state"),
    [(change_a_check, State.REJECTED), (let_parts_go, State.SUCCEEDED), (let_the_report_go, State.SUCCEEDED)],
)
def test_where_it_might_say_something_else_or_is_gone_it_looks_again(
    bulkhead: Bulkhead, validated: list[str], meanwhile: Callable[[Bulkhead, ImportRecord], None], state: State
) -> None:
    first = bulkhead.ingest(FILE)
    meanwhile(bulkhead, first)
    again = bulkhead.ingest(FILE, name="again.csv", force=True)
    assert validated == [first.id, again.id]
    assert again.state is state
    assert "taken_over_from" not in again.source


def test_what_asked_the_warehouse_asks_it_again(bulkhead: Bulkhead, validated: list[str]) -> None:
    bulkhead.ingest(FILE, name="parents.csv")
    below = "id,parentId,name\nbelow,r7,x\n"
    first = bulkhead.ingest(below, name="below.csv")
    with bulkhead.engine.begin() as connection:
        connection.exec_driver_sql("delete from warehouse.records where id in ('below', 'r7')")
    again = bulkhead.ingest(below, name="again.csv", force=True)
    assert (first.state, again.state) == (State.SUCCEEDED, State.REJECTED)
    assert again.id in validated


def test_parts_that_go_between_verdict_and_load_are_made_again(
    bulkhead: Bulkhead, validated: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bulkhead.ingest(FILE)
    real = Store.copy_whole

    def gone(self: Store, key: str, to: str) -> None:
        if key == part_key(first.id, 2):
            self.delete(key)
        real(self, key, to)

    monkeypatch.setattr(Store, "copy_whole", gone)
    again = bulkhead.ingest(FILE, name="again.csv", force=True)
    assert (again.state, again.unchanged) == (State.SUCCEEDED, 1_000)
    assert validated == [first.id, again.id]


def test_only_what_holds_for_sure_is_taken_over(bulkhead: Bulkhead, root: Path) -> None:
    first, dataset = bulkhead.ingest(FILE), load_dataset("records", root)
    cutting = BatchSizes("x", batches_per_part=2)
    manifest = Manifest.from_json(bulkhead.store.get_bytes(manifest_key(first.id)).decode())
    assert earlier_result(first, manifest, dataset, cutting) is not None
    for other in (
        replace(first, findings_warnings=1),
        replace(first, quarantined=1),
        replace(first, batches_removed_at=first.finished_at),
        replace(first, report_removed_at=first.finished_at),
        replace(first, reading={**first.reading, "asked": 1}),
        replace(first, reading={name: value for name, value in first.reading.items() if name != "rules"}),
    ):
        assert earlier_result(other, manifest, dataset, cutting) is None
    assert earlier_result(first, manifest, dataset, BatchSizes("x", batches_per_part=3)) is None
    assert earlier_result(first, manifest, dataset, BatchSizes("x", batch_records=150, batches_per_part=2)) is None


@pytest.mark.parametrize(
    ("query", "timeless"),
    [
        ("select _row from incoming where name > current_date::text", False),
        ("select _row from incoming where name > now()::text", False),
        ("select _row from incoming where random() < 0.5", False),
        ("select _row from incoming where name = 'now and today'", True),
        ("select _row from incoming where length(name) > 3", True),
    ],
)
def test_a_rule_that_looks_at_a_clock_holds_only_now(root: Path, query: str, timeless: bool) -> None:
    folder = root / "sql" / "checks" / "records"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.sql").write_text(f"-- It is not as it should be.\n{query}\n")
    assert bool(load_dataset("records", root).rules) is timeless


def test_every_part_of_the_rules_counts(root: Path) -> None:
    seen = {load_dataset("places", root).rules}
    suite = root / "expectations" / "places.json"
    said = json.loads(suite.read_text())
    suite.write_text(json.dumps({**said, "expectations": said["expectations"][1:]}))
    seen.add(load_dataset("places", root).rules)
    (root / "sql" / "checks" / "every" / "one_more.sql").write_text("-- No.\nselect _row from incoming where false\n")
    seen.add(load_dataset("places", root).rules)
    assert len(seen) == 3 and "" not in seen
