"""Never two imports of one dataset at work; what is lost is found again; what was canceled ends so. On the real parts."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from pipeline.adapters.postgres import connect
from pipeline.adapters.s3 import Store
from pipeline.contracts.messages import Ending, ImportRef, ImportRun, NextImportRequest, ObjectArrived, ObjectsArrived, PartRef
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.contracts.workflows import IMPORT_WORKFLOW, import_workflow_id, queue_workflow_id
from pipeline.errors import Canceled, DatasetBusy, IllegalMove, InvalidRequest, SystemFault, TransientError
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.local import postgres
from pipeline.local.stack import Stack
from pipeline.orchestration.activities import Activities
from pipeline.orchestration.finish_activities import FinishActivities
from pipeline.receive.reconciliation import Reconciler
from pipeline.settings import ROOT, Settings
from pipeline.warehouse import migrate
from tests.support.bulkhead import HEADER, SMALL_PARTS, Bulkhead, balance, tree
from tests.support.http import Caller
from tests.support.import_steps import ended, known, pause, slow, upload
from tests.support.waiting import wait_until
from web import create_app
from web.app_context import AppContext

pytestmark = pytest.mark.settings(**SMALL_PARTS)


NOW = datetime.now(UTC)


@pytest.fixture
def idle(settings: Settings, store: Store) -> Iterator[Bulkhead]:
    """Without a worker: nothing moves by itself."""
    with closing(Bulkhead(settings, store)) as one:
        yield one


def queued(bulkhead: Bulkhead, text: str = HEADER + "1,,a\n", *, dataset: str = "records", whole: bool = True) -> ImportRef:
    """An import in the ledger, with its object, that nothing was told of."""
    import_id = str(uuid.uuid4())
    key, bucket = f"incoming/{dataset}/{import_id}/a.csv", bulkhead.store.bucket
    bulkhead.ledger.imports.open(import_id, dataset=dataset, filename="a.csv", bucket=bucket, key=key)
    if whole:
        make_whole(bulkhead, import_id, text)
    return known(bulkhead, import_id).ref


def make_whole(bulkhead: Bulkhead, import_id: str, text: str = HEADER + "1,,a\n") -> None:
    bulkhead.store.put_bytes(known(bulkhead, import_id).key, text.encode())
    stored = bulkhead.store.head(known(bulkhead, import_id).key)
    assert stored is not None
    bulkhead.ledger.uploads.complete(import_id, size_bytes=stored.size_bytes, sha256="", etag=stored.etag)


def temporal(bulkhead: Bulkhead, do: Callable[[Client], Any]) -> Any:
    """Do something with a client of Temporal's own."""

    async def run() -> Any:
        return await do(
            await Client.connect(bulkhead.settings.temporal_address, namespace=bulkhead.settings.temporal_namespace)
        )

    return asyncio.run(run())


def terminate(bulkhead: Bulkhead, workflow_id: str) -> None:
    temporal(bulkhead, lambda client: client.get_workflow_handle(workflow_id).terminate("by a test"))


def lose_runs(bulkhead: Bulkhead, import_id: str) -> None:
    """As if Temporal's database were lost: neither the queue nor the import's run is there any more."""
    terminate(bulkhead, queue_workflow_id("records"))
    terminate(bulkhead, import_workflow_id(import_id))


def at_work_together(bulkhead: Bulkhead) -> list[Any]:
    """Pairs of imports of one dataset that were at work at the same time."""
    return bulkhead.rows(
        """with spans as (
            select import.id, import.dataset, import.started_at, coalesce(import.finished_at, now()) as finished_at
            from ledger.import where import.started_at is not null
        )
        select one.id, other.id from spans as one join spans as other on one.dataset = other.dataset and one.id < other.id
        where one.started_at < other.finished_at and other.started_at < one.finished_at"""
    )


# --- The ledger's own lock ---


