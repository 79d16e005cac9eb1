"""Traces of whole imports: the web app behind gunicorn, the Lambda's handler and a worker process export to a real receiver."""

from __future__ import annotations

import asyncio
import importlib
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.worker import Replayer

from pipeline.adapters.temporal_interceptor import ImportTracing
from pipeline.contracts.object_keys import dataset_of
from pipeline.contracts.workflows import import_workflow_id
from pipeline.ledger.ledger import Ledger
from pipeline.orchestration.import_workflow import ImportFile
from pipeline.process_environment import export_for_lambda
from pipeline.settings import Settings
from pipeline.temporal_access.connecting import connect
from pipeline.temporal_access.options import access_from
from tests.support import web_app
from tests.support.bulkhead import Bulkhead, tree
from tests.support.import_steps import ended
from tests.support.otlp_receiver import Receiver, receiving
from tests.support.prometheus import free_port
from tests.support.waiting import wait_until
from tests.support.web_app import Server, served
from tests.support.worker_process import Worker, closing_worker
from web.app_context import AppContext

HOSTILE = "ZZQX-a-secret-value"
"""In values, filenames, paths, queries and SQL: it may be in no span."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of spans."""
    with receiving() as one:
        yield one


@pytest.fixture
def announcing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Passes the event of an object to the Lambda's handler, as the relay or AWS does."""
    for name in (*settings.temporal_environment, "BULKHEAD_TASK_QUEUE"):
        monkeypatch.setenv(name, "")  # restored after the test
    export_for_lambda(settings)
    handle = importlib.import_module("lambda.handler").handle

    def announce(key: str) -> None:
        assert dataset_of(key)
        detail = {"bucket": {"name": settings.bucket}, "object": {"key": key}}
        assert handle({"detail-type": "Object Created", "detail": detail}, None) == {"announced": 1}

    return announce


@pytest.fixture
def bulkhead(settings: Settings, store: Any) -> Iterator[Bulkhead]:
    """The ledger and the bucket, without a worker in this process."""
    one = Bulkhead(settings, store)
    yield one
    one.close()


class Stack:
    """A web app and a worker, and uploads through them."""

    def __init__(self, server: Server, worker: Worker, bulkhead: Bulkhead, announce: Callable[[str], None]) -> None:
        self.server, self.worker, self.bulkhead, self.announce = server, worker, bulkhead, announce

    def upload(self, text: str, traceparent: str | None, name: str = "a.csv") -> dict[str, Any]:
        """Upload a file, pass its event on, and return its import when it has ended."""
        headers = {**self.server.headers, **({"traceparent": traceparent} if traceparent else {}), "baggage": f"a={HOSTILE}"}
        url = f"{self.server.url}/v1/datasets/records/imports"
        answer = requests.post(url, params={"filename": name}, data=text.encode(), headers=headers, timeout=300)
        assert answer.status_code == 202, answer.text
        made: dict[str, Any] = answer.json()
        self.announce(made["source"]["key"])
        return vars(ended(self.bulkhead, made["id"], 300.0))


@pytest.fixture
def running(
    settings: Settings,
    environment: dict[str, str],
    edges: AppContext,
    bulkhead: Bulkhead,
    announcing: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Stack]]:
    """Starts the web app and a worker with more variables."""
    with ExitStack() as stack:

        def start(**variables: str) -> Stack:
            monkeypatch.setattr("tests.support.web_app._environment", _with(variables))
            server = stack.enter_context(served(settings, edges, tmp_path / "server.log"))
            worker = stack.enter_context(closing_worker({**environment, **variables}, tmp_path))
            return Stack(server, worker, bulkhead, announcing)

        yield start


def _with(variables: dict[str, str]) -> Callable[[Settings], dict[str, str]]:
    plain = web_app._environment
    return lambda settings: {**plain(settings), **variables}


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A receiver of webhooks: its URL, and the headers that it gets."""
    got: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append({"id": json.loads(body)["data"]["id"], "traceparent": self.headers.get("traceparent", "")})
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=lambda: server.serve_forever(poll_interval=0.05))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", got
        server.shutdown()
        thread.join()


def new_parent(flags: str = "01") -> tuple[str, str, str]:
    """Return a caller's traceparent, its trace id and its span id."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return f"00-{trace}-{span}-{flags}", trace, span


