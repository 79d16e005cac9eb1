"""What became of the rows of real imports, as files; and imports of them."""

from __future__ import annotations

import csv
import io
import os
from typing import Any

import pytest

from pipeline.contracts.messages import ResultsWanted
from pipeline.contracts.object_keys import RowOutcome, added_names, results_key, results_prefix
from pipeline.contracts.options import OnError, Options
from pipeline.contracts.states import State
from pipeline.errors import NotFound
from pipeline.ledger.models import ImportRecord
from pipeline.orchestration import result_files
from pipeline.sandbox import write_results
from tests.support.bulkhead import HEADER, SMALL_PARTS, Bulkhead, balance, tree
from tests.support.import_steps import ended, known, pause, paused_before_loading, promote, slow, upload
from tests.support.waiting import wait_until

pytestmark = pytest.mark.settings(**SMALL_PARTS)


QUARANTINE = Options(on_error=OnError.QUARANTINE)


def rows(bulkhead: Bulkhead, one: ImportRecord, fate: RowOutcome, form: str = "native") -> list[dict[str, str]]:
    """The rows of a fate, when its file is there."""
    key = results_key(one.id, fate, form, one.reading)
    wait_until(lambda: bulkhead.store.head(key) is not None)
    return list(csv.DictReader(io.StringIO(bulkhead.store.get_bytes(key).decode())))


def ask(bulkhead: Bulkhead, one: ImportRecord, fate: RowOutcome, form: str = "native") -> list[dict[str, str]]:
    """Have a file written that was not requested before, as the API does."""
    bulkhead.orchestrator.write_results(ResultsWanted(one.ref, fate, form))
    return rows(bulkhead, one, fate, form)


def test_what_failed_is_there_at_once_and_the_rest_when_it_is_asked_for(bulkhead: Bulkhead) -> None:
    one = upload(bulkhead, HEADER + "1,,a\n2,9,b\n3,1,=c\n4,2,below\n", QUARANTINE)
    failed = rows(bulkhead, one, RowOutcome.FAILED)
    assert [(each["id"], each["row"], each["code"]) for each in failed] == [
        ("2", "2", "missing_parent"),
        ("4", "4", "parent_quarantined"),
    ]
    stored = {found.key.rpartition("/")[2] for found in bulkhead.store.list(results_prefix(one.id))}
    assert stored == {"failed-exact.csv", "failed.csv", "failed.json", "failed.parquet", "summary.json"}
    succeeded = ask(bulkhead, one, RowOutcome.SUCCEEDED)
    assert [(each["id"], each["name"], each["row"], each["code"]) for each in succeeded] == [
        ("1", "a", "1", ""),
        ("3", "=c", "3", ""),
    ]
    assert [each["name"] for each in ask(bulkhead, one, RowOutcome.SUCCEEDED, "csv")] == ["a", "'=c"]
    assert ask(bulkhead, one, RowOutcome.UNPROCESSED) == []


def test_of_a_rejected_file_every_row_is_unprocessed_and_says_what_was_wrong_with_it(bulkhead: Bulkhead) -> None:
    one = upload(bulkhead, HEADER + "1,,a\n2,9,b\n", Options())
    assert one.state is State.REJECTED
    found = ask(bulkhead, one, RowOutcome.UNPROCESSED)
    assert [(each["id"], each["code"]) for each in found] == [("1", "not_processed"), ("2", "missing_parent")]
    assert found[0]["reason"] == "1 error"


