"""Record spans. Where tracing is not switched on, these functions return at once and load no library.

A span has ids, counts and states as its attributes: never a value of a record, a name of a file or a secret (span_export.py
removes what libraries add).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.contracts.traceparent import valid_traceparent

if TYPE_CHECKING:
    from pipeline.telemetry.span_recorder import SpanRecorder

_recorder: SpanRecorder | None = None


class OpenSpan(Protocol):
    """A span that has begun."""

    def set(self, **attributes: object) -> None:
        """Add attributes; their names are in telemetry/span_export.py."""


class _NoSpan:
    def set(self, **attributes: object) -> None:
        return


_NO_SPAN = _NoSpan()


def switch_on(recorder: SpanRecorder | None) -> None:
    """Have this process record its spans with ``recorder`` from now on; None: no more."""
    global _recorder
    _recorder = recorder


def is_on() -> bool:
    """Return whether this process records spans."""
    return _recorder is not None


def tracer() -> Any:
    """Return OpenTelemetry's tracer, for libraries that record spans themselves. Call it only if tracing is on."""
    assert _recorder is not None
    return _recorder.tracer


@contextmanager
def span(
    name: str,
    *,
    parent: str | None = None,
    links: Sequence[str | None] = (),
    is_root: bool = False,
    **attributes: object,
) -> Iterator[OpenSpan]:
    """Record the block as a span.

    ``parent`` is a traceparent; None: the current span, or with ``is_root`` none, so that a trace begins here. ``links`` are
    traceparents of spans that are related to it in other traces.
    """
    if _recorder is None:
        yield _NO_SPAN
        return
    related = [one for one in map(valid_traceparent, links) if one]
    with _recorder.span(name, valid_traceparent(parent), related, attributes, is_root=is_root) as opened:
        yield opened


def annotate(**attributes: object) -> None:
    """Add attributes to the current span, if there is one."""
    if _recorder is not None:
        _recorder.annotate(attributes)


def traceparent() -> str | None:
    """Return the traceparent of the current span; None if there is none."""
    return _recorder.traceparent() if _recorder is not None else None


def ids() -> Mapping[str, str]:
    """Return ``trace_id`` and ``span_id`` of the current span, as logs show them; nothing if there is none."""
    found = traceparent()
    if found is None:
        return {}
    _, trace_id, span_id, _ = found.split("-")
    return {"trace_id": trace_id, "span_id": span_id}