def test_the_ledger_lets_one_import_of_a_dataset_be_at_work(idle: Bulkhead) -> None:
    refs = [queued(idle) for _ in range(8)]

    def take_up(ref: ImportRef) -> str | None:
        try:
            Ledger(idle.engine).imports.take_up(ref.import_id, NOW)
        except DatasetBusy:
            return None
        return ref.import_id

    with ThreadPoolExecutor(8) as pool:
        taken = [one for one in pool.map(take_up, refs) if one]
    assert len(taken) == 1, "however many try at once"
    (at_work,) = taken
    waits = next(ref for ref in refs if ref.import_id != at_work)
    for state in (State.PREPARING, State.LOADING, State.PAUSED):
        idle.ledger.imports.move(at_work, state)
        with pytest.raises(DatasetBusy, match="Another import of the dataset records"):
            idle.ledger.imports.take_up(waits.import_id, NOW)
        assert known(idle, waits.import_id).state is State.QUEUED
    idle.ledger.imports.take_up(queued(idle, dataset="places").import_id, NOW)  # others do not wait
    idle.ledger.imports.take_up(at_work, NOW)  # its run was lost
    idle.ledger.imports.move(at_work, State.FAILED)
    idle.ledger.imports.take_up(waits.import_id, NOW)


def test_an_attempt_that_slept_does_not_take_up_what_a_later_one_has(idle: Bulkhead) -> None:
    ref = queued(idle)
    idle.ledger.imports.take_up(ref.import_id, NOW)
    idle.ledger.imports.move(ref.import_id, State.PREPARING)
    idle.ledger.imports.move(ref.import_id, State.LOADING)
    with pytest.raises(TransientError):
        idle.ledger.imports.take_up(ref.import_id, NOW - timedelta(seconds=1))
    assert known(idle, ref.import_id).state is State.LOADING


def test_the_running_import_is_listed_before_the_waiting_ones(idle: Bulkhead) -> None:
    first = queued(idle, whole=False)  # a slow upload
    second, third = queued(idle), queued(idle)
    idle.ledger.imports.take_up(second.import_id, NOW)
    make_whole(idle, first.import_id)
    found = idle.ledger.imports.next("records")
    assert found is not None
    assert found.id == second.import_id
    places = [known(idle, ref.import_id).queue_position for ref in (first, second, third)]
    assert places == [1, 0, 2]


def test_a_ledger_in_which_two_are_at_work_is_migrated_and_one_of_them_waits(stack: Stack) -> None:
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.url(stack.home), autocommit=True) as server:
        server.execute(f"create database {name}")
        url = postgres.url(stack.home, name)
        engine = connect(url)
        config = Config()
        config.set_main_option("script_location", str(ROOT / "sql" / "migrations"))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0007")
            for state, minutes in (("loading", 2), ("paused", 1), ("queued", 0)):
                connection.exec_driver_sql(
                    "insert into ledger.import (id, dataset, state, started_at)"
                    f" values (gen_random_uuid(), 'records', '{state}', now() - interval '{minutes} minutes')"
                )
        engine.dispose()
        migrate.migrate(url)
        with psycopg.connect(url) as connection:
            states = connection.execute("select state from ledger.import order by started_at").fetchall()
            moves = connection.execute("select from_state, to_state from ledger.move").fetchall()
        assert states == [("loading",), ("queued",), ("queued",)]
        assert moves == [("paused", "queued")]
        server.execute(f"drop database {name} with (force)")


# --- A step that was cut off after its last write ---