def test_what_a_canceled_import_left_over_is_loaded_by_a_retry_of_it(bulkhead: Bulkhead) -> None:
    slow(bulkhead)
    text = tree(8000)
    one = upload(bulkhead, text, Options(), wait=False)
    wait_until(lambda: known(bulkhead, one.id).parts_done >= 2)
    pause(bulkhead, one.id, wanted=True)
    wait_until(lambda: known(bulkhead, one.id).state is State.PAUSED)
    bulkhead.orchestrator.cancel(one.id)
    done = ended(bulkhead, one.id)
    left = rows(bulkhead, done, RowOutcome.UNPROCESSED)
    assert len(left) == done.unprocessed > 0
    assert {each["code"] for each in left} == {"not_processed"}
    there = {id_ for (id_,) in bulkhead.rows("select id from warehouse.records")}
    assert there.isdisjoint(each["id"] for each in left)
    assert len(ask(bulkhead, done, RowOutcome.SUCCEEDED)) == len(there) == done.inserted
    exact = bulkhead.store.get_bytes(results_key(done.id, RowOutcome.UNPROCESSED, "native", done.reading)).decode()
    without = added_names(done.reading["original_columns"])
    again = upload(bulkhead, exact, Options(force=True, without=without))
    assert (again.state, again.inserted) == (State.SUCCEEDED, done.unprocessed)
    assert again.reading["original_columns"] == ["id", "parentId", "name"]
    assert bulkhead.rows("select count(*), sum((attributes <> '{}')::int) from warehouse.records") == [(8000, 0)]


def test_what_was_written_of_a_dry_run_is_written_anew_when_it_was_promoted(bulkhead: Bulkhead) -> None:
    one = upload(bulkhead, HEADER + "1,,a\n", Options(dry_run=True))
    assert [each["id"] for each in ask(bulkhead, one, RowOutcome.UNPROCESSED)] == ["1"]
    loaded = promote(bulkhead, one.id)
    assert loaded.state is State.SUCCEEDED
    assert bulkhead.store.head(results_key(one.id, RowOutcome.UNPROCESSED, "native", loaded.reading)) is None
    assert ask(bulkhead, loaded, RowOutcome.UNPROCESSED) == []


def test_a_file_that_kills_the_child_that_writes_results_costs_the_import_only_its_files(
    bulkhead: Bulkhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_results, "write_results", end_oneself)
    one = upload(bulkhead, HEADER + "1,,a\n2,9,b\n", QUARANTINE)
    assert (one.state, one.inserted, one.failed) == (State.PARTIALLY_SUCCEEDED, 1, 1)
    assert [found.key.rpartition("/")[2] for found in bulkhead.store.list(results_prefix(one.id))] == ["summary.json"]


def end_oneself(*_: object) -> None:
    os._exit(9)


def test_results_that_do_not_add_up_fail_the_import(bulkhead: Bulkhead, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = result_files._failed
    monkeypatch.setattr(result_files, "_failed", lambda page: whole(page[1:]))
    one = upload(bulkhead, HEADER + "1,,a\n2,9,b\n4,2,below\n", QUARANTINE)
    assert one.state is State.FAILED
    assert "do not add up: 2 rows succeeded, by the ledger 1; 1 rows failed, by the ledger 2" in one.reason
    assert balance(one)


def test_a_file_that_was_removed_costs_the_import_only_its_files(bulkhead: Bulkhead) -> None:
    one = paused_before_loading(bulkhead, HEADER + "1,,a\n2,,b\n")
    with bulkhead.engine.begin() as connection:
        connection.exec_driver_sql("alter table warehouse.records add constraint no_b check (name <> 'b')")
    bulkhead.store.delete(one.key)
    pause(bulkhead, one.id, wanted=False)
    done = ended(bulkhead, one.id)
    assert (done.state, done.failed, done.inserted) == (State.PARTIALLY_SUCCEEDED, 1, 1)
    assert [each["id"] for each in bulkhead.ledger.failures.page(one.id)] == ["2"]
    bulkhead.orchestrator.write_results(ResultsWanted(done.ref, RowOutcome.FAILED, "native"))
    with pytest.raises(NotFound, match="removed"):
        wait_until(lambda: _asked(bulkhead, done))


def _asked(bulkhead: Bulkhead, one: ImportRecord) -> Any:
    return bulkhead.orchestrator.write_results(ResultsWanted(one.ref, RowOutcome.FAILED, "native"))
