"""A dataset's validations as bars, oldest first: how many records, how much was wrong with them, and what. Pure geometry.

The template draws it as an SVG within the page: no script, no style but the page's own. A count that is not zero is seen,
however small it is beside the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.ledger.models import ValidationRun

WIDTH = 600
"""Of every chart, in units of its own; the page scales it."""

SLOTS_MIN = 12
"""Two runs are two bars, not two halves of the page."""

CODES_SHOWN = 12
_LEAST = 1.5
"""The height of the smallest bar."""


@dataclass(frozen=True)
class Bar:
    """A piece of a chart; ``kind`` is its class in the stylesheet, ``title`` what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True)
class Chart:
    """Bars below one another's tops: ``most`` is the count that reaches the ceiling."""

    name: str
    most: int
    height: int
    bars: tuple[Bar, ...]


def charts(runs: Sequence[ValidationRun]) -> list[Chart]:
    """Records, and findings, of each run; ``runs`` come newest first."""
    shown = [*reversed(runs)]
    records = [[("bad" if run.errors else "good", run.records)] for run in shown]
    findings = [[("bad", run.errors), ("mixed", run.warnings)] for run in shown]
    return [
        _chart("Records", 110, shown, records, {"bad": "records, with errors", "good": "records"}),
        _chart("Findings", 110, shown, findings, {"bad": "errors", "mixed": "warnings"}),
    ]


def by_code(runs: Sequence[ValidationRun]) -> list[Chart]:
    """One low chart for each of the codes that most findings have, most frequent first."""
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
