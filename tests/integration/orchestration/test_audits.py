"""Audits from the request to the report: by a worker, a killed one, a schedule; canceled, failed, forgotten, and removed."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from temporalio.client import Client, ScheduleActionStartWorkflow
from temporalio.service import RPCError, RPCStatusCode

from pipeline import retention
from pipeline.adapters import postgres
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.audits import AuditRef, AuditState, AuditStep
from pipeline.contracts.object_keys import audit_prefix
from pipeline.contracts.workflows import AUDIT_WORKFLOW, SCHEDULED_AUDIT_WORKFLOW
from pipeline.errors import Canceled, Superseded
from pipeline.ledger.audit_record import AuditRecord
from pipeline.ledger.audits import AuditAtWork
from pipeline.ledger.ledger import Ledger
from pipeline.orchestration import audit_activities
from pipeline.settings import Settings
from tests.support.bulkhead import Bulkhead
from tests.support.histories import Histories
from tests.support.waiting import wait_until
from tests.support.worker_process import closing_worker
from tests.support.workers import running_worker

RECORDS = [("a", None, "x"), ("b", "a", "y"), ("c", "gone", "z"), ("d", "d", "z")]


def put(settings: Settings, rows: list[tuple[str, str | None, str]] = RECORDS) -> None:
    """Records that another client wrote, with what no import would have loaded."""
    with psycopg.connect(settings.database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            'insert into warehouse.records (id, "parentId", name, _import_id, _row) values (%s, %s, %s, gen_random_uuid(), 1)',
            rows,
        )


class Audits:
    """Audits of a test's own ledger and Temporal."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = postgres.connect(settings.database_url)
        self.ledger = Ledger(self.engine)
        self.temporal = TemporalClient.of(settings)

    def close(self) -> None:
        self.temporal.close()
        self.engine.dispose()

    def start(self, dataset: str = "records") -> str:
        audit_id = self.ledger.audits.open(str(uuid.uuid4()), dataset=dataset)
        self.temporal.audit(AuditRef(audit_id, dataset))
        return audit_id

    def now(self, audit_id: str) -> AuditRecord:
        found = self.ledger.audits.get(audit_id)
        assert found is not None
        return found

    def ended(self, audit_id: str, seconds: float = 60.0) -> AuditRecord:
        wait_until(lambda: self.now(audit_id).state.is_final, seconds)
        return self.now(audit_id)


@pytest.fixture
def audits(settings: Settings) -> Iterator[Audits]:
    with closing(Audits(settings)) as one:
        yield one


@contextmanager
def locked_table(settings: Settings) -> Iterator[None]:
    """Nothing can be read from the table of records meanwhile."""
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("lock table warehouse.records in access exclusive mode")
        yield


# --- what it finds ---


def test_an_audit_reports_what_is_loaded(settings: Settings, audits: Audits, store: Store, histories: Histories) -> None:
    put(settings)
    with running_worker(settings):
        one = audits.ended(audits.start())
        histories.keep_ended(settings, AUDIT_WORKFLOW.name, "audit_succeeded")
    assert (one.state, one.records, one.invalid, one.invalid_percent) == (AuditState.SUCCEEDED, 4, 2, 50.0)
    assert one.findings_by_code == {"missing_parent": 1, "self_parent": 1}
    assert {code["code"]: code["percent"] for code in one.codes} == {"missing_parent": 25.0, "self_parent": 25.0}
    assert sum(not rule["met"] for rule in one.rules) == 2
    found = audits.ledger.audit_findings.page(one.id)
    assert sorted((finding["code"], finding["id"]) for finding in found) == [("missing_parent", "c"), ("self_parent", "d")]
    names = {stored.key.removeprefix(one.prefix) for stored in store.list(one.prefix)}
    assert {"findings.csv", "findings.json", "findings.parquet", "findings.xlsx", "groups.json", "audit.json"} <= names
    assert "docs/index.html" in names
    assert json.loads(store.get_bytes(f"{one.prefix}audit.json"))["codes"] == one.codes
    assert [*settings.work_dir.iterdir()] == [], "no scratch folder is left"


