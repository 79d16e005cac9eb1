"""Switch the tracing of a process on, as the settings say."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from pipeline import logs
from pipeline.errors import InvalidConfiguration
from pipeline.process_environment import export_for_tracing
from pipeline.settings import Settings
from pipeline.telemetry import tracing
from pipeline.telemetry.metric import Program
from pipeline.tracing_settings import HTTP


def start_tracing(program: Program, settings: Settings) -> Any:
    """Record the spans of this process from now on; return OpenTelemetry's provider, for libraries that are instrumented.

    Does nothing and returns None if the settings name no receiver. Raises InvalidConfiguration for a protocol that is not
    built in.
    """
    if not settings.has_tracing:
        return None
    protocol = settings.otel_exporter_otlp_protocol or HTTP
    if protocol != HTTP:
        raise InvalidConfiguration(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}; spans are only sent by {HTTP}. Set it to that, and the endpoint to"
            " the receiver's port for HTTP, mostly 4318."
        )
    export_for_tracing(settings)  # before the SDK is loaded, which reads its variables
    from pipeline.telemetry.span_export import tracer_provider
    from pipeline.telemetry.span_recorder import SpanRecorder

    provider = tracer_provider(
        f"bulkhead-{program}",
        metadata.version("bulkhead"),
        exporter=settings.otel_traces_exporter or "otlp",
        headers=settings.otel_exporter_otlp_headers,
    )
    tracing.switch_on(SpanRecorder(provider.get_tracer("bulkhead")))
    logs.add_ids(tracing.ids)
    return provider