def test_an_upload_is_one_connected_trace_to_the_last_part_and_the_webhook(
    running: Callable[..., Stack], receiver: Receiver, webhook: tuple[str, list[dict[str, str]]]
) -> None:
    url, got = webhook
    stack = running(
        **receiver.environment,
        OTEL_EXPORTER_OTLP_HEADERS="x-token=a%20token",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test",
        BULKHEAD_WEBHOOK_URLS=url,
        BULKHEAD_WEBHOOK_ALLOW_PRIVATE="true",
        BULKHEAD_LOG_FORMAT="json",
    )
    loaded_parent, loaded_trace, loaded_caller = new_parent()
    rejected_parent, rejected_trace, rejected_caller = new_parent()
    loaded = stack.upload(tree(3000, name=HOSTILE), loaded_parent, f"{HOSTILE}.csv")
    assert (loaded["state"], loaded["parts_done"]) == ("succeeded", 3)
    rejected = stack.upload(f"id,parentId,name\n{HOSTILE},{HOSTILE}2,x\n{HOSTILE},{HOSTILE}3,y\n", rejected_parent)
    assert rejected["state"] == "rejected"
    again = stack.upload(tree(3000, name=f"{HOSTILE}!"), None)  # all of it changed
    assert again["state"] == "succeeded"

    def is_told(trace: str) -> bool:
        return {"deliver", "RunActivity:deliver"} <= {span.name for span in receiver.of_trace(trace)}

    wait_until(lambda: is_told(loaded_trace) and is_told(rejected_trace), 300.0)

    _check_trace(receiver, loaded_trace, loaded_caller, loaded["id"])
    _check_trace(receiver, rejected_trace, rejected_caller, rejected["id"])

    spans = receiver.of_trace(loaded_trace)
    wanted = ("RunActivity:prepare", "store parts", "download part", "read part", "write part", "COPY")
    assert {*wanted} <= {span.name for span in spans}
    parts = [span for span in spans if span.name == "write part"]
    assert sorted(span.attributes["bulkhead.part"] for span in parts) == [1, 2, 3]
    assert sum(span.attributes["bulkhead.inserted"] for span in parts) == 3000
    assert any(span.name == "upsert" and span.attributes["bulkhead.updated"] > 0 for span in list(receiver.spans))
    validated = next(span for span in receiver.of_trace(rejected_trace) if span.name == "validate")
    assert validated.attributes["bulkhead.errors"] > 0

    registered = next(span for span in spans if span.name == "register")
    queue = {(span.trace, span.id) for span in list(receiver.spans) if span.name == "RunActivity:register"}
    assert {*registered.links} & queue, "the step of the queue that registered it"
    assert {span.trace for span in list(receiver.spans) if span.name == "RunActivity:register"} & {loaded_trace} == set()

    told = {one["id"]: one["traceparent"] for one in got}
    assert told[loaded["id"]].split("-")[1] == loaded_trace
    delivering = {span.id for span in spans if span.name == "deliver"}
    assert told[loaded["id"]].split("-")[2] in delivering

    assert asyncio.run(_spans_of_a_replay(stack.bulkhead.settings, loaded["id"])) == ()

    assert receiver.headers[0]["x-token"] == "a token"
    everything = b"".join(receiver.bodies)
    assert b"deployment.environment" in everything
    for hidden in (HOSTILE, "filename=", "insert into", "Bearer", stack.server.key):
        assert hidden.encode() not in everything, hidden
    _check_logs(stack.worker.log.read_text(), loaded["id"], loaded_trace)
    _check_logs(stack.server.log.read_text(), loaded["id"], loaded_trace)


def _check_trace(receiver: Receiver, trace: str, caller: str, import_id: str) -> None:
    """The trace is one tree that hangs on the caller's span, of one import, with the steps that every import has."""

    def is_connected() -> bool:
        spans = receiver.of_trace(trace)
        return {span.parent for span in spans} <= {caller, *(span.id for span in spans)}

    wait_until(is_connected)
    spans = receiver.of_trace(trace)
    assert len({span.id for span in spans}) == len(spans), "no span twice"
    assert {span.service for span in spans} == {"bulkhead-web", "bulkhead-worker"}
    assert [span.name for span in spans if span.parent == caller] == ["POST /v1/datasets/<name:dataset>/imports"]
    steps = ("store file", "register", "RunWorkflow:ImportFile", "RunActivity:validate", "download file", "validate")
    assert {*steps, "store report", "RunActivity:finish", "RunWorkflow:TellUser", "deliver"} <= {span.name for span in spans}
    assert {span.attributes.get("bulkhead.import_id") for span in spans} - {None} == {import_id}