def test_no_hint_speaks_of_a_file(settings: Settings, audits: Audits) -> None:
    put(settings, [*RECORDS, ("e", "0", "n"), ("f", "Alpha", "m"), ("g", None, "Alpha")])
    with running_worker(settings):
        one = audits.ended(audits.start())
    said = [f"{found['message']} {found['hint']}" for found in audits.ledger.audit_findings.page(one.id)]
    assert sorted(said) == [
        'No record has the ID "0". If "0" means that a record has no parent, load the record again without one.',
        'No record has the ID "Alpha". Record "g" has that name: its ID is meant.',
        'No record has the ID "gone". Load the parent, or load the record again with another parent.',
        "The record d is its own parent. Leave the parent empty if the record is a root, or enter the correct parent ID.",
    ]
    assert not [rule["rule"] for rule in one.rules if "file" in rule["rule"]]


def test_a_dataset_has_one_audit_at_a_time(settings: Settings, audits: Audits) -> None:
    first = audits.ledger.audits.open(str(uuid.uuid4()), dataset="records")
    with pytest.raises(AuditAtWork) as caught:
        audits.ledger.audits.open(str(uuid.uuid4()), dataset="records")
    assert caught.value.audit_id == first
    audits.ledger.audits.open(str(uuid.uuid4()), dataset="places")
    audits.ledger.audits.end(first, AuditState.FAILED, "why")
    assert audits.now(first).reason == "why"
    audits.ledger.audits.open(str(uuid.uuid4()), dataset="records")


# --- what goes wrong ---


def test_a_killed_workers_audit_is_begun_again(
    settings: Settings, audits: Audits, environment: dict[str, str], tmp_path: Path
) -> None:
    put(settings)
    with closing_worker(environment, tmp_path) as worker, locked_table(settings):
        audit_id = audits.start()
        wait_until(lambda: audits.now(audit_id).state is AuditState.RUNNING, 300.0)
        begun = audits.now(audit_id).started_at
        worker.kill()
    with running_worker(settings):
        one = audits.ended(audit_id, 300.0)
    assert (one.state, one.records, one.started_at) == (AuditState.SUCCEEDED, 4, begun)


def test_an_attempt_that_slept_changes_nothing(audits: Audits) -> None:
    audit_id = audits.ledger.audits.open(str(uuid.uuid4()), dataset="records")
    early, late = datetime.now(UTC) - timedelta(seconds=20), datetime.now(UTC)
    assert audits.ledger.audits.take_up(audit_id, early)
    assert audits.ledger.audits.take_up(audit_id, late)
    for act in (
        lambda: audits.ledger.audits.note(audit_id, early, AuditStep.CHECKING, 5),
        lambda: audits.ledger.audits.succeed(
            audit_id, early, summary={"records": 1, "invalid": 0, "errors": 0, "warnings": 0}, reading={}
        ),
        lambda: audits.ledger.audits.take_up(audit_id, early),
    ):
        with pytest.raises(Superseded):
            act()
    audits.ledger.audits.note(audit_id, late, AuditStep.CHECKING, 7)
    assert (audits.now(audit_id).state, audits.now(audit_id).records) == (AuditState.RUNNING, 7)


def test_an_audit_that_waits_is_canceled_at_once(settings: Settings, audits: Audits) -> None:
    audit_id = audits.start()
    audits.ledger.audits.cancel(audit_id)
    assert audits.now(audit_id).state is AuditState.CANCELED
    with running_worker(settings):
        assert audits.ended(audits.start()).state is AuditState.SUCCEEDED, "the next one"
    assert audits.now(audit_id).state is AuditState.CANCELED and audits.now(audit_id).started_at is None


@pytest.mark.parametrize("is_signaled", [True, False])
def test_a_running_audit_is_canceled(
    settings: Settings,
    audits: Audits,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    histories: Histories,
    is_signaled: bool,
) -> None:
    """Also if the signal is lost: the ledger is read while it goes on."""
    began = threading.Event()

    def endless(*_: object, beat: Callable[[int], None], **__: object) -> None:
        while True:
            began.set()
            beat(1)

    monkeypatch.setattr(audit_activities, "export_table", endless)
    with running_worker(settings):
        audit_id = audits.start()
        assert began.wait(60)
        audits.ledger.audits.cancel(audit_id)
        if is_signaled:
            audits.temporal.cancel_audit(AuditRef(audit_id, "records"))
        one = audits.ended(audit_id)
        histories.keep_ended(settings, AUDIT_WORKFLOW.name, f"audit_canceled{'' if is_signaled else '_by_the_ledger'}")
    assert (one.state, one.reason) == (AuditState.CANCELED, "")
    assert [*store.list(one.prefix)] == []


