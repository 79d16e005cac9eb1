"""Spans: off they cost nothing, values never leave with them, and a receiver that does not answer delays no work."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pipeline import logs
from pipeline.adapters.temporal_interceptor import ImportTracing
from pipeline.adapters.temporal_tracing import interceptors
from pipeline.contracts.messages import ImportRef, ObjectArrived, PartRef
from pipeline.contracts.traceparent import traceparent_of_xray, valid_traceparent
from pipeline.errors import InvalidConfiguration, Unreachable
from pipeline.monitoring.start_tracing import start_tracing
from pipeline.orchestration.heartbeat_and_failures import _subject
from pipeline.receive.upload_metadata import UploadRequest, asked_in, metadata_of
from pipeline.settings import ROOT, Settings
from pipeline.telemetry import tracing
from pipeline.telemetry.metric import Program
from pipeline.telemetry.span_export import AfterFork, CleanExporter
from pipeline.telemetry.span_recorder import SpanRecorder

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HOSTILE = "ZZQX-a-secret-value"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    """Spans as they leave the process."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(CleanExporter(kept)))
    tracing.switch_on(SpanRecorder(provider.get_tracer("a test")))
    yield kept
    tracing.switch_on(None)


def test_values_in_errors_attributes_and_events_stay_in_the_process(exported: InMemorySpanExporter) -> None:
    with pytest.raises(Unreachable), tracing.span("step", import_id="7", records=3, state=None, unknown=HOSTILE):
        from opentelemetry.trace import get_current_span

        get_current_span().set_attribute("url.full", f"https://host/?filename={HOSTILE}")
        get_current_span().add_event("db.statement", {"sql": HOSTILE})
        raise Unreachable(f"{HOSTILE} is a value")
    (span,) = exported.get_finished_spans()
    assert HOSTILE not in span.to_json()
    assert dict(span.attributes or {}) == {"bulkhead.import_id": "7", "bulkhead.records": 3}
    assert [dict(event.attributes or {}) for event in span.events] == [{"exception.type": "pipeline.errors.Unreachable"}]
    assert not span.status.is_ok and span.status.description is None


def test_a_span_continues_the_trace_of_its_parent_and_links_to_others(exported: InMemorySpanExporter) -> None:
    other = PARENT.replace("0af7", "1af7")
    with tracing.span("outer"):
        with tracing.span("inner", parent=PARENT, links=(None, other, HOSTILE), is_root=True):
            inside = tracing.traceparent()
            assert tracing.ids() == {"trace_id": PARENT[3:35], "span_id": inside and inside[36:52]}
        with tracing.span("beginning", parent=HOSTILE, is_root=True):
            begun = tracing.traceparent()
        tracing.annotate(errors=2)
    inner, beginning, outer = exported.get_finished_spans()
    assert inner.parent and f"{inner.parent.span_id:016x}" == PARENT[36:52]
    assert [f"{link.context.trace_id:032x}" for link in inner.links] == [other[3:35]]
    assert beginning.parent is None and begun and begun[3:35] not in (PARENT[3:35], f"{outer.context.trace_id:032x}")
    assert dict(outer.attributes or {}) == {"bulkhead.errors": 2}


def test_off_nothing_is_loaded_nor_done() -> None:
    assert tracing.traceparent() is None and tracing.ids() == {} and interceptors() == ()
    with tracing.span("step") as span:
        span.set(records=1)
    code = (
        "import sys, web, pipeline.cli.app, pipeline.orchestration.worker;"
        "from pipeline.monitoring.start_tracing import start_tracing; from pipeline.settings import Settings;"
        "assert start_tracing('web', Settings()) is None;"
        "print(*[name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={}, capture_output=True, text=True, check=True)
    assert out.stdout.split() == []


class Away(SpanExporter):
    """A receiver that does not answer before it is allowed to, and then refuses or accepts."""

    def __init__(self, *results: SpanExportResult) -> None:
        self.answer, self.results, self.taken, self.is_shut = threading.Event(), list(results), 0, False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.answer.wait(60)
        self.taken += len(spans)
        return self.results.pop(0) if self.results else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.is_shut = True


def test_work_does_not_wait_for_the_receiver_and_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "600")
    away, provider = Away(), TracerProvider()
    provider.add_span_processor(AfterFork(lambda: CleanExporter(away)))
    recorder = SpanRecorder(provider.get_tracer("a test"))
    for _ in range(5000):
        with recorder.span("step", None, (), {}, is_root=True):
            pass
    assert away.taken == 0 and not away.answer.is_set(), "all spans have ended before the receiver has answered"
    away.answer.set()
    provider.shutdown()
    assert 0 < away.taken <= 600 + 512


def test_a_receiver_that_is_away_is_said_once_and_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    failed, well = SpanExportResult.FAILURE, SpanExportResult.SUCCESS
    away = Away(failed, failed, failed, well, failed)
    away.answer.set()
    exporter = CleanExporter(away)
    for _ in range(4):
        exporter.export([])
    said = "".join(capsys.readouterr())
    assert said.count("not exported") == 1 and said.count("exported again") == 1
    exporter.give_up_if_away()
    assert not away.is_shut
    exporter.export([])
    exporter.give_up_if_away()
    assert away.is_shut


