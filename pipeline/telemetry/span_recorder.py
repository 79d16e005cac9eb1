"""Record spans with OpenTelemetry. Loaded only where tracing is switched on (tracing.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pipeline.contracts.traceparent import TRACEPARENT
from pipeline.telemetry.span_export import PREFIX

_PROPAGATOR = TraceContextTextMapPropagator()


class SpanRecorder:
    """Makes the spans of this process."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer

    @contextmanager
    def span(
        self,
        name: str,
        parent: str | None,
        links: Sequence[str],
        attributes: Mapping[str, object],
        *,
        is_root: bool,
    ) -> Iterator[_OpenSpan]:
        """Record the block as a span; what ``tracing.span`` says of its arguments."""
        context = _context_of(parent) if parent else Context() if is_root else None
        related = [Link(get_current_span(_context_of(one)).get_span_context()) for one in links]
        with self.tracer.start_as_current_span(name, context, links=related, attributes=_named(attributes)) as made:
            yield _OpenSpan(made)

    def annotate(self, attributes: Mapping[str, object]) -> None:
        """Add attributes to the current span."""
        get_current_span().set_attributes(_named(attributes))

    def traceparent(self) -> str | None:
        """Return the current span as a traceparent; None without one."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get(TRACEPARENT)


class _OpenSpan:
    def __init__(self, span: Span) -> None:
        self._span = span

    def set(self, **attributes: object) -> None:
        """Add attributes."""
        self._span.set_attributes(_named(attributes))


def _context_of(traceparent: str) -> Context:
    return _PROPAGATOR.extract({TRACEPARENT: traceparent}, Context())


def _named(attributes: Mapping[str, object]) -> dict[str, str | int | float | bool]:
    """Return attributes with their full names; those without a value are left out."""
    return {
        PREFIX + name: value if isinstance(value, bool | int | float) else str(value)
        for name, value in attributes.items()
        if value is not None
    }