def test_an_audit_that_waits_for_a_lock_is_canceled(settings: Settings, audits: Audits) -> None:
    with running_worker(settings), locked_table(settings):
        audit_id = audits.start()
        wait_until(lambda: audits.now(audit_id).state is AuditState.RUNNING, 300.0)
        audits.ledger.audits.cancel(audit_id)
        audits.temporal.cancel_audit(AuditRef(audit_id, "records"))
        assert audits.ended(audit_id).state is AuditState.CANCELED


@pytest.mark.parametrize("is_canceled", [False, True])
def test_an_audit_that_cannot_be_made_says_why(
    settings: Settings, audits: Audits, histories: Histories, is_canceled: bool
) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("drop table warehouse.places cascade")
    audit_id = audits.start("places")
    if is_canceled:
        with audits.engine.begin() as connection:
            connection.exec_driver_sql("update ledger.audit set state = 'running', cancel_requested_at = now()")
    with running_worker(settings):
        one = audits.ended(audit_id)
        histories.keep_ended(settings, AUDIT_WORKFLOW.name, f"audit_{'canceled_before' if is_canceled else 'failed'}")
    if is_canceled:
        assert (one.state, one.reason) == (AuditState.CANCELED, "")
    else:
        assert (one.state, one.reason[:39]) == (AuditState.FAILED, "The dataset places has no table yet. Ru")


@pytest.mark.settings(validation_seconds=0)
def test_a_check_that_does_not_end_is_given_up(settings: Settings, audits: Audits) -> None:
    with running_worker(settings):
        one = audits.ended(audits.start(), 300.0)
    assert one.state is AuditState.FAILED
    assert "BULKHEAD_VALIDATION_SECONDS" in one.reason


def test_canceled_while_it_stores_its_result(audits: Audits) -> None:
    audit_id, attempt = audits.ledger.audits.open(str(uuid.uuid4()), dataset="records"), datetime.now(UTC)
    audits.ledger.audits.take_up(audit_id, attempt)
    audits.ledger.audits.cancel(audit_id)
    with pytest.raises(Canceled):
        audits.ledger.audits.succeed(
            audit_id, attempt, summary={"records": 1, "invalid": 0, "errors": 0, "warnings": 0}, reading={}
        )
    audits.ledger.audits.end(audit_id, AuditState.FAILED, "of no matter")
    assert (audits.now(audit_id).state, audits.now(audit_id).reason) == (AuditState.CANCELED, "")


def test_reconciliation_begins_an_audit_that_nothing_works_on(settings: Settings, audits: Audits) -> None:
    audit_id = audits.ledger.audits.open(str(uuid.uuid4()), dataset="records")
    with audits.engine.begin() as connection:
        connection.exec_driver_sql("update ledger.audit set created_at = created_at - interval '1 minute'")
    with running_worker(settings):
        audits.temporal.reconcile(seconds=60)
        assert audits.ended(audit_id).state is AuditState.SUCCEEDED


# --- by a schedule ---


async def schedules(settings: Settings) -> dict[str, timedelta]:
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    found = {}
    async for one in await client.list_schedules():
        try:
            there = (await client.get_schedule_handle(one.id).describe()).schedule
        except RPCError as error:
            assert error.status is RPCStatusCode.NOT_FOUND  # it was removed since it was listed
            continue
        assert isinstance(there.action, ScheduleActionStartWorkflow)
        found[one.id] = there.spec.intervals[0].every
    return found


async def trigger(settings: Settings, name: str) -> None:
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    await client.get_schedule_handle(name).trigger()


@pytest.mark.schedules
def test_schedules_follow_the_settings_and_start_audits(settings: Settings, audits: Audits, histories: Histories) -> None:
    def are(wanted: dict[str, timedelta]) -> Callable[[], bool]:
        return lambda: asyncio.run(schedules(settings)) == wanted

    day, hour = timedelta(days=1), timedelta(hours=1)
    audits.temporal.schedule_reconciliation(3600)
    audits.temporal.schedule_audits({"records": day, "places": hour})
    wait_until(are({"reconcile": hour, "audit/records": day, "audit/places": hour}), 300.0)
    audits.temporal.schedule_audits({"records": hour})
    wait_until(are({"reconcile": hour, "audit/records": hour}), 300.0)
    with running_worker(settings):
        asyncio.run(trigger(settings, "audit/records"))
        wait_until(lambda: audits.ledger.audits.page("records") != [], 300.0)
        (one,) = audits.ledger.audits.page("records")
        done = audits.ended(one.id)
        histories.keep_ended(settings, SCHEDULED_AUDIT_WORKFLOW.name, "audit_scheduled")
    assert (done.state, done.scheduled, done.created_by) == (AuditState.SUCCEEDED, True, None)