def test_every_step_answers_the_same_when_it_was_cut_off_after_its_last_write(idle: Bulkhead, store: Store) -> None:
    """Killed after its last commit and before its answer, a step is run again: from REGISTER to FINISH, and CLOSE."""
    activities = Activities(idle.settings, store, idle.engine, idle.orchestrator)

    def twice(step: Callable[..., Any], given: Any) -> Any:
        first, second = (ActivityEnvironment().run(step, given) for _ in range(2))
        assert first == second
        return first

    key = idle.drop(tree(1000), announce=False)
    twice(activities.queue.register, ObjectsArrived((ObjectArrived(store.bucket, key),)))
    ref = twice(activities.queue.next_import, NextImportRequest("records")).ref
    verdict = twice(activities.files.validate, ref)
    assert (verdict.records, verdict.errors) == (1000, 0)
    plan = twice(activities.files.prepare, ref)
    assert (plan.records, plan.parts) == (1000, 4)
    idle.ledger.imports.pause(ref.import_id, wanted=True)
    assert twice(activities.parts.pause, ref).holds
    twice(activities.parts.resume, ref)
    idle.ledger.imports.pause(ref.import_id, wanted=False)
    results = [twice(activities.parts.load_part, PartRef(ref, part_no)) for part_no in range(1, 5)]
    assert sum(one.inserted for one in results) == 1000
    assert twice(activities.ending.finish, Ending(ref)).state is State.SUCCEEDED
    other = queued(idle)
    assert twice(activities.ending.close, Ending(other, State.FAILED, "no run ended")).state is State.FAILED
    assert [move.to_state for move in idle.ledger.imports.moves(ref.import_id)] == [
        *("queued", "validating", "preparing", "loading", "paused", "loading", "succeeded")
    ]


# --- A queue that is lost, with its import alive ---


def test_a_queue_that_was_terminated_waits_for_the_import_that_is_at_work(bulkhead: Bulkhead) -> None:
    slow(bulkhead)
    first = queued(bulkhead, whole=False)  # opened before, whole after the other one began
    loading = upload(bulkhead, tree(8000), Options(), wait=False)
    wait_until(lambda: known(bulkhead, loading.id).parts_done >= 1)
    make_whole(bulkhead, first.import_id, HEADER + "x,,late\n")
    terminate(bulkhead, queue_workflow_id("records"))
    assert bulkhead.orchestrator.reconcile().started
    assert ended(bulkhead, first.import_id).state is State.SUCCEEDED
    done = known(bulkhead, loading.id)
    assert (done.state, done.inserted) == (State.SUCCEEDED, 8000)
    assert at_work_together(bulkhead) == []
    assert [move.to_state for move in bulkhead.ledger.imports.moves(loading.id)].count("validating") == 1, (
        "it was never begun again"
    )


def test_a_run_that_was_begun_beside_the_one_at_work_ends_and_its_import_has_its_turn_later(bulkhead: Bulkhead) -> None:
    slow(bulkhead)
    loading = upload(bulkhead, tree(4000), Options(), wait=False)
    wait_until(lambda: known(bulkhead, loading.id).parts_done >= 1)
    other = queued(bulkhead, HEADER + "x,,n\n")

    async def begin(client: Client) -> Any:
        handle = await client.start_workflow(
            IMPORT_WORKFLOW.name,
            ImportRun(other),
            id=import_workflow_id(other.import_id),
            task_queue=bulkhead.settings.task_queue,
        )
        return await asyncio.wait_for(asyncio.gather(handle.result(), return_exceptions=True), 20)

    (refused,) = temporal(bulkhead, begin)
    assert "Another import of the dataset records" in str(refused.__cause__.__cause__ or refused.__cause__)
    assert known(bulkhead, other.import_id).state is State.QUEUED
    assert ended(bulkhead, other.import_id).state is State.SUCCEEDED, "the queue asked who is next"
    assert at_work_together(bulkhead) == []


# --- Cancel: what was answered with 202 is kept ---


@pytest.fixture
def api(settings: Settings, bulkhead: Bulkhead) -> Iterator[Caller]:
    """An uploader, on the same edges as the worker."""
    with closing(AppContext.of(settings)) as edges:
        yield Caller(create_app(settings, context=edges).test_client(), edges.keys.create("an uploader", "uploader")[0])


def cancel(api: Caller, import_id: str) -> Any:
    answer = api.post(f"/v1/imports/{import_id}/cancel")
    assert answer.status_code == 202, answer.json
    assert answer.json["cancel_requested"] or answer.json["state"] == "canceled"
    return answer.json


def canceled(bulkhead: Bulkhead, import_id: str) -> ImportRecord:
    """The import at its end, which is what was asked for, with exact counts."""
    done = ended(bulkhead, import_id)
    assert done.state is State.CANCELED, done.reason
    assert balance(done)
    assert bulkhead.rows("select count(*) from warehouse.records") == [(done.inserted,)]
    return done


