"""What was measured, as figures and as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the 99th percentile and the largest."""
    ordered = sorted(values)
    return {
        "p50_ms": round(ordered[len(ordered) // 2], 3),
        "p99_ms": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 3),
        "max_ms": round(ordered[-1], 3),
    }


def in_short(plan: dict[str, Any]) -> str:
    """Return a plan as its nodes, from the outside in."""
    name = " on ".join(filter(None, (plan["Node Type"], plan.get("Index Name") or plan.get("Relation Name"))))
    inner = ", ".join(in_short(one) for one in plan.get("Plans", []))
    return f"{name} ({inner})" if inner else name


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each question in each state, and for the ratios."""
    for state in ("quiet", "loading"):
        for name, what in found[state].items():
            yield f"{state:8} {name:24} {_times(what) if isinstance(what, dict) else what}"
    for state in ("with", "without"):
        yield f"{state:8} the index                {_times(found['index'][state])}"
    yield f"         times as long            {found['index']['ratio']:,}"
    yield f"         records loaded a second  {found['loaded_a_second']:,}"


def _times(what: dict[str, Any]) -> str:
    return "  ".join(
        f"{where} p50 {times['p50_ms']:.2f} p99 {times['p99_ms']:.2f} max {times['max_ms']:.1f} ms"
        for where, times in what.items()
        if isinstance(times, dict)
    )