async def _spans_of_a_replay(settings: Settings, import_id: str) -> tuple[str, ...]:
    """Replay an import's history with a tracing worker; return the names of the spans that it makes."""
    client = await connect(access_from(settings.temporal_environment))
    history = await client.get_workflow_handle(import_workflow_id(import_id)).fetch_history()
    assert "_tracer-data" in history.to_json()
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracing = ImportTracing(provider.get_tracer("a test"))
    await Replayer(workflows=[ImportFile], interceptors=[tracing]).replay_workflow(history)
    return tuple(span.name for span in kept.get_finished_spans())


def _check_logs(text: str, import_id: str, trace: str) -> None:
    """Each line about the import has its trace, and no line a value."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    about = [line for line in lines if line.get("import_id") == import_id]
    assert about
    assert {line["trace_id"] for line in about} == {trace}
    assert all(len(line["span_id"]) == 16 for line in about)
    assert HOSTILE not in text


def test_a_dropped_file_begins_a_trace_at_its_event_and_an_unsampled_upload_leaves_none(
    running: Callable[..., Stack], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = running(**receiver.environment)
    unsampled, quiet_trace, _ = new_parent("00")
    assert stack.upload(tree(20), unsampled)["state"] == "succeeded"
    stack.announce(key := stack.bulkhead.drop(tree(30, name="m"), announce=False))
    dropped = stack.bulkhead.import_of(key)
    assert dropped.traceparent is not None
    trace = dropped.traceparent.split("-")[1]
    wait_until(lambda: "RunActivity:finish" in {span.name for span in receiver.of_trace(trace)}, 300.0)
    roots = [span.name for span in receiver.of_trace(trace) if not span.parent]
    assert roots == ["register"]
    assert receiver.of_trace(quiet_trace) == []

    theirs, their_trace, their_span = new_parent()  # an S3 client with a trace of its own
    key = "incoming/records/theirs.csv"
    stack.bulkhead.store.put_bytes(key, tree(40, name="o").encode(), metadata={"traceparent": theirs})
    root, xray_span = secrets.token_hex(16), secrets.token_hex(8)
    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root=1-{root[:8]}-{root[8:]};Parent={xray_span};Sampled=1")
    stack.announce(key)
    stack.bulkhead.import_of(key)
    wait_until(lambda: "RunActivity:finish" in {span.name for span in receiver.of_trace(their_trace)}, 300.0)
    registered = next(span for span in receiver.of_trace(their_trace) if span.name == "register")
    assert registered.parent == their_span
    assert (root, xray_span) in registered.links, "the Lambda's own span"


def test_imports_go_on_without_their_receiver_and_it_is_said_once(running: Callable[..., Stack]) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    stack = running(**variables, OTEL_BSP_SCHEDULE_DELAY="50")
    for number in range(3):
        assert stack.upload(tree(20, name=f"n{number}"), None)["state"] == "succeeded"
    said = "spans not exported"
    wait_until(lambda: said in stack.worker.log.read_text(), 300.0)
    assert stack.upload(tree(20, name="last"), None)["state"] == "succeeded"
    assert stack.worker.stop() == 0, "it does not wait for the receiver"
    text = stack.worker.log.read_text()
    assert text.count(said) == 1
    assert "WARNING opentelemetry" not in text and "ERROR opentelemetry" not in text


def test_off_is_off(running: Callable[..., Stack], receiver: Receiver, settings: Settings) -> None:
    stack = running(**receiver.environment, OTEL_SDK_DISABLED="true")
    one = stack.upload(tree(20), new_parent()[0])
    assert one["state"] == "succeeded"
    assert Ledger(stack.bulkhead.engine).imports.known(one["id"]).traceparent is None
    assert receiver.bodies == []