@pytest.mark.parametrize(
    ("variables", "is_on"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "a"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "false"}, True),
    ],
)
def test_tracing_is_on_where_spans_have_a_receiver(
    variables: dict[str, str], is_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings().has_tracing is is_on


def test_a_protocol_that_is_not_built_in_is_refused_with_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(InvalidConfiguration, match="4318"):
        start_tracing(Program.WORKER, Settings())


def test_the_token_for_the_receiver_can_be_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "headers").write_text("authorization=Bearer%20abc\n")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS_FILE", str(tmp_path / "headers"))
    settings = Settings()
    assert settings.otel_exporter_otlp_headers == "authorization=Bearer%20abc"
    assert "abc" not in repr(settings)


# --- what carries a trace ---


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        (PARENT, True),
        (PARENT.upper(), False),
        (PARENT + "-more", False),
        ("ff" + PARENT[2:], False),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", False),
        (f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01", False),
        ("", False),
        (None, False),
    ],
)
def test_only_a_valid_traceparent_counts(text: str | None, is_valid: bool) -> None:
    assert valid_traceparent(text) == (text if is_valid else None)


def test_the_header_of_xray_has_the_same_ids() -> None:
    header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    assert traceparent_of_xray(header) == "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"
    for other in (
        "",
        header.replace("=1", "=0", 2),
        header.replace("Sampled=1", "Sampled=0"),
        header.partition(";")[0],
        "Root=x",
    ):
        assert traceparent_of_xray(other) is None


def test_an_object_carries_its_trace_and_a_forged_one_is_not_taken() -> None:
    request = UploadRequest(filename="a.csv", traceparent=PARENT)
    metadata = metadata_of("7", request)
    assert metadata["traceparent"] == PARENT and asked_in(metadata) == request
    forged = asked_in({**metadata, "traceparent": HOSTILE})
    assert forged is not None and forged.traceparent is None
    assert "traceparent" not in metadata_of("7", UploadRequest(filename="a.csv"))
    long = metadata_of("7", UploadRequest(filename="".join(map(chr, range(0x4E00, 0x5600))), traceparent=PARENT))
    assert long == {"import-id": "7", "traceparent": PARENT}, "the trace does not go with what is too long"


def test_two_events_of_an_object_are_one_arrival_whatever_their_traces() -> None:
    assert len({ObjectArrived("b", "k", traceparent=PARENT), ObjectArrived("b", "k")}) == 1


def test_a_queue_takes_no_trace_from_the_process_that_starts_it(exported: InMemorySpanExporter) -> None:
    class Next:
        def __init__(self) -> None:
            self.headers: list[set[str]] = []

        async def start_workflow(self, input: Any) -> None:
            self.headers.append({*input.headers})

    class Start:
        def __init__(self, workflow: str) -> None:
            self.workflow, self.id, self.start_signal, self.headers = workflow, "an id", None, {"other": b""}

    last = Next()
    client = ImportTracing(tracing.tracer()).intercept_client(last)  # type: ignore[arg-type]
    for workflow in ("DatasetQueue", "Reconcile"):
        asyncio.run(client.start_workflow(Start(workflow)))  # type: ignore[arg-type]
    assert last.headers == [{"other"}, {"other", "_tracer-data"}]


# --- logs ---


@contextmanager
def logged(monkeypatch: pytest.MonkeyPatch, log_format: str) -> Iterator[io.StringIO]:
    """The log as a process with this format writes it, whatever pytest has put in the place of stderr and handlers."""
    before, stderr = structlog.get_config(), io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        patch.setattr(logging.getLogger(), "handlers", [])
        patch.setattr(logs, "_sources", [])
        logs.configure(log_format)
        yield stderr
    structlog.configure(**before)


def test_lines_of_ours_and_of_libraries_have_the_ids(exported: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    part = PartRef(ImportRef("an-import", "records", "b", "k", "e"), 2)
    about = _subject((object(), part))
    with logged(monkeypatch, "json") as lines, structlog.contextvars.bound_contextvars(**about):
        logs.add_ids(tracing.ids)
        with tracing.span("step"):
            inside = tracing.ids()
            structlog.get_logger().info("ours")
            logging.getLogger("a.library").warning("theirs %s", 1)
        structlog.get_logger().info("after")
    ours, theirs, after = map(json.loads, lines.getvalue().splitlines())
    assert about == {"import_id": "an-import", "dataset": "records", "part": 2}
    assert ours == {**about, **inside, "event": "ours", "level": "info", "timestamp": ours["timestamp"]}
    assert theirs == {**ours, "event": "theirs 1", "level": "warning", "logger": "a.library", "timestamp": theirs["timestamp"]}
    assert "trace_id" not in after and after["import_id"] == "an-import"


def test_without_tracing_lines_have_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    with logged(monkeypatch, "console") as lines, structlog.contextvars.bound_contextvars(import_id="an-import"):
        structlog.get_logger().info("ours")
        logging.getLogger("a.library").warning("theirs")
    assert [line.count("import_id=an-import") for line in lines.getvalue().splitlines()] == [1, 1]
