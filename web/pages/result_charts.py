"""Compute a simple chart of a query's result: bars or a line. Pure geometry, which the template draws as SVG within the page.

A bar begins at zero. The rows keep their order in bars; a line is in the order of its numbers or times, at their distances, and
in the order of the rows where the other column has neither.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal

from pipeline.errors import InvalidRequest
from pipeline.warehouse.query import Answer

KINDS: tuple[Literal["bar", "line"], ...] = ("bar", "line")
BARS_MAX = 40
"""More bars than these are not read; the table below the chart has all rows."""

WIDTH, HEIGHT = 600, 220
"""Size of a line's drawing in SVG units; the page scales it."""

DOTS_MAX = 60
"""A line with more points has no dots."""

_MARGIN = 6


@dataclass(frozen=True)
class Wanted:
    """A chart of two columns, by their places: ``labels`` names the bars or is the horizontal axis, ``values`` has numbers."""

    kind: Literal["bar", "line"]
    labels: int
    values: int


@dataclass(frozen=True)
class Bar:
    """One bar; ``x`` and ``width`` are percent of the drawing. ``value`` None: the row has no number."""

    label: Any
    value: Any
    x: float
    width: float


@dataclass(frozen=True)
class BarChart:
    """Bars from top to bottom. ``zero``: where zero is, in percent. ``omitted``: how many rows have no bar here."""

    bars: tuple[Bar, ...]
    zero: float
    omitted: int
    kind: str = "bar"


@dataclass(frozen=True)
class Point:
    """A point of a line, in SVG units, with its two values."""

    x: float
    y: float
    label: Any
    value: Any


@dataclass(frozen=True)
class LineChart:
    """A line in pieces: it is interrupted where a row has no number. ``zero``: the height of zero, if it is within."""

    pieces: tuple[tuple[Point, ...], ...]
    most: float
    least: float
    first: Any
    last: Any
    zero: float | None
    omitted: int
    kind: str = "line"

    @property
    def dots(self) -> tuple[Point, ...]:
        """Return the points that are drawn as dots: all, if they are few, and those without a neighbour."""
        every = [point for piece in self.pieces for point in piece]
        return tuple(every if len(every) <= DOTS_MAX else [piece[0] for piece in self.pieces if len(piece) == 1])


def numeric_columns(answer: Answer) -> list[int]:
    """Return the places of the columns that have numbers and nothing else."""
    return [at for at in range(len(answer.columns)) if _is_numeric([row[at] for row in answer.rows])]


def suggested(answer: Answer) -> Wanted | None:
    """Return the chart that a result most likely is wanted as; None if it has no column of numbers.

    The values are the last column of numbers, since counts and sums come last; the labels are the first other column.
    """
    numbers = numeric_columns(answer)
    if not numbers:
        return None
    labels = next((at for at in range(len(answer.columns)) if at != numbers[-1]), numbers[-1])
    is_line = any(isinstance(row[labels], date) for row in answer.rows)
    return Wanted("line" if is_line else "bar", labels, numbers[-1])


def asked(answer: Answer, kind: str, labels: str, values: str) -> Wanted:
    """Return the chart that a form asks for. Raises InvalidRequest, which says what to choose."""
    places = {str(at): at for at in range(len(answer.columns))}
    chosen = next((one for one in KINDS if one == kind), None)
    if chosen is None or labels not in places or values not in places:
        raise InvalidRequest("Choose bars or a line, and two columns of the result.")
    if places[values] not in numeric_columns(answer):
        name = answer.columns[places[values]].name
        raise InvalidRequest(f"The column {name!r} has no numbers to draw. Choose another column, or cast it: {name}::numeric.")
    return Wanted(chosen, places[labels], places[values])


def drawn(answer: Answer, wanted: Wanted) -> BarChart | LineChart:
    """Return the chart of a result."""
    rows = [(row[wanted.labels], row[wanted.values]) for row in answer.rows]
    return _bars(rows) if wanted.kind == "bar" else _line(rows)


def _bars(rows: Sequence[tuple[Any, Any]]) -> BarChart:
    shown = rows[:BARS_MAX]
    numbers = [_number(value) for _, value in shown]
    known = [number for number in numbers if number is not None]
    most, least = max([0.0, *known]), min([0.0, *known])
    scale = max(most, -least, 1e-300)  # each divided first: their sum may be beyond what a double holds
    span = (most / scale - least / scale) or 1.0
    zero = -least / scale / span * 100
    bars = []
    for (label, value), number in zip(shown, numbers, strict=True):
        width = abs(number or 0.0) / scale / span * 100
        x = zero - width if (number or 0.0) < 0 else zero
        bars.append(Bar(label, value if number is not None else None, round(x, 2), round(width, 2)))
    return BarChart(tuple(bars), round(zero, 2), len(rows) - len(shown))


def _line(rows: Sequence[tuple[Any, Any]]) -> LineChart:
    places = [_place(label) for label, _ in rows]
    if all(place is not None for place in places):
        ordered = sorted(zip(places, rows, strict=True), key=lambda one: one[0] or 0.0)
    else:
        ordered = [(float(at), row) for at, row in enumerate(rows)]
    numbers = [_number(value) for _, (_, value) in ordered]
    known = [number for number in numbers if number is not None]
    least, most = (min(known), max(known)) if known else (0.0, 0.0)
    first, last = (ordered[0][0] or 0.0, ordered[-1][0] or 0.0) if ordered else (0.0, 0.0)
    pieces: list[list[Point]] = [[]]
    for (place, (label, value)), number in zip(ordered, numbers, strict=True):
        if number is None:
            pieces.append([])
            continue
        x = _MARGIN + _share(place or 0.0, first, last) * (WIDTH - 2 * _MARGIN)
        y = HEIGHT - _MARGIN - _share(number, least, most) * (HEIGHT - 2 * _MARGIN)
        pieces[-1].append(Point(round(x, 2), round(y, 2), label, value))
    zero = HEIGHT - _MARGIN - _share(0.0, least, most) * (HEIGHT - 2 * _MARGIN) if least < 0 < most else None
    return LineChart(
        tuple(tuple(piece) for piece in pieces if piece),
        most=most,
        least=least,
        first=ordered[0][1][0] if ordered else None,
        last=ordered[-1][1][0] if ordered else None,
        zero=None if zero is None else round(zero, 2),
        omitted=len(numbers) - len(known),
    )


def _share(value: float, least: float, most: float) -> float:
    """Return where a value is between two others, from 0 to 1; in the middle if these are the same."""
    span = most / 2 - least / 2  # half of it, which a double holds
    return (value / 2 - least / 2) / span if span > 0 else 0.5


def _is_numeric(values: Sequence[Any]) -> bool:
    given = [value for value in values if value is not None]
    return bool(given) and all(isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in given)


def _number(value: Any) -> float | None:
    """Return a value of a column of numbers as a double; None for null, not a number, and what no double holds."""
    try:
        number = float(value) if value is not None else math.nan
    except (OverflowError, ValueError):  # of a decimal that signals that it is not a number
        return None
    return number if math.isfinite(number) else None


def _place(value: Any) -> float | None:
    """Return where a value is on an axis of numbers or of times; None if it is neither."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time.min)
    if isinstance(value, datetime):  # seconds since year 1: datetime.timestamp() fails for the first and last days there are
        return (value.replace(tzinfo=None) - datetime.min - (value.utcoffset() or timedelta())).total_seconds()
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _number(value)
    return None
