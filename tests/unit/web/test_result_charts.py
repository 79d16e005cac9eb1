"""Charts of a query's result: to scale, in order, and within the drawing whatever the numbers are."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidRequest
from pipeline.warehouse.query import Answer
from pipeline.warehouse.query.console import Column
from web.pages.result_charts import (
    BARS_MAX,
    HEIGHT,
    WIDTH,
    BarChart,
    LineChart,
    Wanted,
    asked,
    drawn,
    numeric_columns,
    suggested,
)


def answer(*rows: tuple[Any, ...]) -> Answer:
    names = "abcdef"[: len(rows[0]) if rows else 2]
    return Answer(tuple(Column(name, "?") for name in names), [*rows], truncated=False, seconds=0.0)


def bars(*rows: tuple[Any, Any]) -> BarChart:
    chart = drawn(answer(*rows), Wanted("bar", 0, 1))
    assert isinstance(chart, BarChart)
    return chart


def line(*rows: tuple[Any, Any]) -> LineChart:
    chart = drawn(answer(*rows), Wanted("line", 0, 1))
    assert isinstance(chart, LineChart)
    return chart


def test_columns_of_numbers() -> None:
    found = answer((1, "a", True, None, Decimal(2), None), (None, "b", False, None, 2.5, 1))
    assert numeric_columns(found) == [0, 4, 5]
    assert numeric_columns(answer()) == []


def test_what_is_suggested() -> None:
    assert suggested(answer(("a", 1, 2))) == Wanted("bar", 0, 2)
    assert suggested(answer((date(2026, 1, 1), 1))) == Wanted("line", 0, 1)
    assert suggested(answer((3,))) == Wanted("bar", 0, 0)
    assert suggested(answer(("a", "b"))) is None


def test_what_is_asked_for_is_checked() -> None:
    one = answer(("a", 1))
    assert asked(one, "line", "0", "1") == Wanted("line", 0, 1)
    for kind, labels, values in (("pie", "0", "1"), ("bar", "2", "1"), ("bar", "-1", "1"), ("bar", "", "1"), ("bar", "0", "0")):
        with pytest.raises(InvalidRequest, match="Choose"):
            asked(one, kind, labels, values)


def test_bars_begin_at_zero_and_are_to_scale() -> None:
    chart = bars(("a", 10), ("b", Decimal(5)), ("c", None), ("d", 0))
    assert chart.zero == 0
    assert [(bar.x, bar.width, bar.value) for bar in chart.bars] == [(0, 100, 10), (0, 50, 5), (0, 0, None), (0, 0, 0)]
    chart = bars(("a", 30), ("b", -10))
    assert chart.zero == 25
    assert [(bar.x, bar.width) for bar in chart.bars] == [(25, 75), (0, 25)]


def test_not_more_bars_than_can_be_read() -> None:
    chart = bars(*((str(n), n) for n in range(BARS_MAX + 7)))
    assert (len(chart.bars), chart.omitted) == (BARS_MAX, 7)


def test_a_line_is_in_the_order_of_time_and_at_its_distances() -> None:
    chart = line((date(2026, 1, 11), 4), (date(2026, 1, 1), 0), (date(2026, 1, 6), 2))
    (piece,) = chart.pieces
    assert [point.value for point in piece] == [0, 2, 4]
    assert piece[1].x == pytest.approx(WIDTH / 2, abs=0.01) and piece[1].y == pytest.approx(HEIGHT / 2, abs=0.01)
    assert (chart.first, chart.last, chart.least, chart.most) == (date(2026, 1, 1), date(2026, 1, 11), 0, 4)
    (piece,) = line((datetime(2026, 1, 1, tzinfo=UTC), 1), (datetime(2025, 1, 1, tzinfo=UTC), 2)).pieces
    assert [point.value for point in piece] == [2, 1]


def test_a_line_of_names_keeps_the_order_of_the_rows() -> None:
    (piece,) = line(("b", 1), ("a", 2), ("c", 3)).pieces
    assert [point.label for point in piece] == ["b", "a", "c"]


def test_a_line_is_interrupted_where_there_is_no_number() -> None:
    chart = line((1, 1), (2, None), (3, 3), (4, 4))
    assert [[point.label for point in piece] for piece in chart.pieces] == [[1], [3, 4]]
    assert chart.omitted == 1


def test_zero_is_drawn_where_it_is_within() -> None:
    assert line((1, -1), (2, 1)).zero == HEIGHT / 2
    assert line((1, 1), (2, 2)).zero is None


def test_nothing_to_draw() -> None:
    assert line((1, None)).pieces == ()
    assert drawn(answer(), Wanted("line", 0, 1)).omitted == 0
    assert drawn(answer(), Wanted("bar", 0, 1)).omitted == 0


numbers = st.none() | st.integers() | st.floats() | st.decimals() | st.just(10**400)


@given(st.lists(st.tuples(st.one_of(st.integers(), st.floats(), st.dates(), st.datetimes(), st.text(), st.none()), numbers)))
def test_all_is_within_the_drawing(rows: list[tuple[Any, Any]]) -> None:
    for bar in bars(*rows).bars:
        assert -0.02 <= bar.x <= 100.02 and 0 <= bar.width <= 100.02 and bar.x + bar.width <= 100.04
    for piece in line(*rows).pieces:
        assert all(0 <= point.x <= WIDTH and 0 <= point.y <= HEIGHT for point in piece)
