"""Record metrics in the test's own process, and read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.telemetry import metrics
from pipeline.telemetry.labels import DatasetLabels
from pipeline.telemetry.metric import Program
from pipeline.telemetry.recorder import Recorder


@contextmanager
def recording(program: Program, *datasets: str) -> Iterator[Recorder]:
    """Record for as long as the block lasts; these datasets are defined."""
    recorder = Recorder(program, DatasetLabels(50, lambda: datasets))
    metrics.switch_on(recorder)
    try:
        yield recorder
    finally:
        metrics.switch_on(None)


def series(recorder: Recorder, name: str) -> dict[str, float]:
    """Return the series of a metric that are not zero, by their labels as they are written."""
    text = recorder.text().decode()
    found = [line.removeprefix(name) for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    values = {labels.strip("{}"): float(value) for labels, value in (line.rsplit(" ", 1) for line in found)}
    return {labels: value for labels, value in values.items() if value}