# --- what is removed ---


def an_ended_audit(audits: Audits, store: Store, ended: datetime, state: AuditState = AuditState.SUCCEEDED) -> AuditRecord:
    """An audit with one finding and a file, or one that was canceled and left a file."""
    audit_id, attempt = audits.ledger.audits.open(str(uuid.uuid4()), dataset="records"), datetime.now(UTC)
    audits.ledger.audits.take_up(audit_id, attempt)
    store.put_bytes(f"{audit_prefix('records', audit_id)}findings.csv", b"x")
    with psycopg.connect(audits.settings.database_url) as connection:
        connection.execute(
            "insert into ledger.audit_finding (audit_id, finding_no, code, severity, message) values (%s, 1, 'c', 'error', '')",
            (audit_id,),
        )
    summary: dict[str, Any] = {"records": 1, "invalid": 1, "errors": 1, "warnings": 0, "codes": []}
    if state is AuditState.SUCCEEDED:
        audits.ledger.audits.succeed(audit_id, attempt, summary=summary, reading={})
    else:
        audits.ledger.audits.end(audit_id, state)
    with psycopg.connect(audits.settings.database_url) as connection:
        connection.execute("update ledger.audit set finished_at = %s where id = %s", (ended, audit_id))
    return audits.now(audit_id)


def test_reports_of_audits_go_when_their_time_has_come(settings: Settings, audits: Audits, store: Store) -> None:
    now = datetime.now(UTC)
    old = an_ended_audit(audits, store, now - timedelta(days=91))
    canceled = an_ended_audit(audits, store, now - timedelta(days=91), AuditState.CANCELED)
    young = an_ended_audit(audits, store, now - timedelta(days=89))
    at_work = audits.ledger.audits.open(str(uuid.uuid4()), dataset="records")
    unknown = str(uuid.uuid4())
    prefixes = [audit_prefix("records", one) for one in (at_work, unknown)]
    for prefix in prefixes:
        store.put_bytes(f"{prefix}findings.csv", b"x")

    def clean(*, dry_run: bool = False) -> retention.Cleaned:
        return retention.clean(settings, store, audits.ledger, dry_run=dry_run, beat=lambda _: None, now=now)

    foreseen = clean(dry_run=True)
    assert audits.now(old.id).report_removed_at is None
    done = clean()
    assert done == foreseen and (done.audits, done.objects, done.unknown) == (2, 2, 1)
    assert sorted(stored.key for stored in store.list("audits/")) == sorted(
        f"{prefix}findings.csv" for prefix in (young.prefix, *prefixes)
    ), f"of {at_work}, which has not ended, and of {unknown}, which the ledger does not know, nothing goes"
    assert audits.now(old.id).report_removed_at is not None and audits.now(old.id).invalid == 1, "its counts stay"
    assert audits.ledger.audit_findings.page(old.id) == [] and len(audits.ledger.audit_findings.page(young.id)) == 1
    assert audits.now(canceled.id).report_removed_at is not None
    store.put_bytes(f"{old.prefix}findings.csv", b"x")  # a clean-up that was killed left it
    assert clean().audits == 1
    kept = settings.model_copy(update={"keep_audits": None})
    retention.clean(kept, store, audits.ledger, beat=lambda _: None, now=now + timedelta(days=999))
    assert [*store.list(young.prefix)] != []


def test_the_findings_of_an_import_are_not_those_of_an_audit(bulkhead: Bulkhead, settings: Settings, audits: Audits) -> None:
    """The audit takes a task queue of its own, so an import ends beside one that hangs."""
    with locked_table(settings):
        audit_id = audits.start()
        wait_until(lambda: audits.now(audit_id).state is AuditState.RUNNING, 300.0)
        key = bulkhead.drop("id,parentId,name,kind\nX1,X2,x,y\n", dataset="places")
        rejected = bulkhead.import_of(key)
        assert rejected.findings_errors > 0
    assert audits.ended(audit_id).state is AuditState.SUCCEEDED
    assert bulkhead.ledger.findings.page(audit_id) == [] and bulkhead.ledger.audit_findings.page(rejected.id) == []
