"""The interceptors of Temporal's clients and workers: those of tracing, where it is on."""

from __future__ import annotations

from collections.abc import Sequence

from temporalio.client import Interceptor

from pipeline.telemetry import tracing


def interceptors() -> Sequence[Interceptor]:
    """Return the interceptors for a connection that is made now; a worker takes them from its client."""
    if not tracing.is_on():
        return ()
    from pipeline.adapters.temporal_interceptor import ImportTracing  # loads OpenTelemetry

    return (ImportTracing(tracing.tracer()),)
