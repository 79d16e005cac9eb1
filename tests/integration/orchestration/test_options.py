"""What an upload may ask for, on the real parts: quarantine, dry run, promote."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
import uuid_utils

from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.object_keys import report_prefix, results_prefix
from pipeline.contracts.options import OnError, Options
from pipeline.contracts.states import State
from pipeline.ledger.models import ImportRecord
from tests.support.bulkhead import HEADER, SMALL_PARTS, Bulkhead, balance, tree
from tests.support.import_steps import DRY_RUN, QUARANTINE, ended, known, promote, upload
from tests.support.waiting import wait_until

pytestmark = pytest.mark.settings(**SMALL_PARTS)


SNAPSHOT = 'select id, "parentId", name, _import_id::text, _row, xmin::text from warehouse.records order by id'


def failed(bulkhead: Bulkhead, one: ImportRecord) -> dict[int, dict[str, Any]]:
    """The failed records by their rows, the same in the ledger and in both files."""
    array = json.loads(bulkhead.store.get_bytes(results_prefix(one.id) + "failed.json"))
    table = list(csv.DictReader(io.StringIO(bulkhead.store.get_bytes(results_prefix(one.id) + "failed.csv").decode())))
    booked = bulkhead.ledger.failures.page(one.id)
    assert [(each["row"], each["code"], each["reason"]) for each in array] == [
        (each["row"], each["code"], each["message"]) for each in booked
    ]
    assert [(int(line["row"]), line["code"]) for line in table] == [(each["row"], each["code"]) for each in booked]
    return {each["row"]: each for each in booked}


# --- Quarantine ---

MIXED = HEADER + (
    "1,,root\n2,1,a\n2,1,a\n3,9,orphan\n3a,3,below the orphan\n4,5,x\n5,4,y\n10,4,below the circle\n"
    "8,1,one\n8,1,other\n11,8,below one of two\n,1,nameless\n12,1,too,many\n13,2,below the first copy\n"
)


def test_good_records_are_loaded_and_bad_ones_quarantined_with_their_descendants(bulkhead: Bulkhead) -> None:
    one = upload(bulkhead, MIXED, QUARANTINE)
    assert (one.state, one.reason) == (State.PARTIALLY_SUCCEEDED, "11 of 14 records are in quarantine.")
    assert bulkhead.rows("select id from warehouse.records order by id") == [("1",), ("13",), ("2",)]
    assert (one.inserted, one.failed, one.quarantined, one.unprocessed, one.records_total) == (3, 11, 11, 0, 14)
    assert balance(one)
    assert (one.parts_total, one.parts_done) == (1, 1)
    kept = failed(bulkhead, one)
    assert {row: each["code"] for row, each in kept.items()} == {
        **{3: "duplicate_id", 4: "missing_parent", 5: "parent_quarantined", 6: "circular_reference", 7: "circular_reference"},
        **{8: "parent_quarantined", 9: "conflicting_duplicate", 10: "conflicting_duplicate", 11: "parent_quarantined"},
        **{12: "missing_id", 13: "malformed_row"},
    }
    assert kept[5]["record"] == {"id": "3a", "parentId": "3", "name": "below the orphan"}
    assert kept[5]["message"] == "Its ancestor 3 (line 5) is in quarantine."
    assert (kept[13]["id"], kept[12]["id"]) == ("", "")
    assert kept[13]["record"] == {"_text": "12,1,too,many\n"}
    assert one.findings_errors == 7
    assert len([found for found in bulkhead.findings(one) if found["severity"] == "error"]) == 7


def test_descendants_of_a_bad_record_through_the_warehouse_are_quarantined_too(bulkhead: Bulkhead) -> None:
    assert bulkhead.ingest(HEADER + "a,,x\nb,a,x\nc,b,x\n").state is State.SUCCEEDED
    one = upload(
        bulkhead, HEADER + "a,nobody,moved\nd,c,below a, through b and c\n".replace(", through", " through"), QUARANTINE
    )
    assert one.state is State.REJECTED
    assert "nothing is left to load" in one.reason
    one = upload(bulkhead, HEADER + "a,nobody,moved\nd,c,below a\ne,,good\n", QUARANTINE)
    assert {each["id"]: each["code"] for each in failed(bulkhead, one).values()} == {
        "a": "missing_parent",
        "d": "parent_quarantined",
    }
    assert bulkhead.rows("select id, name from warehouse.records where id in ('a', 'd', 'e') order by id") == [
        ("a", "x"),
        ("e", "good"),
    ]


@pytest.mark.parametrize(
    ("limits", "state", "said"),
    [
        ({"max_errors": 2}, State.PARTIALLY_SUCCEEDED, "3 of 10 records are in quarantine."),
        ({"max_errors": 1}, State.REJECTED, "2 of 10 records have errors; at most 1 may go into quarantine (max_errors)."),
        ({"max_error_ratio": 0.1}, State.REJECTED, "2 of 10 records have errors; at most a share of 0.1 may"),
        ({"max_error_ratio": 0.2}, State.PARTIALLY_SUCCEEDED, "3 of 10 records are in quarantine."),
    ],
)
def test_too_many_bad_records_reject_the_file(bulkhead: Bulkhead, limits: dict[str, Any], state: State, said: str) -> None:
    rows = tree(10).replace("r9,r2,", "r9,nobody,").replace("r1,r0,n1\n", "r1,nobody,n1\n").replace("r5,r1", "r5,r0")
    rows = rows.replace("r6,r1,", "r6,r0,").replace("r7,r1,", "r7,r0,")
    one = upload(bulkhead, rows, Options(on_error=OnError.QUARANTINE, **limits))
    assert one.state is state
    assert said in one.reason
    assert balance(one)
    if state is State.REJECTED:
        assert (one.quarantined, one.failed) == (0, 0)
        assert bulkhead.rows("select count(*) from warehouse.records") == [(0,)]


def test_a_fault_of_the_whole_file_rejects_it(bulkhead: Bulkhead) -> None:
    one = upload(bulkhead, "id,name\n1,a\n", QUARANTINE)
    assert one.state is State.REJECTED
    assert "An error concerns the whole file" in one.reason


def test_a_refusal_of_the_warehouse_and_a_quarantine_in_one_file(bulkhead: Bulkhead) -> None:
    with bulkhead.engine.begin() as connection:
        connection.exec_driver_sql("alter table warehouse.records add constraint short check (length(name) < 20)")
    rows = tree(500).replace("n100\n", "a name that is far too long\n").replace("r499,r124,", "r499,nobody,")
    one = upload(bulkhead, rows, QUARANTINE)
    assert one.state is State.PARTIALLY_SUCCEEDED
    assert one.reason == "1 of 500 records is in quarantine. The warehouse refused 5 of 500 records."
    assert (one.inserted, one.failed, one.quarantined) == (494, 6, 1)
    assert balance(one)
    assert set(failed(bulkhead, one)[250]["record"]) == {"id", "parentId", "name"}


# --- Dry run, and promote ---


def test_a_dry_run_writes_nothing_and_counts_what_its_promotion_changes(bulkhead: Bulkhead) -> None:
    bulkhead.ingest(tree(500))
    before = bulkhead.rows(SNAPSHOT)
    rows = tree(600).replace("n7\n", "changed\n").replace("r9,r2,n9", "r9,r3,n9")
    one = upload(bulkhead, rows, DRY_RUN)
    assert (one.state, one.preview) == (State.VALIDATED, {"inserted": 100, "updated": 2, "unchanged": 498, "moved": 1})
    assert bulkhead.rows(SNAPSHOT) == before
    assert (one.inserted, one.failed, one.unprocessed, one.parts_total) == (0, 0, 600, 0)
    assert balance(one)
    assert [move.to_state for move in bulkhead.ledger.imports.moves(one.id)][-2:] == ["validating", "validated"]
    assert list(bulkhead.store.list(f"batches/{one.id}/")) == []

    loaded = promote(bulkhead, one.id)
    assert loaded.state is State.SUCCEEDED
    assert {name: loaded.counts[name] for name in ("inserted", "updated", "unchanged")} == {
        name: loaded.preview[name]  # type: ignore[index]
        for name in ("inserted", "updated", "unchanged")
    }
    assert (loaded.id, loaded.sha256, loaded.unprocessed, loaded.options.dry_run) == (one.id, one.sha256, 0, False)
    assert loaded.started_at is not None
    assert one.finished_at is not None
    assert loaded.started_at > one.finished_at
    assert bulkhead.rows("select count(*), count(*) filter (where name = 'changed') from warehouse.records") == [(600, 1)]
    mails = bulkhead.settings.outbox_dir
    wait_until(lambda: len(list(mails.glob("*.eml"))) == 3)  # the first import, the dry run, and its promotion
    wait_until(lambda: all(delivery["delivered_at"] for delivery in bulkhead.ledger.deliveries.of_import(one.id)))
    assert bulkhead.ledger.deliveries.of_import(one.id)


def test_a_dry_run_with_a_quarantine_is_of_the_good_records(bulkhead: Bulkhead) -> None:
    one = upload(bulkhead, MIXED, Options(dry_run=True, on_error=OnError.QUARANTINE))
    assert (one.state, one.preview) == (State.VALIDATED, {"inserted": 3, "updated": 0, "unchanged": 0, "moved": 0})
    assert (one.quarantined, one.failed, one.unprocessed) == (11, 11, 3)
    assert len(failed(bulkhead, one)) == 11
    loaded = promote(bulkhead, one.id)
    assert (loaded.state, loaded.inserted, loaded.quarantined) == (State.PARTIALLY_SUCCEEDED, 3, 11)
    assert balance(loaded)


def test_a_bad_dry_run_is_rejected_with_its_report(bulkhead: Bulkhead) -> None:
    one = upload(bulkhead, MIXED, DRY_RUN)
    assert (one.state, one.reason, one.preview) == (State.REJECTED, "7 errors", None)
    assert bulkhead.store.head(report_prefix(one.id) + "findings.csv") is not None


def test_two_dry_runs_wait_for_each_other_and_neither_is_promoted_by_a_reconciliation(bulkhead: Bulkhead) -> None:
    ones = [upload(bulkhead, tree(50, name=name), DRY_RUN, wait=False) for name in ("x", "y")]
    first, second = (ended(bulkhead, one.id) for one in ones)
    assert {first.state, second.state} == {State.VALIDATED}
    assert first.finished_at is not None
    assert second.started_at is not None
    assert first.finished_at <= second.started_at
    for one in (first, second):
        bulkhead.orchestrator.announce(ObjectArrived(one.bucket, one.key))
    assert bulkhead.orchestrator.reconcile().started == 0
    bulkhead.ingest(tree(5), name="later.csv")
    assert {known(bulkhead, one.id).state for one in (first, second)} == {State.VALIDATED}
    assert promote(bulkhead, second.id).inserted == 45
    assert promote(bulkhead, first.id).updated == 50


def test_a_promoted_import_goes_to_the_end_of_the_queue(bulkhead: Bulkhead) -> None:
    one = upload(bulkhead, tree(20), DRY_RUN)
    wait_until(lambda: not bulkhead.orchestrator.queue_is_running("records"))
    waits = {"dataset": "records", "filename": "b.csv", "bucket": "b", "key": "incoming/records/b.csv", "state": State.QUEUED}
    other = str(uuid_utils.uuid7())
    bulkhead.ledger.imports.open(other, **waits)  # type: ignore[arg-type]
    bulkhead.ledger.imports.promote(one.id)
    promoted = known(bulkhead, one.id)
    assert (known(bulkhead, other).queue_position, promoted.queue_position) == (0, 1)
    assert (promoted.records_total, promoted.unprocessed, promoted.started_at, promoted.finished_at) == (0, 0, None, None)
    bulkhead.ledger.imports.move(other, State.CANCELED)
    assert bulkhead.orchestrator.reconcile().started == 1  # its announcement was lost
    assert ended(bulkhead, one.id).state is State.SUCCEEDED


@pytest.mark.parametrize("replaced", [True, False])
def test_only_the_very_bytes_that_were_validated_are_loaded(bulkhead: Bulkhead, replaced: bool) -> None:
    one = upload(bulkhead, tree(20), DRY_RUN)
    if replaced:
        bulkhead.store.put_bytes(one.key, tree(21).encode())
    else:
        bulkhead.store.delete(one.key)
    loaded = promote(bulkhead, one.id)
    assert loaded.state is State.REJECTED
    assert loaded.findings_by_code == {"file_replaced" if replaced else "file_removed": 1}
    assert bulkhead.rows("select count(*) from warehouse.records") == [(0,)]


def test_a_dry_run_is_validated_again_when_it_is_promoted(bulkhead: Bulkhead) -> None:
    assert bulkhead.ingest(HEADER + "a,,x\nb,,x\n").state is State.SUCCEEDED
    one = upload(bulkhead, HEADER + "a,b,x\n", DRY_RUN)
    assert one.preview == {"inserted": 0, "updated": 1, "unchanged": 0, "moved": 1}
    assert bulkhead.ingest(HEADER + "b,a,x\n", name="b.csv").state is State.SUCCEEDED
    assert promote(bulkhead, one.id).state is State.REJECTED


def test_the_delimiter_that_was_chosen_is_taken_and_shown(bulkhead: Bulkhead) -> None:
    one = upload(bulkhead, "id;parentId;name\n1;;a|b\n", Options(delimiter=";"))
    assert one.state is State.SUCCEEDED
    assert {name: one.source[name] for name in ("format", "compression", "encoding", "delimiter")} == {
        "format": "csv",
        "compression": "none",
        "encoding": "utf-8",
        "delimiter": ";",
    }
    assert upload(bulkhead, "id;parentId;name\n1;;a|b\n", Options(delimiter="|")).state is State.REJECTED
