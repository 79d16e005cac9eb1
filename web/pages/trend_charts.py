"""Compute bar charts of a dataset's validations, oldest first: records, findings, and each code. Pure geometry.

The template draws them as SVG within the page, without scripts or inline styles. A count above zero is always visible, however
small it is compared with the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.ledger.models import ValidationRun

WIDTH = 600
"""Width of each chart in SVG units; the page scales it."""

SLOTS_MIN = 12
"""A chart has at least so many places for bars, so that two runs do not fill its width."""

CODES_SHOWN = 12
_LEAST = 1.5
"""The smallest height of a bar, in SVG units."""


@dataclass(frozen=True)
class Bar:
    """One bar; ``kind`` is its CSS class, ``title`` its tooltip."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True)
class Chart:
    """Stacked bars; ``most`` is the count that reaches the full height."""

    name: str
    most: int
    height: int
    bars: tuple[Bar, ...]


def charts(runs: Sequence[ValidationRun]) -> list[Chart]:
    """Return two charts: the records and the findings of each run. ``runs``: newest first."""
    shown = [*reversed(runs)]
    records = [[("bad" if run.errors else "good", run.records)] for run in shown]
    findings = [[("bad", run.errors), ("mixed", run.warnings)] for run in shown]
    return [
        _chart("Records", 110, shown, records, {"bad": "records, with errors", "good": "records"}),
        _chart("Findings", 110, shown, findings, {"bad": "errors", "mixed": "warnings"}),
    ]


def by_code(runs: Sequence[ValidationRun]) -> list[Chart]:
    """Return a low chart for each of the most frequent codes, most frequent first."""
    total: Counter[str] = Counter()
    for run in runs:
        total.update(run.by_code)
    shown = [*reversed(runs)]
    return [
        _chart(code, 26, shown, [[("found", run.by_code.get(code, 0))] for run in shown], {"found": "findings"})
        for code, _ in total.most_common(CODES_SHOWN)
    ]


def _chart(
    name: str, height: int, runs: Sequence[ValidationRun], stacks: Sequence[list[tuple[str, int]]], words: dict[str, str]
) -> Chart:
    most = max((sum(count for _, count in stack) for stack in stacks), default=0)
    slot = WIDTH / max(len(runs), SLOTS_MIN)
    bars = []
    for place, (run, stack) in enumerate(zip(runs, stacks, strict=True)):
        floor = float(height)
        for kind, count in stack:
            if not count:
                continue
            tall = max(count / most * height, _LEAST)
            floor = max(floor - tall, 0)
            title = f"{run.filename or 'upload'}, {run.created_at:%Y-%m-%d %H:%M}: {count:,} {words[kind]}"
            bars.append(Bar(round(place * slot, 2), round(floor, 2), round(slot * 0.78, 2), round(tall, 2), kind, title))
    return Chart(name, most, height, tuple(bars))
