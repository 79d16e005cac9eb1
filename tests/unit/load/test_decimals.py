"""Numbers without a declared precision go to PostgreSQL without the zeros that staging adds."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from pipeline.load.decimals import STAGED, trimmed, without_zeros

SPELLED = {
    "39.80": "39.8",
    "0": "0",
    "100": "100",
    "-12.50": "-12.5",
    "10.05": "10.05",
    "0.00001": "0.00001",
    "0.00000012": "1.2E-7",
    "-0.000000000000000001": "-1E-18",
    "12345678901234567890.123456789012345678": "12345678901234567890.123456789012345678",
}


def test_zeros_after_the_last_digit_are_left_out() -> None:
    records = pa.table({"price": pa.array([*map(Decimal, SPELLED), None], STAGED), "name": ["000.000"] * (len(SPELLED) + 1)})
    found = without_zeros(records)
    assert found.column("price").to_pylist() == [*SPELLED.values(), None]
    assert found.column("name") == records.column("name")
    for given, spelled in SPELLED.items():
        assert Decimal(spelled) == Decimal(given)


@pytest.mark.parametrize("given", [None, *SPELLED])
def test_one_value(given: str | None) -> None:
    value = pa.scalar(given and Decimal(given), STAGED)
    assert trimmed(value) == (given and SPELLED[given])


def test_a_declared_precision_keeps_its_zeros() -> None:
    records = pa.table({"price": pa.array([Decimal("39.80")], pa.decimal128(12, 2))})
    assert without_zeros(records) == records