def test_a_cancel_while_a_large_file_is_validated_is_kept(bulkhead: Bulkhead, api: Caller) -> None:
    one = upload(bulkhead, tree(100_000), Options(), wait=False)
    wait_until(lambda: known(bulkhead, one.id).state is State.VALIDATING)
    cancel(api, one.id)
    assert canceled(bulkhead, one.id).inserted == 0
    again = api.post(f"/v1/imports/{one.id}/cancel")
    assert (again.status_code, again.json["code"]) == (409, "already_finished")


def test_a_cancel_after_a_pause_while_it_is_validated_is_kept(bulkhead: Bulkhead, api: Caller) -> None:
    one = upload(bulkhead, tree(5000), Options(), wait=False)
    wait_until(lambda: known(bulkhead, one.id).state is State.VALIDATING)
    assert api.post(f"/v1/imports/{one.id}/pause").status_code == 202
    cancel(api, one.id)
    cancel(api, one.id)
    resumed = api.post(f"/v1/imports/{one.id}/resume")
    assert (resumed.status_code, resumed.json["code"]) in ((409, "conflict"), (409, "already_finished"))
    assert canceled(bulkhead, one.id).inserted == 0


def test_a_cancel_of_a_paused_import_whose_runs_are_lost_is_carried_out(bulkhead: Bulkhead, api: Caller) -> None:
    slow(bulkhead)
    one = upload(bulkhead, tree(8000), Options(), wait=False)
    wait_until(lambda: known(bulkhead, one.id).parts_done >= 2)
    pause(bulkhead, one.id, wanted=True)
    wait_until(lambda: known(bulkhead, one.id).state is State.PAUSED)
    lose_runs(bulkhead, one.id)
    cancel(api, one.id)
    done = canceled(bulkhead, one.id)
    assert 0 < done.inserted < 8000
    assert done.unprocessed == 8000 - done.inserted
    assert [move.to_state for move in bulkhead.ledger.imports.moves(one.id)].count("validating") == 1, (
        "it was not validated for that"
    )


def test_a_cancel_and_a_pause_while_temporal_is_away_are_carried_out_by_reconciliation(bulkhead: Bulkhead) -> None:
    slow(bulkhead)
    away = bulkhead.settings.model_copy(update={"temporal_address": "127.0.0.1:1"})
    with closing(AppContext.of(away)) as edges:
        api = Caller(create_app(away, context=edges).test_client(), edges.keys.create("an uploader", "uploader")[0])
        one = upload(bulkhead, tree(8000), Options(), wait=False)
        wait_until(lambda: known(bulkhead, one.id).state is State.LOADING)
        assert api.post(f"/v1/imports/{one.id}/pause").status_code == 202
        bulkhead.orchestrator.reconcile()
        wait_until(lambda: known(bulkhead, one.id).state is State.PAUSED)
        cancel(api, one.id)
    assert known(bulkhead, one.id).state is State.PAUSED
    bulkhead.orchestrator.reconcile()
    canceled(bulkhead, one.id)


