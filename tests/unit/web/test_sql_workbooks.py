"""A result as a workbook: what Excel would change is text, and what it would run is text."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from openpyxl import load_workbook

from pipeline.warehouse.query import Answer
from pipeline.warehouse.query.console import Column
from web.http.sql_workbooks import CELL_UNITS, workbook


def cells(*values: Any) -> tuple[list[tuple[Any, str]], bool]:
    names = tuple(Column(f"c{at}", "?") for at in range(len(values)))
    data, is_cut = workbook(Answer(names, [values], truncated=False, seconds=0.0))
    (sheet,) = load_workbook(io.BytesIO(data)).worksheets
    assert [cell.value for cell in sheet[1]] == [column.name for column in names]
    return [(cell.value, cell.data_type) for cell in sheet[2]], is_cut


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "{=1}", "http://example.org", "007", "1e5", " x ", "'"])
def test_a_text_stays_a_text(text: str) -> None:
    assert cells(text) == ([(text, "s")], False)


@pytest.mark.parametrize("number", [0, -5, 999_999_999_999_999, Decimal("0.10"), 2.5, 1e300])
def test_numbers(number: Any) -> None:
    (((value, kind),), _) = cells(number)
    assert (value, kind) == (float(number), "n")


@pytest.mark.parametrize("number", [1234567890123456, Decimal("1.2345678901234567"), float("inf"), float("nan"), 10**400])
def test_a_number_that_excel_would_round_is_text(number: Any) -> None:
    (((value, kind),), _) = cells(number)
    assert kind == "s" and value.lower().lstrip("-") in (str(number).lower(), "infinity")


def test_other_values() -> None:
    found, _ = cells(True, None, date(2026, 2, 3), datetime(2026, 2, 3, 4, 5, 6), date(1, 1, 1), {"a": [1]}, "x")
    assert found[0] == (True, "b") and found[1][0] is None
    assert found[2] == (datetime(2026, 2, 3), "d") and found[3] == (datetime(2026, 2, 3, 4, 5, 6), "d")
    assert [kind for _, kind in found[4:]] == ["s", "s", "s"]
    ((moment, kind),), _ = cells(datetime(2026, 2, 3, tzinfo=UTC))
    assert kind == "s" and moment.startswith("2026-02-03"), "with its zone, which Excel does not have"


def test_a_long_text_is_cut_and_that_is_said() -> None:
    assert cells("x" * CELL_UNITS) == ([("x" * CELL_UNITS, "s")], False)
    (((value, _),), is_cut) = cells("😀" * CELL_UNITS)
    assert is_cut and value == "😀" * (CELL_UNITS // 2)
