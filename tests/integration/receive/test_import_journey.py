"""The whole way of a file on the real parts: S3, Temporal, Great Expectations, DuckDB, PostgreSQL, and a real worker."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import time
from collections import Counter
from email import message_from_bytes, policy
from pathlib import Path

import openpyxl
import psycopg
import pyarrow.parquet as pq
import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks.webhooks import Webhook
from werkzeug import Request, Response

from pipeline.adapters.s3 import Store
from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.object_keys import manifest_key, part_key, report_prefix, results_prefix
from pipeline.contracts.states import State
from pipeline.prepare.manifest import Manifest
from pipeline.settings import Settings
from tests.support.bulkhead import HEADER, SMALL_PARTS, Bulkhead, balance, tree
from tests.support.imports import imports_of
from tests.support.waiting import wait_until
from tests.support.webhooks import SECRET
from tests.support.workers import running_worker

pytestmark = pytest.mark.settings(**SMALL_PARTS)


@pytest.mark.all_versions
def test_a_file_goes_the_whole_way_and_again_changes_nothing(bulkhead: Bulkhead) -> None:
    first = bulkhead.ingest(tree(1000))
    assert (first.state, first.inserted, first.records_total, first.parts_total) == (State.SUCCEEDED, 1000, 1000, 4)
    assert balance(first)
    assert [move.to_state for move in bulkhead.ledger.imports.moves(first.id)] == [
        *("queued", "validating", "preparing", "loading", "succeeded")
    ]
    before = bulkhead.rows("select id, xmin::text, _import_id::text, _row, _loaded_at from warehouse.records order by id")
    second = bulkhead.ingest(tree(1000), name="again.csv", force=True)
    assert (second.state, second.unchanged, second.inserted) == (State.SUCCEEDED, 1000, 0)
    assert (
        bulkhead.rows("select id, xmin::text, _import_id::text, _row, _loaded_at from warehouse.records order by id") == before
    )
    third = bulkhead.ingest(tree(1000).replace("n7\n", "changed\n"), name="changed.csv")
    assert (third.updated, third.unchanged) == (1, 999)
    assert bulkhead.rows("select _import_id::text, name from warehouse.records where id = 'r7'") == [(third.id, "changed")]


def test_the_parts_are_the_same_byte_for_byte_and_hold_batches_of_100_to_200(bulkhead: Bulkhead) -> None:
    manifests = []
    for text in (tree(1001), tree(1001) + "\n"):  # other bytes: known content would not be cut at all
        one = bulkhead.ingest(text)
        manifest = Manifest.from_json(bulkhead.store.get_bytes(manifest_key(one.id)).decode())
        for part in manifest.parts:
            stored = bulkhead.store.head(part_key(one.id, part.part_no))
            assert stored is not None
            assert stored.size_bytes == part.size_bytes
        manifests.append([part.sha256 for part in manifest.parts])
        assert (manifest.order, manifest.spine, manifest.batches) == ("depth first", 100, 7)
        assert all(100 <= part.records / (part.last_batch - part.first_batch + 1) <= 200 for part in manifest.parts)
    assert manifests[0] == manifests[1]


BROKEN = (
    "1,,root\n2,1,a\n2,1,a\n3,9,orphan\n4,5,x\n5,6,y\n6,4,z\n7,7,self\n8,1,one\n8,1,other\n,1,nameless\n10,4,below the circle\n"
)


def test_a_file_with_errors_is_rejected_whole_and_every_one_is_named(bulkhead: Bulkhead) -> None:
    one = bulkhead.ingest(HEADER + BROKEN)
    assert (one.state, one.reason) == (State.REJECTED, "7 errors")
    assert bulkhead.rows("select count(*) from warehouse.records") == [(0,)]
    found = bulkhead.findings(one)
    assert sorted((f["row"], f["code"]) for f in found) == [
        *((3, "duplicate_id"), (4, "missing_parent"), (5, "circular_reference"), (8, "self_parent")),
        *((9, "conflicting_duplicate"), (10, "conflicting_duplicate"), (11, "missing_id"), (12, "below_cycle")),
    ]
    circle = next(f for f in found if f["code"] == "circular_reference")
    assert circle["cycle"] == ["4", "5", "6", "4"]
    assert all(f["message"] and f["line"] == f["row"] + 1 for f in found)
    table = list(csv.DictReader(io.StringIO(bulkhead.store.get_bytes(report_prefix(one.id) + "findings.csv").decode())))
    assert [(int(f["row"]), f["code"]) for f in table] == [(f["row"], f["code"]) for f in found]
    assert {"row", "id", "code", "message", "parentId", "name"} <= set(table[0])
    assert one.findings_by_code["conflicting_duplicate"] == 2
    assert (one.records_total, one.records_invalid, one.unprocessed) == (12, 9, 12)
    page = bulkhead.store.get_bytes(report_prefix(one.id) + "docs/index.html").decode()
    assert "<html" in page


def test_the_counts_are_the_same_everywhere(bulkhead: Bulkhead) -> None:
    one = bulkhead.ingest(HEADER + BROKEN)
    said = one.findings_by_code
    stored = {form: bulkhead.store.get_bytes(f"{report_prefix(one.id)}findings.{form}") for form in ("csv", "parquet", "xlsx")}
    groups = json.loads(bulkhead.store.get_bytes(f"{report_prefix(one.id)}groups.json"))
    sheet = openpyxl.load_workbook(io.BytesIO(stored["xlsx"]))["Findings"]
    count_sql = f"select code, count(*) from warehouse.import_findings where import_id = '{one.id}' group by code"
    everywhere = {
        "csv": Counter(row["code"] for row in csv.DictReader(io.StringIO(stored["csv"].decode()))),
        "json": Counter(finding["code"] for finding in bulkhead.findings(one)),
        "parquet": Counter(pq.read_table(io.BytesIO(stored["parquet"]))["code"].to_pylist()),
        "xlsx": Counter(row[[cell.value for cell in sheet[1]].index("code")].value for row in sheet.iter_rows(min_row=2)),
        "view": dict(bulkhead.rows(count_sql)),
        "groups": {code: sum(g["count"] for g in groups["items"] if g["code"] == code) for code in said},
        "trend": bulkhead.ledger.findings.validation_runs("records")[0].by_code,
    }
    assert everywhere == dict.fromkeys(everywhere, said)
    assert sum(said.values()) == one.findings_errors + one.findings_warnings == groups["total"] > 6
    in_order = bulkhead.rows(f"select row from warehouse.import_findings where import_id = '{one.id}' order by finding_no")
    assert [row for (row,) in in_order] == [finding["row"] for finding in bulkhead.findings(one)]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"id,parentId,name\n", "empty_file"),
        (b"%PDF-1.7 ...", "unreadable_file"),
        (b"parentId,name\n1,a\n", "missing_column"),
        (b"\x1f\x8b\x08\x00broken", "unreadable_file"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_finding_and_not_a_crash(bulkhead: Bulkhead, content: bytes, code: str) -> None:
    one = bulkhead.ingest(content)
    assert one.state is State.REJECTED
    (finding,) = bulkhead.findings(one)
    assert finding["code"] == code
    assert finding["hint"]


def crash(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def test_a_file_that_ends_its_reader_every_time_is_refused(bulkhead: Bulkhead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sandbox.validate_file.validate", crash)
    one = bulkhead.ingest(HEADER + "1,,a\n")
    assert one.state is State.REJECTED
    (finding,) = bulkhead.findings(one)
    assert (finding["code"], "could not be read" in finding["message"]) == ("unreadable_file", True)
    assert "SIGSEGV" in finding["message"]


def test_a_file_placed_under_an_unknown_dataset_is_rejected_with_the_reason(bulkhead: Bulkhead) -> None:
    one = bulkhead.ingest(HEADER + "1,,a\n", dataset="nothing")
    assert one.state is State.REJECTED
    (finding,) = bulkhead.findings(one)
    assert finding["code"] == "unknown_dataset"
    assert "places, records" in finding["message"]


def test_parents_and_cycles_are_checked_against_the_warehouse_too(bulkhead: Bulkhead) -> None:
    assert bulkhead.ingest(HEADER + "a,,x\nb,a,x\nc,b,x\n").state is State.SUCCEEDED
    assert bulkhead.ingest(HEADER + "d,c,x\n", name="child.csv").state is State.SUCCEEDED
    circle = bulkhead.ingest(HEADER + "a,d,x\n", name="circle.csv")
    assert circle.state is State.REJECTED
    (finding,) = bulkhead.findings(circle)
    assert (finding["code"], finding["cycle"]) == ("circular_reference", ["a", "d", "c", "b", "a"])
    moved = bulkhead.ingest(HEADER + "c,,x\na,d,x\n", name="moved.csv")  # c leaves b first: no circle
    assert (moved.state, moved.updated) == (State.SUCCEEDED, 2)


def test_two_files_at_once_for_one_dataset_go_one_after_the_other(bulkhead: Bulkhead) -> None:
    keys = [bulkhead.drop(tree(600, name=name), name=f"{name}.csv") for name in ("x", "y")]
    one, two = (bulkhead.import_of(key) for key in keys)
    assert {one.state, two.state} == {State.SUCCEEDED}
    first, second = sorted((one, two), key=lambda each: each.started_at)  # type: ignore[arg-type, return-value]
    assert first.finished_at is not None
    assert second.started_at is not None
    assert first.finished_at <= second.started_at
    assert (first.inserted, second.updated) == (600, 600)


def test_two_files_that_form_a_cycle_only_together(bulkhead: Bulkhead) -> None:
    assert bulkhead.ingest(HEADER + "a,,x\nb,,x\n").state is State.SUCCEEDED
    keys = [bulkhead.drop(HEADER + row, name=name) for name, row in (("one.csv", "a,b,x\n"), ("two.csv", "b,a,x\n"))]
    states = sorted(bulkhead.import_of(key).state for key in keys)
    assert states == [State.REJECTED, State.SUCCEEDED]


def test_the_same_event_five_times_makes_one_run_and_a_new_file_under_the_name_another(bulkhead: Bulkhead) -> None:
    key = bulkhead.drop(tree(10))
    for _ in range(4):
        bulkhead.orchestrator.announce(ObjectArrived(bulkhead.store.bucket, key))
    bulkhead.import_of(key)
    bulkhead.orchestrator.announce(ObjectArrived(bulkhead.store.bucket, key))
    time.sleep(1.1)  # S3 tells times of change to the second
    assert len(imports_of(bulkhead.ledger, key)) == 1
    bulkhead.drop(tree(10, name="m"))
    assert bulkhead.import_of(key, number=2).updated == 10


def test_reconciliation_finds_what_no_event_announced_and_only_that(bulkhead: Bulkhead) -> None:
    known, forgotten = bulkhead.drop(tree(5)), bulkhead.drop(tree(7), name="forgotten.csv", announce=False)
    bulkhead.import_of(known)
    found = bulkhead.orchestrator.reconcile()
    assert (found.seen, found.started, found.keys) == (2, 1, (forgotten,))
    assert bulkhead.import_of(forgotten).state is State.SUCCEEDED
    assert bulkhead.orchestrator.reconcile().started == 0


def test_a_queue_that_was_terminated_is_taken_up_again_by_reconciliation(bulkhead: Bulkhead) -> None:
    bulkhead.ledger.imports.open(
        "01920000-0000-7000-8000-000000000001",
        dataset="records",
        filename="a.csv",
        bucket=bulkhead.store.bucket,
        key="incoming/records/01920000-0000-7000-8000-000000000001/a.csv",
        state=State.QUEUED,
        etag=bulkhead.store.head(
            bulkhead.drop(tree(5), name="01920000-0000-7000-8000-000000000001/a.csv", announce=False)
        ).etag,  # type: ignore[union-attr]
    )
    assert bulkhead.orchestrator.reconcile().started == 1
    one = bulkhead.import_of("incoming/records/01920000-0000-7000-8000-000000000001/a.csv")
    assert (one.id, one.state) == ("01920000-0000-7000-8000-000000000001", State.SUCCEEDED)


@pytest.mark.all_versions
def test_a_record_the_warehouse_refuses_costs_that_record_and_its_descendants(bulkhead: Bulkhead) -> None:
    with psycopg.connect(bulkhead.settings.database_url) as connection:
        connection.execute("alter table warehouse.records add constraint short check (length(name) < 20)")
    rows = tree(500).replace("n100\n", "a name that is far too long\n")
    one = bulkhead.ingest(rows)
    assert one.state is State.PARTIALLY_SUCCEEDED
    assert balance(one)
    failed = json.loads(bulkhead.store.get_bytes(results_prefix(one.id) + "failed.json"))
    codes = {failure["id"]: failure["code"] for failure in failed}
    below = {f"r{i}" for i in range(401, 405)}
    assert codes == {"r100": "warehouse_refused", **dict.fromkeys(below, "parent_failed")}
    assert (one.inserted, one.failed) == (495, 5)
    assert bulkhead.rows("select count(*) from warehouse.records") == [(495,)]
    assert bulkhead.store.head(results_prefix(one.id) + "failed.csv") is not None


def test_recipients_are_notified_by_webhook_and_by_email(
    bulkhead: Bulkhead, settings: Settings, store: Store, httpserver: HTTPServer
) -> None:
    seen: list[Request] = []
    httpserver.expect_request("/hook").respond_with_handler(lambda request: seen.append(request) or Response())  # type: ignore[func-returns-value]
    other = settings.model_copy(
        update={
            "webhook_urls": (httpserver.url_for("/hook"),),
            "webhook_secret": SECRET,
            "webhook_allow_private": True,
            "task_queue": "with-webhook",
        }
    )
    one = Bulkhead(other, store)
    with running_worker(other):
        rejected = one.ingest(HEADER + BROKEN)
        succeeded = one.ingest(tree(3), name="good.csv")
        wait_until(lambda: len(seen) == 2 and len(list(other.outbox_dir.glob("*.eml"))) == 2)
        wait_until(lambda: all(d["delivered_at"] for i in (rejected, succeeded) for d in one.ledger.deliveries.of_import(i.id)))
    one.close()
    bodies = [Webhook(SECRET).verify(r.data, {k.lower(): v for k, v in r.headers.items()}) for r in seen]
    assert {(body["type"], body["data"]["id"]) for body in bodies} == {
        ("import.rejected", rejected.id),
        ("import.succeeded", succeeded.id),
    }
    mails = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in other.outbox_dir.glob("*.eml")]
    texts = sorted(mail.get_content() for mail in mails)
    assert any("was rejected" in text and "conflicting_duplicate" in text and rejected.id in text for text in texts)
    assert any("2 × ID 8 appears twice with different data" in text for text in texts)
    assert any("succeeded" in text and succeeded.id in text for text in texts)


def test_cancel_says_what_was_loaded(bulkhead: Bulkhead, tmp_path: Path) -> None:
    with psycopg.connect(bulkhead.settings.database_url) as connection:  # a slow warehouse
        connection.execute(
            """create function slow() returns trigger language plpgsql as
            $$ begin perform pg_sleep(0.5); return null; end $$"""
        )
        connection.execute("create trigger slow after insert on warehouse.records execute function slow()")
    key = bulkhead.drop(tree(8000))
    wait_until(lambda: any(one.state is State.LOADING for one in imports_of(bulkhead.ledger, key)))
    (loading,) = imports_of(bulkhead.ledger, key)
    assert bulkhead.orchestrator.cancel(loading.id)
    one = bulkhead.import_of(key)
    assert one.state is State.CANCELED
    assert balance(one)
    assert one.unprocessed > 0
    assert bulkhead.rows("select count(*) from warehouse.records") == [(one.inserted,)]


@pytest.mark.all_versions
def test_the_mart_is_brought_up_to_date_with_depth_path_and_children(bulkhead: Bulkhead) -> None:
    places = "id,parentId,name,kind\nFR,,France,Country\nFR-IDF,FR,Île-de-France,Region\nFR-75C,FR-IDF,Paris,Department\n"
    assert bulkhead.ingest(places, dataset="places").state is State.SUCCEEDED
    # After the import, and apart from it.
    wait_until(lambda: bulkhead.rows("select count(*) from warehouse.places_tree") == [(3,)])
    assert bulkhead.rows("select id, depth, path, children from warehouse.places_tree order by depth") == [
        ("FR", 0, "FR", 1),
        ("FR-IDF", 1, "FR > FR-IDF", 1),
        ("FR-75C", 2, "FR > FR-IDF > FR-75C", 0),
    ]
