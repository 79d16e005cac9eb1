"""Export spans with OpenTelemetry's SDK, in batches from a thread, without anything that could be a value of a record.

Libraries put the messages of errors, URLs and headers into spans: messages name values, URLs name files. So an allowlist says
which attributes leave the process. Of an error only its class does.

If the receiver does not answer, spans wait in a queue that is bounded (OTEL_BSP_MAX_QUEUE_SIZE, by default 2,048) and are then
dropped; the work that they describe never waits.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status
from opentelemetry.util.re import parse_env_headers
from opentelemetry.util.types import Attributes, AttributeValue

log = structlog.get_logger()

PREFIX = "bulkhead."

OURS = frozenset(
    {
        *("import_id", "dataset", "part", "state", "attempt", "error", "channel"),
        *("records", "inserted", "updated", "unchanged", "failed", "quarantined", "errors", "warnings", "parts", "size_bytes"),
    }
)
"""The attributes of our own spans, without PREFIX."""

ALLOWED = frozenset(
    {
        *(PREFIX + name for name in OURS),
        *("temporalWorkflowID", "temporalRunID", "temporalActivityID"),  # ids with import ids and names of datasets
        *("http.request.method", "http.route", "http.response.status_code", "error.type"),
    }
)
"""All attributes that leave the process."""


def tracer_provider(service: str, version: str, *, exporter: str, headers: str) -> TracerProvider:
    """Return a provider that exports by the variables OTEL_... of this process.

    ``exporter`` is ``otlp`` or ``console``. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over ``service`` and
    ``version``. ``headers`` are in the form of OTEL_EXPORTER_OTLP_HEADERS.
    """
    own = Resource({"service.name": service, "service.version": version})
    sdk = Resource.create()
    named = sdk.merge(own).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=named)
    provider.add_span_processor(AfterFork(lambda: CleanExporter(_exporter(exporter, headers))))
    return provider


def _exporter(kind: str, headers: str) -> SpanExporter:
    if kind == "console":
        return ConsoleSpanExporter(out=sys.stderr)
    # CleanExporter says once that the receiver does not answer; the library would with every batch.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
    logging.getLogger("opentelemetry.exporter.http").setLevel(logging.CRITICAL)
    logging.getLogger("opentelemetry.sdk._shared_internal").setLevel(logging.ERROR)
    return OTLPSpanExporter(headers=parse_env_headers(headers, liberal=True) if headers else None)


class AfterFork(SpanProcessor):
    """Makes the actual processor, which has a thread, with the first span of each process: gunicorn forks after loading."""

    def __init__(self, make_exporter: Callable[[], CleanExporter]) -> None:
        self._make_exporter = make_exporter
        self._exporter: CleanExporter | None = None
        self._made: BatchSpanProcessor | None = None
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._made, self._lock = None, threading.Lock()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing: only spans that have ended are exported."""

    def on_end(self, span: ReadableSpan) -> None:
        """Pass a span on."""
        with self._lock:
            if self._made is None:
                self._exporter = self._make_exporter()
                self._made = BatchSpanProcessor(self._exporter)
        self._made.on_end(span)

    def shutdown(self) -> None:
        """Export what waits and end the thread. A receiver that did not answer the last time is not waited for."""
        if self._made is not None and self._exporter is not None:
            self._exporter.give_up_if_away()
            self._made.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export what waits now."""
        return self._made is None or bool(self._made.force_flush(timeout_millis))


class CleanExporter(SpanExporter):
    """Removes from spans what may be a value, and logs once that they cannot be exported until they can again."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._has_failed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export spans without what is not allowed to leave."""
        result = self._inner.export([cleaned(span) for span in spans])
        has_failed = result is not SpanExportResult.SUCCESS
        if has_failed and not self._has_failed:
            cure = "Check OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS and _PROTOCOL (http/protobuf, by default port 4318)."
            log.warning("spans not exported: their receiver does not answer or refuses them. " + cure)
        if self._has_failed and not has_failed:
            log.info("spans are exported again")
        self._has_failed = has_failed
        return result

    def give_up_if_away(self) -> None:
        """Interrupt an export that is being repeated, and all later ones, if the last one failed."""
        if self._has_failed:
            self._inner.shutdown()

    def shutdown(self) -> None:
        """Close the connection."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Wait for nothing: exports are synchronous."""
        return self._inner.force_flush(timeout_millis)


def cleaned(span: ReadableSpan) -> ReadableSpan:
    """Return the span with the attributes that are allowed, and of its errors the classes only."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_allowed(span.attributes),
        events=[_class_of(event) for event in span.events if event.name == "exception"],
        links=[Link(link.context) for link in span.links],
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _allowed(attributes: Attributes) -> dict[str, AttributeValue]:
    return {name: value for name, value in (attributes or {}).items() if name in ALLOWED}


def _class_of(event: Event) -> Event:
    kind = (event.attributes or {}).get("exception.type", "")
    return Event("exception", {"exception.type": kind}, event.timestamp)
