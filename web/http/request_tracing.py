"""Trace the requests of the web app. This module is loaded only if tracing is switched on.

A request with a ``traceparent`` continues that trace. Spans are named by route templates, never by paths.
"""

from __future__ import annotations

from flask import Flask
from opentelemetry.propagate import set_global_textmap
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pipeline.monitoring.start_tracing import start_tracing
from pipeline.settings import Settings
from pipeline.telemetry.metric import Program

NOT_TRACED = "/healthz,/readyz,/metrics,/static/"
"""Probes, scrapes and files of the pages, as the instrumentation takes them: regular expressions."""


def install(app: Flask, settings: Settings) -> None:
    """Record the requests of this app from now on."""
    provider = start_tracing(Program.WEB, settings)
    from opentelemetry.instrumentation.flask import FlaskInstrumentor  # reads what start_tracing has set

    set_global_textmap(TraceContextTextMapPropagator())  # without W3C baggage, which may have anything
    options = {"excluded_urls": NOT_TRACED, "enable_commenter": False}
    FlaskInstrumentor.instrument_app(app, tracer_provider=provider, **options)  # type: ignore[no-untyped-call]
