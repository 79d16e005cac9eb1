"""The bars of a dataset's validations: in order, to scale, and nothing that is there is too small to be seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.contracts.states import State
from pipeline.ledger.models import ValidationRun
from web.pages import trend_charts


def run(day: int, **said: Any) -> ValidationRun:
    known = {"records": 100, "errors": 0, "warnings": 0, "by_code": {}, "state": State.SUCCEEDED, "filename": f"{day}.csv"}
    return ValidationRun(**{"id": str(day), "created_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(day), **known, **said})


def test_bars_stand_in_the_order_of_time_and_to_scale() -> None:
    records, findings = trend_charts.charts([run(3, records=50), run(2, errors=6, warnings=2), run(1, warnings=4)])
    assert [bar.title.split(",")[0] for bar in records.bars] == ["1.csv", "2.csv", "3.csv"]
    assert [bar.x for bar in records.bars] == sorted(bar.x for bar in records.bars)
    assert [bar.height for bar in records.bars] == [110, 110, 55]
    assert [bar.kind for bar in records.bars] == ["good", "bad", "good"]
    assert (records.most, findings.most) == (100, 8)
    one, errors, warnings = findings.bars
    assert (one.kind, errors.kind, warnings.kind) == ("mixed", "bad", "mixed")
    assert errors.x == warnings.x
    assert warnings.y + warnings.height == pytest.approx(errors.y)
    assert warnings.y == 0


def test_one_error_beside_a_million_is_seen() -> None:
    _, findings = trend_charts.charts([run(2, errors=1), run(1, errors=1_000_000)])
    assert findings.bars[1].height == 1.5
    assert "1,000,000 errors" in findings.bars[0].title


def test_fifty_bars_fit_and_two_are_not_fat() -> None:
    (many, _), (few, _) = (trend_charts.charts([run(day) for day in range(count)]) for count in (50, 2))
    assert max(bar.x + bar.width for bar in many.bars) <= trend_charts.WIDTH
    assert few.bars[0].width < trend_charts.WIDTH / 10


def test_the_most_frequent_codes_come_first() -> None:
    codes = {f"c{n:02}": n for n in range(1, 20)}
    shown = trend_charts.by_code([run(2, by_code=codes), run(1, by_code={"c01": 1000})])
    assert [chart.name for chart in shown][:3] == ["c01", "c19", "c18"]
    assert len(shown) == trend_charts.CODES_SHOWN
    assert (shown[0].most, len(shown[0].bars)) == (1000, 2)


def test_no_runs_are_empty_charts() -> None:
    assert [chart.bars for chart in trend_charts.charts([])] == [(), ()]
    assert trend_charts.by_code([]) == []