def test_a_cancel_while_the_books_are_being_closed_is_kept(bulkhead: Bulkhead, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after the ending was decided, and right before the last move."""
    store_summary, decided = FinishActivities._store_summary, list[State]()

    def asked_meanwhile(activities: FinishActivities, one: ImportRecord, state: State, reason: str) -> None:
        decided.append(state)
        if not one.cancel_requested:
            bulkhead.ledger.imports.cancel(one.id)
        store_summary(activities, one, state, reason)

    monkeypatch.setattr(FinishActivities, "_store_summary", asked_meanwhile)
    done = canceled(bulkhead, upload(bulkhead, tree(300), Options()).id)
    assert decided == [State.SUCCEEDED, State.CANCELED]
    assert (done.inserted, done.unprocessed) == (300, 0)


def test_a_request_to_cancel_is_refused_at_the_end_and_closes_what_waits_at_once(idle: Bulkhead) -> None:
    waits = queued(idle)
    assert idle.ledger.imports.cancel(waits.import_id)
    assert known(idle, waits.import_id).state is State.CANCELED
    with pytest.raises(IllegalMove, match="cannot be canceled any more"):
        idle.ledger.imports.cancel(waits.import_id)
    works = queued(idle)
    idle.ledger.imports.take_up(works.import_id, NOW)
    assert not idle.ledger.imports.cancel(works.import_id)
    asked = known(idle, works.import_id).cancel_requested_at
    idle.ledger.imports.cancel(works.import_id)
    assert known(idle, works.import_id).cancel_requested_at == asked
    for way in (
        lambda: idle.ledger.imports.take_up(works.import_id, NOW),
        lambda: idle.ledger.imports.move(works.import_id, State.PREPARING),
        lambda: idle.ledger.imports.move(works.import_id, State.REJECTED),
        lambda: idle.ledger.imports.check_canceled(works.import_id),
    ):
        with pytest.raises(Canceled):
            way()
    with pytest.raises(IllegalMove, match="being canceled"):
        idle.ledger.imports.pause(works.import_id, wanted=False)
    assert idle.ledger.imports.move(works.import_id, State.CANCELED)


# --- Reconciliation ---


def test_an_import_at_work_whose_run_is_lost_goes_on_though_its_dataset_is_busy_with_arrivals(bulkhead: Bulkhead) -> None:
    slow(bulkhead)
    one = upload(bulkhead, tree(8000), Options(), wait=False)
    wait_until(lambda: known(bulkhead, one.id).parts_done >= 2)
    lose_runs(bulkhead, one.id)
    later = upload(bulkhead, HEADER + "x,,n\n", Options(), wait=False)  # its event starts the queue anew
    done = ended(bulkhead, one.id)
    assert (done.state, done.inserted) == (State.SUCCEEDED, 8000)
    assert ended(bulkhead, later.id).state is State.SUCCEEDED
    assert at_work_together(bulkhead) == []


def test_a_dataset_is_woken_by_one_signal_however_many_wait(
    idle: Bulkhead, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        queued(idle)
    queued(idle, dataset="places")
    told: list[str] = []
    monkeypatch.setattr(idle.orchestrator, "announce", lambda arrival: told.append(arrival.import_id))
    found = Reconciler(idle.settings, store, idle.ledger, idle.orchestrator).reconcile(beat=lambda _: None)
    assert (len(told), found.started) == (2, 2)


def test_the_run_of_an_import_that_the_ledger_does_not_know_does_not_hold_its_dataset(bulkhead: Bulkhead, store: Store) -> None:
    """PostgreSQL was restored from an older copy than Temporal."""
    one = upload(bulkhead, tree(4000), Options(), wait=False)
    pause(bulkhead, one.id, wanted=True)
    wait_until(lambda: known(bulkhead, one.id).state is State.PAUSED)
    with bulkhead.engine.begin() as connection:
        connection.exec_driver_sql(f"delete from ledger.import where id = '{one.id}'")
    store.delete(one.key)
    later = upload(bulkhead, HEADER + "x,,n\n", Options(), wait=False)
    assert bulkhead.orchestrator.reconcile().terminated == 0, "it has not run for long; it may be a race"
    reconciler = Reconciler(bulkhead.settings, store, bulkhead.ledger, bulkhead.orchestrator)
    found = reconciler.reconcile(beat=lambda _: None, now=datetime.now(UTC) + timedelta(minutes=6))
    assert found.terminated == 1
    assert ended(bulkhead, later.id).state is State.SUCCEEDED


def test_a_reconciliation_or_a_clean_up_that_fails_says_why(bulkhead: Bulkhead, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise InvalidRequest("The bucket is not there.")

    monkeypatch.setattr("pipeline.receive.reconciliation.Reconciler.reconcile", fail)
    monkeypatch.setattr("pipeline.retention.clean", fail)
    with pytest.raises(SystemFault, match="The reconciliation failed: The bucket is not there"):
        bulkhead.orchestrator.reconcile()
    with pytest.raises(SystemFault, match="The clean-up failed: The bucket is not there"):
        bulkhead.orchestrator.clean()
