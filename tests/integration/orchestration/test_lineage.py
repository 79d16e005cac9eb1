"""OpenLineage: a real import tells a real receiver of its start and its end, in events that fit the specification."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from pytest_httpserver import HTTPServer
from temporalio.service import RPCError
from werkzeug import Request, Response

from pipeline.adapters import postgres
from pipeline.adapters.s3 import Store
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.contracts.workflows import notify_workflow_id
from pipeline.errors import InvalidConfiguration, Unreachable
from pipeline.ledger.ledger import Ledger
from pipeline.lineage.sender import LineageSender
from pipeline.settings import Settings
from tests.support.bulkhead import HEADER, Bulkhead, tree
from tests.support.import_steps import DRY_RUN, QUARANTINE, ended, paused_before_loading, promote, upload
from tests.support.openlineage_schema import RUN_EVENT
from tests.support.waiting import wait_until
from tests.support.workers import running_worker

SECRET_VALUE = "hidden-value-77"
SPEC = jsonschema_rs.Draft202012Validator(RUN_EVENT, validate_formats=True)
BROKEN = f"{HEADER}a,,one\nb,{SECRET_VALUE},two\na,,{SECRET_VALUE}\n"


class Receiver:
    """An HTTP receiver of events. It refuses as many as it is told to."""

    def __init__(self, server: HTTPServer) -> None:
        self.requests: list[Request] = []
        self.refusals = 0
        self.url = server.url_for("").rstrip("/")
        server.expect_request("/api/v1/lineage", method="POST").respond_with_handler(self._take)

    def _take(self, request: Request) -> Response:
        self.requests.append(request)
        if self.refusals:
            self.refusals -= 1
            return Response(status=503)
        return Response(status=201)

    def events(self, import_id: str) -> list[dict[str, Any]]:
        """Return the events about an import, in the order of their times."""
        found = [json.loads(one.get_data()) for one in [*self.requests]]
        return sorted((one for one in found if import_id in json.dumps(one)), key=lambda one: one["eventTime"])

    def both(self, import_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Wait for the start and the end of an import, check both against the specification, and return them."""
        wait_until(lambda: len({one["eventType"] for one in self.events(import_id)}) == 2)
        start, end = {one["eventType"]: one for one in self.events(import_id)}.values()
        for event in (start, end):
            SPEC.validate(event)
        assert start["eventType"] == "START"
        assert start["run"]["runId"] == end["run"]["runId"] == import_id
        assert SECRET_VALUE not in json.dumps([start, end])
        return start, end


@pytest.fixture
def receiver(httpserver: HTTPServer) -> Receiver:
    return Receiver(httpserver)


@pytest.fixture
def settings(settings: Settings, receiver: Receiver) -> Settings:
    return settings.model_copy(
        update={"openlineage_url": receiver.url, "openlineage_api_key": "a-key", "batches_per_part": 1, "batch_records": 100}
    )


@pytest.fixture
def sender(settings: Settings, store: Store) -> Iterator[Callable[..., LineageSender]]:
    engine = postgres.connect(settings.database_url)
    yield lambda **changes: LineageSender(settings.model_copy(update=changes), store, Ledger(engine))
    engine.dispose()


def test_an_import_that_succeeds(bulkhead: Bulkhead, receiver: Receiver, settings: Settings) -> None:
    one = upload(bulkhead, tree(250), Options())
    assert one.state is State.SUCCEEDED
    start, end = receiver.both(one.id)
    assert end["eventType"] == "COMPLETE"
    assert (end["job"]["namespace"], end["job"]["name"]) == ("bulkhead", "import.records")
    (source,), (table,) = end["inputs"], end["outputs"]
    assert (source["namespace"], source["name"]) == (f"s3://{one.bucket}", one.key)
    assert table["namespace"].startswith("postgres://127.0.0.1:") or table["namespace"].startswith("postgres://localhost:")
    assert table["name"].endswith(".warehouse.records")
    assert {"name": "id", "type": "text", "ordinal_position": 1, "fields": []}.items() >= table["facets"]["schema"]["fields"][
        0
    ].items()
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 250
    assert table["outputFacets"]["outputStatistics"]["size"] > 0
    metrics = source["inputFacets"]["dataQualityMetrics"]
    assert (metrics["rowCount"], metrics["bytes"]) == (250, one.size_bytes)
    rules = source["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {"expect_column_values_to_not_be_null", "expect_column_value_lengths_to_be_between"} <= {
        rule["assertion"] for rule in rules if rule["success"] and rule.get("column") == "id"
    }
    assert "errorMessage" not in end["run"]["facets"]
    assert not start["inputs"][0].get("inputFacets") and not start["outputs"][0].get("outputFacets")
    assert receiver.requests[0].headers["Authorization"] == "Bearer a-key"


