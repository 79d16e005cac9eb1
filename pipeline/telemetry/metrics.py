"""Count and measure. Where metrics are not switched on, these functions return at once and load no library.

An error in a metric never reaches the work that is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from pipeline.telemetry.metric import Metric

if TYPE_CHECKING:
    from pipeline.telemetry.recorder import Recorder

log = structlog.get_logger()

_recorder: Recorder | None = None


def switch_on(recorder: Recorder | None) -> None:
    """Have this process record with ``recorder`` from now on; None: no more."""
    global _recorder
    _recorder = recorder


def is_on() -> bool:
    """Return whether this process records metrics."""
    return _recorder is not None


def count(metric: Metric, amount: float = 1.0, /, **labels: str) -> None:
    """Add to a counter."""
    if _recorder is not None:
        with _harmless(metric):
            _recorder.add(metric, amount, labels)


def change(metric: Metric, by: float, /, **labels: str) -> None:
    """Raise a gauge, or lower it by a negative amount."""
    count(metric, by, **labels)


def set_to(metric: Metric, value: float, /, **labels: str) -> None:
    """Set a gauge."""
    if _recorder is not None:
        with _harmless(metric):
            _recorder.set(metric, value, labels)


def observe(metric: Metric, value: float, /, **labels: str) -> None:
    """Enter a value in a histogram."""
    if _recorder is not None:
        with _harmless(metric):
            _recorder.observe(metric, value, labels)


@contextmanager
def in_flight(metric: Metric) -> Iterator[None]:
    """Count the block in a gauge for as long as it lasts."""
    change(metric, 1)
    try:
        yield
    finally:
        change(metric, -1)


@contextmanager
def _harmless(metric: Metric) -> Iterator[None]:
    """Log an error instead of raising it: a full disk, for instance, on which gunicorn's processes share their values."""
    try:
        yield
    except Exception as error:
        log.warning("metric not recorded", metric=metric.name, error=f"{type(error).__name__}: {error}")