def test_a_rejected_import_names_codes_and_counts_but_no_value(bulkhead: Bulkhead, receiver: Receiver) -> None:
    one = upload(bulkhead, BROKEN, Options())
    assert one.state is State.REJECTED
    _, end = receiver.both(one.id)
    assert end["eventType"] == "FAIL"
    message = end["run"]["facets"]["errorMessage"]["message"]
    assert message.startswith("rejected: ") and all(f"{code}: {n}" in message for code, n in one.findings_by_code.items())
    assert any(not rule["success"] for rule in end["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"])
    assert end["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 0


def test_an_import_with_a_quarantine_is_complete_and_says_what_is_missing(bulkhead: Bulkhead, receiver: Receiver) -> None:
    one = upload(bulkhead, BROKEN + "c,,three\n", QUARANTINE)
    assert one.state is State.PARTIALLY_SUCCEEDED
    _, end = receiver.both(one.id)
    assert end["eventType"] == "COMPLETE"
    assert end["run"]["facets"]["errorMessage"]["message"].startswith("partially_succeeded: ")
    assert end["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == one.inserted > 0


def test_a_canceled_import_is_aborted(bulkhead: Bulkhead, receiver: Receiver) -> None:
    one = paused_before_loading(bulkhead, tree(300))
    bulkhead.ledger.imports.cancel(one.id)
    bulkhead.orchestrator.cancel(one.id)
    assert ended(bulkhead, one.id).state is State.CANCELED
    assert receiver.both(one.id)[1]["eventType"] == "ABORT"


def test_the_load_after_a_dry_run_is_a_run_of_its_own(bulkhead: Bulkhead, receiver: Receiver) -> None:
    one = upload(bulkhead, tree(20), DRY_RUN)
    receiver.both(one.id)
    assert promote(bulkhead, one.id).state is State.SUCCEEDED
    wait_until(lambda: len({(e["run"]["runId"], e["eventType"]) for e in receiver.events(one.id)}) == 4)
    assert len({event["run"]["runId"] for event in receiver.events(one.id)}) == 2


def test_a_receiver_that_is_down_delays_no_import_and_gets_the_event_later(
    settings: Settings, store: Store, receiver: Receiver
) -> None:
    receiver.refusals = 2
    with closing(Bulkhead(settings, store)) as bulkhead, running_worker(settings):
        one = upload(bulkhead, tree(5), Options())
        assert one.state is State.SUCCEEDED
        start, _ = receiver.both(one.id)
        wait_until(lambda: not receiver.refusals and len(receiver.events(one.id)) >= 4)
    repeated = [event for event in receiver.events(one.id) if event["eventType"] == "START"]
    assert all(event == start for event in repeated), "a repetition is the same event"


def test_to_a_file_by_the_clients_own_configuration(
    bulkhead: Bulkhead, sender: Callable[..., LineageSender], tmp_path: Path
) -> None:
    one = upload(bulkhead, tree(5), Options())
    config, events = tmp_path / "openlineage.yml", tmp_path / "events.jsonl"
    config.write_text(f"transport: {{type: file, log_file_path: {events}, append: true}}\n")
    to_file = sender(openlineage_config=str(config))
    for state in (State.VALIDATING, one.state):
        to_file.send(one.id, state)
    written = [json.loads(line) for line in events.read_text().splitlines()]
    for event in written:
        SPEC.validate(event)
    assert [event["eventType"] for event in written] == ["START", "COMPLETE"]


def test_what_cannot_be_sent_is_said_without_the_key(
    bulkhead: Bulkhead, sender: Callable[..., LineageSender], tmp_path: Path
) -> None:
    one = upload(bulkhead, tree(5), Options())
    with pytest.raises(Unreachable, match="The OpenLineage receiver did not take it: ConnectionError") as away:
        sender(openlineage_url="http://127.0.0.1:1").send(one.id, one.state)
    assert "a-key" not in str(away.value)
    (tmp_path / "empty.yml").write_text("")
    with pytest.raises(InvalidConfiguration, match="has no transport"):
        sender(openlineage_config=str(tmp_path / "empty.yml")).send(one.id, one.state)
    sender(openlineage_url="http://127.0.0.1:1", openlineage_disabled=True).send(one.id, one.state)


def test_switched_off_no_import_starts_anything_for_it(settings: Settings, store: Store, receiver: Receiver) -> None:
    off = settings.model_copy(update={"openlineage_disabled": True})
    with closing(Bulkhead(off, store)) as bulkhead, running_worker(off):
        one = upload(bulkhead, tree(5), Options())
        assert one.state is State.SUCCEEDED
        wait_until(lambda: bool(bulkhead.rows(f"select 1 from ledger.import where id = '{one.id}' and notified is not null")))
        started = bulkhead.orchestrator._connection.run(_exists(bulkhead, notify_workflow_id(one.id, State.VALIDATING)))
    assert not started and not receiver.requests


async def _exists(bulkhead: Bulkhead, workflow_id: str) -> bool:
    try:
        await (await bulkhead.orchestrator._connection.handle(workflow_id)).describe()
    except RPCError:
        return False
    return True
